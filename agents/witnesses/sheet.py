"""A picture with the boxes of what was found: things in colour by name, lines of text in black and white."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

from core.witness import Box, Findings

LONG = 1280  # pixels of the longer side
Colour = tuple[int, int, int]


def draw_findings(
    image: Image.Image, found: Iterable[Findings], *, longest: int = LONG, text: int | None = None
) -> Image.Image:
    """A copy of an RGB image, at most `longest` pixels long, with boxes and labels of `text` pixels.

    The image may be a smaller copy of the one that was examined.
    """
    sheet = image.copy()
    sheet.thumbnail((longest, longest), reducing_gap=3.0)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(text or (LONG // 80 if max(sheet.size) >= LONG // 2 else 12))
    for findings in found:
        scale = sheet.width / findings.width
        for line in findings.lines:
            _labelled(draw, font, line.box, scale, line.text if line.certain else f"{line.text}?", (0, 0, 0))
        for thing in reversed(findings.things):  # the surest on top
            label = f"{thing.finer or thing.name} {thing.score:.2f}"
            _labelled(draw, font, thing.box, scale, label, colour_of(thing.name))
    return sheet


def colour_of(name: str) -> Colour:
    """A dark, saturated colour that stays the same for a name."""
    hue = hashlib.sha256(name.encode()).digest()[0] / 256
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.9, 0.7)
    return round(red * 255), round(green * 255), round(blue * 255)


def _labelled(
    draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, box: Box, scale: float, label: str,
    colour: Colour,
) -> None:  # fmt: skip
    left, top, right, bottom = (round(edge * scale) for edge in (box.left, box.top, box.right, box.bottom))
    draw.rectangle((left, top, right, bottom), outline="white", width=4)
    draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=colour, width=2)
    shown = label if len(label) <= 40 else f"{label[:39]}…"
    wide, high = draw.textbbox((0, 0), shown, font=font)[2:]
    x = min(left, max(0, draw.im.size[0] - wide - 6))
    y = top - high - 4 if top >= high + 4 else top
    draw.rectangle((x, y, x + wide + 6, y + high + 4), fill=colour)
    draw.text((x + 3, y + 1), shown, fill="white", font=font)
