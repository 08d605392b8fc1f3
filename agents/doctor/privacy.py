"""Texts for a report that strangers may read: without keys, home folders, and the names of private servers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from core.errors import printable

_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
_SHORTEST: Final = 4  # characters of a secret; a shorter one would blot out ordinary words
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>&;]+", re.IGNORECASE)
_PUBLIC: Final = ("localhost", "127.0.0.1", "::1", "huggingface.co", "openai.com")


def shareable(text: object, environment: Mapping[str, str] | None = None) -> str:
    """`text` as one line without secrets of the environment, private addresses and the path of the home folder."""
    environment = os.environ if environment is None else environment
    line = printable(text, limit=1000)
    for name, value in environment.items():
        if _SECRET.search(name) and len(value.strip()) >= _SHORTEST:
            line = line.replace(value.strip(), "***")
    line = _ADDRESS.sub(_without_host, line)
    return _without_home(line, str(Path.home()))


def _without_home(line: str, home: str) -> str:
    """`line` with `~` for the home folder, but not for one whose name only begins in the same way."""
    if len(home) < 2:
        return line
    first, *rest = line.split(home)
    return first + "".join(f"{home if one[:1].isalnum() or one[:1] in ('_', '-') else '~'}{one}" for one in rest)


def _without_host(match: re.Match[str]) -> str:
    try:
        parts = urlsplit(match[0])
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return "ADDRESS"
    public = any(host == one or host.endswith(f".{one}") for one in _PUBLIC)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown if public else 'HOST'}{port}{parts.path}"
