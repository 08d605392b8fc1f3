"""One line of progress on standard error."""

from __future__ import annotations

import sys
from typing import TextIO


class Status:
    """One line of progress on standard error that overwrites itself; no output if that is no terminal."""

    def __init__(self, stream: TextIO | None = None, prefix: str = "") -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.alive = self.stream.isatty()
        self.prefix = prefix
        self._shown = False

    def show(self, text: str) -> None:
        if self.alive:
            self.stream.write(f"\r\x1b[2K{self.prefix}{text} ...")
            self.stream.flush()
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            self.stream.write("\r\x1b[2K")
            self.stream.flush()
            self._shown = False
