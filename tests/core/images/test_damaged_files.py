"""Healthy pixels in a file with damaged, huge or missing parts: read with a note. Missing pixels: refused."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.images.picture import open_picture
from core.video.clip import open_video
from tests.core.images.damage import (
    CASES,
    IGNORED,
    MIB,
    SIGNATURE,
    lying,
    photo,
    pixels,
    refused,
    saved,
)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("iccp.png", IGNORED),
        ("ztxt.png", IGNORED),
        ("badcrc_text.png", IGNORED),
        ("noeoi.jpg", "its end marker is missing"),
        ("cut.jpg", None),
    ],
)
def test_the_files_that_were_reported(name: str, note: str | None) -> None:
    data = (CASES / name).read_bytes()
    if note is None:
        assert refused(data)
    else:
        found = open_picture(data).note
        assert found is not None and note in found


# --- PNG ----------------------------------------------------------------------------------------------------------


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if crc is None else crc)
    )


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png(
    before: bytes = b"", behind: bytes = b"", after: bytes = b"", image: Image.Image | None = None, **options: Any
) -> bytes:
    """A PNG with bytes in front of its pixels, behind them, and after the end."""
    parts = chunks(saved(image or photo(), "PNG", **options))
    out, seen = SIGNATURE, False
    for name, body in parts:
        if name == b"IDAT" and not seen:
            out, seen = out + before, True
        out += (behind if name == b"IEND" else b"") + chunk(name, body)
    return out + after


BIG = b"A" * (MIB + 1)
HUGE: dict[str, bytes] = {
    "iCCP": chunk(b"iCCP", b"profile\0\0" + zlib.compress(BIG)),
    "zTXt": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(BIG)),
    "iTXt": chunk(b"iTXt", b"Comment\0\1\0en\0\0" + zlib.compress(BIG)),
    "plain iTXt": chunk(b"iTXt", b"Comment\0\0\0en\0\0" + BIG),
    "tEXt": chunk(b"tEXt", b"Comment\0" + BIG),
}
EXTRAS = (b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"tIME", b"bKGD", b"eXIf", b"prVt")


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("name", HUGE)
def test_huge_text_in_a_png(name: str, place: str) -> None:
    picture = open_picture(png(**{place: HUGE[name]}))
    assert picture.image.tobytes() == pixels(png())
    assert picture.note in (IGNORED, None)


def test_text_of_just_one_mib_is_nothing_to_note() -> None:
    assert open_picture(png(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(MIB))))).note is None


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("body", [b"", b"\0", b"\xff" * 5, b"Comment\0\0not compressed", b"Comment\0\7method"])
def test_extra_chunks_with_nonsense_or_a_wrong_checksum(name: bytes, body: bytes) -> None:
    clean = pixels(png())
    for place in ("before", "behind"):
        assert pixels(png(**{place: chunk(name, body)})) == clean
        picture = open_picture(png(**{place: chunk(name, body, crc=1)}))
        assert picture.image.tobytes() == clean
        assert picture.note in (IGNORED, "its EXIF data is damaged, it may be sideways", None)


def test_text_after_the_pixels_and_after_the_end() -> None:
    clean = pixels(png())
    for after in (b"hello, world", chunk(b"tEXt", b"Comment\0late"), bytes(512)):
        assert pixels(png(after=after)) == clean
    for cut in (b"", b"\0\0", b"\0\0\0\x09tEXtComm"):
        assert pixels(png()[: -len(chunk(b"IEND", b""))] + cut) == clean


def test_a_damaged_length_in_front_of_the_pixels() -> None:
    clean = pixels(png())
    for length in (0, 5, 30, 700, 2**31, 2**32 - 1):
        damaged = bytearray(chunk(b"tEXt", b"Comment\0a text that is long enough"))
        damaged[:4] = struct.pack(">I", length)
        picture = open_picture(png(bytes(damaged)))
        assert picture.image.tobytes() == clean and picture.note == IGNORED, length


def test_pixels_that_are_missing_or_changed_are_refused_in_a_png() -> None:
    parts = chunks(png())
    body = next(body for name, body in parts if name == b"IDAT")
    start, end = SIGNATURE + chunk(*parts[0]), chunk(b"IEND", b"")
    changed = body[:1000] + bytes([body[1000] ^ 1]) + body[1001:]
    assert refused(start + chunk(b"IDAT", changed, crc=zlib.crc32(b"IDAT" + body)) + end)
    assert refused(start + chunk(b"IDAT", body[: len(body) // 2]) + end), "the stream ends early"
    assert refused(start + end)
    assert refused(SIGNATURE + chunk(*parts[0], crc=3) + chunk(b"IDAT", body) + end)
    halves = chunk(b"IDAT", body[:900]) + chunk(b"tEXt", b"odd\0place") + chunk(b"IDAT", body[900:])
    assert pixels(start + halves + end) == pixels(png())


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_cut_anywhere_is_whole_or_refused(interlaced: bool) -> None:
    data = _interlaced() if interlaced else png(image=photo(30, 20))
    clean = pixels(data)
    assert all(refused(data[:end]) or pixels(data[:end]) == clean for end in range(8, len(data)))


def _interlaced() -> bytes:
    """Pillow does not write Adam7: one byte per pixel, by hand."""
    image = photo(11, 9).convert("L")
    lines = b""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    for left, top, across, down in passes:
        for y in range(top, 9, down):
            row = bytes(image.getpixel((x, y)) for x in range(left, 11, across))  # type: ignore[misc]
            lines += b"\0" + row if row else b""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 11, 9, 8, 0, 0, 0, 1))
    return SIGNATURE + head + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_the_orientation_is_kept_when_another_chunk_is_damaged() -> None:
    exif = next(body for name, body in chunks(lying("PNG")) if name == b"eXIf")
    xmp = b'<x:xmpmeta tiff:Orientation="6"/>'
    raw_profile = b"\nexif\n   99\n" + (b"Exif\0\0" + exif).hex().encode()
    for right in (
        chunk(b"eXIf", exif),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw_profile)),
    ):
        assert open_picture(png(right, image=photo(40, 20))).width == 20
    for wrong in (chunk(b"tEXt", b"a\0b", crc=1), HUGE["iCCP"]):
        assert open_picture(png(wrong + chunk(b"eXIf", exif), image=photo(40, 20))).width == 20
    picture = open_picture(png(chunk(b"eXIf", exif, crc=1), image=photo(40, 20)))
    assert picture.width == 40 and picture.note == IGNORED
    picture = open_picture(png(chunk(b"eXIf", b"nonsense"), image=photo(40, 20)))
    assert picture.width == 40 and "EXIF data is damaged" in str(picture.note)


def test_transparency_is_kept_and_a_damaged_one_is_noted() -> None:
    paletted = photo().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    parts = chunks(saved(paletted, "PNG", transparency=bytes((0, 255, 255, 255))))
    clean = SIGNATURE + b"".join(chunk(*part) for part in parts)
    damaged = SIGNATURE + b"".join(chunk(*part, crc=1 if part[0] == b"tRNS" else None) for part in parts)
    assert (255, 255, 255) in {colour for _, colour in open_picture(clean).image.getcolors() or []}
    assert pixels(damaged) == paletted.convert("RGB").tobytes()
    assert open_picture(damaged).note == IGNORED


def test_bombs_in_text_and_profiles_are_not_decompressed() -> None:
    zeros = zlib.compressobj(9)
    bomb = b"".join(zeros.compress(bytes(MIB)) for _ in range(64)) + zeros.flush()  # 64 MiB in 64 kB
    clean = pixels(png())
    for body in (
        chunk(b"zTXt", b"c\0\0" + bomb),
        chunk(b"iCCP", b"c\0\0" + bomb),
        chunk(b"iTXt", b"c\0\1\0\0\0" + bomb),
    ):
        data = png(body)
        tracemalloc.start()
        assert pixels(data) == clean
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 4 * MIB, f"{most / MIB:.0f} MiB"


def test_an_animation_with_damaged_text(tmp_path: Path) -> None:
    frames = [photo(seed=seed) for seed in (1, 2, 3)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)
    at = data.index(b"IDAT") - 4
    damaged = data[:at] + chunk(b"tEXt", b"a\0b", crc=1) + HUGE["zTXt"] + data[at:]
    picture = open_picture(damaged)
    assert picture.image.tobytes() == frames[0].tobytes()
    assert picture.note == f"animated: first of 3 frames; {IGNORED}"
    path = tmp_path / "moving.png"
    path.write_bytes(damaged)
    with open_video(path) as video:
        assert len(video.times) == 3


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(EXTRAS),
    body=st.binary(max_size=80),
    crc=st.none() | st.integers(0, 2**32 - 1),
    place=st.sampled_from(["before", "behind", "after"]),
    name_byte=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 255)),
)
def test_mutated_extra_chunks_leave_the_pixels_of_a_png_alone(
    name: bytes, body: bytes, crc: int | None, place: str, name_byte: tuple[int, int] | None
) -> None:
    extra = bytearray(chunk(name, body, crc))
    if name_byte is not None and extra[4:8] not in (b"IDAT", b"PLTE", b"tRNS"):
        extra[4 + name_byte[0]] = name_byte[1]
    picture = open_picture(png(**{place: bytes(extra)}))
    assert picture.image.tobytes() in (pixels(png()), picture.image.transpose(Image.Transpose.ROTATE_90).tobytes())


# --- GIF, WebP, BMP, TIFF -----------------------------------------------------------------------------------------


def test_a_gif_without_its_trailer_and_with_more_after_it() -> None:
    data = saved(photo(), "GIF")
    for changed in (data[:-1], data[:-2], data + b"hello world", data[:-1] + b"hello world"):
        assert pixels(changed) == pixels(data)


def test_a_gif_with_missing_rows_is_refused() -> None:
    data = saved(photo(), "GIF")
    clean = pixels(data)
    assert all(refused(data[:end]) or pixels(data[:end]) == clean for end in range(800, len(data)))
    assert refused(data[: len(data) // 2] + b"\0;")


def test_a_moving_gif_or_webp_that_ends_early_gives_its_first_frame() -> None:
    frames = [photo(seed=seed) for seed in range(4)]
    for kind in ("GIF", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=90)
        picture = open_picture(data[: len(data) - 2000])
        assert picture.image.tobytes() == pixels(data) and str(picture.note).startswith("animated: first of ")


def riff(*parts: tuple[bytes, bytes], size: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for name, data in parts
    )
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def webp_parts(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while at < len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        found.append((name, data[at + 8 : at + 8 + size]))
        at += 8 + size + (size & 1)
    return found


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_with_a_wrong_size_and_damaged_extras(lossless: bool) -> None:
    data = lying("WEBP", lossless=lossless, icc_profile=b"profile" * 9, xmp=b"<x/>")
    clean = pixels(data)
    assert open_picture(data).width == 20 and open_picture(data).note is None
    parts = webp_parts(data)
    for size in (0, 50, len(data) + 1000, 2**32 - 1):
        picture = open_picture(riff(*parts, size=size))
        assert picture.image.tobytes() == clean and picture.note in (IGNORED, None)
    for wrong in (b"", b"nonsense"):
        swapped = [(name, wrong if name in (b"ICCP", b"XMP ") else body) for name, body in parts]
        assert pixels(riff(*swapped)) == clean, "still upright"
    lost = riff(*[(name, b"nonsense" if name == b"EXIF" else body) for name, body in parts])
    assert open_picture(lost).width == 40 and "EXIF data is damaged" in str(open_picture(lost).note)
    assert pixels(data[:-3]) == clean, "cut behind the pixels"
    assert pixels(data + b"hello") == clean
    at = data.index(b"ICCP")
    damaged = data[: at + 4] + struct.pack("<I", 5000) + data[at + 8 :]
    assert pixels(damaged) == clean and open_picture(damaged).note in (IGNORED, None)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_cut_webp_is_whole_or_refused(lossless: bool) -> None:
    data = saved(photo(), "WEBP", lossless=lossless)
    clean = pixels(data)
    assert all(refused(data[:end]) or pixels(data[:end]) == clean for end in range(16, len(data)))
    name, body = webp_parts(data)[0]
    for lost in range(1, 60):
        cut = riff((name, body[:-lost]))
        assert refused(cut) or pixels(cut) == clean, lost


def test_a_bmp_with_a_wrong_size_field() -> None:
    data = saved(photo(), "BMP")
    for size in (0, 1, len(data) - 9, 2**32 - 1):
        assert pixels(data[:2] + struct.pack("<I", size) + data[6:]) == pixels(data)
    assert refused(data[:-9])


TIFFS = ("raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits")


def tiff(compression: str) -> bytes:
    tags = {270: "a text that is long enough", 271: "maker", 305: "software", 282: 72.0, 283: 72.0, 296: 2}
    return saved(photo(), "TIFF", compression=compression, tiffinfo=tags, icc_profile=b"x" * 300)


def entries(data: bytes) -> dict[int, int]:
    """Where the entry of each tag of a little-endian TIFF is."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    return {struct.unpack_from("<H", data, spot)[0]: spot for spot in range(at + 2, at + 2 + 12 * count, 12)}


