"""Healthy pixels in a file with damaged, huge or missing parts: read with a note. Missing pixels: refused."""

from __future__ import annotations

import io
import random
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

import core.images.containers.png
from core.errors import ImageError
from core.images.picture import open_picture
from core.video.clip import open_video

CASES = Path(__file__).parents[1] / "fixtures" / "cases" / "pictures"
MIB = 1 << 20
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width: int = 60, height: int = 44, seed: int = 1) -> Image.Image:
    """Soft shapes with some noise, as a photograph has them."""
    draw = random.Random(seed)
    coarse = Image.frombytes("RGB", (8, 6), draw.randbytes(8 * 6 * 3)).resize((width, height))
    return Image.blend(coarse, Image.frombytes("RGB", (width, height), draw.randbytes(width * height * 3)), 0.15)


def pixels(data: bytes) -> bytes:
    return open_picture(data).image.tobytes()


def refused(data: bytes) -> bool:
    """Whether `data` is called truncated; what is read instead is not."""
    try:
        open_picture(data)
    except ImageError as error:
        assert "truncated or damaged" in str(error) and str(error).isprintable()
        return True
    return False


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("iccp.png", "iCCP over 1 MiB"),
        ("ztxt.png", "zTXt over 1 MiB"),
        ("badcrc_text.png", "tEXt damaged"),
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
    assert picture.note == f"extra data ignored: {name.split()[-1]} over 1 MiB"


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
        assert picture.note == f"extra data ignored: {name.decode()} damaged"


def test_text_after_the_pixels_and_after_the_end() -> None:
    clean = pixels(png())
    for data in (png(after=b"hello, world"), png(after=chunk(b"tEXt", b"Comment\0late"))):
        picture = open_picture(data)
        assert picture.image.tobytes() == clean and picture.note is not None and "bytes after its end" in picture.note
    for cut in (b"", b"\0\0", b"\0\0\0\x09tEXtComm"):
        whole = png()[: -len(chunk(b"IEND", b""))] + cut
        picture = open_picture(whole)
        assert picture.image.tobytes() == clean and "its end is missing" in str(picture.note)
    assert open_picture(png(after=bytes(512))).note is None, "padding"


def test_a_damaged_length_in_front_of_the_pixels() -> None:
    clean = pixels(png())
    for length in (0, 5, 30, 700, 2**31, 2**32 - 1):
        damaged = bytearray(chunk(b"tEXt", b"Comment\0a text that is long enough"))
        damaged[:4] = struct.pack(">I", length)
        picture = open_picture(png(bytes(damaged)))
        assert picture.image.tobytes() == clean and "damaged" in str(picture.note), length


def test_pixels_that_are_missing_or_changed_are_refused_in_a_png() -> None:
    parts = chunks(png())
    body = next(body for name, body in parts if name == b"IDAT")
    start, end = SIGNATURE + chunk(*parts[0]), chunk(b"IEND", b"")
    assert refused(start + chunk(b"IDAT", body, crc=7) + end), "the checksum of the pixels"
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


