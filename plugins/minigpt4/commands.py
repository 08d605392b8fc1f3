"""Declares `inquisight convert minigpt4`; `convert/` does the work and is imported when it runs."""

from __future__ import annotations

import typer

from core.console.dataclass_commands import add_command
from core.console.options import show_help
from plugins.minigpt4.convert.request import ConvertOptions

convert = typer.Typer(name="convert", help="Convert released weights to Hugging Face directories.")
convert.callback(invoke_without_command=True, help="Convert released weights to Hugging Face directories.")(show_help)
add_command(convert, "minigpt4", ConvertOptions, "plugins.minigpt4.convert.conversion:convert")


def add_to(cli: typer.Typer) -> None:
    """Put the group `convert` on the command line."""
    cli.add_typer(convert, name="convert")
