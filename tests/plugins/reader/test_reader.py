"""The reader: lines of text with their places, in reading order; nothing is read where nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from core.errors import UsageError
from core.images.picture import open_picture
from core.registry import get_registry
from core.testing import WitnessTests, make_picture
from core.witness import Box, TextLine

pytest.importorskip("rapidocr", reason="the extra 'ocr' is not installed")
from rapidocr import RapidOCR

from plugins.reader.order import in_reading_order
from plugins.reader.witness import MOST, TALLEST, WIDEST, RapidOcrWitness, score_of, tiles


class TestReader(WitnessTests):
    spec = "reader"


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


PICTURES = Path(__file__).with_name("pictures")


def read(reader: RapidOcrWitness, name: str, turn: int = 0) -> list[TextLine]:
    with Image.open(PICTURES / f"{name}.png") as image:
        return reader.lines(image.convert("RGB").rotate(turn, expand=True))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chinese", ["欢迎光临北京大学", "禁止吸烟", "出口"]),
        ("japanese", ["ありがとうございます", "東京駅", "コーヒー三百円"]),
        ("chinese-columns", ["欢迎光临", "禁止吸烟"]),
        ("japanese-columns", ["春はあけぼの", "夏は夜がよい", "秋は夕暮れ"]),
    ],
)
def test_chinese_and_japanese_are_read_in_rows_and_columns(
    reader: RapidOcrWitness, name: str, expected: list[str]
) -> None:
    """Columns go from right to left."""
    lines = read(reader, name)
    assert [line.text for line in lines] == expected and all(line.certain for line in lines)


@pytest.mark.parametrize("name", ["hebrew", "arabic", "greek"])
def test_lines_in_scripts_that_the_models_do_not_know_are_not_certain(reader: RapidOcrWitness, name: str) -> None:
    assert not [line.text for line in read(reader, name) if line.certain]


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_picture_is_read_as_if_it_were_upright(reader: RapidOcrWitness, turn: int) -> None:
    image = sign("Harbour Street 17", "Open daily", "No parking").rotate(turn, expand=True)
    lines = reader.lines(image)
    assert [line.text for line in lines] == ["Harbour Street 17", "Open daily", "No parking"]
    inside = [0 <= line.box.left < line.box.right <= image.width and line.box.bottom <= image.height for line in lines]
    assert all(inside), "boxes stay in the picture as it is"
    first = lines[0].box
    assert {90: first.right < 100, 180: first.top > 100, 270: first.left > 100}[turn]


def test_small_text_in_a_large_picture_is_read_by_tiles(reader: RapidOcrWitness) -> None:
    image = Image.new("RGB", (MOST + 1600, 360), (250, 250, 245))
    draw = ImageDraw.Draw(image)
    draw.text((100, 40), "HARBOUR MUSEUM", fill=(20, 20, 20), font=ImageFont.load_default(220))
    draw.text((2700, 320), "Mind the step at the door", fill=(20, 20, 20), font=ImageFont.load_default(12))
    lines = {line.text: line for line in reader.lines(image) if line.certain}
    assert set(lines) == {"HARBOUR MUSEUM", "Mind the step at the door"}
    assert 2680 < lines["Mind the step at the door"].box.left < 2720, "in pixels of the picture"


def test_tiles_cover_a_large_picture_and_overlap() -> None:
    assert tiles(MOST, 900) == [(0, 0, MOST, 900)]
    assert tiles(3600, 2400) == [
        (0, 0, 1900, 1300),
        (1700, 0, 3600, 1300),
        (0, 1100, 1900, 2400),
        (1700, 1100, 3600, 2400),
    ]


def test_lines_with_greek_words_are_not_certain_but_units_may_be() -> None:
    assert score_of("ΦAPMAKEIO", 1.0) < 0.9 and score_of("καλό", 0.99) < 0.9
    assert score_of("5 Ω", 0.99) == score_of("EXIT", 0.99) == score_of("55", 0.99) == 0.99
    assert score_of("中中", 0.99) < 0.9, "windows look like this character"


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


def test_a_sure_line_is_not_joined_to_an_unsure_one() -> None:
    box = Box(left=10, top=0, right=150, bottom=30)
    lines = [TextLine(text="MORMON", score=0.97, box=box), TextLine(text="GE7", score=0.6, box=box.model_copy(
        update={"left": 160, "right": 220}
    ))]  # fmt: skip
    assert [line.text for line in in_reading_order(lines)] == ["MORMON", "GE7"]


def test_a_column_is_never_joined_to_a_row_and_takes_the_character_below_it() -> None:
    def line(text: str, left: float, top: float, right: float, bottom: float) -> TextLine:
        return TextLine(text=text, score=1.0, box=Box(left=left, top=top, right=right, bottom=bottom))

    found = in_reading_order(
        [
            line("秋は夕暮れ", 0, 0, 40, 200),
            line("い", 50, 205, 90, 245),
            line("夏は夜がよ", 50, 0, 90, 200),
            line("Haiku", 100, 0, 180, 40),
        ]
    )
    assert [one.text for one in found] == ["夏は夜がよい", "秋は夕暮れ", "Haiku"]
    spines = in_reading_order([line("Maths", 50, 0, 90, 200), line("Physics", 0, 0, 40, 200)])
    assert [one.text for one in spines] == ["Physics", "Maths"], "Latin columns go from left to right"


def test_it_is_registered_and_takes_no_argument() -> None:
    assert get_registry().create_witness("reader").describe()["revision"].startswith("rapidocr-")
    with pytest.raises(UsageError, match="takes no argument, but got 'de'"):
        get_registry().create_witness("reader:de")


def test_narrow_pictures_are_not_enlarged_beyond_measure(
    reader: RapidOcrWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []
    search = RapidOCR.__call__

    def noted(engine: RapidOCR, image: np.ndarray, **steps: bool) -> object:
        given.append(image.shape[:2])
        return search(engine, image, **steps)

    monkeypatch.setattr(RapidOCR, "__call__", noted)
    for size in ((1, 2000), (2000, 1)):
        [found] = reader.examine([make_picture(*size)])
        assert not found.lines and (found.width, found.height) == size
    assert all(rows <= TALLEST * columns and columns <= WIDEST * rows for rows, columns in given)


def test_the_box_of_a_line_in_a_tall_picture_is_in_it(reader: RapidOcrWitness) -> None:
    image = Image.new("RGB", (150, 1500), (250, 250, 245))
    ImageDraw.Draw(image).text((10, 700), "Harbour", fill=(20, 20, 20), font=ImageFont.load_default(32))
    [line] = reader.lines(image)
    assert line.text == "Harbour" and 0 <= line.box.left < 20 and 690 < line.box.top < 720 and line.box.right <= 150


@pytest.mark.slow
def test_no_telemetry(tmp_path: Path) -> None:
    """onnxruntime would keep an identifier of this machine in the home folder."""
    code = (
        "from core.testing import make_picture; from plugins.reader.witness import RapidOcrWitness; "
        "RapidOcrWitness().examine([make_picture()])"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[3], check=True)
    assert not [path for path in tmp_path.rglob("*") if "onnxruntime" in path.name]
