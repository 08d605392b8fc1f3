"""Who may reach a server: the address it listens on, and the keys of its clients."""

from __future__ import annotations

import hmac
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from core.errors import UsageError, printable
from core.net.listening import is_local

_SENDABLE: Final = re.compile(r"[!-~]+")
NO_KEY: Final = "send one of the server's keys: Authorization: Bearer KEY"


def check_access(host: str, key_file: Path | None, *, open_to_all: bool) -> None:
    """Raise UsageError for a server that everybody would reach; warn if others can read the keys."""
    if key_file is not None:
        read_keys(key_file)
        if os.name == "posix" and key_file.stat().st_mode & 0o077:
            shown = printable(key_file)
            print(f"inquisight: others can read '{shown}'; restrict it with: chmod 600 {shown}", file=sys.stderr)
    elif not is_local(host) and not open_to_all:
        raise UsageError(
            f"--host {printable(host)} gives access to everybody who reaches this machine; add --api-key-file FILE, or "
            "--open-to-all if that is intended"
        )


def read_keys(file: Path | None) -> tuple[str, ...]:
    """The keys in a file, one per line; none without a file. Raises UsageError."""
    if file is None:
        return ()
    shown = printable(file)
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(f"the file of API keys '{shown}' cannot be read: {reason.lower()}") from error
    found = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not found:
        raise UsageError(f"the file of API keys '{shown}' has no key; write one per line")
    if short := [number for number, key in enumerate(found, start=1) if len(key) < 8]:
        raise UsageError(f"the file of API keys '{shown}': key {short[0]} is shorter than 8 characters")
    if strange := [number for number, key in enumerate(found, start=1) if not _SENDABLE.fullmatch(key)]:
        raise UsageError(
            f"the file of API keys '{shown}': key {strange[0]} has characters that no client can send in an "
            "Authorization header; use letters, digits and signs of ASCII, without blanks"
        )
    return found


def has_key(header: str, keys: Sequence[str]) -> bool:
    """Whether the value of an Authorization header is one of the keys; takes the same time for wrong ones."""
    scheme, _, key = header.partition(" ")
    right = [hmac.compare_digest(key.strip().encode(), one.encode()) for one in keys]
    return scheme.lower() == "bearer" and any(right)


def address_of(host: str, port: int) -> str:
    """ "http://127.0.0.1:8300", with brackets around IPv6."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
