"""Pictures from PIL images and NumPy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.images.picture import open_picture
from tests.core.images.test_images import GREEN, RED, WHITE, halves, near, refusal, saved


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool", "float32", "float64"])
@pytest.mark.parametrize("channels", [None, 1, 3, 4])
def test_arrays(dtype: str, channels: int | None) -> None:
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    array = np.zeros((20, 40) if channels is None else (20, 40, channels), dtype)
    array[:, 20:] = white
    if channels == 4:
        array[..., 3] = white
    picture = open_picture(array)
    assert (picture.image.mode, picture.width, picture.height) == ("RGB", 40, 20)
    assert near(picture, (5, 10), (0, 0, 0), 0) and near(picture, (35, 10), WHITE, 0)
    assert picture.source == "NumPy array" and open_picture(array, name="x").source == "x"
    assert picture.sha256 == open_picture(array.copy()).sha256 != open_picture(array[::-1, ::-1]).sha256


def test_an_array_is_the_image_that_it_was_made_of() -> None:
    image = halves()
    picture = open_picture(image)
    assert picture.sha256 == open_picture(np.asarray(image)).sha256
    image.paste(GREEN, (0, 0, 40, 20))
    assert near(picture, (5, 10), RED, 0), "a copy"
    transparent = np.zeros((2, 2, 4), np.uint8)
    assert near(open_picture(transparent), (0, 0), WHITE, 0)
    assert near(open_picture(np.full((2, 2), 0.5)), (0, 0), (128, 128, 128), 0)


def test_a_pil_image_is_treated_as_its_file(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    path = tmp_path / "turned.png"
    halves().save(path, exif=exif)
    from_file, from_image = open_picture(path), open_picture(Image.open(path))
    assert (from_image.width, from_image.height) == (20, 40)
    assert from_file.image.tobytes() == from_image.image.tobytes() and from_image.source == str(path)
    assert from_image.image.info == {}
    deep = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    assert near(open_picture(deep), (0, 0), (156, 156, 156), 1)


def test_a_picture_stays_what_it_is() -> None:
    picture = open_picture(saved(halves(), "PNG"))
    assert open_picture(picture) is picture
    named = open_picture(picture, name="duck")
    assert named.source == "duck" and named.image is picture.image


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((3, 20, 40), np.uint8), "the shape (3, 20, 40); a picture has (height, width)"),
        (np.zeros(12, np.uint8), "the shape (12,)"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4), np.int64), "values of type int64; convert them to uint8"),
        (np.zeros((4, 4), np.complex64), "values of type complex64"),
        (np.full((4, 4), 255.0), "floats outside of 0 to 1"),
        (np.full((4, 4), np.nan), "floats outside of 0 to 1"),
        (Image.new("RGB", (0, 4)), "no pixels"),
        ([1, 2], "not a list"),
        (None, "not a NoneType"),
    ],
)
def test_what_is_no_picture_in_memory(source: object, words: str) -> None:
    assert words in refusal(source)


def test_a_truncated_pil_image_and_one_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(saved(Image.effect_noise((64, 64), 50), "PNG")[:900])
    assert "cannot be converted to RGB" in refusal(Image.open(path))
    assert "more than the 100 allowed" in refusal(halves(), max_pixels=100)
    assert "more than the 100 allowed" in refusal(np.zeros((20, 40)), max_pixels=100)


def test_the_limit_of_pixels_is_a_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_MAX_PIXELS", "50")  # a PNG of 10 times as many is scaled down
    assert "INQUISIGHT_MAX_PIXELS" in refusal(saved(halves(), "PNG"))
