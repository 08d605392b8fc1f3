"""The captions of a folder: a text file beside each picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from core.errors import UsageError, printable, why
from core.files.sidecar import sidecar_of, write_sidecar


class Captions:
    """Captions by the key of the picture."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> str:
        """The caption, "" if there is none. Raises UsageError."""
        path = sidecar_of(str(self.root / key))
        try:
            return path.read_text("utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise UsageError(f"'{printable(path)}' cannot be read: {why(error)}") from None

    def all(self, keys: Iterable[str]) -> dict[str, str]:
        """The captions of these pictures."""
        return {key: self.get(key) for key in keys}

    def set(self, key: str, text: str) -> None:
        """Replace the caption."""
        write_sidecar(sidecar_of(str(self.root / key)), text, overwrite=True)
