"""What can be said of a picture by measuring it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import ImageStat

if TYPE_CHECKING:
    from core import Picture

COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (220, 30, 30),
    "green": (40, 160, 60),
    "blue": (40, 70, 210),
    "yellow": (240, 220, 50),
    "orange": (240, 140, 30),
    "brown": (120, 75, 40),
    "pink": (245, 160, 190),
    "purple": (130, 50, 160),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """Size in pixels, the name of the mean colour, and whether the picture is light or dark."""

    width: int
    height: int
    colour: str
    light: bool

    @classmethod
    def of(cls, picture: Picture) -> Facts:
        """Measure `picture`."""
        mean = ImageStat.Stat(picture.image).mean  # three means, 0-255
        colour = min(COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(COLOURS[name], mean, strict=True)))
        luma = 0.299 * mean[0] + 0.587 * mean[1] + 0.114 * mean[2]  # ITU-R BT.601
        return cls(picture.width, picture.height, colour, luma >= 128)

    @property
    def shape(self) -> str:
        """ "wide", "tall" or "square"."""
        if self.width == self.height:
            return "square"
        return "wide" if self.width > self.height else "tall"

    def sentence(self) -> str:
        """All of it."""
        tone = "light" if self.light else "dark"
        size = f"{self.width} by {self.height} pixels"
        return f"a {self.shape} picture of {size}, {tone}, on average {self.colour}."
