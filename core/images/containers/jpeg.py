"""JPEG (ITU-T T.81): marker segments, then scans of entropy-coded data, then an end marker.

A file whose end marker is missing may be whole or cut. `check_whole` tells them apart without a Huffman decoder:
if the data of the pixels ends before the file does, what is appended to it cannot change a pixel.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from core.images.containers import DamagedError, Parts, ignored

_END: Final = b"\xff\xd9"
_SOI, _EOI, _SOS, _COM, _DHT, _DAC, _DRI, _JPG = 0xD8, 0xD9, 0xDA, 0xFE, 0xC4, 0xCC, 0xDD, 0xC8
_ALONE: Final = (0x01, _SOI, *range(0xD0, 0xD8))  # markers without a length
_PROGRESSIVE: Final = (0xC2, 0xCA)
_MARKER: Final = re.compile(rb"\xff+([^\x00\xff])")
_SCAN_END: Final = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
# Two that differ in every bit, with no byte that could be part of a marker (00 and FF); and nothing at all.
_TAILS: Final = (*(bytes((97 * at + 13) % 254 + 1 ^ flip for at in range(256)) for flip in (0, 0xFF)), b"")
_LAST: Final = 4  # bytes; the fewer, the less likely that random bytes after a cut end just there
_TEXT: Final = bytes(range(32, 127)) + b"\t\r\n"
_CANDIDATES, _SEGMENTS = 2000, 200  # how far a damaged length is looked behind


@dataclass(slots=True)
class Scans:
    """What `check_whole` needs to know of the scans."""

    body: bytes  # everything up to the end of the last scan
    start: int  # of the last scan's entropy-coded data in `body`
    ended: bool  # an end marker follows
    restarts: bool
    rest: bytes  # what follows the body where no end marker does
    depth: dict[int, bytearray] = field(default_factory=dict)  # component: bits still to come, per coefficient

    @property
    def coarse(self) -> bool:
        """A scan that refines the pixels is missing."""
        return any(any(bits) for bits in self.depth.values())

    @property
    def bare(self) -> bool:
        """A component has no scan at all."""
        return any(bits[0] == 255 for bits in self.depth.values())


@dataclass(slots=True)
class JpegParts(Parts):
    """The parts of a JPEG and its scans."""

    scans: Scans = field(kw_only=True)


def reduce(data: bytes, *, animated: bool = False) -> JpegParts:
    """Tables, frame and scans; of the application segments only those that say how colours are coded."""
    bad: dict[str, str] = {}
    info: dict[str, bytes | str] = {}
    kept, size = [b"\xff\xd8"], 2
    scans = Scans(b"", 0, False, False, b"")
    progressive = False
    at = 2
    while found := _MARKER.search(data, at):
        marker, begin = found[1][0], found.end()
        if scans.start and (found.start() != at or marker in (_SOI, *range(0x02, 0xC0))):
            break  # after the scans: not a JPEG's any more
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
            bad["a comment" if marker == _COM else f"APP{marker - 0xE0}"] = "damaged"
            _keep(marker, body, info)
            at = _behind(data, begin)
            continue
        at = end
        if extra and not _keep(marker, body, info):
            continue
        kept.append(b"\xff" + bytes([marker]) + data[begin:end])
        size += 2 + length
        if _frame(marker):
            progressive = marker in _PROGRESSIVE
            scans.depth = {body[spot]: bytearray(b"\xff" * 64) for spot in range(6, len(body) - 2, 3)}
        elif marker == _DRI:
            scans.restarts = any(body)
        elif marker == _SOS:
            _cover(scans.depth, body, progressive)
            scans.start = size
            stop = _SCAN_END.search(data, end)
            at = stop.start() if stop else len(data)
            kept.append(data[end:at])
            size += at - end
    if not scans.start:
        raise DamagedError
    scans.body, scans.rest = b"".join(kept), b"" if scans.ended else data[at:]
    notes = ignored(bad) + ([] if scans.ended else ["its end marker is missing, its pixels are all there"])
    if scans.ended and scans.coarse:
        notes.append("its finest scans are missing")
    return JpegParts(scans.body + _END, info, notes=notes, scans=scans)


def check_whole(scans: Scans, pixels: Callable[[bytes], bytes], *, grey_corner: bool) -> None:
    """Raise DamagedError where pixels are missing.

    `pixels` decodes a file and returns its pixels, or a digest of them. `grey_corner`: the last pixel
    has the grey that decoders put where data is missing. Without it, and with an end marker, nothing is decoded again.
    """
    if scans.bare or (not scans.ended and scans.coarse):
        raise DamagedError
    if scans.ended and not grey_corner and not scans.coarse:
        return
    size = len(scans.body)

    @functools.cache
    def settled(end: int) -> bool:
        """Whether no pixel depends on what follows the first `end` bytes."""
        body = scans.body[:end].rstrip(b"\xff")  # half a stuffed byte or half a marker
        starts = [b""]
        if scans.restarts:  # the decoder may be waiting for the next restart marker
            starts.append(bytes([0xFF, 0xD0 + len(_RESTART.findall(body, scans.start)) % 8]))
        return len({pixels(body + start + tail + _END) for start in starts for tail in _TAILS}) == 1

    if not settled(size):
        raise DamagedError
    # What ends with its pixels depends on its last bytes. Where a filler follows, that is so before the filler:
    # a whole picture takes nothing of it for pixels, a cut one some. An even scan may not depend on anything.
    ends = [end for end in (size, *_ends(scans.body + scans.rest)) if scans.start < end <= size]
    if (
        scans.ended
        or any(settled(end) and not settled(max(end - _LAST, scans.start)) for end in ends)
        or settled(scans.start)
    ):
        return
    raise DamagedError


def _ends(data: bytes) -> list[int]:
    """Where the pixels may end before a filler of repeated bytes or text.

    The last byte of the pixels may itself look like text. Encoders fill its unused bits with ones (T.81 F.1.2.3).
    """
    repeated = len(data.rstrip(data[-1:]))
    repeated += data[repeated - 1 : repeated + 1] == b"\xff\0"  # a stuffed byte is data
    text = len(data.rstrip(_TEXT))
    padded = (end for end in range(text + 1, min(text + 4, len(data) + 1)) if data[end - 1] & 1)
    return [repeated, text, *padded]


def _frame(marker: int) -> bool:
    return 0xC0 <= marker <= 0xCF and marker not in (_DHT, _DAC, _JPG)


def _keep(marker: int, body: bytes, info: dict[str, bytes | str]) -> bool:
    """Whether the decoder needs this application segment; EXIF and XMP go into `info`."""
    if marker == 0xE1 and body.startswith(b"Exif\0\0"):
        before = info.get("exif", b"")
        info["exif"] = before + body[6:] if isinstance(before, bytes) and before else body
    elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        info["xmp"] = body.split(b"\0", 1)[1]
    return (marker == 0xE0 and body.startswith(b"JFIF") and len(body) >= 14) or (
        marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12
    )


def _cover(depth: dict[int, bytearray], header: bytes, progressive: bool) -> None:
    """Note which coefficients of which components the scan of `header` brings, and down to which bit."""
    count = header[0] if header else 0
    if len(header) < 4 + 2 * count:
        raise DamagedError
    first, last, bits = header[1 + 2 * count :][:3] if progressive else (0, 63, 0)
    for spot in range(1, 1 + 2 * count, 2):
        if header[spot] in depth:
            depth[header[spot]][first : last + 1] = bytes([bits & 15]) * (min(last, 63) + 1 - first)


def _behind(data: bytes, start: int) -> int:
    """Where the segments go on behind one with a damaged length: where the largest frame is reached from.

    A thumbnail's segments may lie in the damaged one; the true next segment begins within its longest length.
    """
    best, area = len(data), 0
    for number, found in enumerate(_MARKER.finditer(data, start, start + 65540)):
        if number == _CANDIDATES:
            break
        if (size := _reach(data, found.end() - 2)) > area:
            best, area = found.end() - 2, size
    return best


def _reach(data: bytes, at: int) -> int:
    """Pixels of the frame that the segments from `at` lead to before their scan; 0 where they do not."""
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
