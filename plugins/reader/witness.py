"""`reader` as a witness: rapidocr finds and reads lines of text.

rapidocr (https://github.com/RapidAI/RapidOCR, Apache-2.0) ships PP-OCR's models for detection, direction and
recognition as ONNX inside its wheel. Most photographs hold no text, so a search in a small copy comes first. In a
picture that is larger than the full search, tiles of it are read too if it has any text.

The models know Latin letters, digits, Chinese and Japanese. Of other scripts they make letters that look alike; a line
with Greek words, which they read badly, is never certain.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from PIL import Image

from core.errors import UsageError, printable
from core.images.picture import Picture
from core.witness import CERTAIN, Box, Findings, TextLine, Witness
from plugins.reader.order import in_reading_order, inside, is_cjk, is_column

QUICK: Final = 736  # pixels of the longer side in the first search, or twice those of the shorter one
FULL: Final = 736  # least pixels of the shorter side in the full one: the engine enlarges what is smaller
MOST: Final = 2000  # pixels of the longer side in the full one, and of a tile
SHARED: Final = 200  # pixels that neighbouring tiles share
LARGEST: Final = 6000  # pixels of the longer side of what is cut into tiles
NEAR: Final = 4  # pixels: lines this close to the border of a tile are cut by it
UNSURE: Final = 0.8  # factor of the score of a line in a script that is read badly
TALLEST: Final = 8  # times its width: a taller picture is widened, since the engine enlarges the shorter side
WIDEST: Final = 64  # times its height; above 8 the engine adds rows itself, but only after enlarging
MOST_THREADS: Final = 4
VOTES: Final = 5  # lines that say which way a picture is turned
_GREEK: Final = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff][^\W\d_]|[^\W\d_][\u0370-\u03ff\u1f00-\u1fff]")


class RapidOcrWitness(Witness):
    """`reader`: lines of text with scores and boxes. Thread-safe. Raises UsageError for an argument."""

    def __init__(self, argument: str | None = None) -> None:
        if argument:
            raise UsageError(f"the witness 'reader' takes no argument, but got {printable(argument)!r}.")
        # onnxruntime 1.32 counts its uses under an identifier of this machine and sends that to its makers.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        from rapidocr import RapidOCR

        # By default every core gets a thread that waits in a loop for work, and takes it from the vision model.
        threads = max(1, min((os.cpu_count() or 1) // 2, MOST_THREADS))
        parameters = {
            "Global.log_level": "critical",
            "Global.max_side_len": MOST,
            "Global.text_score": 0.0,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        self.engine: Any = RapidOCR(params=parameters)
        self._lock = threading.Lock()  # the engine keeps which of its steps the last call asked for

    @property
    def name(self) -> str:
        return "reader"

    @cached_property
    def revision(self) -> str:
        return f"rapidocr-{version('rapidocr')}-5"

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
        if not self._has_text(image):
            return []
        found = self._read(image)
        if found and max(image.size) > MOST:
            found = self._with_tiles(image, found)
        return in_reading_order(found, self._turn(image, found), image.size)

    def _has_text(self, image: Image.Image) -> bool:
        """Whether the search in a small copy, less than half the work of the full one, finds anything."""
        scale = min(max(QUICK / max(image.size), QUICK / 2 / min(image.size)), MOST / max(image.size))
        small = image.resize(
            (max(1, round(image.width * scale)), max(1, round(image.height * scale))), reducing_gap=2.0
        )
        return self._run(small, det=True, least=0).boxes is not None

    def _run(
        self, image: Image.Image, *, det: bool = False, cls: bool = False, rec: bool = False, least: int = FULL
    ) -> Any:
        """What these steps of the engine give. The search enlarges a shorter side of fewer pixels than `least`."""
        with self._lock:
            self.engine.cfg.Det.limit_side_len = least  # for the network, which the engine loads at its first search
            if self.engine.text_det is not None:
                self.engine.text_det.limit_side_len = least
            return self.engine(pixels(widened(image) if det else image), use_det=det, use_cls=cls, use_rec=rec)

    def _read(self, image: Image.Image) -> list[TextLine]:
        """The lines of an image, in no order; what has no letter and no digit is left out."""
        found = self._run(image, det=True, cls=True, rec=True)
        if found.boxes is None or found.txts is None:
            return []
        return [
            TextLine(text=text.strip(), score=score_of(text, float(score)), box=box_of(corners, image.size))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
            if any(map(str.isalnum, text))
        ]

    def _with_tiles(self, image: Image.Image, found: list[TextLine]) -> list[TextLine]:
        """The certain lines of `found`, lines of all tiles in full size, and the rest of `found`, each place once."""
        large = image.copy()
        large.thumbnail((LARGEST, LARGEST))
        scale = image.width / large.width
        read: list[TextLine] = []
        for left, top, right, bottom in tiles(*large.size):
            for line in self._read(large.crop((left, top, right, bottom))):
                box = line.box
                if (
                    (box.left < NEAR and left > 0)
                    or (box.top < NEAR and top > 0)
                    or (box.right > right - left - NEAR and right < large.width)
                    or (box.bottom > bottom - top - NEAR and bottom < large.height)
                ):
                    continue
                moved = Box(
                    left=(box.left + left) * scale,
                    top=(box.top + top) * scale,
                    right=(box.right + left) * scale,
                    bottom=(box.bottom + top) * scale,
                )
                read.append(line.model_copy(update={"box": moved}))
        kept: list[TextLine] = []
        certain, unsure = ([line for line in found if line.certain is sure] for sure in (True, False))
        for group in (certain, read, unsure):
            for line in sorted(group, key=lambda line: -line.box.area):
                if not any(max(inside(line.box, other.box), inside(other.box, line.box)) > 0.5 for other in kept):
                    kept.append(line)
        return kept

    def _turn(self, image: Image.Image, lines: Sequence[TextLine]) -> int:
        """Degrees clockwise after which the picture is upright, as most of its largest certain lines have it."""
        votes: Counter[int] = Counter()
        certain = [line for line in lines if line.certain and sum(map(str.isalpha, line.text)) > 2]
        for line in sorted(certain, key=lambda line: -line.box.area)[:VOTES]:
            column = is_column(line)
            if column and is_cjk(line.text):
                votes[0] += len(line.text)
                continue
            box = line.box
            crop = image.crop((int(box.left), int(box.top), math.ceil(box.right), math.ceil(box.bottom)))
            crop = crop.transpose(Image.Transpose.ROTATE_90) if column else crop  # anticlockwise
            label, score = self._run(crop, cls=True).cls_res[0]
            down = label == "180" and score >= CERTAIN
            votes[(90 if down else 270) if column else (180 if down else 0)] += len(line.text)
        [(turn, count)] = votes.most_common(1) or [(0, 0)]
        return turn if 2 * count > sum(votes.values()) else 0


def pixels(image: Image.Image) -> Any:
    """BGR (H, W, 3) uint8, as OpenCV has it."""
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


def widened(image: Image.Image) -> Image.Image:
    """The image; a narrow one with its right or lower edge repeated, or the detector would enlarge it to gigabytes."""
    width, height = image.size
    needed = (max(width, -(-height // TALLEST)), max(height, -(-width // WIDEST)))
    if needed == image.size:
        return image
    rows, columns = needed[1] - height, needed[0] - width
    return Image.fromarray(np.pad(np.asarray(image), ((0, rows), (0, columns), (0, 0)), mode="edge"))


def box_of(corners: Any, size: tuple[int, int]) -> Box:
    """The upright rectangle around four corners (4, 2), within an image of this width and height."""
    corners = np.clip(corners, 0, size)
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    return Box(left=left, top=top, right=right, bottom=bottom)


def score_of(text: str, score: float) -> float:
    """The score of a line, lowered where Greek letters stand beside letters, and for a row of windows ("中中")."""
    windows = is_cjk(text) and len(set(text) - {" "}) == 1
    return min(score, 1.0) * (UNSURE if windows or _GREEK.search(text) else 1.0)


def tiles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Overlapping tiles of at most MOST pixels: left, top, right, bottom."""

    def starts(length: int) -> list[tuple[int, int]]:
        count = max(1, math.ceil((length - SHARED) / (MOST - SHARED)))
        side = math.ceil((length + (count - 1) * SHARED) / count)
        return [(round(place * (length - side) / max(count - 1, 1)), side) for place in range(count)]

    return [(left, top, left + across, top + down) for top, down in starts(height) for left, across in starts(width)]