@pytest.mark.parametrize("compression", TIFFS)
def test_a_tiff_with_damaged_tags(compression: str) -> None:
    data = tiff(compression)
    clean = pixels(data)
    assert open_picture(data).note is None
    for tag in (270, 271, 305, 282, 283, 296, 34675):
        spot = entries(data)[tag]
        for kind, count, value in ((0, 1, 1), (99, 5, 5), (2, 2**31, 9), (5, 3, 2**32 - 5), (12, 2**32 - 1, 0)):
            damaged = bytearray(data)
            struct.pack_into("<HII", damaged, spot + 2, kind, count, value)
            picture = open_picture(bytes(damaged))
            assert picture.image.tobytes() == clean and picture.note in (IGNORED, None)


@pytest.mark.parametrize("compression", TIFFS)
def test_a_tiff_with_missing_strips_is_refused(compression: str) -> None:
    data = tiff(compression)
    (directory,) = struct.unpack_from("<I", data, 4)
    moved = bytearray(data)  # the directory first, so that a cut takes pixels
    if directory > 8:
        return
    assert refused(bytes(moved[: len(data) - len(data) // 3]))


def test_the_orientation_of_a_tiff_and_a_damaged_one() -> None:
    data = saved(photo(40, 20), "TIFF", tiffinfo={274: 6, 305: "software"})
    assert open_picture(data).width == 20
    damaged = bytearray(data)
    struct.pack_into("<HII", damaged, entries(data)[305] + 2, 0, 7, 2**32 - 1)
    assert open_picture(bytes(damaged)).width == 20
    struct.pack_into("<HII", damaged, entries(data)[274] + 2, 0, 7, 2**32 - 1)
    assert open_picture(bytes(damaged)).width == 40


Change = Callable[[bytearray, int, int], None]


@settings(max_examples=100, deadline=None)
@given(
    tag=st.sampled_from([270, 271, 305, 282, 283, 296, 34675]),
    entry=st.binary(min_size=10, max_size=10),
    compression=st.sampled_from(TIFFS),
)
def test_any_value_of_an_extra_tag_leaves_the_pixels_of_a_tiff_alone(tag: int, entry: bytes, compression: str) -> None:
    data = bytearray(tiff(compression))
    spot = entries(bytes(data))[tag]
    data[spot + 2 : spot + 12] = entry
    assert pixels(bytes(data)) == pixels(tiff(compression))


def test_libraries_below_pillow_do_not_write_to_the_terminal() -> None:
    data = bytearray(tiff("tiff_deflate"))
    data[60:200] = bytes(140)
    struct.pack_into("<I", data, entries(bytes(data))[296] + 8, 60000)
    opening = "try: open_picture('-')\nexcept ImageError as error: print(error)"
    code = f"from core import ImageError, open_picture\n{opening}"
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], input=bytes(data), capture_output=True, cwd=root, check=True)
    assert done.stderr == b"" and b"truncated or damaged" in done.stdout
