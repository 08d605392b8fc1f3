"""Read the lines of a UTF-8 or UTF-16 file, with the byte at which each begins; only a line feed ends a line.

`str.splitlines` also splits at U+2028, U+0085 and form feeds, which occur in captions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from core.errors import UsageError, printable

LONGEST: Final = 300_000_000  # bytes of a line; it may hold a picture
_MARKS: Final = (  # the longer ones first: UTF-32 begins like UTF-16
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)


class Lines(Iterator[str]):
    """Decoded lines with their ends. Pass `encoding` to continue in the middle of a file.

    Bytes that are not UTF-8 become lone surrogates, as in file names. Raises UsageError, one line, for another encoding
    and for a line that is too long.
    """

    def __init__(self, file: BinaryIO, name: str, encoding: str = "") -> None:
        self.file, self.name, self.encoding = file, name, encoding
        self.offset = file.tell() if file.seekable() else 0  # of the next line
        self.number = 0  # lines returned so far

    def __next__(self) -> str:
        """Return the next line."""
        raw = self.file.readline(LONGEST)
        mark = b""
        if not self.encoding:
            self.encoding, mark = _encoding(raw, self.name)
        if self.encoding != "utf-8":
            raw = self._whole(raw)
        if not raw:
            raise StopIteration
        if len(raw) >= LONGEST:
            where = f"line {self.number + 1} of '{printable(self.name)}'"
            raise UsageError(f"{where} is longer than {LONGEST:,} bytes; is it a text file?")
        self.offset += len(raw)
        self.number += 1
        return raw[len(mark) :].decode(
            self.encoding, "surrogateescape" if self.encoding == "utf-8" else "surrogatepass"
        )

    def _whole(self, raw: bytes) -> bytes:
        """Complete a line of UTF-16: the byte of a line feed may be half of another character."""
        end = "\n".encode(self.encoding)
        while raw and len(raw) < LONGEST:
            if len(raw) % 2:
                raw += self.file.read(1)
                if len(raw) % 2:
                    return raw[:-1]  # the file ends in the middle of a character
            if raw.endswith(end):
                return raw
            more = self.file.readline(LONGEST - len(raw))
            if not more:
                return raw
            raw += more
        return raw


def _encoding(head: bytes, name: str) -> tuple[str, bytes]:
    """Return (encoding, byte-order mark) by the first line. Raises UsageError."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            if encoding.startswith("utf-32"):
                raise UsageError(f"'{printable(name)}' is written in UTF-32; save it as UTF-8.")
            return encoding, mark
    if (head[:1] == b"\0") != (head[1:2] == b"\0") and len(head) > 1:
        raise UsageError(f"'{printable(name)}' looks like UTF-16 without a byte-order mark; save it as UTF-8.")
    return "utf-8", b""


def encoding_of(file: BinaryIO, name: str) -> str:
    """Return "utf-8-sig" or "utf-16" for a file that is read from its first byte. Raises UsageError."""
    encoding, _ = _encoding(file.read(8), name)
    file.seek(0)
    return "utf-8-sig" if encoding == "utf-8" else "utf-16"


def split_lines(text: str) -> list[str]:
    """Return the lines of a text without their ends, split only at line feeds."""
    lines = text.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if text else []


def names_in(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield the file names of a list, one per line; blank lines do not count. Raises UsageError and OSError."""
    for line in Lines(file, name):
        for one in line.rstrip("\r\n").split("\r"):  # a lone carriage return ended lines on old Macs
            if one.strip():
                yield one
