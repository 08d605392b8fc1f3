"""AVIF, JPEG 2000, PPM and ICO: read as safely as the older six, whatever the file is called."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import ImageError
from core.images import decode as images
from core.images.file_type import SUFFIXES_OF, Kind, header_size, sniff
from core.images.picture import open_picture

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "pictures"
KINDS: tuple[Kind, ...] = ("AVIF", "JPEG2000", "PPM", "ICO")
RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(side: int = 64) -> Image.Image:
    image = Image.new("RGB", (side, side), RED)
    image.paste(BLUE, (side // 2, 0, side, side))
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def ico(width: int, height: int, inner: bytes) -> bytes:
    """An icon file that says 16 x 16, around a picture that may say something else."""
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner


def png_of(side: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def near(image: Image.Image, at: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    pixel = image.getpixel(at)
    assert isinstance(pixel, tuple)
    return all(abs(a - b) < 30 for a, b in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_opens_by_its_content(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "photo"  # no suffix at all
    path.write_bytes(saved(halves(), kind))
    assert sniff(path.read_bytes()) == kind
    picture = open_picture(path)
    assert picture.image.mode == "RGB" and picture.image.size == (64, 64) and picture.note is None
    assert near(picture.image, (10, 30), RED) and near(picture.image, (54, 30), BLUE)


def test_the_avif_of_a_phone_and_the_jpeg_without_a_suffix() -> None:
    assert open_picture(CASES / "a.avif").image.size == (451, 300)
    assert open_picture(CASES / "noext").image.size == (150, 100)


def test_the_codestream_of_jpeg_2000_alone() -> None:
    boxed = saved(halves(), "JPEG2000")
    bare = boxed[boxed.index(b"jp2c") + 4 :]
    assert sniff(bare) == "JPEG2000" and open_picture(bare).image.size == (64, 64)
    assert header_size("JPEG2000", boxed) == header_size("JPEG2000", bare) == (64, 64)


def test_an_avif_is_turned_and_its_frames_are_noted() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_picture(saved(halves().crop((0, 0, 64, 32)), "AVIF", exif=exif))
    assert picture.image.size == (32, 64) and near(picture.image, (16, 5), RED)
    frames = saved(halves(), "AVIF", save_all=True, append_images=[Image.new("RGB", (64, 64), BLUE)])
    assert open_picture(frames).note == "animated: first of 2 frames"


def test_transparent_icons_lie_over_white() -> None:
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    for options in ({}, {"bitmap_format": "bmp"}):
        assert open_picture(saved(clear, "ICO", sizes=[(32, 32)], **options)).image.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PPM", "JPEG2000"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    deep = Image.new("I;16", (20, 20), 0x8000)
    pixel = open_picture(saved(deep, kind)).image.getpixel((3, 3))
    assert isinstance(pixel, tuple) and all(abs(level - 128) <= 1 for level in pixel)


@pytest.mark.parametrize(
    "text",
    [b"P1\n# a comment\n2 2\n1 0 0 1\n", b"P2 2 2 15\n0 15 15 0\n", b"P3\n2\n2\n255\n" + b"0 255 9 " * 4,
     b"P5\n#1\n#2\r2 2\n4095\n" + bytes(8), b"Pf\n2 2\n-1.0\n" + struct.pack("<4f", 0, 1, 1, 0)],
)  # fmt: skip
def test_every_way_of_writing_a_ppm(text: bytes) -> None:
    assert sniff(text) == "PPM" and open_picture(text).image.size == (2, 2)


@pytest.mark.parametrize(
    "data",
    [b"P5 is a size of paper, 6 of them make a sheet.", b"P6", b"P7\nWIDTH 2\n", b"P3 list: 12 of 20 copies",
     b"\0\0\1\0", b"\0\0\1\0\1\0" + bytes(16), b"\0\0\1\xba" + bytes(40), b"\xff\x4f", b"\0\0\0\x0cjP  "],
)  # fmt: skip
def test_what_only_begins_alike_is_none(data: bytes) -> None:
    assert sniff(data) is None


def bombs() -> dict[str, bytes]:
    """Files that claim far more than they say at first: 60,000 x 60,000 pixels."""
    side = 60_000
    jp2 = bytearray(saved(halves(), "JPEG2000"))
    at = jp2.index(b"\xff\x4f\xff\x51") + 8
    jp2[at : at + 8] = struct.pack(">II", side, side)  # the box before it still says 64 x 64
    dib = struct.pack("<IiiHHIIIIII", 40, side, 2 * side, 1, 24, 0, 0, 0, 0, 0, 0)
    return {
        "JPEG 2000": bytes(jp2),
        "PPM": f"P6 {side} {side} 255\n".encode(),
        "icon with a PNG": ico(16, 16, png_of(side)),
        "icon with a BMP": ico(16, 16, dib),
    }


@pytest.mark.parametrize("name", sorted(bombs()))
def test_decompression_bombs_are_refused_by_their_header(name: str) -> None:
    with pytest.raises(ImageError, match=r"60000 x 60000 pixels, more than the 100,000,000 allowed"):
        open_picture(bombs()[name])


@pytest.mark.parametrize("kind", ["AVIF", "PPM", "ICO"])  # JPEG 2000: test_large_pictures
def test_the_pixel_limit_is_checked_before_decoding(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(halves(), kind)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="64 x 64 pixels, more than the 4,000"):
        open_picture(data, max_pixels=4000)


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_files_are_called_so_with_the_right_article(kind: Kind) -> None:
    data = saved(Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3)), kind)
    with pytest.raises(ImageError, match=r"is an? (AVIF|JPEG 2000|PPM|ICO) file that is truncated or damaged"):
        open_picture(data[: len(data) // 2])


def test_a_pillow_without_the_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    images.can_decode.cache_clear()
    monkeypatch.setattr(images.features, "check", lambda feature: feature != "avif")
    try:
        with pytest.raises(ImageError, match="is an AVIF picture, and the installed Pillow cannot decode those"):
            open_picture(CASES / "a.avif")
        assert open_picture(saved(halves(), "JPEG2000")).width == 64
    finally:
        images.can_decode.cache_clear()


def test_every_format_has_a_suffix_and_none_belongs_to_two() -> None:
    every = [suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes]
    assert len(set(every)) == len(every) and all(suffix == suffix.lower() and suffix[0] == "." for suffix in every)


SEEDS = {kind: saved(halves(), kind) for kind in KINDS} | {"plain": b"P3 4 4 99\n" + b"1 2 3 " * 16}


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(SEEDS)),
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    keep=st.floats(0.0, 1.0),
)
def test_damaged_files_open_or_are_refused_in_one_line(kind: str, edits: list[tuple[int, int]], keep: float) -> None:
    data = bytearray(SEEDS[kind])
    for at, value in edits:
        data[at % len(data)] = value
    try:
        picture = open_picture(bytes(data[: max(1, int(len(data) * keep))]), max_pixels=1_000_000)
    except ImageError as error:
        assert str(error).isprintable() and "0x" not in str(error)
    else:
        assert picture.image.mode == "RGB" and 0 < picture.width * picture.height <= 1_000_000
