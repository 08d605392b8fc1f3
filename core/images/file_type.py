"""Detect a file's format from its first bytes, before a decoder reads it.

Suffixes can be wrong, and decoders are a common target of attacks. So only the formats of `Kind` are supported, each
with its own decoder. Other common formats are recognised for a useful error message.

All that lists formats (folders, batches, shards, the dashboard, the servers, messages) reads the tables of this module.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final, Literal

Kind = Literal["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "JXL", "PPM", "ICO", "RAW"]
SUFFIXES_OF: Final[dict[Kind, tuple[str, ...]]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "HEIF": (".heic", ".heif", ".heics", ".heifs", ".hif"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "JXL": (".jxl",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "ICO": (".ico",),
    "RAW": tuple(
        ".dng .3fr .arw .cr2 .cr3 .crw .dcr .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl .sr2 "
        ".srf .srw .x3f".split()
    ),
}
SUFFIXES: Final = frozenset(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)
WORDS: Final[dict[Kind, str]] = {  # the name of a format in a sentence, with its article
    "PNG": "a PNG",
    "JPEG": "a JPEG",
    "WEBP": "a WebP",
    "GIF": "a GIF",
    "BMP": "a BMP",
    "TIFF": "a TIFF",
    "AVIF": "an AVIF",
    "HEIF": "a HEIC",
    "JPEG2000": "a JPEG 2000",
    "JXL": "a JPEG XL",
    "PPM": "a PPM",
    "ICO": "an ICO",
    "RAW": "a camera raw",
}
NAMES: Final[dict[Kind, str]] = {kind: words.partition(" ")[2] for kind, words in WORDS.items()}
SUPPORTED: Final = ", ".join(NAMES.values())
KIND_OF: Final = {suffix: kind for kind, suffixes in SUFFIXES_OF.items() for suffix in suffixes}

_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_PPM = re.compile(rb"P[1-6f](?:\s|#[^\r\n]*[\r\n])+\d{1,10}(?:\s|#[^\r\n]*[\r\n])+\d{1,10}\s")
# The codestream at the file's beginning, or in its box, whose length has 4 or 12 bytes.
_JPEG2000_SIZE = re.compile(rb"(?:\A|jp2c(?:.{8})?)\xff\x4f\xff\x51", re.DOTALL)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_EXPORT = "export it as PNG or JPEG"

# (first bytes, name of an unsupported picture format, description for the message)
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF-", "PDF", f"a PDF document; {_EXPORT} page by page"),
    (b"8BPS", "Photoshop", f"a Photoshop document; {_EXPORT}"),
    (b"gimp xcf", "GIMP", f"a GIMP document; {_EXPORT}"),
    (b"v/1\x01", "OpenEXR", f"an OpenEXR picture, which is not supported; {_EXPORT}"),
    (b"%!PS", "PostScript", f"a PostScript document; {_EXPORT}"),
    (b"PK\x03\x04", "", "a ZIP archive or an office document; take the pictures out of it first"),
    (b"\x1f\x8b", "", "a gzip archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "", "a 7-Zip archive; unpack it first"),
    (b"\x1aE\xdf\xa3", "", "a video; export a frame of it as PNG or JPEG"),
    (b"version https://git-lfs", "", "a Git LFS pointer, not the picture itself; run `git lfs pull`"),
)
# By suffix, where the first bytes do not tell.
OTHER_SUFFIXES: Final[dict[str, str]] = {
    suffix: name
    for name, suffixes in {
        "Photoshop": ".psd .psb",
        "GIMP": ".xcf",
        "SVG": ".svg .svgz",
        "PDF": ".pdf",
        "PostScript": ".eps .ps .ai",
        "OpenEXR": ".exr",
        "Radiance HDR": ".hdr",
        "TGA": ".tga .targa",
        "PCX": ".pcx",
        "DDS": ".dds",
        "QOI": ".qoi",
        "JPEG XR": ".jxr .wdp .hdp",
        "FITS": ".fits .fit",
        "DICOM": ".dcm .dicom",
        "Windows metafile": ".wmf .emf",
        "Apple icon": ".icns",
        "cursor": ".cur",
        "DjVu": ".djvu .djv",
    }.items()
    for suffix in suffixes.split()
}
# First bytes of camera raw files that are no TIFF: Canon, Fujifilm, Olympus, Panasonic, Sigma, Minolta.
_RAWS: Final = (b"II*\0\x10\0\0\0CR", b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_TIFFS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DNG_VERSION, _SUB_IFDS, _PHOTOMETRIC, _SENSOR = 50706, 330, 262, (32803, 34892)  # DNG 1.7: CFA, LinearRaw


def sniff(data: bytes) -> Kind | None:
    """The supported format of `data` by its magic bytes, or None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(_RAWS) or data[6:14] == b"HEAPCCDR" or data[4:12] == b"ftypcrx ":
        return "RAW"
    if data.startswith(_TIFFS):
        return "RAW" if _is_raw_tiff(data) else "TIFF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    # Two letters are a weak signature ("BMW is a car"), so the header size has to match as well.
    if data[:2] == b"BM" and len(data) >= 18 and struct.unpack_from("<I", data, 14)[0] in _BMP_HEADER_SIZES:
        return "BMP"
    if data[4:8] == b"ftyp" and (found := brands(data)) & (_AVIF_BRANDS | _HEIF_BRANDS):
        return "AVIF" if found & _AVIF_BRANDS else "HEIF"
    if data.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n")):
        return "JXL"
    if data.startswith((b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "JPEG2000"
    if _PPM.match(data[:4096]):  # "P5 is a paper size" has the signature, but no size after it
        return "PPM"
    if data[:4] == b"\x00\x00\x01\x00" and _ico_offsets(data):
        return "ICO"
    return None


def _is_raw_tiff(data: bytes) -> bool:
    """Whether a TIFF holds values of a camera's sensor (DNG, NEF, ARW, PEF and others), as far as `data` shows."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        waiting = [struct.unpack_from(f"{order}I", data, 4)[0]]
        for at in waiting:
            (count,) = struct.unpack_from(f"{order}H", data, at)
            for spot in range(at + 2, at + 2 + 12 * min(count, 200), 12):
                tag, kind, items, value = struct.unpack_from(f"{order}HHII", data, spot)
                if tag == _DNG_VERSION:
                    return True
                if tag == _PHOTOMETRIC and kind == 3:
                    if struct.unpack_from(f"{order}H", data, spot + 8)[0] in _SENSOR:
                        return True
                elif tag == _SUB_IFDS and at == waiting[0] and kind in (4, 13):
                    some = min(items, 8)
                    waiting += [value] if some == 1 else struct.unpack_from(f"{order}{some}I", data, value)
    except struct.error:
        pass
    return False


def brands(data: bytes) -> set[bytes]:
    """The brands in the first box of an ISO base media file (HEIC, AVIF, MP4)."""
    length = min(struct.unpack_from(">I", data)[0], 256, len(data))
    return {data[8:12], *(data[start : start + 4] for start in range(16, length, 4))}


def other_picture(data: bytes) -> str | None:
    """The name of a recognised but unsupported picture format, such as "PDF"; None for anything else."""
    return next((name for magic, name, _ in _OTHERS if name and data.startswith(magic)), None)


def explain(data: bytes) -> str:
    """Describe unsupported `data` and the way out: "a PDF document; export it ..."."""
    if data[4:8] == b"ftyp":
        return "a video; export a frame of it as PNG or JPEG"
    for magic, _, words in _OTHERS:
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
    return f"not a picture in a supported format ({SUPPORTED})"


def header_size(kind: Kind, data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels from the header, for formats whose decoders allocate pixels when they open a file.

    None for other formats and for a header that is too short; the largest of several sizes. Offsets: RFC 9649
    2.5-2.7, ITU-T T.800 A.5.1 (SIZ).
    """
    try:
        if kind == "WEBP":
            return _webp_size(data)
        if kind == "JPEG2000":
            return max(_jpeg2000_sizes(data), key=_area, default=None)
        return max(_ico_sizes(data), key=_area, default=None) if kind == "ICO" else None
    except struct.error:
        return None


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _jpeg2000_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """The size of each codestream; the box before it may state another one."""
    for found in _JPEG2000_SIZE.finditer(data):
        edges = data[found.end() + 4 : found.end() + 20]
        if len(edges) == 16:
            right, bottom, left, top = struct.unpack(">IIII", edges)
            yield max(0, right - left), max(0, bottom - top)


def _ico_offsets(data: bytes) -> list[int]:
    """Offsets of the pictures in an icon file; empty for any other file."""
    if len(data) < 22:
        return []
    (count,) = struct.unpack_from("<H", data, 4)
    table = data[6 : 6 + 16 * count]
    entries = [table[start : start + 16] for start in range(0, len(table) - 15, 16)]
    offsets = [struct.unpack_from("<I", entry, 12)[0] for entry in entries]
    fits = all(entry[3] == 0 for entry in entries) and all(offset >= 6 + 16 * count for offset in offsets)
    return offsets if fits else []


def _ico_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """The size of each picture in an icon file: a PNG, or a BMP of double height for its mask."""
    for offset in _ico_offsets(data):
        head = data[offset : offset + 24]
        if len(head) < 24:
            continue
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            yield struct.unpack_from(">II", head, 16)
        else:
            width, height = struct.unpack_from("<HH" if head[:4] == b"\x0c\0\0\0" else "<ii", head, 4)
            yield abs(width), abs(height) // 2


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
    """Whether at least 95 % of the characters are printable or line breaks."""
    odd = sum(not (character.isprintable() or character in "\t\r\n\f") or character == "\ufffd" for character in text)
    return odd * 20 <= len(text)