def lying(kind: str, **options: Any) -> bytes:
    """40 x 20 pixels that are to be turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(photo(40, 20), kind, exif=exif, **options)


def test_the_orientation_is_kept_when_another_chunk_is_damaged() -> None:
    exif = next(body for name, body in chunks(lying("PNG")) if name == b"eXIf")
    xmp = b'<x:xmpmeta tiff:Orientation="6"/>'
    for right in (
        chunk(b"eXIf", exif),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp + BIG)),
        chunk(
            b"zTXt",
            b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n   99\n" + (b"Exif\0\0" + exif).hex().encode()),
        ),
    ):
        for wrong in (chunk(b"tEXt", b"a\0b", crc=1), HUGE["iCCP"], b""):
            picture = open_picture(png(wrong + right, image=photo(40, 20)))
            assert (picture.width, picture.height) == (20, 40)
    picture = open_picture(png(chunk(b"eXIf", exif, crc=1), image=photo(40, 20)))
    assert (picture.width, picture.height) == (40, 20) and "eXIf damaged" in str(picture.note)
    picture = open_picture(png(chunk(b"eXIf", b"nonsense"), image=photo(40, 20)))
    assert picture.width == 40 and "EXIF data is damaged" in str(picture.note)


def test_transparency_is_kept_and_a_damaged_one_is_noted() -> None:
    paletted = photo().convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    parts = chunks(saved(paletted, "PNG", transparency=bytes((0, 255, 255, 255))))
    clean = SIGNATURE + b"".join(chunk(*part) for part in parts)
    damaged = SIGNATURE + b"".join(chunk(*part, crc=1 if part[0] == b"tRNS" else None) for part in parts)
    assert (255, 255, 255) in {colour for _, colour in open_picture(clean).image.getcolors() or []}
    assert pixels(damaged) == paletted.convert("RGB").tobytes()
    assert open_picture(damaged).note == "extra data ignored: tRNS damaged"
    short = png(chunk(b"tRNS", b"\0\0\0"))
    assert pixels(short) == pixels(png()) and "tRNS damaged" in str(open_picture(short).note)


def test_bombs_in_text_and_profiles_are_not_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
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
    unpacked = 0
    one = core.images.containers.png._text

    def counted(*arguments: Any) -> int:
        nonlocal unpacked
        spent = one(*arguments)
        unpacked += spent
        return spent

    monkeypatch.setattr(core.images.containers.png, "_text", counted)
    assert pixels(png(chunk(b"zTXt", b"c\0\0" + zlib.compress(bytes(MIB))) * 200)) == clean
    assert unpacked <= 17 * MIB, "200 MiB in small chunks"


def test_an_animation_with_damaged_text(tmp_path: Path) -> None:
    frames = [photo(seed=seed) for seed in (1, 2, 3)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)
    at = data.index(b"IDAT") - 4
    damaged = data[:at] + chunk(b"tEXt", b"a\0b", crc=1) + HUGE["zTXt"] + data[at:]
    picture = open_picture(damaged)
    assert picture.image.tobytes() == frames[0].tobytes()
    assert picture.note == "animated: first of 3 frames; extra data ignored: tEXt damaged, zTXt over 1 MiB"
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


# --- JPEG ---------------------------------------------------------------------------------------------------------

JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "fine": {"quality": 95, "subsampling": 0},
    "coarse": {"quality": 15},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 1},
}
MODES = ("RGB", "L", "CMYK")


def jpeg(kind: str = "baseline", mode: str = "RGB", image: Image.Image | None = None, **options: Any) -> bytes:
    return saved((image or photo(90, 70)).convert(mode), "JPEG", **JPEGS[kind], **options)


def scan_of(data: bytes) -> int:
    """Where the data of the first scan begins."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_end_marker(kind: str, mode: str) -> None:
    data = jpeg(kind, mode)
    clean = pixels(data)
    assert open_picture(data).note is None
    for tail in (b"", b"\xff", b"\0", bytes(700), b"\xff" * 9, b"\n", data, b"\xff\xe0\0\x10JF"):
        picture = open_picture(data[:-2] + tail)
        assert picture.image.tobytes() == clean, tail[:8]
        assert picture.note == "its end marker is missing, its pixels are all there"


def test_text_after_a_jpeg_with_and_without_its_end_marker() -> None:
    data = (CASES / "noeoi.jpg").read_bytes()
    clean = pixels(data)
    for tail in (b"This is some text.\n", b"<!-- saved by a tool -->" * 20):
        assert pixels(data + tail) == clean
        assert open_picture(data + b"\xff\xd9" + tail).note is None


