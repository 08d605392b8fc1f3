"""The options of `inquisight serve` and `inquisight mcp`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from core.console.options import Audit, Questioner, Threshold, Vision, Witness
from core.errors import UsageError


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What both servers take: how interviews are held, and who may connect."""

    questioner: Questioner = None
    witness: Witness = None
    rounds: int | None = None
    """Number of questions of an interview [INQUISIGHT_ROUNDS; 10]."""
    threshold: Threshold = None
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen on."""
    api_key_file: Path | None = None
    """File with one API key per line; clients need one of them."""
    open_to_all: bool = False
    """Allow access without a key to anybody who reaches --host."""


@dataclass(frozen=True, slots=True)
class ServeOptions(ServerOptions):
    """Serve vision models and interviews to OpenAI clients."""

    vision: tuple[str, ...] = ()
    """Vision model; repeatable [INQUISIGHT_VISION; pocket]."""
    audit: Audit = None
    port: int = 8300
    """Port; 0 picks a free one."""
    fetch: Annotated[tuple[str, ...], typer.Option("--fetch", metavar="HOST")] = ()
    """Open web addresses of this host, such as *.example.org; repeatable [none]."""
    queue: int = 256
    """Maximum number of requests at a time; more get status 429."""
    batch: int = 32
    """Maximum number of requests in one call of a vision model."""
    images: int = 256
    """Number of encoded images to keep for each vision model."""
    body_mb: int = 40
    """Limit of a request, in MB."""
    grace: int = 30
    """Seconds that requests under way get when the server is stopped."""

    def check(self) -> None:
        """Raise UsageError for values that cannot work."""
        for name, least, most in (
            ("queue", 1, 10_000),
            ("batch", 1, 1024),
            ("images", 1, 100_000),
            ("body_mb", 1, 1000),
            ("grace", 0, 3600),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"--{name.replace('_', '-')} must be between {least} and {most}, not {value}")


@dataclass(frozen=True, slots=True)
class McpOptions(ServerOptions):
    """Offer picture tools to agents that speak MCP."""

    root: Annotated[tuple[Path, ...], typer.Option("--root", metavar="FOLDER")] = ()
    """Folder whose pictures may be opened; repeatable [none]."""
    vision: Vision = None
    no_store: bool = False
    """Neither save interviews nor search earlier ones."""
    http: bool = False
    """Serve HTTP at /mcp instead of standard input and output; --host, --port and keys are for it."""
    port: int = 8301
    """Port; 0 picks a free one."""
