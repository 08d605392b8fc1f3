"""HEIC, JPEG XL and camera raw files: read upright, in sRGB, and refused in one line where they are damaged."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from core.errors import ImageError
from core.images import decode, jxl, tone
from core.images.file_type import KIND_OF, sniff
from core.images.isobmff import read_main_picture
from core.images.picture import open_picture
from tests.core.images.raws import dng

FORMATS = Path(__file__).parents[2] / "fixtures" / "formats"
CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "pictures"
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(width: int = 128, height: int = 64) -> Image.Image:
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def near(image: Image.Image, at: tuple[int, int], colour: tuple[int, int, int], tolerance: int = 8) -> bool:
    pixel = image.getpixel(at)
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, colour, strict=True))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(data: bytes, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        open_picture(data, **options)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500 and caught.value.__cause__ is None
    return message


@pytest.mark.parametrize(
    "name", ["plain.heic", "turned.heic", "tiles.heic", "plain.avif", "turned.avif", "plain.jxl", "turned.jxl"]
)
def test_each_is_read_upright_whether_it_is_stored_sideways_or_not(name: str, tmp_path: Path) -> None:
    picture = open_picture(FORMATS / name)
    assert picture.image.mode == "RGB" and picture.image.size == (128, 64) and picture.note is None
    assert near(picture.image, (10, 30), RED) and near(picture.image, (118, 30), BLUE)
    nameless = tmp_path / "photo"
    nameless.write_bytes((FORMATS / name).read_bytes())
    assert (
        open_picture(nameless).sha256 == picture.sha256 and sniff(nameless.read_bytes()) == KIND_OF[Path(name).suffix]
    )


def test_the_orientation_of_a_heic_is_applied_once_although_exif_repeats_it() -> None:
    data = (FORMATS / "turned.heic").read_bytes()
    assert b"irot" in data and read_main_picture(data).size == (64, 128)
    at = data.index(b"irot") + 4
    unturned = open_picture(data[:at] + b"\0" + data[at + 1 :])
    assert unturned.image.size == (64, 128), "EXIF still says 6, and irot says 0: HEIF counts only the latter"


def test_transparency_and_further_pictures_and_frames() -> None:
    clear = open_picture(FORMATS / "clear.heic").image
    assert near(clear, (10, 30), WHITE) and near(clear, (118, 30), BLUE)
    assert open_picture(FORMATS / "burst.heic").note == "main picture of 2"
    assert open_picture(FORMATS / "animated.jxl").note == "animated: first of several frames"


@pytest.mark.parametrize("name", ["pq.heic", "pq.jxl"])
def test_hdr_pictures_are_tone_mapped(name: str) -> None:
    picture = open_picture(FORMATS / name)
    assert picture.note == "HDR (PQ) tone-mapped to sRGB"
    levels = [picture.image.getpixel((x, 30))[0] for x in (16, 48, 80, 112)]  # type: ignore[index]
    # 0, 100, 203 and 1000 cd/m2: black, and the values of the EETF (test_tone_mapping) in sRGB
    assert all(abs(level - right) <= 2 for level, right in zip(levels, (0, 187, 229, 255), strict=True)), levels


def test_png_and_avif_say_their_colours_in_a_chunk_or_box() -> None:
    import zlib

    png = saved(halves(), "PNG")
    body = b"cICP" + bytes((9, 16, 0, 1))
    at = png.index(b"IDAT") - 4
    hdr = png[:at] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + png[at:]
    assert open_picture(hdr).note == "HDR (PQ) tone-mapped to sRGB"
    avif = bytearray((FORMATS / "plain.avif").read_bytes())
    if (spot := avif.find(b"nclx")) >= 0:
        avif[spot + 4 : spot + 8] = struct.pack(">HH", 12, 13)
        assert open_picture(bytes(avif)).note == "wide-gamut colours converted to sRGB"


def p3_profile() -> bytes:
    """Display P3 as cameras and phones attach it, made from its chromaticities (SMPTE EG 432-1) and sRGB's curve."""
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # Columns of P3's matrix, adapted to D50 (the profile connection space), in s15Fixed16.
    columns = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for name, values in columns.items():
        (offset,) = struct.unpack_from(">I", srgb, srgb.index(name) + 4)
        struct.pack_into(">iii", srgb, offset + 8, *(round(value * 65536) for value in values))
    for name in ("sRGB built-in", "sRGB"):
        wide = name.encode("utf-16-be")
        srgb = bytearray(bytes(srgb).replace(wide, ("P" + name[1:]).encode("utf-16-be")))
    return bytes(srgb)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_icc_profiles_are_applied(kind: str) -> None:
    """The green of P3 (117, 251, 76 for the sRGB green) shows as sRGB's."""
    stored = Image.new("RGB", (32, 32), (117, 251, 76))
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {"quality": 95}
    plain = open_picture(saved(stored, kind, **options)).image
    assert near(plain, (9, 9), (117, 251, 76)), "without a profile nothing changes"
    picture = open_picture(saved(stored, kind, icc_profile=p3_profile(), **options))
    assert near(picture.image, (9, 9), (0, 255, 0)) and picture.note is None


def test_profiles_that_are_damaged_or_belong_to_other_pictures() -> None:
    damaged = bytearray(p3_profile())
    damaged[128:132] = b"\xff\xff\xff\xff"  # the number of its tags
    picture = open_picture(saved(Image.new("RGB", (8, 8), RED), "JPEG", icc_profile=bytes(damaged)))
    assert picture.note == "its colour profile is damaged and was ignored" and near(picture.image, (3, 3), RED)
    grey = open_picture(saved(Image.new("L", (8, 8), 90), "JPEG", icc_profile=p3_profile()))
    assert grey.note is None and near(grey.image, (3, 3), (90, 90, 90), 3)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert near(open_picture(saved(halves(), "PNG", icc_profile=lab)).image, (9, 9), RED)


