"""What a file is by its first bytes, before any decoder sees it.

File names lie and decoders are the part of an image library that attackers aim at, so only six
formats get through, and each goes to its own decoder only. Everything else that people commonly
have at hand is recognised too, for the sake of a useful refusal.
"""

from __future__ import annotations

import struct
from typing import Literal, get_args

Kind = Literal["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
)

_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_EXPORT = "export it as PNG or JPEG"

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", f"a PDF document; {_EXPORT} page by page"),
    (b"\x00\x00\x00\x0cJXL ", f"a JPEG XL picture, which is not supported; {_EXPORT}"),
    (b"\xff\x0a", f"a JPEG XL picture, which is not supported; {_EXPORT}"),
    (b"\x00\x00\x00\x0cjP  ", f"a JPEG 2000 picture, which is not supported; {_EXPORT}"),
    (b"\xff\x4f\xff\x51", f"a JPEG 2000 picture, which is not supported; {_EXPORT}"),
    (b"8BPS", f"a Photoshop document; {_EXPORT}"),
    (b"gimp xcf", f"a GIMP document; {_EXPORT}"),
    (b"\x00\x00\x01\x00", f"an icon file, which is not supported; {_EXPORT}"),
    (b"v/1\x01", f"an OpenEXR picture, which is not supported; {_EXPORT}"),
    (b"%!PS", f"a PostScript document; {_EXPORT}"),
    (b"PK\x03\x04", "a ZIP archive or an office document; take the pictures out of it first"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"\x1aE\xdf\xa3", "a video; export a frame of it as PNG or JPEG"),
    (b"version https://git-lfs", "a Git LFS pointer, not the picture itself; run `git lfs pull`"),
)


def sniff(data: bytes) -> Kind | None:
    """The supported format of `data` by its magic bytes, or None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    # Two letters are a weak mark ("BMW is a car"), so the header's own size has to fit as well.
    if data[:2] == b"BM" and len(data) >= 18 and struct.unpack_from("<I", data, 14)[0] in _BMP_HEADER_SIZES:
        return "BMP"
    return None


def explain(data: bytes) -> str:
    """What unsupported `data` is and what to do about it: "a PDF document; export it ..."."""
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[start : start + 4] for start in range(16, 48, 4))}
        if brands & _AVIF_BRANDS:
            return f"an AVIF picture, which is not supported; {_EXPORT}"
        if brands & _HEIF_BRANDS:
            return f"a HEIC picture, which is not supported; {_EXPORT} (phones can be set to take JPEG photos)"
        return "a video; export a frame of it as PNG or JPEG"
    for magic, words in _OTHERS:
        if data.startswith(magic):
            return words
    if data[:4] == b"RIFF":
        return "a sound or video file, not a picture"
    head = data[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head.decode("utf-16", errors="replace")
    else:
        text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    lowered = text.lower()
    if "<svg" in lowered:
        return f"an SVG drawing, which is not supported; {_EXPORT}"
    if "<html" in lowered or lowered.lstrip().startswith("<!doctype html"):
        return "a web page, not a picture (was a download answered with an error page?)"
    if _is_text(text):
        return "text, not a picture"
    return "not a picture in a supported format (PNG, JPEG, WebP, GIF, BMP, TIFF)"


def header_size(kind: Kind, data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels as the header claims them, read without a decoder.

    None where the header is too short or the format keeps its size elsewhere (JPEG and TIFF, whose
    decoders read it without allocating pixels). Offsets: PNG 3rd ed. 11.2.1, GIF89a 18, BITMAPINFOHEADER,
    RFC 9649 2.5-2.7.
    """
    try:
        if kind == "PNG":
            width, height = struct.unpack_from(">II", data, 16)
        elif kind == "GIF":
            width, height = struct.unpack_from("<HH", data, 6)
        elif kind == "BMP":
            old = struct.unpack_from("<I", data, 14)[0] == 12
            width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
        elif kind == "WEBP":
            return _webp_size(data)
        else:
            return None
    except struct.error:
        return None
    return abs(width), abs(height)  # a negative BMP height means rows from the top


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _is_text(text: str) -> bool:
    """Mostly printable characters and line ends: prose, code, data in letters."""
    odd = sum(not (character.isprintable() or character in "\t\r\n\f") or character == "\ufffd" for character in text)
    return odd * 20 <= len(text)
