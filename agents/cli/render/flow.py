"""Print text that arrives in pieces, with line breaks between words."""

from __future__ import annotations

from typing import IO


class Flow:
    """Writes pieces at once, except for an unfinished word. `width` 0 breaks no lines.

    `indent` precedes every line. Line breaks of the text stay. `height`: rows of a terminal with escape sequences; 0:
    written text cannot be erased.
    """

    def __init__(self, out: IO[str], width: int = 0, indent: str = "", height: int = 0) -> None:
        self.out, self.width, self.indent, self.height = out, width, indent, height
        self._rows = 0  # full rows of the terminal since the text began
        self._column = 0  # cells used in this line, without the indent
        self._blanks = ""  # seen since the last word
        self._word = ""

    def write(self, text: str) -> None:
        """Take more of the text."""
        for character in text:
            if character == "\n":
                self._put_word()
                self._blanks = ""
                self._break()
            elif character == " ":
                self._put_word()
                self._blanks += " "
            elif self.width and _cells(character) == 2:  # scripts without spaces break anywhere
                self._put_word()
                self._word = character
                self._put_word()
            else:
                self._word += character
        self.out.flush()

    def end(self) -> None:
        """Write the rest, and a line end if it is missing."""
        self._put_word()
        if self._column:
            self._break()
        self._blanks, self._rows = "", 0
        self.out.flush()

    def take_back(self) -> bool:
        """Erase the text since the last `end`; False if it has left the window."""
        up = self._rows + self._rows_of_line() - 1
        if up >= self.height:
            return False
        self.out.write("\r" + (f"\x1b[{up}A" if up else "") + "\x1b[J")
        self._column = self._rows = 0
        self._blanks = self._word = ""
        return True

    def _break(self) -> None:
        self.out.write("\n")
        self._rows += self._rows_of_line()
        self._column = 0

    def _rows_of_line(self) -> int:
        """Rows that the line fills: the terminal breaks a word that is wider than the window."""
        cells = self._column + len(self.indent) if self._column else 0
        return max(1, -(-cells // self.width)) if self.width else 1

    def _put_word(self) -> None:
        if not self._word:
            return
        room = self.width - len(self.indent)
        size = sum(map(_cells, self._word))
        if self.width and self._column and self._column + len(self._blanks) + size > room:
            self._break()
            self._blanks = ""
        if not self._column:
            self.out.write(self.indent)
        self.out.write(self._blanks + self._word)
        self._column += len(self._blanks) + size
        self._blanks = self._word = ""


def _cells(character: str) -> int:
    if character.isascii():
        return 1
    from rich.cells import cell_len

    return cell_len(character)
