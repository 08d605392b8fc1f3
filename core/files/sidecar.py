"""Write a description beside its picture, `photo.jpg` -> `photo.txt`, as training tools expect."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from core.errors import InquisightError, UsageError, printable
from core.files.atomic import replacing


class SidecarError(InquisightError):
    """A sidecar file cannot be written."""

    exit_code = 2


def sidecar_of(source: str) -> Path:
    """The sidecar of the picture `source`; never the picture itself, if that is named .txt."""
    path = Path(source)
    return path.with_name(f"{path.name}.txt") if path.suffix.lower() == ".txt" else path.with_suffix(".txt")


def check_sidecars(sources: Iterable[str], *, overwrite: bool) -> None:
    """Raise UsageError or SidecarError if a sidecar cannot be written."""
    taken: dict[Path, str] = {}
    for source in sources:
        if source == "-":
            raise UsageError("--save-beside needs a file to save beside; standard input has none")
        path = sidecar_of(source)
        if path in taken:
            both = f"'{printable(source)}' and '{printable(taken[path])}'"
            raise UsageError(f"{both} would share '{printable(path)}'; caption them one at a time")
        taken[path] = source
        if not Path(source).exists():
            continue  # opening it will say so
        if path.is_dir():
            raise SidecarError(f"'{printable(path)}' is a folder, so no description can be written there")
        if path.exists() and not overwrite:
            raise SidecarError(f"'{printable(path)}' exists already; add --overwrite to replace it")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise SidecarError(f"the folder '{printable(path.parent)}' is not writable; leave --save-beside out")


def write_sidecar(path: Path, text: str, *, overwrite: bool) -> None:
    """Write `text` atomically. Raises SidecarError."""
    with replacing(path, SidecarError, taken="" if overwrite else "add --overwrite to replace it") as file:
        file.write(f"{text}\n".encode("utf-8", errors="backslashreplace"))
