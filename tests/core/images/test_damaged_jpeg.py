"""A JPEG without its end marker is opened if all its pixels are there; a cut one is refused."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.images.picture import open_picture
from tests.core.images.damage import CASES, IGNORED, lying, photo, pixels, refused, saved

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
    assert off < 0 or IGNORED in str(picture.note)


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
