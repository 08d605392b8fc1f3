"""Declares `inquisight lavis install` and `inquisight lavis status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.console.options import show_help

lavis = typer.Typer(name="lavis", help="Install salesforce-lavis in a separate environment.")


lavis.callback(invoke_without_command=True, help="Install salesforce-lavis in a separate environment.")(show_help)


@lavis.command()
def install(
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="PATH", help="Python 3.11 to use [the first one found]."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Target directory [`lavis` in INQUISIGHT_HOME]."),
    ] = None,
) -> None:
    """Install the environment of `--vision lavis:...` (about 2 GB, more with CUDA); resumable."""
    from plugins.lavis.environment import Environment, chosen
    from plugins.lavis.install import install as run

    environment = Environment(to.expanduser().resolve()) if to else chosen()
    print("salesforce-lavis 1.0.2: about 2 GB on the disk, several more where PyTorch comes with CUDA; no weights")
    versions = run(environment, python)
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"ready: {environment.gigabytes():.1f} GB in {environment.folder}")
    print(f"  {found}")
    print("use it: inquisight caption --vision lavis:blip2_t5/pretrain_flant5xl PICTURE")


@lavis.command()
def status() -> None:
    """Show whether salesforce-lavis is installed, and its models."""
    from plugins.lavis.backend import MODELS
    from plugins.lavis.environment import INSTALL, chosen

    environment = chosen()
    state = environment.state
    words = {
        "missing": f"not installed; run `{INSTALL}`",
        "foreign": f"something else is there; run `{INSTALL} --to DIR`",
        "unfinished": f"not complete; run `{INSTALL}` again",
        "outdated": f"installed from an older list of versions, and usable; `{INSTALL}` brings it up to date",
        "ready": "ready",
    }
    print(f"state   {words[state]}")
    print(f"folder  {environment.folder}")
    if state in {"ready", "outdated"}:
        versions = (environment.mark() or {}).get("versions", {})
        print(f"size    {environment.gigabytes():.1f} GB")
        print(f"python  {environment.python}")
        print("has     " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    for model, kinds in MODELS.items():
        print(f"model   lavis:{model}/ {', '.join(kinds)}")


def add_to(cli: typer.Typer) -> None:
    """Put the group `lavis` on the command line."""
    cli.add_typer(lavis, name="lavis")
