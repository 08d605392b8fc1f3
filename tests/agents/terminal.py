"""A terminal's screen, as `agents.cli.render.flow` uses it: text, line ends, \\r, cursor up, erase to the end."""

from __future__ import annotations

import io
import re


class Terminal(io.StringIO):
    """`shown` is what a person sees of all that was written, scrolled-off lines included; only the last `height` rows
    can be reached by the cursor."""

    def __init__(self, width: int, height: int = 24) -> None:
        super().__init__()
        self.width, self.height = width, height

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> list[str]:
        rows: list[list[str]] = [[]]
        row = column = 0
        for token in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[^\x1b]", self.getvalue()):
            if token == "\n":
                row, column = row + 1, 0
            elif token == "\r":
                column = 0
            elif token.endswith("A") and len(token) > 1:
                row = max(row - int(token[2:-1]), len(rows) - self.height, 0)
            elif token in ("\x1b[J", "\x1b[K", "\x1b[2K"):
                rows[row] = rows[row][:column] if token != "\x1b[2K" else []
                if token == "\x1b[J":
                    del rows[row + 1 :]
            elif len(token) == 1:
                if column == self.width:
                    row, column = row + 1, 0
                while len(rows) <= row:
                    rows.append([])
                rows[row] += [" "] * (column - len(rows[row]))
                rows[row][column : column + 1] = [token]
                column += 1
            while len(rows) <= row:
                rows.append([])
        return ["".join(one).rstrip() for one in rows]
