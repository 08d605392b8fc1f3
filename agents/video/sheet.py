"""A contact sheet: the frames with questions and their times, as one PNG."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageDraw, ImageFont

from agents.video.records import frame_turns
from core.errors import UsageError
from core.records import Caption
from core.video.base import clock

if TYPE_CHECKING:
    from core.video.base import Video

CELL: Final = (320, 240)  # maximum size of a frame in pixels
MARGIN: Final = 12
LINE: Final = 26  # height of the text below a frame
COLUMNS: Final = 4
_PAPER, _INK = "white", "black"


def contact_sheet(video: Video, caption: Caption) -> Image.Image:
    """Every frame with questions, in the order of the video, with its time and number of questions. RGB.

    Decodes these frames again. Raises UsageError if there are none, VideoError if they cannot be decoded.
    """
    asked = frame_turns(caption)
    if not asked:
        raise UsageError("no frame was asked about, so there is no contact sheet")
    numbers = [int(caption.options["video"]["frames"][one.number - 1]["number"]) for one in asked]
    found = {}
    for number, picture in video.pictures(numbers):
        small = picture.image.copy()
        small.thumbnail(CELL)
        found[number] = small
    small_ones = [found[number] for number in numbers]
    width = max(image.width for image in small_ones)
    height = max(image.height for image in small_ones)
    columns = min(COLUMNS, len(asked))
    rows = math.ceil(len(asked) / columns)
    sheet = Image.new("RGB", (MARGIN + columns * (width + MARGIN), MARGIN + rows * (height + LINE + MARGIN)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for place, (one, image) in enumerate(zip(asked, small_ones, strict=True)):
        row, column = divmod(place, columns)
        x, y = MARGIN + column * (width + MARGIN), MARGIN + row * (height + LINE + MARGIN)
        sheet.paste(image, (x + (width - image.width) // 2, y + height - image.height))
        times = "1 question" if len(one.turns) == 1 else f"{len(one.turns)} questions"
        words = f"{clock(one.seconds, exact=True)}  {times}"
        if draw.textlength(words, font=font) > width:
            words = clock(one.seconds, exact=True)
        draw.text((x + width / 2, y + height + LINE / 2), words, fill=_INK, font=font, anchor="mm")
    return sheet


def as_png(sheet: Image.Image) -> bytes:
    """The file's bytes."""
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()
