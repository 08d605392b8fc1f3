"""Pictures over the limit are read scaled down where their format permits it, and say so."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageCms, ImageStat, TiffImagePlugin

from core.errors import ImageError
from core.images import bands, png_bands
from core.images import picture as pictures
from core.images.picture import open_picture
from tests.core.images.raws import dng

FORMATS = Path(__file__).parents[2] / "fixtures" / "formats"
PHOTO = Path(__file__).parents[3] / "examples" / "photos" / "cat.jpg"


def photo(width: int = 600, height: int = 400) -> Image.Image:
    with Image.open(PHOTO) as image:
        return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of the levels, 0 to 255."""
    assert one.size == other.size
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize(
    ("kind", "options", "sizes", "tolerance"),
    [
        ("JPEG", {"quality": 92}, 4, 2),
        ("JPEG", {"quality": 92, "progressive": True}, 2, 2),
        ("JPEG2000", {"irreversible": False}, 4, 11),  # its wavelets keep edges sharper than means do
    ],
)
def test_decoders_scale_down_by_halves(kind: str, options: dict[str, object], sizes: int, tolerance: float) -> None:
    data = saved(photo(), kind, **options)
    limits = ((240_000, (600, 400)), (239_999, (300, 200)), (59_999, (150, 100)), (10_000, (75, 50)))
    for limit, size in limits[:sizes]:
        picture = open_picture(data, max_pixels=limit)
        assert picture.image.size == size and picture.sha256 == hashlib.sha256(data).hexdigest()
        note = f"scaled down from 600 x 400 to {size[0]} x {size[1]} pixels, in which boxes are measured"
        assert picture.note == (None if size[0] == 600 else note)
        assert difference(picture.image, photo().resize(size, Image.Resampling.BOX)) < tolerance
        assert picture.info().note == picture.note


def test_a_jpeg_beyond_an_eighth_is_refused() -> None:
    with pytest.raises(ImageError, match="600 x 400 pixels, more than the 3,000 allowed; scale it down, or raise"):
        open_picture(saved(photo(), "JPEG"), max_pixels=3000)


def test_a_jpeg_whose_coefficients_would_fill_the_memory_is_refused() -> None:
    data = saved(photo(), "JPEG", progressive=True, subsampling=0)
    assert open_picture(data, max_pixels=240_000).width == 600
    with pytest.raises(ImageError, match="600 x 400 pixels, more than the 100,000 allowed"):
        open_picture(data, max_pixels=100_000)


def test_a_large_jpeg_keeps_its_orientation_profile_and_notes() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(photo(), "JPEG", exif=exif.tobytes(), quality=92)
    picture = open_picture(data, max_pixels=100_000)
    assert picture.image.size == (200, 300) and str(picture.note).startswith("scaled down from 400 x 600 to 200 x 300")
    upright = photo().transpose(Image.Transpose.ROTATE_270).resize((200, 300), Image.Resampling.BOX)
    assert difference(picture.image, upright) < 4
    cmyk = open_picture(saved(photo().convert("CMYK"), "JPEG", quality=92), max_pixels=100_000)
    assert cmyk.image.size == (300, 200) and difference(cmyk.image, photo().resize((300, 200))) < 6


