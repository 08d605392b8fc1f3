"""The options of `inquisight serve`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from core.console.options import Audit, Questioner, Threshold, Witness
from core.errors import UsageError, printable


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Serve vision models and interviews to OpenAI clients."""

    vision: tuple[str, ...] = ()
    """Vision model; repeatable [INQUISIGHT_VISION; pocket]."""
    questioner: Questioner = None
    witness: Witness = None
    rounds: int | None = None
    """Number of questions of an interview [INQUISIGHT_ROUNDS; 10]."""
    audit: Audit = None
    threshold: Threshold = None
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen on."""
    port: int = 8300
    """Port; 0 picks a free one."""
    api_key_file: Path | None = None
    """File with one API key per line; clients need one of them."""
    open_to_all: bool = False
    """Allow access without a key to anybody who reaches --host."""
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

    def keys(self) -> tuple[str, ...]:
        """The API keys. Raises UsageError."""
        if self.api_key_file is None:
            return ()
        shown = printable(self.api_key_file)
        try:
            lines = self.api_key_file.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise UsageError(f"the file of API keys '{shown}' cannot be read: {reason.lower()}") from error
        found = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        if not found:
            raise UsageError(f"the file of API keys '{shown}' has no key; write one per line")
        if short := [number for number, key in enumerate(found, start=1) if len(key) < 8]:
            raise UsageError(f"the file of API keys '{shown}': key {short[0]} is shorter than 8 characters")
        return found

    def readable_by_others(self) -> bool:
        """Whether other users of this machine can read the keys."""
        return self.api_key_file is not None and os.name == "posix" and bool(self.api_key_file.stat().st_mode & 0o077)

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
