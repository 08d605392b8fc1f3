"""The tables of `inquisight plugins`, `tasks` and `history`: drawn in a terminal, tab-separated in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import printable

if TYPE_CHECKING:
    from agents.cli.requests import ChatRequest
    from core.entries import Entry
    from core.registry import Registry
    from core.store.transcripts import StoredCaption


def print_plugins(registry: Registry) -> None:
    """What is registered, then what could not be registered and why."""
    tables = (registry.vision_backends, registry.questioners, registry.witnesses, registry.trainers)
    rows: list[tuple[str, ...]] = [
        (entry.kind, entry.name, entry.description, entry.distribution, _can(entry))
        for table in tables
        for _, entry in sorted(table.items())
    ]
    rows += [("left out", problem.plugin, problem.error, problem.distribution, "") for problem in registry.problems]
    header: tuple[str, ...] = ("kind", "name", "description", "package", "can")
    if sys.stdout.isatty():  # a fifth column would make all too narrow
        header = header[:-1]
        rows = [(*row[:2], f"{row[2]} ({row[4]})" if row[4] else row[2], row[3]) for row in rows]
    print_table(header, rows)
    if sys.stdout.isatty():
        print("\nAny LangChain chat model can ask as well: --questioner provider:model, such as openai:gpt-4o-mini.")


def _can(entry: Entry) -> str:
    """Capabilities that a backend declares before it is loaded."""
    declared = entry.capabilities
    most = declared.get("max_images")
    words = [
        "chats" if declared.get("follows_instructions") else "",
        "streams" if declared.get("streams") else "",
        "scores" if declared.get("scores") else "",
        "" if not isinstance(most, int) else "1 picture" if most == 1 else f"{most} pictures",
        "at any turn" if declared.get("interleaves") else "",
    ]
    return ", ".join(filter(None, words))


def chat_or_tasks(request: ChatRequest) -> int:
    """`inquisight chat`; with --list-tasks nothing is loaded that only a conversation needs."""
    if request.list_tasks:
        return print_tasks(request.task_file)
    from agents.cli.chat import run_chat

    return run_chat(request)


def print_tasks(file: Path | None = None) -> int:
    """List the preset prompts."""
    from agents.chat.presets import Tasks

    print_table(("task", "what it asks for"), list(Tasks.load(file).titles.items()))
    return 0


def print_history(found: Sequence[StoredCaption], words: str) -> None:
    """One line per transcript; a notice if there is none."""
    if not found:
        about = f" with {printable(words)!r}" if words else ""
        print(f"inquisight: there is no transcript{about} yet", file=sys.stderr)
        return
    rows = [
        (
            one.short_id,
            one.created.astimezone().strftime("%Y-%m-%d %H:%M"),
            one.source,
            f"{one.turns} turns" if one.status == "complete" else f"{one.turns} turns, {one.status}",
            one.text,
        )
        for one in found
    ]
    print_table(("id", "when", "picture", "interview", "what it shows"), rows)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table with a header in a terminal; elsewhere one tab-separated line per row, without header."""
    clean = [[printable(cell, limit=None) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in clean:
            print("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for number, title in enumerate(header):
        table.add_column(title, overflow="fold", no_wrap=number == 0, style="cyan" if number == 0 else "")
    for row in clean:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)