# --- camera raw -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_raw_file_shows_its_preview_upright(orientation: int) -> None:
    size = (1200, 600) if orientation == 1 else (600, 1200)
    picture = open_picture(dng(halves(), halves(1200, 600), orientation=orientation))
    assert picture.image.size == size
    assert picture.note == f"the raw file's preview of {size[0]} x {size[1]}; the sensor has 128 x 64"
    assert near(picture.image, (9, 9), RED) and near(picture.image, (size[0] - 9, size[1] - 9), BLUE)


def test_a_preview_with_an_orientation_of_its_own_is_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = open_picture(dng(halves(), halves(1200, 600), orientation=6, exif=exif.tobytes()))
    assert picture.image.size == (600, 1200) and near(picture.image, (300, 9), RED)


@pytest.mark.parametrize("preview", [None, (64, 32)])
def test_a_raw_file_without_a_useful_preview_is_developed(preview: tuple[int, int] | None) -> None:
    data = dng(halves(), halves(*preview) if preview else None)
    assert sniff(data) == "RAW"
    picture = open_picture(data)
    assert picture.image.size == (128, 64) and picture.note == "developed from a raw file"
    assert near(picture.image, (10, 30), RED, 40) and near(picture.image, (118, 30), BLUE, 40)


def test_a_large_raw_file_is_developed_at_half_its_size_or_refused() -> None:
    assert open_picture(dng(halves()), max_pixels=4000).note == "developed from a raw file at half its size"
    assert "128 x 64 pixels, more than the 1,000 allowed, and no preview" in refusal(dng(halves()), max_pixels=1000)


def test_a_tiff_is_not_taken_for_a_raw_file() -> None:
    assert sniff(saved(halves(), "TIFF")) == "TIFF"


# --- what is wrong ----------------------------------------------------------------------------------------------------

SAMPLES = ["plain.heic", "turned.heic", "pq.heic", "plain.jxl", "pq.jxl", "plain.avif"]


@pytest.mark.parametrize("name", SAMPLES)
def test_truncated_files_are_called_so(name: str) -> None:
    data = (FORMATS / name).read_bytes()
    kept = max(len(data) * 3 // 4, 40)
    assert "truncated or damaged" in refusal(data[:kept])


def test_names_of_items_that_are_no_text_do_not_reach_the_decoder() -> None:
    """pi-heif 1.4.0 ends the process at such a name; found by `python -m benchmarks.fuzz_pictures --engine atheris`."""
    assert "is a HEIC file that is truncated or damaged" in refusal((FORMATS / "crash.heic").read_bytes())


def test_the_stub_of_a_heic_and_of_a_raw_file() -> None:
    assert "is a HEIC file that is truncated or damaged" in refusal((CASES / "f.heic").read_bytes())
    assert "is a camera raw file that is truncated or damaged" in refusal(b"FUJIFILMCCD-RAW 0201" + bytes(300))
    assert "is a JPEG XL file that is truncated or damaged" in refusal(b"\xff\x0a")


@pytest.mark.parametrize("name", ["plain.heic", "plain.jxl"])
def test_the_pixel_limit_is_checked_before_decoding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import imagecodecs
    import pi_heif

    for module, function in ((imagecodecs, "jpegxl_decode"), (pi_heif, "open_heif")):
        monkeypatch.setattr(module, function, lambda *_, **__: pytest.fail("decoded"))
    message = refusal((FORMATS / name).read_bytes(), max_pixels=8000)
    assert "128 x 64 pixels, more than the 8,000 allowed" in message and "INQUISIGHT_MAX_PIXELS" in message


def test_headers_that_claim_too_much() -> None:
    heic = bytearray((FORMATS / "plain.heic").read_bytes())
    at = heic.index(b"ispe") + 8
    heic[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    assert "60000 x 60000 pixels" in refusal(bytes(heic))
    huge = b"\xff\x0a" + int.to_bytes(0b1 << 95 | (59_999 << 3 | 0b11 << 1 | 0) | (1 << 33), 12, "little")
    header = jxl.read_header(huge)
    assert header is not None and header.width == header.height == 60_000
    assert "60000 x 60000 pixels" in refusal(huge + bytes(100))


@pytest.mark.parametrize(
    ("name", "module", "words"),
    [
        ("plain.heic", "pi_heif", "is a HEIC picture, and an optional part is missing; pip install pi-heif"),
        (
            "plain.jxl",
            "imagecodecs",
            "is a JPEG XL picture, and an optional part is missing; pip install 'inquisight[jxl]'",
        ),
        ("x.dng", "rawpy", "is a camera raw picture, and an optional part is missing; pip install 'inquisight[raw]'"),
    ],
)
def test_without_its_decoder_a_format_names_the_package(
    name: str, module: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dng(halves()) if name == "x.dng" else (FORMATS / name).read_bytes()
    find_spec = decode.find_spec
    monkeypatch.setattr(decode, "find_spec", lambda one: None if one == module else find_spec(one))
    decode.can_decode.cache_clear()
    try:
        assert words in refusal(data)
    finally:
        decode.can_decode.cache_clear()


def test_code_points_that_need_no_conversion() -> None:
    assert not tone.is_needed(1, 13) and not tone.is_needed(2, 2) and tone.is_needed(9, 1) and tone.is_needed(1, 16)
