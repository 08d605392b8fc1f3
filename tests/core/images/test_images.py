"""What a user sees when opening pictures, good and bad."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.datasets.folders import find_pictures
from core.errors import ImageError
from core.images.picture import Picture, open_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """`image` as a file of `kind`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def near(picture: Picture, at: tuple[int, int], colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    """Whether the pixel at (x, y) is `colour`, give or take a lossy format."""
    pixel = picture.image.getpixel(at)
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, colour, strict=True))


def halves() -> Image.Image:
    """Red left half, blue right half; 40 wide, 20 high."""
    image = Image.new("RGB", (40, 20), RED)
    image.paste(BLUE, (20, 0, 40, 20))
    return image


def refusal(source: object, **options: object) -> str:
    """The message of the refusal of `source`, which must be one printable line."""
    with pytest.raises(ImageError) as caught:
        open_picture(source, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500, message
    assert caught.value.exit_code == 2
    assert caught.value.__cause__ is None
    return message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_format_opens_alike_from_path_bytes_and_file(kind: str, tmp_path: Path) -> None:
    data = saved(halves(), kind)
    path = tmp_path / "picture.dat"  # the suffix does not matter
    path.write_bytes(data)
    pictures = [open_picture(path), open_picture(str(path)), open_picture(data), open_picture(io.BytesIO(data))]
    for picture in pictures:
        assert (picture.image.mode, picture.width, picture.height) == ("RGB", 40, 20)
        assert near(picture, (5, 10), RED) and near(picture, (35, 10), BLUE)
        assert picture.sha256 == hashlib.sha256(data).hexdigest()
        assert picture.note is None
    assert pictures[0].source == str(path)
    assert pictures[0].info().model_dump()["height"] == 20


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(halves(), "PNG")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    picture = open_picture("-")
    assert picture.width == 40 and picture.source == "standard input"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "empty" in refusal("-")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), WHITE)
    upright.paste(RED, (0, 0, 16, 16))  # a mark in the top left corner
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    lying = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {"exif": exif} if kind != "TIFF" else {"tiffinfo": {274: orientation}}
    picture = open_picture(saved(lying, kind, **options))
    assert (picture.width, picture.height) == (48, 32)
    assert near(picture, (6, 6), RED, 30) and near(picture, (40, 6), WHITE, 30) and near(picture, (6, 26), WHITE, 30)
    assert not picture.image.getexif()


