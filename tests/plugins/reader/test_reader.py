"""The reader: lines of text with their places, in reading order; nothing is read where nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from core.errors import UsageError
from core.images.picture import open_picture
from core.registry import get_registry
from core.testing import make_picture
from core.witness import Box, TextLine

pytest.importorskip("rapidocr", reason="the extra 'ocr' is not installed")
from plugins.reader.witness import RapidOcrWitness, in_reading_order


@pytest.fixture(scope="module")
def reader() -> RapidOcrWitness:
    return RapidOcrWitness()


def sign(*lines: str, size: int = 28) -> Image.Image:
    image = Image.new("RGB", (480, 60 * len(lines) + 40), (250, 250, 245))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((30, 25 + 60 * number), line, fill=(20, 20, 20), font=ImageFont.load_default(size))
    return image


def test_lines_are_read_in_their_order_and_place(reader: RapidOcrWitness) -> None:
    [found] = reader.examine([open_picture(sign("Harbour Street 17", "Open daily", "No parking"))])
    assert [line.text for line in found.lines] == ["Harbour Street 17", "Open daily", "No parking"]
    assert all(line.certain for line in found.lines)
    tops = [line.box.top for line in found.lines]
    assert tops == sorted(tops) and 20 < found.lines[0].box.left < 40


def test_a_picture_without_text_has_no_lines(reader: RapidOcrWitness) -> None:
    plain, coffee = make_picture(colour=(9, 90, 200)), Path(__file__).parents[3] / "examples" / "photos" / "coffee.jpg"
    found = reader.examine([plain, open_picture(coffee)])
    assert [one.lines for one in found] == [(), ()]


def test_text_turned_by_exif_is_read(reader: RapidOcrWitness, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: turn by 270 degrees to see it upright
    sign("Platform 9", size=40).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif)
    [found] = reader.examine([open_picture(tmp_path / "turned.jpg")])
    assert [line.text for line in found.lines] == ["Platform 9"]


def test_only_sure_lines_of_two_characters_are_certain() -> None:
    box = Box(left=0, top=0, right=9, bottom=9)
    lines = [TextLine(text=text, score=score, box=box) for text, score in (("EXIT", 0.95), ("EXIT", 0.8), ("O", 1.0))]
    assert [line.certain for line in lines] == [True, False, False]


def test_lines_of_one_row_go_from_left_to_right() -> None:
    def line(text: str, left: float, top: float) -> TextLine:
        return TextLine(text=text, score=1.0, box=Box(left=left, top=top, right=left + 50, bottom=top + 20))

    ordered = in_reading_order([line("d", 10, 60), line("b", 100, 4), line("a", 0, 0), line("c", 200, 8)])
    assert [one.text for one in ordered] == ["a", "b", "c", "d"]


def test_words_side_by_side_are_one_line_and_a_part_read_twice_counts_once() -> None:
    def line(text: str, left: float, right: float, score: float = 1.0) -> TextLine:
        return TextLine(text=text, score=score, box=Box(left=left, top=0, right=right, bottom=30))

    found = in_reading_order([line("9", 160, 180), line("Platform", 10, 150, 0.95), line("Exit", 400, 460)])
    assert [(one.text, one.score) for one in found] == [("Platform 9", 0.95), ("Exit", 1.0)]
    assert [one.text for one in in_reading_order([line("Platform 9", 10, 180), line("9", 160, 182)])] == ["Platform 9"]


def test_it_is_registered_and_takes_no_argument() -> None:
    assert get_registry().create_witness("reader").describe()["revision"].startswith("rapidocr-")
    with pytest.raises(UsageError, match="takes no argument, but got 'de'"):
        get_registry().create_witness("reader:de")
