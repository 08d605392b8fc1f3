"""Draw a small data set to try training with: simple pictures with exact captions, made offline.

    write_sample(Path("sample"))        # sample/000.png, sample/000.txt, ...

The same `seed` gives the same files. The wording is that of the embedded model `pocket`, which has words for these
things and does not recognise most of these drawings: training on them teaches that.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from core.errors import UsageError, printable

PICTURES: Final = 60
MOST: Final = 100_000
SIZE: Final = 260  # pixels of a side
_FINE: Final = 4  # drawn at this multiple of the size, then reduced, for smooth edges
_RGB: Final = {
    "red": (206, 32, 38), "orange": (240, 140, 30), "yellow": (245, 222, 50), "green": (52, 150, 70),
    "blue": (50, 100, 200), "purple": (122, 60, 160), "pink": (246, 150, 190), "brown": (122, 78, 44),
    "black": (25, 25, 28), "white": (248, 248, 246), "grey": (140, 141, 143),
}  # fmt: skip
COLOURS: Final = ("red", "yellow", "green", "blue", "orange", "purple")
BACKGROUNDS: Final = ("white", "black", "grey", "pink")
PLACES: Final = {"on the left": 0.25, "in the middle": 0.5, "on the right": 0.75}


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws around a centre; coordinates are in radii of the thing, -1 to 1."""

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    radius: float

    def polygon(self, points: list[tuple[float, float]], colour: str) -> None:
        self.draw.polygon([(self.x + x * self.radius, self.y + y * self.radius) for x, y in points], fill=_RGB[colour])

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        x, y, radius = self.x + x * self.radius, self.y + y * self.radius, radius * self.radius
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_RGB[colour])


def _star(pen: _Pen, colour: str) -> None:
    corners = [(0.42 if number % 2 else 1.0, number * math.pi / 5) for number in range(10)]
    pen.polygon([(math.sin(angle) * far, -math.cos(angle) * far) for far, angle in corners], colour)


def _flag(pen: _Pen, colour: str) -> None:
    pen.box(-0.7, -1, -0.6, 1, "brown")
    pen.box(-0.6, -0.9, 0.8, 0, colour)


def _traffic_cone(pen: _Pen, colour: str) -> None:
    pen.polygon([(-0.12, -1), (0.12, -1), (0.6, 0.8), (-0.6, 0.8)], colour)
    pen.box(-0.8, 0.8, 0.8, 1, colour)
    pen.polygon([(-0.28, -0.2), (0.28, -0.2), (0.4, 0.25), (-0.4, 0.25)], "white")


def _snowman(pen: _Pen, colour: str) -> None:
    for y, radius in ((0.5, 0.5), (-0.15, 0.37), (-0.65, 0.27)):
        pen.disc(0, y, radius + 0.03, "grey")
        pen.disc(0, y, radius, "white")
    pen.polygon([(0, -0.68), (0, -0.58), (0.25, -0.62)], "orange")
    for x in (-0.1, 0.1):
        pen.disc(x, -0.74, 0.04, "black")
    pen.box(-0.2, -1.1, 0.2, -0.85, colour)
    pen.box(-0.33, -0.87, 0.33, -0.82, colour)


def _traffic_light(pen: _Pen, colour: str) -> None:
    pen.box(-0.42, -1, 0.42, 1, colour)
    for y, lamp in ((-0.62, "red"), (0, "yellow"), (0.62, "green")):
        pen.disc(0, y, 0.25, lamp)


# The function that draws a thing, and its colours.
THINGS: Final[dict[str, tuple[Callable[[_Pen, str], None], tuple[str, ...]]]] = {
    "star": (_star, COLOURS),
    "flag": (_flag, COLOURS),
    "traffic cone": (_traffic_cone, COLOURS),
    "snowman": (_snowman, ("black",)),
    "traffic light": (_traffic_light, ("black",)),
}
_SAID: Final = {"snowman": "white"}  # if the largest colour is not the one it is drawn with


def write_sample(folder: Path, pictures: int = PICTURES, *, seed: int = 1) -> Path:
    """Write pictures, NAME.png, each with its description in NAME.txt. Raises UsageError."""
    if not 1 <= pictures <= MOST:
        raise UsageError(f"a sample has 1 to {MOST:,} pictures, not {pictures}.")
    folder = folder.expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{printable(folder)} holds files already: name a new or an empty folder.")
        digits = max(3, len(str(pictures - 1)))
        chance = random.Random(seed)
        for number in range(pictures):
            image, text = _scene(chance, list(THINGS)[number % len(THINGS)])
            image.save(folder / f"{number:0{digits}}.png")
            (folder / f"{number:0{digits}}.txt").write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{printable(folder)} cannot be written: {(error.strerror or str(error)).lower()}.") from None
    return folder


def _scene(chance: random.Random, thing: str) -> tuple[Image.Image, str]:
    """Return a picture of one thing, and its description."""
    draw, colours = THINGS[thing]
    colour = chance.choice(colours)
    background = chance.choice([name for name in BACKGROUNDS if name not in (colour, _SAID.get(thing))])
    place = chance.choice(list(PLACES))
    side = SIZE * _FINE
    image = Image.new("RGB", (side, side), _RGB[background])
    x, y = PLACES[place] + chance.uniform(-0.03, 0.03), 0.5 + chance.uniform(-0.06, 0.06)
    draw(_Pen(ImageDraw.Draw(image), x * side, y * side, chance.uniform(0.2, 0.24) * side), colour)
    shown = _SAID.get(thing, colour)
    article = "an" if shown[0] in "aeiou" else "a"
    text = (
        f"The picture shows one thing on a plain {background} background. "
        f"{place.capitalize()} there is {article} {shown} {thing}."
    )
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS), text