@pytest.mark.parametrize(
    "picture", [Image.new("RGB", (50, 40), colour) for colour in ("black", "white", "grey", "red")]
)
@pytest.mark.parametrize("kind", JPEGS)
def test_an_even_picture_without_its_end_marker(kind: str, picture: Image.Image) -> None:
    data = jpeg(kind, image=picture)
    assert pixels(data[:-2]) == pixels(data)
    for end in range(scan_of(data) + 1, len(data) - 2):
        assert refused(data[:end]) or pixels(data[:end]) == pixels(data)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_cut_jpeg_is_refused_whatever_follows_the_cut(kind: str, mode: str) -> None:
    data = jpeg(kind, mode)
    start = scan_of(data)
    draw = random.Random(kind + mode)
    for end in sorted(draw.sample(range(start, len(data) - 2), 10)):
        for tail in (b"", b"\xff", bytes(5000), b"\xff" * 9):
            assert refused(data[:end] + tail) or pixels(data[:end] + tail) == pixels(data), (end, tail[:3])
    half = data[: (start + len(data)) // 2]
    garbage = draw.randbytes(4000).replace(b"\xff", b"")
    assert refused(half + garbage) and refused(half + b"This is some text.\n" * 300)
    if "progressive" not in kind:
        assert refused(half + b"\xff\xd9"), "an end marker does not bring the pixels back"


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    data = jpeg("progressive")
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for at in scans[1:]:
        assert refused(data[:at]), "what is there is complete, but it is not all"
    picture = open_picture(data[: scans[-1]] + b"\xff\xd9")
    assert picture.note == "its finest scans are missing", "valid as it is"


def segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2 if length is None else length) + body


THUMBNAIL = b"Exif\0\0II*\0\x08\0\0\0" + b"\0\0\0\0\0\0" + saved(photo(16, 12), "JPEG")
SEGMENTS: dict[str, bytes] = {
    "EXIF of nonsense": segment(0xE1, b"Exif\0\0" + b"nonsense" * 9),
    "EXIF with a thumbnail": segment(0xE1, THUMBNAIL),
    "EXIF cut": segment(0xE1, b"Exif\0\0II*\0\xff\xff\0\0"),
    "ICC without numbers": segment(0xE2, b"ICC_PROFILE\0"),
    "ICC of which a part is missing": segment(0xE2, b"ICC_PROFILE\0\x02\x05" + bytes(50)),
    "MPF of nonsense": segment(0xE2, b"MPF\0MM\0*\xff\xff\xff\xff"),
    "short JFIF": segment(0xE0, b"JFIF\0"),
    "short Adobe": segment(0xEE, b"Adobe\0"),
    "Photoshop": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\xff\xff\xff\xff"),
    "a long comment": segment(0xFE, b"comment " * 8000),
    "XMP that is not XML": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0\xff\xfe<"),
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_segments_with_nonsense(name: str) -> None:
    for kind in ("baseline", "progressive"):
        data = jpeg(kind)
        assert pixels(data[:2] + SEGMENTS[name] + data[2:]) == pixels(data)
        assert pixels(data[:20] + SEGMENTS[name] + data[20:]) == pixels(data), "behind JFIF"


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("off", [-30, -3, 1, 5, 40, 130, 20000])
def test_segments_with_a_damaged_length(name: str, off: int) -> None:
    data = jpeg()
    body = SEGMENTS[name][4:]
    wrong = segment(SEGMENTS[name][1], body, max(2, min(0xFFFF, len(body) + 2 + off)))
    picture = open_picture(data[:20] + wrong + data[20:])
    assert picture.image.tobytes() == pixels(data)
    assert off < 0 or "damaged" in str(picture.note)


def test_the_orientation_of_a_jpeg_is_kept_when_another_segment_is_damaged() -> None:
    data = lying("JPEG")
    clean = pixels(data)
    for wrong in (SEGMENTS["ICC without numbers"], segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(90), 4)):
        for at in (2, 20):
            picture = open_picture(data[:at] + wrong + data[at:])
            assert (picture.width, picture.height) == (20, 40) and picture.image.tobytes() == clean
    xmp = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>')
    upright = saved(photo(40, 20), "JPEG")
    assert open_picture(upright[:20] + xmp + upright[20:-2]).width == 20


