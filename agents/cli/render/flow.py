"""Text that arrives in pieces, laid out for a terminal: lines break between words, not where the window ends."""

from __future__ import annotations

from typing import IO


class Flow:
    """Writes pieces at once, except for the word that may still grow. `width` 0 breaks no lines.

    `indent` is put before every line. Lines of the text's own stay, with the blanks they begin with. `height`: rows of
    a terminal that understands escape sequences; 0: text that was written stays.
    """

    def __init__(self, out: IO[str], width: int = 0, indent: str = "", height: int = 0) -> None:
        self.out, self.width, self.indent, self.height = out, width, indent, height
        self._rows = 0  # of the terminal that are full, since the text began
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
            elif self.width and _cells(character) == 2:  # scripts without blanks break anywhere
                self._put_word()
                self._word = character
                self._put_word()
            else:
                self._word += character
        self.out.flush()

    def end(self) -> None:
        """Write what is left, and a line end where there is none."""
        self._put_word()
        if self._column:
            self._break()
        self._blanks, self._rows = "", 0
        self.out.flush()

    def take_back(self) -> bool:
        """Erase what was written since the last `end`; False where it cannot be, as it has left the window."""
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
        """Rows that the line fills: a word that is wider than the window is broken by the terminal."""
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
