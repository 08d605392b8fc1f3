"""How right the reader is on labelled photographs: lines that are read, lines that are invented.

    python -m training.photographs.measure_reader ~/photographs

A labelled line is read if a certain line, or consecutive words of one, equals at least LIKE of it, without regard to
case, spaces and punctuation, or if a certain line contains it (LONG letters or more). Every certain line of a
photograph without any writing is invented.
"""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.errors import InquisightError
from core.registry import get_registry
from training.photographs.labels import Labels, arguments, labelled_pictures

LIKE: Final = 0.8
LONG: Final = 4


@dataclass(slots=True)
class Tally:
    """What was read and invented over all photographs."""

    lines: int = 0  # labelled
    read: int = 0
    wordless: int = 0  # photographs without any writing
    invented: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def add(self, labels: Labels, certain: Sequence[str]) -> None:
        """Count one photograph."""
        for line in labels.writing:
            self.lines += 1
            if is_read(line, certain):
                self.read += 1
            else:
                self.missed.append(f"{labels.id}: {line}")
        if not labels.writing and not labels.small_writing:
            self.wordless += 1
            self.invented += [f"{labels.id}: {line}" for line in certain]


def is_read(line: str, found: Iterable[str]) -> bool:
    """Whether one of the lines found says the labelled one."""
    wanted = letters(line)
    return any(
        similarity(wanted, letters(part)) >= LIKE or (len(wanted) >= LONG and wanted in letters(part))
        for text in found
        for part in spans(text)
    )


def spans(text: str) -> Iterator[str]:
    """All runs of consecutive words."""
    words = text.split()
    for first in range(len(words)):
        for last in range(first, len(words)):
            yield "".join(words[first : last + 1])


def letters(text: str) -> str:
    """Letters and digits alone, without case; the text itself where it has none."""
    return "".join(filter(str.isalnum, text)).casefold() or text


def similarity(one: str, other: str) -> float:
    """Share of equal characters, 0..1."""
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()


def main(given: Sequence[str] | None = None) -> int:
    options = arguments("Measure the reader on labelled photographs.").parse_args(given)
    tally, seconds, photographs = Tally(), 0.0, 0
    try:
        reader = get_registry().create_witness("reader")
        for labels, picture in labelled_pictures(options.photographs, options.half):
            begin = time.process_time()
            [found] = reader.examine([picture])
            seconds += time.process_time() - begin
            photographs += 1
            tally.add(labels, [line.text for line in found.lines if line.certain])
    except InquisightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{photographs} photographs of the half {options.half!r}, {seconds / photographs:.2f} CPU seconds each")
    print(f"read: {tally.read} of {tally.lines} lines ({tally.read / max(tally.lines, 1):.2f})")
    print(f"invented: {len(tally.invented)} lines on {tally.wordless} photographs without writing")
    for title, rows in (("missed", tally.missed), ("invented", tally.invented)):
        for row in rows:
            print(f"  {title}  {row}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