def test_alpha_lies_over_white() -> None:
    rgba = Image.new("RGBA", (20, 10), (0, 0, 255, 255))
    rgba.paste((255, 0, 0, 0), (10, 0, 20, 10))
    half = Image.new("RGBA", (20, 10), (0, 0, 0, 128))
    la = Image.new("LA", (20, 10), (0, 255))
    la.paste((0, 0), (10, 0, 20, 10))
    for kind in ("PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        picture = open_picture(saved(rgba, kind, **options))
        assert near(picture, (5, 5), BLUE, 0) and near(picture, (15, 5), WHITE, 0)
    assert near(open_picture(saved(half, "PNG")), (5, 5), (127, 127, 127), 1)
    picture = open_picture(saved(la, "PNG"))
    assert near(picture, (5, 5), (0, 0, 0), 0) and near(picture, (15, 5), WHITE, 0)


def test_palettes_with_and_without_transparency() -> None:
    paletted = halves().convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    right = paletted.getpixel((35, 5))
    assert isinstance(right, int)
    picture = open_picture(saved(paletted, "PNG"))
    assert near(picture, (5, 5), RED, 2) and near(picture, (35, 5), BLUE, 2)
    for transparency in (right, bytes(0 if index == right else 255 for index in range(2))):
        picture = open_picture(saved(paletted, "PNG", transparency=transparency))
        assert near(picture, (5, 5), RED, 2) and near(picture, (35, 5), WHITE, 0)
    picture = open_picture(saved(paletted, "GIF", transparency=right))
    assert near(picture, (5, 5), RED, 2) and near(picture, (35, 5), WHITE, 0)


def test_one_transparent_colour() -> None:
    picture = open_picture(saved(halves(), "PNG", transparency=BLUE))
    assert near(picture, (5, 5), RED, 0) and near(picture, (35, 5), WHITE, 0)
    grey = Image.new("L", (20, 10), 40)
    grey.paste(90, (10, 0, 20, 10))
    picture = open_picture(saved(grey, "PNG", transparency=90))
    assert near(picture, (5, 5), (40, 40, 40), 0) and near(picture, (15, 5), WHITE, 0)


def deep_grey() -> Image.Image:
    """16-bit grey with black, a quarter, a half and white, in four columns of 4 pixels."""
    image = Image.new("I;16", (16, 4))
    for column in range(16):
        for row in range(4):
            image.putpixel((column, row), (0, 16384, 32896, 65535)[column // 4])
    return image


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    picture = open_picture(saved(deep_grey(), kind))
    values = [picture.image.getpixel((column, 2)) for column in (1, 5, 9, 13)]
    assert values == [(0, 0, 0), (64, 64, 64), (128, 128, 128), (255, 255, 255)]


def test_sixteen_bit_grey_with_a_transparent_level() -> None:
    data = saved(deep_grey(), "PNG")
    chunk = b"tRNS" + struct.pack(">H", 16384)
    at = data.index(b"IDAT") - 4
    data = data[:at] + struct.pack(">I", 2) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[at:]
    picture = open_picture(data)
    assert near(picture, (5, 2), WHITE, 0) and near(picture, (9, 2), (128, 128, 128), 0)


def test_white_is_zero_tiff_is_not_a_negative() -> None:
    data = bytearray(saved(deep_grey(), "TIFF"))
    entry = data.index(struct.pack("<HHI", 262, 3, 1))
    struct.pack_into("<H", data, entry + 8, 0)
    picture = open_picture(bytes(data))
    assert near(picture, (1, 2), WHITE, 0) and near(picture, (13, 2), (0, 0, 0), 0)


def test_float_tiff_is_stretched_and_says_so() -> None:
    image = Image.new("F", (8, 4), -3.0)
    image.paste(500.0, (4, 0, 8, 4))
    picture = open_picture(saved(image, "TIFF"))
    assert near(picture, (1, 1), (0, 0, 0), 0) and near(picture, (6, 1), WHITE, 0)
    assert picture.note is not None and "stretched" in picture.note
    unit = open_picture(saved(Image.new("F", (8, 4), 0.5), "TIFF"))
    assert near(unit, (1, 1), (128, 128, 128), 1)
    assert "finite" in refusal(saved(Image.new("F", (8, 4), float("nan")), "TIFF"))
    assert "finite" in refusal(saved(Image.new("F", (8, 4), float("inf")), "TIFF"))


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr", "LAB", "RGBA", "LA", "P", "I;16", "I", "F"])
def test_every_mode_of_a_tiff_becomes_rgb(mode: str) -> None:
    source = (
        Image.new(mode, (9, 7))
        if mode.startswith(("I", "F"))
        else Image.new("RGB", (9, 7)).convert(mode)
        if (mode != "LAB")
        else Image.new("LAB", (9, 7), (255, 128, 128))
    )
    picture = open_picture(saved(source, "TIFF"))
    assert (picture.image.mode, picture.image.size) == ("RGB", (9, 7))
    if mode == "LAB":  # L = 100: white
        assert near(picture, (4, 4), WHITE, 3)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_colours_are_not_inverted(kind: str) -> None:
    # Pillow writes the Adobe marker and inverted inks into a CMYK JPEG, as Photoshop does.
    image = Image.new("CMYK", (32, 16), (0, 255, 255, 0))
    image.paste((0, 0, 0, 0), (16, 0, 32, 16))
    data = saved(image, kind)
    assert kind == "TIFF" or b"Adobe" in data
    picture = open_picture(data)
    assert near(picture, (5, 8), RED) and near(picture, (28, 8), WHITE)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_give_their_first_frame_and_say_so(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    picture = open_picture(saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100))
    assert near(picture, (8, 8), RED, 20)
    assert picture.note == "animated: first of 3 frames"


def test_a_tiff_of_pages_gives_its_first() -> None:
    picture = open_picture(saved(halves(), "TIFF", save_all=True, append_images=[Image.new("L", (3, 3))]))
    assert picture.width == 40 and picture.note == "first of 2 pages"


@pytest.mark.parametrize("size", [(1, 300), (300, 1), (1, 1)])
def test_very_narrow_pictures_open(size: tuple[int, int]) -> None:
    picture = open_picture(saved(Image.new("RGB", size, GREEN), "PNG"))
    assert picture.image.size == size
    assert (picture.note is not None) == (size != (1, 1))


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "BMP", "TIFF"])  # JPEG and PNG: test_large_pictures
def test_the_pixel_limit_is_checked_before_decoding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("RGB", (100, 50)), kind)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    message = refusal(data, max_pixels=4999)
    assert "100 x 50" in message and "4,999" in message and "INQUISIGHT_MAX_PIXELS" in message


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def bombs() -> dict[str, bytes]:
    """Files that claim 60,000 x 60,000 pixels (16,384 x 16,384 for WebP, whose limit that is)."""
    side = 60_000
    png = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    png += png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    tiff = bytearray(saved(Image.new("L", (1, 1)), "TIFF"))
    for tag in (256, 257):
        at = next(at for kind in (3, 4) if (at := tiff.find(struct.pack("<HHI", tag, kind, 1))) >= 0)
        tiff[at : at + 12] = struct.pack("<HHII", tag, 4, 1, side)
    jpeg = bytearray(saved(Image.new("RGB", (8, 8)), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
    gif = bytearray(saved(Image.new("P", (8, 8)), "GIF"))
    gif[6:10] = struct.pack("<HH", side, side)
    bmp = bytearray(saved(Image.new("RGB", (8, 8)), "BMP"))
    bmp[18:26] = struct.pack("<ii", side, side)
    webp = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + (16383).to_bytes(3, "little") * 2
    webp = b"RIFF" + struct.pack("<I", len(webp)) + webp
    return {"PNG": png, "TIFF": bytes(tiff), "JPEG": bytes(jpeg), "GIF": bytes(gif), "BMP": bytes(bmp), "WEBP": webp}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_decompression_bombs_are_refused_by_their_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bombs()[kind]
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    # A JPEG may be decoded scaled down, but this one is too short for its size.
    words = "truncated or damaged" if kind == "JPEG" else "more than the 100,000,000 allowed"
    assert words in refusal(data)


def test_a_raised_limit_goes_beyond_pillows_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind in ("PNG", "TIFF", "WEBP", "GIF", "JPEG", "BMP"):
        assert open_picture(saved(halves(), kind)).width == 40
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_files_are_called_truncated(kind: str, tmp_path: Path) -> None:
    noise = Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3))
    data = saved(noise, kind)
    path = tmp_path / "half.png"
    path.write_bytes(data[: len(data) // 2])
    message = refusal(path)
    assert "half.png" in message and "truncated or damaged" in message


SVG = b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"Dear diary, today I renamed a letter.\n" * 20, "text, not a picture"),
        ("Ein Brief über Bäume, und nicht nur das. 猫".encode(), "text, not a picture"),
        ("Zeile\r\n".encode("utf-16"), "text, not a picture"),
        (b"BMW is a car, not a picture. " * 10, "text, not a picture"),
        (SVG, "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avif", "AVIF"),
        (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isomavc1", "video"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git lfs pull"),
        (b"PK\x03\x04" + bytes(50), "ZIP"),
        (bytes(range(256)) * 4, "not a picture in a supported format"),
        (b"\x89PNG\r\n\x1a\n", "truncated or damaged"),
        (b"GIF89a", "truncated or damaged"),
        (b"II*\0", "truncated or damaged"),
        (b"RIFF\x00\x00\x00\x00WEBP", "truncated or damaged"),
    ],
)
def test_what_is_not_a_picture_gets_a_clear_word(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "holiday.png"
    path.write_bytes(data)
    message = refusal(path)
    assert words in message and "holiday.png" in message


def test_places_that_hold_no_picture(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "missing.png")
    assert "is a folder" in refusal(tmp_path)
    assert "web address" in refusal("https://example.org/cat.jpg")
    assert "cannot be a file name" in refusal("a\0b.png")
    assert "cannot be read" in refusal("x" * 5000)
    assert "truncated or damaged" not in refusal(io.BytesIO(b"nothing"), name="upload")
    assert "binary mode" in refusal(io.StringIO("text"))
    closed = io.BytesIO(b"x")
    closed.close()
    assert "cannot be read" in refusal(closed)
    assert "larger than the 10 bytes" in refusal(saved(halves(), "PNG"), max_bytes=10)
    assert "larger than the 10 bytes" in refusal(io.BytesIO(saved(halves(), "PNG")), max_bytes=10)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb\u202egpj.png"
    path.write_bytes(b"text")
    message = refusal(path)
    assert "\\x1b[31m\\nb\\u202egpj.png" in message
    path.write_bytes(saved(halves(), "PNG"))
    assert open_picture(path).source.isprintable()
    if os.name == "posix":
        raw = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
        with open(raw, "wb") as file:
            file.write(saved(halves(), "PNG"))
        assert open_picture(os.fsdecode(raw)).info().model_dump_json()


def test_pictures_can_be_opened_from_several_threads() -> None:
    data = [saved(halves(), kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP")] * 8
    widths: list[int] = []
    threads = [threading.Thread(target=lambda one=one: widths.append(open_picture(one).width)) for one in data]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert widths == [40] * len(data)


def test_folders_are_expanded_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.webp", ".cache/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_pictures([tmp_path, tmp_path / "b.png", "-", "missing.xyz"])
    assert found == [
        tmp_path / "a.JPG",
        tmp_path / "b.png",
        tmp_path / "sub" / "c.webp",
        Path("-"),
        Path("missing.xyz"),
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="holds no pictures"):
        find_pictures([tmp_path / "empty"])


SEEDS = {kind: saved(halves(), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")}


@pytest.mark.slow
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
    cut = bytes(data[: max(1, int(len(data) * keep))])
    try:
        picture = open_picture(cut, max_pixels=1_000_000)
    except ImageError as error:
        assert str(error).isprintable() and "0x" not in str(error)
    else:
        assert picture.image.mode == "RGB" and 0 < picture.width * picture.height <= 1_000_000


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_open_or_are_refused_in_one_line(data: bytes) -> None:
    try:
        open_picture(data, max_pixels=1_000_000)
    except ImageError as error:
        assert str(error).isprintable()


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]),
    content=st.randoms(use_true_random=False),
)
def test_lossless_pictures_keep_every_size_and_pixel(width: int, height: int, mode: str, content: object) -> None:
    rgb = Image.frombytes("RGB", (width, height), content.randbytes(width * height * 3))  # type: ignore[attr-defined]
    image = Image.new(mode, (width, height)) if mode == "I;16" else rgb.convert(mode)
    picture = open_picture(saved(image, "PNG"))
    assert picture.image.size == (width, height)
    if mode in ("RGB", "L", "P"):
        assert picture.image.tobytes() == image.convert("RGB").tobytes()


def test_an_intact_tiff_of_a_rare_layout_is_not_called_damaged() -> None:
    data = bytearray(saved(Image.new("L", (4, 4)), "TIFF"))
    entry = data.index(struct.pack("<HHI", 258, 3, 1))
    struct.pack_into("<H", data, entry + 8, 24)
    assert "pixel layout that is not supported" in refusal(bytes(data))


def test_decoders_do_not_talk_to_the_terminal() -> None:
    damaged = bytearray(saved(halves(), "TIFF"))
    for tag in (273, 279):
        at = damaged.find(struct.pack("<H", tag))
        damaged[at + 4 : at + 12] = b"\xff" * 8
    code = (
        "import sys; from core import ImageError, open_picture\n"
        "try: open_picture('-')\n"
        "except ImageError as error: print(error)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], input=bytes(damaged), capture_output=True, cwd=root, check=True)
    assert done.stderr == b"" and b"truncated or damaged" in done.stdout
