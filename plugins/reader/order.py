"""Put lines of text into reading order: rows from top to bottom, columns from right to left, turned pages too."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from core.witness import CERTAIN, Box, TextLine

TALL: Final = 1.5  # height per width from which a line of two characters or more runs downwards
_CJK: Final = re.compile("[\u3041-\u30ff\u3400-\u9fff]")


def in_reading_order(lines: Sequence[TextLine], turn: int = 0, size: tuple[int, int] = (0, 0)) -> list[TextLine]:
    """Lines as a person reads them, those of one row with a usual space between them joined.

    A joined line has the least of the scores; a sure line and an unsure one are not joined. What was read twice counts
    once. `turn`: degrees clockwise (90, 180, 270) after which a picture of this size is upright; boxes are not moved.
    """
    upright = [_turned(line, turn, size) for line in _once(lines)]
    columns = [line for line in upright if is_column(line)]
    rows = [line for line in upright if not is_column(line)]
    columns, rows = _completed(columns, rows)
    parts = [_by_rows(rows), _by_columns(columns)]
    parts.sort(key=lambda part: -sum(len(line.text) for line in part))
    turned_size = size[::-1] if turn in (90, 270) else size
    return [_turned(line, -turn % 360, turned_size) for part in parts for line in part]


def is_column(line: TextLine) -> bool:
    """Whether the line runs from top to bottom, or the picture is turned."""
    box = line.box
    return len(line.text) > 1 and box.bottom - box.top >= TALL * (box.right - box.left)


def is_cjk(text: str) -> bool:
    """Whether most characters are Chinese or Japanese, which may be written in columns."""
    return 2 * len(_CJK.findall(text)) > len(text)


def inside(one: Box, other: Box) -> float:
    """The share of one box that another one covers."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(width, 0.0) * max(height, 0.0) / max(one.area, 1.0)


def _turned(line: TextLine, turn: int, size: tuple[int, int]) -> TextLine:
    """The line after its picture was turned clockwise."""
    width, height = size
    left, top, right, bottom = line.box.left, line.box.top, line.box.right, line.box.bottom
    edges = {
        0: (left, top, right, bottom),
        90: (height - bottom, left, height - top, right),
        180: (width - right, height - bottom, width - left, height - top),
        270: (top, width - right, bottom, width - left),
    }[turn]
    box = Box(**dict(zip(("left", "top", "right", "bottom"), edges, strict=True)))
    return line.model_copy(update={"box": box}) if turn else line


def _by_rows(lines: Sequence[TextLine]) -> list[TextLine]:
    ordered: list[TextLine] = []
    for row in _bands(lines):
        first, *others = sorted(row, key=lambda line: line.box.left)
        ordered.append(first)
        for line in others:
            alike = (ordered[-1].score >= CERTAIN) == (line.score >= CERTAIN)
            if alike and _adjacent(ordered[-1].box, line.box):
                line = _joined(ordered.pop(), line, " ")
            ordered.append(line)
    return ordered


def _by_columns(lines: Sequence[TextLine]) -> list[TextLine]:
    """Columns side by side from right to left, in Latin script from left to right."""
    ordered: list[TextLine] = []
    for band in _bands(lines):
        right_to_left = is_cjk("".join(line.text for line in band))
        ordered += sorted(band, key=lambda line: line.box.left, reverse=right_to_left)
    return ordered


def _bands(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    """Lines that overlap by half of the smaller height belong to one band; bands go from top to bottom."""
    bands: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda line: (line.box.top + line.box.bottom) / 2):
        if bands and _same_row(bands[-1][-1].box, line.box):
            bands[-1].append(line)
        else:
            bands.append([line])
    return bands


def _completed(columns: list[TextLine], rows: list[TextLine]) -> tuple[list[TextLine], list[TextLine]]:
    """Single characters that end a column of Chinese or Japanese are joined to it."""
    finished = []
    for column in columns:
        for line in sorted(rows, key=lambda line: line.box.top):
            if len(line.text) == 1 and is_cjk(column.text) and _below(column.box, line.box):
                column = _joined(column, line, "")
                rows = [one for one in rows if one is not line]
        finished.append(column)
    return finished, rows


def _below(column: Box, box: Box) -> bool:
    width = column.right - column.left
    centred = column.left <= (box.left + box.right) / 2 <= column.right
    return centred and abs(box.top - column.bottom) <= 0.7 * width and box.right - box.left <= 1.5 * width


def _once(lines: Sequence[TextLine]) -> list[TextLine]:
    """Without lines that lie inside a larger one and repeat a part of its text."""

    def repeated(line: TextLine) -> bool:
        return any(
            other.box.area > line.box.area and line.text in other.text and inside(line.box, other.box) > 0.5
            for other in lines
        )

    return [line for line in lines if not repeated(line)]


def _adjacent(one: Box, other: Box) -> bool:
    heights = sorted((one.bottom - one.top, other.bottom - other.top))
    return other.left - one.right <= 0.7 * heights[0] and heights[1] <= 1.5 * heights[0]


def _joined(one: TextLine, other: TextLine, space: str) -> TextLine:
    box = Box(
        left=min(one.box.left, other.box.left),
        top=min(one.box.top, other.box.top),
        right=max(one.box.right, other.box.right),
        bottom=max(one.box.bottom, other.box.bottom),
    )
    return TextLine(text=f"{one.text}{space}{other.text}", score=min(one.score, other.score), box=box)


def _same_row(one: Box, other: Box) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared >= min(one.bottom - one.top, other.bottom - other.top) / 2
