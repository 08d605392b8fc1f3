"""Write a description beside its picture, `photo.jpg` -> `photo.txt`, as training tools expect."""

from __future__ import annotations

from pathlib import Path

from core.errors import InquisightError
from core.files.atomic import replacing


class SidecarError(InquisightError):
    """A sidecar file cannot be written."""

    exit_code = 2


def sidecar_of(source: str) -> Path:
    """The sidecar of the picture `source`; never the picture itself, if that is named .txt."""
    path = Path(source)
    return path.with_name(f"{path.name}.txt") if path.suffix.lower() == ".txt" else path.with_suffix(".txt")


def write_sidecar(path: Path, text: str, *, overwrite: bool) -> None:
    """Write `text` atomically. Raises SidecarError."""
    with replacing(path, SidecarError, taken="" if overwrite else "add --overwrite to replace it") as file:
        file.write(f"{text}\n".encode("utf-8", errors="backslashreplace"))
