"""Draw a small data set to try training with: simple pictures with exact captions, made offline.

    write_sample(Path("sample"))        # sample/000.png, sample/000.txt, ...

The same `seed` gives the same files. The wording is that of the embedded model `pocket`, which has words for these
things and does not recognise most of these drawings: training on them teaches that.
"""

from __future__ import annotations

import math
import random
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


Points = tuple[tuple[float, float], ...]  # in radii of the thing around its centre, -1 to 1
Shape = tuple[str, Points, str]  # a method of ImageDraw, its points, a colour or "" for that of the thing


def _box(left: float, top: float, right: float, bottom: float, colour: str = "") -> Shape:
    return "rectangle", ((left, top), (right, bottom)), colour


def _disc(x: float, y: float, radius: float, colour: str) -> Shape:
    return "ellipse", ((x - radius, y - radius), (x + radius, y + radius)), colour


def _corner(number: int) -> tuple[float, float]:
    """Return one of the ten corners of a star."""
    far, angle = 0.42 if number % 2 else 1.0, number * math.pi / 5
    return math.sin(angle) * far, -math.cos(angle) * far


# The colours of a thing, and its shapes.
THINGS: Final[dict[str, tuple[tuple[str, ...], tuple[Shape, ...]]]] = {
    "star": (COLOURS, (("polygon", tuple(map(_corner, range(10))), ""),)),
    "flag": (COLOURS, (_box(-0.7, -1, -0.6, 1, "brown"), _box(-0.6, -0.9, 0.8, 0))),
    "traffic cone": (COLOURS, (
        ("polygon", ((-0.12, -1), (0.12, -1), (0.6, 0.8), (-0.6, 0.8)), ""),
        _box(-0.8, 0.8, 0.8, 1),
        ("polygon", ((-0.28, -0.2), (0.28, -0.2), (0.4, 0.25), (-0.4, 0.25)), "white"),
    )),
    "snowman": (("black",), (
        *(_disc(0, y, r, name) for y, size in ((0.5, 0.5), (-0.15, 0.37), (-0.65, 0.27))
          for r, name in ((size + 0.03, "grey"), (size, "white"))),
        ("polygon", ((0, -0.68), (0, -0.58), (0.25, -0.62)), "orange"),
        _disc(-0.1, -0.74, 0.04, "black"), _disc(0.1, -0.74, 0.04, "black"),
        _box(-0.2, -1.1, 0.2, -0.85), _box(-0.33, -0.87, 0.33, -0.82),
    )),
    "traffic light": (("black",), (
        _box(-0.42, -1, 0.42, 1),
        _disc(0, -0.62, 0.25, "red"), _disc(0, 0, 0.25, "yellow"), _disc(0, 0.62, 0.25, "green"),
    )),
}  # fmt: skip
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
    colours, shapes = THINGS[thing]
    colour = chance.choice(colours)
    background = chance.choice([name for name in BACKGROUNDS if name not in (colour, _SAID.get(thing))])
    place = chance.choice(list(PLACES))
    side = SIZE * _FINE
    image = Image.new("RGB", (side, side), _RGB[background])
    x, y = PLACES[place] + chance.uniform(-0.03, 0.03), 0.5 + chance.uniform(-0.06, 0.06)
    radius = chance.uniform(0.2, 0.24)
    draw = ImageDraw.Draw(image)
    for kind, points, name in shapes:
        placed = [((x + across * radius) * side, (y + down * radius) * side) for across, down in points]
        getattr(draw, kind)(placed, fill=_RGB[name or colour])
    shown = _SAID.get(thing, colour)
    article = "an" if shown[0] in "aeiou" else "a"
    text = (
        f"The picture shows one thing on a plain {background} background. "
        f"{place.capitalize()} there is {article} {shown} {thing}."
    )
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS), text
