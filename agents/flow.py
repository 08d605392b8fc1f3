"""Text that arrives in pieces, laid out for a terminal: lines break between words, not where the window ends."""

from __future__ import annotations

from typing import IO


class Flow:
    """Writes pieces at once, except for the word that may still grow. `width` 0 breaks no lines.

    `indent` is put before every line. Lines of the text's own stay, with the blanks they begin with.
    """

    def __init__(self, out: IO[str], width: int = 0, indent: str = "") -> None:
        self.out, self.width, self.indent = out, width, indent
        self._column = 0  # cells used in this line, without the indent
        self._blanks = ""  # seen since the last word
        self._word = ""

    def write(self, text: str) -> None:
        """Take more of the text."""
        for character in text:
            if character == "\n":
                self._put_word()
                self._blanks = ""
                self.out.write("\n")
                self._column = 0
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
            self.out.write("\n")
            self._column = 0
        self._blanks = ""
        self.out.flush()

    def _put_word(self) -> None:
        if not self._word:
            return
        room = self.width - len(self.indent)
        size = sum(map(_cells, self._word))
        if self.width and self._column and self._column + len(self._blanks) + size > room:
            self.out.write("\n")
            self._column, self._blanks = 0, ""
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
