"""The picture in the browser's tab, drawn here: Streamlit would fetch a named icon from somebody else's server."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw

_TEAL, _WHITE = (15, 118, 110, 255), (255, 255, 255, 255)


@lru_cache(maxsize=1)
def icon() -> Image.Image:
    """An eye, 64 x 64 pixels, RGBA."""
    image = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, 255, 255), 60, fill=_TEAL)
    lids = [Image.new("L", image.size) for _ in range(2)]
    for lid, middle in zip(lids, (196, 60), strict=True):  # an eye is what two circles share
        ImageDraw.Draw(lid).ellipse((128 - 126, middle - 126, 128 + 126, middle + 126), fill=255)
    image.paste(_WHITE, mask=ImageChops.multiply(*lids))
    draw.ellipse((86, 86, 170, 170), fill=_TEAL)
    draw.ellipse((104, 102, 132, 130), fill=_WHITE)
    return image.resize((64, 64), Image.Resampling.LANCZOS)
