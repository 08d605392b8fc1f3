"""Compose scenes with an exact truth: names, number, colours, sizes and places of the objects.

A scene is a function of its seed and of the split: the same seed gives the same picture. Cut-outs are shared between
the splits, compositions and photographs are not.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from plugins.pocket.colours import COLOURS, shares
from training.pocket import sources

SIZE = 260
GRID = 9
COLUMNS = {"left": (0.15, 0.31), "middle": (0.41, 0.59), "right": (0.69, 0.85)}
ROWS = {"top": (0.18, 0.31), "centre": (0.42, 0.58), "bottom": (0.69, 0.82)}
PLAIN, TWO = 0.42, 0.12  # shares of the scenes on one and on two colours; the others have a photograph as background
FLAT_RGB = {
    "black": (18, 18, 20),
    "white": (248, 248, 246),
    "grey": (140, 141, 143),
    "red": (206, 32, 38),
    "orange": (240, 140, 30),
    "yellow": (245, 222, 50),
    "green": (52, 150, 70),
    "blue": (50, 100, 200),
    "purple": (122, 60, 160),
    "pink": (246, 150, 190),
    "brown": (122, 78, 44),
}


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object of a scene."""

    name: str  # "" for a stranger: a drawing without a known name
    kind: str
    colours: tuple[str, ...]  # by share of its pixels, largest first; only shares of a fifth and more, at most three
    column: str
    row: str
    box: tuple[float, float, float, float]  # x0, y0, x1, y1 in 0..1

    @property
    def area(self) -> float:
        """Share of the picture that the box covers."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class ComposedScene:
    """A picture and its truth."""

    image: Image.Image = field(repr=False)
    things: tuple[SceneObject, ...]
    background: str  # "plain", "two", "photo"; "photograph" for a photograph without objects
    background_colours: tuple[str, ...]
    cells: np.ndarray = field(repr=False)  # (9, 9, coverage of each thing) float32


def named(measured: np.ndarray, *, least: float = 0.2, most: int = 3) -> tuple[str, ...]:
    """Colour words of `shares()` in falling order, those under `least` left out (the first always stays)."""
    order = np.argsort(-measured)
    return tuple(COLOURS[i] for rank, i in enumerate(order[:most]) if rank == 0 or measured[i] >= least)


def _dice(seed: int, *, held_out: bool) -> random.Random:
    return random.Random(f"{'held out' if held_out else 'train'} {seed}")


def is_on_photograph(seed: int, *, held_out: bool = False) -> bool:
    """Whether the scene of `seed` has a photograph as background, without composing it."""
    return _dice(seed, held_out=held_out).random() >= PLAIN + TWO


class Composer:
    """Makes scenes from unpacked packages; `root` is the folder that `training.pocket.sources` filled."""

    def __init__(self, root: Path, *, held_out: bool = False) -> None:
        self.cut_outs = sources.cut_outs(root)
        self.strangers = sources.strangers(root)
        self.photographs = sources.photographs(root, held_out=held_out)
        # photographs of animals and tools would add unnamed things
        self.backgrounds = [
            path for path in self.photographs if path.parent.name != "gcompris" or "monuments" in path.name
        ]
        self.held_out = held_out
        self._cut_out = lru_cache(maxsize=600)(self._load_cut_out)
        self._photograph = lru_cache(maxsize=400)(self._load_photograph)

    @staticmethod
    def _load_cut_out(path: Path) -> Image.Image:
        with Image.open(path) as opened:
            image = opened.convert("RGBA")
        image.thumbnail((320, 320), Image.Resampling.LANCZOS)
        box = image.getchannel("A").point(lambda a: 255 if a > 40 else 0).getbbox()
        return image.crop(box) if box else image

    @staticmethod
    def _load_photograph(path: Path) -> Image.Image:
        with Image.open(path) as opened:
            opened.draft("RGB", (1400, 1400))
            image = opened.convert("RGB")
        image.thumbnail((900, 900), Image.Resampling.LANCZOS)
        return image

    def scene(self, seed: int, *, count: int | None = None) -> ComposedScene:
        """The scene of `seed`; `count` fixes the number of known things (0..4)."""
        rng = _dice(seed, held_out=self.held_out)
        canvas, background, colours = self._background(rng)
        number = count if count is not None else rng.choices((0, 1, 2, 3, 4), (8, 30, 28, 20, 14))[0]
        stranger = rng.random() < 0.12 and number < 4 and count is None
        return self._place(rng, canvas, background, colours, number, stranger)

    def photograph(self, seed: int) -> ComposedScene:
        """A crop of a real photograph without objects; only its pixels are known."""
        rng = random.Random(f"{'held out' if self.held_out else 'train'} photograph {seed}")
        image = self.crop(rng, rng.choice(self.photographs))
        return ComposedScene(
            image, (), "photograph", named(shares(np.asarray(image)), least=0.12), np.zeros((GRID, GRID, 0), np.float32)
        )

    def crop(self, rng: random.Random, path: Path) -> Image.Image:
        """A part of a photograph."""
        return self._disturb(rng, self._crop(rng, self._photograph(path), least=0.35))

    @staticmethod
    def _flat(rng: random.Random) -> tuple[str, tuple[int, int, int]]:
        name = rng.choice(COLOURS)
        jitter = 14 if name not in ("black", "white", "grey") else 5
        while True:
            if name == "grey":
                level = rng.randint(85, 195)
                base = (level, level, level)
            else:
                base = FLAT_RGB[name]
            rgb = tuple(min(255, max(0, channel + rng.randint(-jitter, jitter))) for channel in base)
            if COLOURS[int(np.argmax(shares(np.array([rgb], dtype=np.uint8))))] == name:
                return name, (rgb[0], rgb[1], rgb[2])

    @staticmethod
    def _crop(rng: random.Random, photo: Image.Image, *, least: float) -> Image.Image:
        scale = rng.uniform(least, 1.0)
        side_w, side_h = int(photo.width * scale), int(photo.height * min(1.0, scale * rng.uniform(0.9, 1.3)))
        left, top = rng.randint(0, photo.width - side_w), rng.randint(0, photo.height - side_h)
        crop = photo.crop((left, top, left + side_w, top + side_h)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        return ImageOps.mirror(crop) if rng.random() < 0.5 else crop

    def _background(self, rng: random.Random) -> tuple[Image.Image, str, tuple[str, ...]]:
        draw = rng.random()
        if draw < PLAIN:
            name, rgb = self._flat(rng)
            image = Image.new("RGB", (SIZE, SIZE), rgb)
            if rng.random() < 0.5:  # a little light and grain, within the same colour word
                shade = np.linspace(-1, 1, SIZE, dtype=np.float32)[:, None] * rng.uniform(0, 7)
                grain = np.random.default_rng(rng.randrange(1 << 30)).normal(0, rng.uniform(0, 4), (SIZE, SIZE, 1))
                pixels = np.clip(np.asarray(image, np.float32) + shade[..., None] + grain, 0, 255).astype(np.uint8)
                image = Image.fromarray(pixels)
            return image, "plain", (name,)
        if draw < PLAIN + TWO:
            (upper, rgb), (lower, other) = self._flat(rng), self._flat(rng)
            image = Image.new("RGB", (SIZE, SIZE), rgb)
            split = rng.randint(105, 190)
            image.paste(other, (0, split, SIZE, SIZE))
            return image, "two", tuple(dict.fromkeys((upper, lower)))
        image = self._crop(rng, self._photograph(rng.choice(self.backgrounds)), least=0.25)
        if not self.held_out:
            image = self._vary_background(rng, image)
        if rng.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4)))
        return image, "photo", named(shares(np.asarray(image)), least=0.2)

    def _vary_background(self, rng: random.Random, image: Image.Image) -> Image.Image:
        """Augment a background: blend it with another one, flip it, shift its colours; each with some probability."""
        if rng.random() < 0.3:
            other = self._crop(rng, self._photograph(rng.choice(self.backgrounds)), least=0.15)
            image = Image.blend(image, other, rng.uniform(0.2, 0.8))
        if rng.random() < 0.2:
            image = ImageOps.flip(image)
        if rng.random() < 0.7:
            hue, saturation, value = image.convert("HSV").split()
            shift, stronger = rng.randint(0, 255), rng.uniform(0.3, 1.5)
            lighter, power = rng.uniform(0.6, 1.3), rng.uniform(0.7, 1.4)
            hue = hue.point(lambda h: (h + shift) % 256)
            saturation = saturation.point(lambda s: min(255, int(s * stronger)))
            value = value.point(lambda v: min(255, int(255 * (v / 255) ** power * lighter)))
            image = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
        return image

    def _place(
        self,
        rng: random.Random,
        canvas: Image.Image,
        background: str,
        colours: tuple[str, ...],
        number: int,
        stranger: bool,
    ) -> ComposedScene:
        total = number + stranger
        slots = [(column, row) for column in COLUMNS for row in ROWS]
        rng.shuffle(slots)
        picked: list[tuple[sources.CutOut | Path, Image.Image]] = []
        twin = rng.random() < 0.12
        for index in range(total):
            if stranger and index == total - 1:
                path = rng.choice(self.strangers)
                picked.append((path, self._cut_out(path)))
            elif twin and index == 1:
                picked.append(picked[0])
            else:
                cut_out = rng.choice(self.cut_outs)
                picked.append((cut_out, self._tint(rng, self._cut_out(cut_out.path))))
        largest = {0: 1, 1: 235, 2: 160, 3: 130, 4: 112}[min(total, 4)]
        boxes: list[tuple[int, int, int, int]] = []
        drawn: list[tuple[sources.CutOut | Path, tuple[str, ...], str, str, np.ndarray]] = []
        for what, source in picked:
            for attempt in range(40):
                column, row = slots[(len(drawn) + attempt) % len(slots)]
                side = rng.uniform(62 if total > 1 else 80, largest) * (0.97**attempt)
                ratio = side / max(source.size)
                piece = source.resize(
                    (max(8, int(source.width * ratio)), max(8, int(source.height * ratio))), Image.Resampling.LANCZOS
                )
                if rng.random() < 0.3:
                    piece = piece.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
                x = int(rng.uniform(*COLUMNS[column]) * SIZE - piece.width / 2)
                y = int(rng.uniform(*ROWS[row]) * SIZE - piece.height / 2)
                x = max(-piece.width // 12, min(x, SIZE - piece.width + piece.width // 12))
                y = max(-piece.height // 12, min(y, SIZE - piece.height + piece.height // 12))
                box = (x, y, x + piece.width, y + piece.height)
                column, row = place((box[0] + box[2]) / 2 / SIZE, (box[1] + box[3]) / 2 / SIZE)
                if column and row and all(overlap(box, other) < 0.10 for other in boxes):
                    break
            else:
                continue
            alpha = np.zeros((SIZE, SIZE), np.float32)
            layer = Image.new("L", (SIZE, SIZE))
            layer.paste(piece.getchannel("A"), box[:2])
            alpha[:] = np.asarray(layer, np.float32) / 255
            solid = np.asarray(piece)
            colour_words = named(shares(solid[solid[..., 3] > 128][:, :3]))
            canvas.paste(piece, box[:2], piece)
            boxes.append(box)
            for entry in drawn:
                entry[4][...] *= 1 - alpha
            drawn.append((what, colour_words, column, row, alpha))
        things, cells = [], []
        for (what, words, column, row, alpha), box in zip(drawn, boxes, strict=True):
            name, kind = (what.name, what.kind) if isinstance(what, sources.CutOut) else ("", "")
            x0, y0, x1, y1 = (value / SIZE for value in box)
            things.append(SceneObject(name, kind, words, column, row, (x0, y0, x1, y1)))
            grid = Image.fromarray(alpha).resize((GRID, GRID), Image.Resampling.BOX)
            cells.append(np.asarray(grid, np.float32))
        stack = np.stack(cells, -1) if cells else np.zeros((GRID, GRID, 0), np.float32)
        return ComposedScene(self._disturb(rng, canvas), tuple(things), background, colours, stack)

    @staticmethod
    def _tint(rng: random.Random, image: Image.Image) -> Image.Image:
        """Sometimes shift the hue, so that colours are not tied to objects."""
        if rng.random() > 0.2:
            return image
        red, green, blue, alpha = image.split()
        hue, saturation, value = Image.merge("RGB", (red, green, blue)).convert("HSV").split()
        shift = rng.randint(25, 230)
        hue = hue.point(lambda h: (h + shift) % 256)
        tinted = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
        return Image.merge("RGBA", (*tinted.split(), alpha))

    @staticmethod
    def _disturb(rng: random.Random, image: Image.Image) -> Image.Image:
        if rng.random() < 0.15:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
        return image


def place(x: float, y: float) -> tuple[str, str]:
    """Words for a centre in 0..1; empty between two regions."""
    column = "left" if x < 0.36 else "right" if x > 0.64 else "middle" if 0.38 < x < 0.62 else ""
    row = "top" if y < 0.36 else "bottom" if y > 0.64 else "centre" if 0.38 < y < 0.62 else ""
    return column, row


def overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> float:
    """Intersection over the smaller of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return width * height / smaller