def test_a_large_jpeg_that_is_cut_is_refused_and_one_without_its_end_marker_read() -> None:
    data = saved(photo(), "JPEG", quality=92)
    assert "its end marker is missing" in str(open_picture(data[:-2], max_pixels=100_000).note)
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_picture(data[: len(data) // 2], max_pixels=100_000)


TIFFS: list[dict[str, object]] = [
    {},
    {"compression": "tiff_lzw"},
    {"compression": "tiff_adobe_deflate", "tiffinfo": {317: 2}},
    {"compression": "jpeg", "quality": 95},
    {"compression": "packbits"},
]


def strips(image: Image.Image, rows: int, **options: object) -> bytes:
    """A TIFF of `image` in strips of `rows` rows."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in dict(options.pop("tiffinfo", {})).items():  # type: ignore[call-overload]
        info[tag] = value
    info[278] = rows
    return saved(image, "TIFF", tiffinfo=info, strip_size=rows * image.width * len(image.getbands()), **options)


@pytest.mark.parametrize("options", TIFFS, ids=lambda one: str(one.get("compression")))
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK"])
def test_a_large_tiff_is_read_by_strips(options: dict[str, object], mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if options.get("compression") == "jpeg" and mode == "RGBA":
        pytest.skip("TIFF has no JPEG with transparency")
    monkeypatch.setattr(bands, "BAND", 600 * 40)
    data = strips(photo().convert(mode), 16, **options)
    whole = open_picture(data)
    picture = open_picture(data, max_pixels=30_000)
    assert picture.image.size == (200, 134) and str(picture.note).startswith("scaled down from 600 x 400 to 200 x 134")
    assert difference(picture.image, whole.image.reduce(3)) < 1


def tiled(image: Image.Image, side: int) -> bytes:
    """An uncompressed TIFF in tiles of `side` pixels."""
    across, down = -(-image.width // side), -(-image.height // side)
    body = b"".join(
        image.crop((x * side, y * side, (x + 1) * side, (y + 1) * side)).tobytes()
        for y in range(down)
        for x in range(across)
    )
    length = side * side * 3
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[256], info[257], info[258], info[259] = image.width, image.height, (8, 8, 8), 1
    info[262], info[277], info[322], info[323] = 2, 3, side, side
    info[324] = tuple(8 + number * length for number in range(across * down))
    info[325] = (length,) * (across * down)
    at = 8 + len(body)
    return b"II*\0" + at.to_bytes(4, "little") + body + info.tobytes(at)


def test_a_large_tiff_is_read_by_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bands, "BAND", 600 * 64)
    data = tiled(photo(), 64)
    picture = open_picture(data, max_pixels=60_000)
    assert picture.image.size == (300, 200) and difference(picture.image, open_picture(data).image.reduce(2)) < 1


def test_sixteen_bits_and_orientation_of_a_large_tiff() -> None:
    deep = Image.new("I;16", (600, 400), 0x8000)
    picture = open_picture(strips(deep, 16, tiffinfo={274: 6}), max_pixels=100_000)
    assert picture.image.size == (200, 300) and str(picture.note).startswith("scaled down from 400 x 600")
    assert picture.image.getpixel((9, 9)) == (128, 128, 128)


def test_a_large_tiff_in_one_strip_or_with_missing_strips_is_refused() -> None:
    with pytest.raises(ImageError, match="600 x 400 pixels, more than the 100,000 allowed"):
        open_picture(strips(photo(), 400), max_pixels=100_000)
    data = strips(photo(), 16, compression="tiff_lzw")
    broken = data[:8] + bytes(len(data) // 2) + data[8 + len(data) // 2 :]
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_picture(broken, max_pixels=100_000)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("limit", [100_000, 10**6])
def test_a_tiff_of_many_bytes_is_read_where_it_lies(
    orientation: int, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 10_000)
    path = tmp_path / "scan.tif"
    path.write_bytes(strips(photo(), 16, compression="tiff_lzw", tiffinfo={274: orientation}))
    whole = open_picture(path.read_bytes(), max_pixels=limit, max_bytes=10**8)
    picture = open_picture(path, max_pixels=limit, max_bytes=10_000)
    assert picture.sha256 == whole.sha256 and picture.note == whole.note
    assert picture.image.size == whole.image.size and difference(picture.image, whole.image) == 0
    cut = tmp_path / "cut.tif"
    cut.write_bytes(path.read_bytes()[:40_000] + b"")
    with pytest.raises(ImageError, match="truncated or damaged"):
        open_picture(cut, max_pixels=limit, max_bytes=10_000)


def with_alpha() -> Image.Image:
    image = photo()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


PNGS: dict[str, tuple[Callable[[], Image.Image], dict[str, Any]]] = {
    "RGB": (photo, {}),
    "RGBA": (with_alpha, {}),
    "L": (lambda: photo().convert("L"), {}),
    "LA": (lambda: with_alpha().convert("LA"), {}),
    "one bit": (lambda: photo().convert("1"), {}),
    "palette": (lambda: photo().quantize(200), {}),
    "palette of 4 bits": (lambda: photo().quantize(16), {"bits": 4}),
    "palette of 1 bit": (lambda: photo().quantize(2), {"bits": 1}),
    "transparent colour": (photo, {"transparency": (0, 0, 0)}),
    "16 bits": (lambda: Image.frombytes("I;16B", (600, 400), photo(1200, 400).convert("L").tobytes()), {}),
}


@pytest.mark.parametrize("name", PNGS)
def test_a_large_png_is_read_by_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_bands, "BAND", 600 * 41)
    make, options = PNGS[name]
    data = saved(make(), "PNG", **options)
    picture = open_picture(data, max_pixels=30_000)
    assert picture.image.size == (200, 134) and str(picture.note).startswith("scaled down from 600 x 400 to 200 x 134")
    assert difference(picture.image, open_picture(data).image.reduce(3)) == 0


def test_orientation_and_profile_of_a_large_png() -> None:
    exif = Image.Exif()
    exif[274] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    data = saved(photo(), "PNG", exif=exif, icc_profile=profile)
    picture = open_picture(data, max_pixels=100_000)
    assert picture.image.size == (200, 300) and str(picture.note).startswith("scaled down from 400 x 600")
    assert difference(picture.image, open_picture(data).image.reduce(2)) == 0


def test_a_large_png_that_is_damaged_or_cannot_be_read_by_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_bands, "BAND", 600 * 41)
    data = saved(photo(), "PNG")
    at = len(data) // 2
    wrong = data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]  # the checksum of the pixels
    for broken in (data[:at], data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :], wrong):
        with pytest.raises(ImageError, match="truncated or damaged"):
            open_picture(broken, max_pixels=100_000)
    interlaced = data[:28] + b"\1" + data[29:]
    header = interlaced[12:29]
    interlaced = interlaced[:29] + zlib.crc32(header).to_bytes(4, "big") + data[33:]
    with pytest.raises(ImageError, match="600 x 400 pixels, more than the 100,000 allowed"):
        open_picture(interlaced, max_pixels=100_000)
    with pytest.raises(ImageError, match="600 x 400 pixels, more than the 20,000 allowed"):
        open_picture(data, max_pixels=20_000)  # too much work


def test_other_files_of_many_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(photo(), "JPEG"))
    with pytest.raises(ImageError, match="larger than the 9,000 bytes allowed"):
        open_picture(path, max_bytes=9000)


def test_of_a_large_heic_and_raw_file_the_preview_is_read() -> None:
    picture = open_picture(FORMATS / "thumbnail.heic", max_pixels=100_000)
    assert picture.image.size == (256, 128)
    assert picture.note == (
        "scaled down from 1200 x 600 to 256 x 128 pixels, in which boxes are measured; only its preview was read"
    )
    assert picture.image.getpixel((20, 60))[0] > 240 and picture.image.getpixel((230, 60))[2] > 240  # type: ignore[index]
    raw = open_picture(dng(photo(1200, 800), photo(1200, 800)), max_pixels=300_000)
    assert raw.image.size == (600, 400) and "scaled down from 1200 x 800 to 600 x 400" in str(raw.note)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "BMP", "GIF"])
def test_other_formats_keep_the_limit(kind: str) -> None:
    with pytest.raises(ImageError, match=r"600 x 400 pixels, more than the 100,000 allowed.*INQUISIGHT_MAX_PIXELS"):
        open_picture(saved(photo(), kind), max_pixels=100_000)


@pytest.mark.slow
def test_the_memory_for_a_jpeg_of_108_megapixels_is_that_of_a_quarter(tmp_path: Path) -> None:
    """Peak resident memory in a process of its own: far below the 324 MB that all pixels take."""
    options = ["--json", "--kinds", "JPEG", "--sides", "6000x4500,12000x9000", "--questions", "0"]
    command = [sys.executable, "-m", "benchmarks.large_pictures", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    small, large = (json.loads(line) for line in done.stdout.splitlines())
    assert (large["read_width"], large["read_height"]) == (6000, 4500)
    assert large["peak_mb"] - small["peak_mb"] < 250, "27 megapixels and a copy, and the file"