def test_a_jpeg_is_decoded_once_unless_there_is_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = 0
    load = Image.Image.load

    def counted(self: Image.Image) -> Any:
        nonlocal loads
        loads += self.__class__.__name__ == "JpegImageFile" and bool(getattr(self, "tile", None))
        return load(self)

    monkeypatch.setattr(Image.Image, "load", counted)
    open_picture(jpeg())
    assert loads == 1
    open_picture(jpeg()[:-2])
    assert 1 < loads < 40


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(list(JPEGS)),
    mode=st.sampled_from(MODES),
    size=st.tuples(st.integers(17, 70), st.integers(17, 70)),
    seed=st.integers(0, 9),
    where=st.floats(0, 0.97),
    tail=st.sampled_from([b"", b"\xff", bytes(3000)]),
)
def test_cut_jpegs_never_pass(
    kind: str, mode: str, size: tuple[int, int], seed: int, where: float, tail: bytes
) -> None:
    data = jpeg(kind, mode, photo(*size, seed=seed))
    start = scan_of(data)
    assert pixels(data[:-2]) == pixels(data)
    cut = data[: start + int((len(data) - 2 - start) * where)] + tail
    assert refused(cut) or pixels(cut) == pixels(data)


@settings(max_examples=100, deadline=None)
@given(marker=st.integers(0xE0, 0xEF) | st.just(0xFE), body=st.binary(max_size=60), kind=st.sampled_from(list(JPEGS)))
def test_any_segment_leaves_the_pixels_of_a_jpeg_alone(marker: int, body: bytes, kind: str) -> None:
    data = jpeg(kind)
    if not body.startswith((b"JFIF", b"Adobe")):
        assert pixels(data[:20] + segment(marker, body) + data[20:]) == pixels(data)


# --- GIF, WebP, BMP, TIFF -----------------------------------------------------------------------------------------


def test_a_gif_without_its_trailer_and_with_more_after_it() -> None:
    data = saved(photo(), "GIF")
    clean = pixels(data)
    assert open_picture(data).note is None
    for end in (1, 2):
        picture = open_picture(data[:-end])
        assert picture.image.tobytes() == clean and picture.note == "its end is missing"
    assert "11 bytes after its end" in str(open_picture(data + b"hello world").note)
    assert pixels(data[:-1] + b"hello world") == clean
    commented = saved(photo(), "GIF", comment=b"a comment, " * 30)
    at = commented.index(b"!\xfe")
    for length in (1, 3, 90, 254):
        assert pixels(commented[: at + 2] + bytes([length]) + commented[at + 3 :]) == clean, length


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
        assert picture.image.tobytes() == pixels(data)

        assert str(picture.note).startswith("animated: first of ") and "its end is missing" in str(picture.note)


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
        assert picture.image.tobytes() == clean and "size field is wrong" in str(picture.note)
    for wrong in (b"", b"nonsense"):
        swapped = [(name, wrong if name in (b"ICCP", b"XMP ") else body) for name, body in parts]
        assert pixels(riff(*swapped)) == clean, "still upright"
    lost = riff(*[(name, b"nonsense" if name == b"EXIF" else body) for name, body in parts])
    assert open_picture(lost).width == 40 and "EXIF data is damaged" in str(open_picture(lost).note)
    assert pixels(data[:-3]) == clean, "cut behind the pixels"
    assert pixels(data + b"hello") == clean
    at = data.index(b"ICCP")
    damaged = data[: at + 4] + struct.pack("<I", 5000) + data[at + 8 :]
    assert pixels(damaged) == clean and "ICCP damaged" in str(open_picture(damaged).note)


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
    for size in (1, len(data) - 9, 2**32 - 1):
        picture = open_picture(data[:2] + struct.pack("<I", size) + data[6:])
        assert picture.image.tobytes() == pixels(data) and "size field is wrong" in str(picture.note)
    assert open_picture(data[:2] + bytes(4) + data[6:]).note is None, "zero: not said"
    assert open_picture(data).note is None and refused(data[:-9])


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
            assert picture.image.tobytes() == clean
            assert picture.note == f"extra data ignored: tag {tag} damaged"


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
    picture = open_picture(bytes(damaged))
    assert picture.width == 40 and "tag 274 damaged" in str(picture.note)


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
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], input=bytes(data), capture_output=True, cwd=root, check=True)
    assert done.stderr == b"" and b"truncated or damaged" in done.stdout
