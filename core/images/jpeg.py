"""Find out whether a JPEG (ITU-T T.81) has all its pixels; libjpeg fills missing ones with grey and reports nothing.

A file without an end marker may be complete or cut. `check_whole` tells them apart without a Huffman decoder: if the
file is complete, bytes appended to it do not change a pixel.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from core.images.salvage import NOTE

_END: Final = b"\xff\xd9"
_SOI, _EOI, _SOS, _COM, _DHT, _DAC, _DRI, _JPG = 0xD8, 0xD9, 0xDA, 0xFE, 0xC4, 0xCC, 0xDD, 0xC8
_ALONE: Final = (0x01, _SOI, *range(0xD0, 0xD8))  # markers without a length
_PROGRESSIVE: Final = (0xC2, 0xCA)
_MARKER: Final = re.compile(rb"\xff+([^\x00\xff])")
_SCAN_END: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
# Two that differ in every bit, without bytes that could be part of a marker (00 and FF); and an empty one.
_TAILS: Final = (*(bytes((97 * at + 13) % 254 + 1 ^ flip for at in range(256)) for flip in (0, 0xFF)), b"")
_LONGEST_PROFILE: Final = 8_000_000  # bytes
_ARITHMETIC: Final = 0xC9  # the first frame marker of arithmetic coding
_LAST: Final = 4  # bytes; the fewer, the less likely that random bytes after a cut end just there
_TEXT: Final = bytes(range(32, 127)) + b"\t\r\n"
_CANDIDATES, _SEGMENTS = 2000, 200  # limits of the search behind a damaged length


class DamagedError(Exception):
    """Pixels are missing, or a segment that they need is damaged."""


@dataclass(slots=True)
class Scans:
    """The scans of a JPEG, as `check_whole` needs them."""

    body: bytes  # everything up to the end of the last scan
    start: int  # of the last scan's entropy-coded data in `body`
    ended: bool  # an end marker follows
    restarts: bool
    rest: bytes  # bytes after the body, if there is no end marker
    depth: dict[int, bytearray] = field(default_factory=dict)  # component: bits still to come, per coefficient
    frame: tuple[int, bytes] = (0, b"")  # (marker, body) of the frame header
    buffered: bool = False  # several scans: the decoder keeps all coefficients in memory

    @property
    def coarse(self) -> bool:
        """A scan that refines the pixels is missing."""
        return any(any(bits) for bits in self.depth.values())

    @property
    def bare(self) -> bool:
        """A component has no scan at all."""
        return any(bits[0] == 255 for bits in self.depth.values())


@dataclass(slots=True)
class JpegParts:
    """A JPEG without the metadata that its pixels do not need."""

    data: bytes  # for the decoder
    info: dict[str, bytes]  # EXIF, XMP and the ICC profile under Pillow's keys
    scans: Scans
    notes: list[str]  # for the user


def parse_jpeg(data: bytes) -> JpegParts:
    """Keep tables, frame, scans and the application segments that define the colours. Raises DamagedError."""
    info: dict[str, bytes] = {}
    kept, size = [b"\xff\xd8"], 2
    scans = Scans(b"", 0, False, False, b"")
    progressive = damaged = False
    at = 2
    while found := _MARKER.search(data, at):
        marker, begin = found[1][0], found.end()
        if scans.start and (found.start() != at or marker in (_SOI, *range(0x02, 0xC0))):
            break  # foreign bytes after the scans
        if marker == _EOI and scans.start:
            scans.ended = True
            break
        at = begin
        if marker in _ALONE or marker == _EOI:
            continue
        length = int.from_bytes(data[begin : begin + 2])
        end, body = begin + length, data[begin + 2 : begin + length]
        extra = marker == _COM or 0xE0 <= marker <= 0xEF
        if length < 2 or end > len(data) or (extra and data[end : end + 1] != b"\xff"):
            if scans.start:
                break
            if not extra:
                raise DamagedError
            damaged = True
            _keep(marker, body, info)
            at = _behind(data, begin)
            continue
        at = end
        if extra and not _keep(marker, body, info):
            continue
        kept.append(b"\xff" + bytes([marker]) + data[begin:end])
        size += 2 + length
        if _frame(marker):
            progressive = scans.buffered = marker in _PROGRESSIVE
            scans.frame = (marker, body)
            scans.depth = {body[spot]: bytearray(b"\xff" * 64) for spot in range(6, len(body) - 2, 3)}
        elif marker == _DRI:
            scans.restarts = any(body)
        elif marker == _SOS:
            _cover(scans.depth, body, progressive)
            scans.buffered = scans.buffered or body[0] < len(scans.depth)
            scans.start = size
            stop = _SCAN_END.search(data, end)
            at = stop.start() if stop else len(data)
            kept.append(data[end:at])
            size += at - end
    if not scans.start:
        raise DamagedError
    scans.body, scans.rest = b"".join(kept), b"" if scans.ended else data[at:]
    notes = [NOTE] if damaged else []
    if not scans.ended:
        notes.append("its end marker is missing, its pixels are all there")
    if scans.ended and scans.coarse:
        notes.append("its finest scans are missing")
    return JpegParts(scans.body + _END, info, scans, notes)


def check_whole(scans: Scans, pixels: Callable[[bytes], bytes], *, grey_corner: bool) -> None:
    """Raise DamagedError if pixels are missing.

    `pixels` decodes a file and returns its pixels or their digest. `grey_corner`: the last pixel has the grey that
    libjpeg writes where data is missing. A file with an end marker and without that grey is not decoded again.
    """
    if scans.bare or (not scans.ended and scans.coarse):
        raise DamagedError
    if scans.ended and not grey_corner and not scans.coarse:
        return
    size = len(scans.body)

    @functools.cache
    def settled(end: int) -> bool:
        """Whether no pixel depends on the bytes after the first `end`."""
        body = scans.body[:end].rstrip(b"\xff")  # half a stuffed byte or half a marker
        starts = [b""]
        if scans.restarts:  # the decoder may expect the next restart marker
            starts.append(bytes([0xFF, 0xD0 + len(_RESTART.findall(body, scans.start)) % 8]))
        return len({pixels(body + start + tail + _END) for start in starts for tail in _TAILS}) == 1

    if not settled(size):
        raise DamagedError
    # A complete picture depends on its last bytes, or on the last ones before a filler. A cut one takes some of the
    # filler for pixels. A picture of one colour may depend on no byte at all.
    ends = [end for end in (size, *_ends(scans.body + scans.rest)) if scans.start < end <= size]
    if (
        scans.ended
        or any(settled(end) and not settled(max(end - _LAST, scans.start)) for end in ends)
        or settled(scans.start)
    ):
        return
    raise DamagedError


def blocks_of(scans: Scans) -> int:
    """The number of 8 x 8 blocks of all components (T.81 A.1.1, A.2)."""
    _, body = scans.frame
    height, width, count = int.from_bytes(body[1:3]), int.from_bytes(body[3:5]), body[5]
    sampling = [(body[6 + 3 * part + 1] >> 4, body[6 + 3 * part + 1] & 15) for part in range(count)]
    most_across, most_down = max(across for across, _ in sampling), max(down for _, down in sampling)
    if min(most_across, most_down) < 1:
        raise DamagedError
    return sum(
        -(-width * across // (8 * most_across)) * -(-height * down // (8 * most_down)) for across, down in sampling
    )


def scale_for(scans: Scans, size: tuple[int, int], max_pixels: int) -> int | None:
    """The smallest of 2, 4 and 8 by which the decoder has to scale down; None if that takes too much memory or work.

    Raises DamagedError if the file is too short for its size: each block takes a bit at least.
    """
    blocks = blocks_of(scans)
    arithmetic = scans.frame[0] >= _ARITHMETIC
    if blocks > 8 * len(scans.body) and not arithmetic:
        raise DamagedError
    # A coefficient takes two bytes. As many are allowed as pixels in RGB at the limit, with a copy.
    if arithmetic or (scans.buffered and 64 * 2 * blocks > 6 * max_pixels):
        return None
    width, height = size
    return next((scale for scale in (2, 4, 8) if -(-width // scale) * -(-height // scale) <= max_pixels), None)


def _ends(data: bytes) -> list[int]:
    """Offsets at which the pixels may end, before a filler of repeated bytes or text.

    The last byte of the pixels may look like text. Encoders fill its unused bits with ones (T.81 F.1.2.3).
    """
    repeated = len(data.rstrip(data[-1:]))
    repeated += data[repeated - 1 : repeated + 1] == b"\xff\0"  # a stuffed byte is data
    text = len(data.rstrip(_TEXT))
    padded = (end for end in range(text + 1, min(text + 4, len(data) + 1)) if data[end - 1] & 1)
    return [repeated, text, *padded]


def _frame(marker: int) -> bool:
    return 0xC0 <= marker <= 0xCF and marker not in (_DHT, _DAC, _JPG)


def _keep(marker: int, body: bytes, info: dict[str, bytes]) -> bool:
    """Whether the decoder needs this application segment; adds EXIF and XMP to `info`."""
    if marker == 0xE1 and body.startswith(b"Exif\0\0"):
        info["exif"] = info["exif"] + body[6:] if "exif" in info else body
    elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        info["xmp"] = body.split(b"\0", 1)[1]
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(info.get("icc_profile", b"")) < _LONGEST_PROFILE:
        info["icc_profile"] = info.get("icc_profile", b"") + body[14:]  # encoders write the parts in order
    return (marker == 0xE0 and body.startswith(b"JFIF") and len(body) >= 14) or (
        marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12
    )


def _cover(depth: dict[int, bytearray], header: bytes, progressive: bool) -> None:
    """Record which coefficients the scan of `header` carries, and down to which bit."""
    count = header[0] if header else 0
    if len(header) < 4 + 2 * count:
        raise DamagedError
    first, last, bits = header[1 + 2 * count :][:3] if progressive else (0, 63, 0)
    for spot in range(1, 1 + 2 * count, 2):
        if header[spot] in depth:
            depth[header[spot]][first : last + 1] = bytes([bits & 15]) * (min(last, 63) + 1 - first)


def _behind(data: bytes, start: int) -> int:
    """Find the segment after one with a damaged length: the one that leads to the largest frame.

    The damaged segment may contain those of a thumbnail; the next one begins within 64 KiB.
    """
    best, area = len(data), 0
    for number, found in enumerate(_MARKER.finditer(data, start, start + 65540)):
        if number == _CANDIDATES:
            break
        if (size := _reach(data, found.end() - 2)) > area:
            best, area = found.end() - 2, size
    return best


def _reach(data: bytes, at: int) -> int:
    """Pixels of the frame that the segments from `at` lead to before their scan, or 0."""
    size = 0
    for _ in range(_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            return 0
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if marker == _SOS:
            return size
        if marker < 0xC0 or marker in (*_ALONE, _EOI, 0xFF) or length < 2:
            return 0
        if _frame(marker):
            size = int.from_bytes(data[at + 5 : at + 7]) * int.from_bytes(data[at + 7 : at + 9])
        at += 2 + length
    return 0
