"""`reader` as a witness: rapidocr finds and reads lines of text.

rapidocr (https://github.com/RapidAI/RapidOCR, Apache-2.0) ships PP-OCR's models for detection, direction and
recognition as ONNX inside its wheel. Most photographs hold no text, so a quick search in a small copy comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from PIL import Image

from core.errors import UsageError, printable
from core.images.picture import Picture
from core.witness import Box, Findings, TextLine, Witness

QUICK = 640  # pixels of the longer side in the quick search
MOST = 2000  # pixels of the longer side in the full one


class RapidOcrWitness(Witness):
    """`reader`: lines of text with scores and boxes. Thread-safe. Raises UsageError for an argument."""

    def __init__(self, argument: str | None = None) -> None:
        if argument:
            raise UsageError(f"the witness 'reader' takes no argument, but got {printable(argument)!r}.")
        from rapidocr import RapidOCR

        parameters = {"Global.log_level": "critical", "Global.max_side_len": MOST, "Global.text_score": 0.0}
        self.engine: Any = RapidOCR(params=parameters)

    @property
    def name(self) -> str:
        return "reader"

    @cached_property
    def revision(self) -> str:
        return f"rapidocr-{version('rapidocr')}"

    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        return [
            Findings(
                witness=self.name,
                revision=self.revision,
                width=picture.width,
                height=picture.height,
                looked_for=("text",),
                lines=tuple(self.lines(picture.image)),
            )
            for picture in pictures
        ]

    def lines(self, image: Image.Image) -> list[TextLine]:
        """The lines in reading order."""
        small = image.copy()
        small.thumbnail((QUICK, QUICK))
        if self.engine(pixels(small), use_det=True, use_cls=False, use_rec=False).boxes is None:
            return []
        found = self.engine(pixels(image), use_det=True, use_cls=True, use_rec=True)
        if found.boxes is None or found.txts is None:
            return []
        lines = [
            TextLine(text=text.strip(), score=min(float(score), 1.0), box=box_of(corners))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
            if text.strip()
        ]
        return in_reading_order(lines)


def pixels(image: Image.Image) -> Any:
    """BGR (H, W, 3) uint8, as OpenCV has it."""
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


def box_of(corners: Any) -> Box:
    """The upright rectangle around four corners (4, 2)."""
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    return Box(left=left, top=top, right=right, bottom=bottom)


def in_reading_order(lines: Sequence[TextLine]) -> list[TextLine]:
    """Rows from top to bottom, each from left to right; lines share a row if they overlap by half of their height.

    Words of one row with a usual space between them become one line, with the least of their scores. What was read
    twice counts once.
    """
    rows: list[list[TextLine]] = []
    for line in sorted(_once(lines), key=lambda line: (line.box.top + line.box.bottom) / 2):
        if rows and _same_row(rows[-1][-1].box, line.box):
            rows[-1].append(line)
        else:
            rows.append([line])
    ordered: list[TextLine] = []
    for row in rows:
        first, *others = sorted(row, key=lambda line: line.box.left)
        ordered.append(first)
        for line in others:
            if _adjacent(ordered[-1].box, line.box):
                line = _joined(ordered.pop(), line)
            ordered.append(line)
    return ordered


def _once(lines: Sequence[TextLine]) -> list[TextLine]:
    """Without lines that lie inside a larger one and repeat a part of its text."""

    def repeated(line: TextLine) -> bool:
        return any(
            other.box.area > line.box.area and line.text in other.text and _inside(line.box, other.box) > 0.5
            for other in lines
        )

    return [line for line in lines if not repeated(line)]


def _inside(one: Box, other: Box) -> float:
    """The share of one box that another one covers."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(width, 0.0) * max(height, 0.0) / max(one.area, 1.0)


def _adjacent(one: Box, other: Box) -> bool:
    heights = sorted((one.bottom - one.top, other.bottom - other.top))
    return other.left - one.right <= 0.7 * heights[0] and heights[1] <= 1.5 * heights[0]


def _joined(one: TextLine, other: TextLine) -> TextLine:
    box = Box(
        left=one.box.left,
        top=min(one.box.top, other.box.top),
        right=max(one.box.right, other.box.right),
        bottom=max(one.box.bottom, other.box.bottom),
    )
    return TextLine(text=f"{one.text} {other.text}", score=min(one.score, other.score), box=box)


def _same_row(one: Box, other: Box) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    return shared >= min(one.bottom - one.top, other.bottom - other.top) / 2
