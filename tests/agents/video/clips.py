"""Small films whose truth is known, drawn by the tests; and an eye that knows what was drawn.

film(path, [grey(level) for level in range(20)])
film(path, scene(("apple", 0.0, 9.0), ("ball", 3.0, 9.0)))     # an apple, and from 3 s on a ball
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
from PIL import Image, ImageDraw

from core.images.picture import Picture
from core.vision import EncodedImage, VisualQuestion
from tests.fakes import FakeVision

RATE = 10
# What the drawn things are called: a colour stands for each.
THINGS = {"apple": (220, 30, 30), "ball": (30, 60, 220), "lemon": (240, 220, 40), "frog": (40, 170, 60)}
GROUND = (128, 128, 128)
OPTIONS = {"libx264": {"preset": "ultrafast", "crf": "12", "g": "10", "bf": "2", "threads": "1"}}


def grey(level: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("RGB", size, (level, level, level))


def scene(
    *things: tuple[str, float, float],
    seconds: float = 6.0,
    rate: int = RATE,
    size: tuple[int, int] = (96, 64),
    ground: tuple[int, int, int] = GROUND,
) -> list[Image.Image]:
    """Frames with each thing from its begin to its end (seconds), drifting a little."""
    frames = []
    for number in range(round(seconds * rate)):
        now = number / rate
        image = Image.new("RGB", size, ground)
        draw = ImageDraw.Draw(image)
        for place, (name, begin, end) in enumerate(things):
            if begin <= now < end:
                x, y = 6 + 30 * place + number % 5, 20
                draw.rectangle((x, y, x + 20, y + 20), fill=THINGS[name])
        frames.append(image)
    return frames


def film(
    path: Path,
    frames: Sequence[Image.Image],
    *,
    codec: str = "libx264",
    stamps: Iterable[int] | None = None,
    rate: int = RATE,
    turned: dict[str, Any] | None = None,
    stretch: Fraction | None = None,
    sound: bool = False,
) -> Path:
    """Encode the frames; `stamps` are their times in units of 1 / rate where they are not 0, 1, 2 ..."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=OPTIONS.get(codec, {}))
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        if stretch is not None:
            stream.codec_context.sample_aspect_ratio = stretch
        if turned:
            stream.set_display_rotation(**turned)
        if sound:
            _beep(container, len(frames) / rate)
        for stamp, image in zip(stamps if stamps is not None else range(len(frames)), frames, strict=True):
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = stamp, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _beep(container: Any, seconds: float) -> None:
    stream = container.add_stream("aac", rate=8000, layout="mono")
    samples = np.sin(np.arange(int(seconds * 8000)) / 10).astype(np.float32)[None, :]
    size = 1024
    for start in range(0, samples.shape[1] - size, size):
        frame = av.AudioFrame.from_ndarray(samples[:, start : start + size].copy(), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, start
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def tone(path: Path, seconds: float = 1.0) -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as container:
        _beep(container, seconds)
    return path


def level(picture: Picture) -> int:
    """The mean grey of a picture."""
    return round(float(np.asarray(picture.image.convert("L"), dtype=np.float64).mean()))


class DrawnEye(FakeVision):
    """A fake: it sees the things that `scene` draws, by their colours, and says so in plain sentences."""

    label: ClassVar[str] = "drawn"

    batches: ClassVar[list[int]]

    def __init__(self) -> None:
        self.encoded: list[str] = []
        self.batches = []  # type: ignore[misc]
        self.asked: list[VisualQuestion] = []

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        self.batches.append(len(pictures))
        self.encoded += [picture.source for picture in pictures]
        return super().encode(pictures)

    def keep(self, picture: Picture) -> list[str]:
        pixels = np.asarray(picture.image, dtype=np.int32)
        return [
            name for name, colour in THINGS.items() if (np.abs(pixels - np.array(colour)).sum(-1) < 90).mean() > 0.01
        ]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        self.asked += questions
        return [self._say(question) for question in questions]

    @staticmethod
    def _say(question: VisualQuestion) -> str:
        seen: list[str] = question.image.data
        text = (question.question or "").lower()
        if found := re.match(r"is there an? (\w+)", text):
            return f"yes, there is a {found[1]}." if found[1] in seen else f"no, there is no {found[1]}."
        if "describe" in text or not text:
            return f"there is {' and '.join(f'a {name}' for name in seen)}." if seen else "there is nothing on it."
        return "i do not know."
