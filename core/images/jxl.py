"""Read JPEG XL with imagecodecs (libjxl), after the size and colours in its header (ISO/IEC 18181-1:2024, D.3, E)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from core.images.isobmff import boxes

_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height, D.3.2
_CONTAINER: Final = b"\x00\x00\x00\x0cJXL \r\n\x87\n"


class ShortError(Exception):
    """The header is cut or has a value that the standard does not allow."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known before decoding."""

    width: int
    height: int
    channels: int = 3  # colour and extra ones
    animated: bool = False
    primaries: int = 1  # H.273
    transfer: int = 13
    unapplied_icc: bool = False  # the pixels are in the space of an ICC profile, which the decoder does not give


def read_header(data: bytes) -> Header | None:
    """The header of the codestream, None if it is damaged."""
    try:
        return _header(_Bits(_codestream(data)))
    except ShortError:
        return None


def decode(data: bytes) -> Image.Image:
    """The first frame, upright, as 8-bit L, LA, RGB or RGBA. Raises whatever the decoder raises."""
    import imagecodecs
    import numpy as np

    array: Any = imagecodecs.jpegxl_decode(data, index=0)
    if array.dtype == np.uint16:
        array = ((array + np.uint32(128)) // 257).astype(np.uint8)
    elif array.dtype != np.uint8:
        array = (np.clip(np.nan_to_num(array.astype(np.float32)), 0, 1) * 255 + 0.5).astype(np.uint8)
    array = array[..., None] if array.ndim == 2 else array
    channels = min(array.shape[2], 4)
    array = np.ascontiguousarray(array[:, :, :channels])
    return Image.fromarray(array[:, :, 0] if channels == 1 else array)


def _codestream(data: bytes) -> bytes:
    """The beginning of the codestream, alone or in boxes (18181-2)."""
    if not data.startswith(_CONTAINER):
        return data[:4096]
    for name, start, end in boxes(data, 0, len(data)):
        if name in (b"jxlc", b"jxlp"):
            start += 4 if name == b"jxlp" else 0
            return data[start : min(end, start + 4096)]
    raise ShortError


class _Bits:
    """Reads bits from the least significant one on (B.2)."""

    def __init__(self, data: bytes) -> None:
        if data[:2] != b"\xff\x0a":
            raise ShortError
        self.value, self.left = int.from_bytes(data[2:], "little"), 8 * (len(data) - 2)

    def u(self, count: int) -> int:
        if count > self.left:
            raise ShortError
        found = self.value & ((1 << count) - 1)
        self.value >>= count
        self.left -= count
        return found

    def u32(self, *ways: tuple[int, int]) -> int:
        """One of four ways: (added value, bits) (B.2.2)."""
        added, bits = ways[self.u(2)]
        return added + self.u(bits)

    def enum(self) -> int:
        return self.u32((0, 0), (1, 0), (2, 4), (18, 6))


def _size(bits: _Bits) -> tuple[int, int]:
    """SizeHeader (D.3.2)."""
    small = bits.u(1)

    def side() -> int:
        return 8 * (bits.u(5) + 1) if small else bits.u32((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.u(3)
    if ratio == 0:
        return side(), height
    wide, high = _RATIOS[ratio - 1]
    return height * wide // high, height


def _depth(bits: _Bits) -> None:
    """BitDepth (D.3.4)."""
    if bits.u(1):
        bits.u32((32, 0), (16, 0), (24, 0), (1, 6))
        bits.u(4)
    else:
        bits.u32((8, 0), (10, 0), (12, 0), (1, 6))


def _header(bits: _Bits) -> Header:
    width, height = _size(bits)
    if bits.u(1):  # all default: XYB, sRGB
        return Header(width, height)
    animated = False
    if bits.u(1):
        bits.u(3)  # orientation, which the decoder applies
        if bits.u(1):
            _size(bits)
        if bits.u(1):
            _preview(bits)
        if animated := bool(bits.u(1)):
            bits.u32((100, 0), (1000, 0), (1, 10), (1, 30))
            bits.u32((1, 0), (1001, 0), (1, 8), (1, 10))
            bits.u32((0, 0), (0, 3), (0, 16), (0, 32))
            bits.u(1)
    _depth(bits)
    bits.u(1)  # modular_16bit_buffers
    extra = bits.u32((0, 0), (1, 0), (2, 4), (1, 12))
    for _ in range(extra):
        _extra_channel(bits)
    xyb = bool(bits.u(1))
    primaries, transfer, icc = _colours(bits)
    return Header(width, height, 3 + extra, animated, primaries, transfer, icc and not xyb)


def _preview(bits: _Bits) -> None:
    """PreviewHeader (D.3.3)."""
    by_eight = bits.u(1)
    ways = ((16, 0), (32, 0), (1, 5), (33, 9)) if by_eight else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.u32(*ways)
    if bits.u(3) == 0:
        bits.u32(*ways)


def _extra_channel(bits: _Bits) -> None:
    """ExtraChannelInfo (D.3.6)."""
    if bits.u(1):
        return
    kind = bits.enum()
    _depth(bits)
    bits.u32((0, 0), (3, 0), (4, 0), (1, 3))
    bits.u(8 * bits.u32((0, 0), (0, 4), (16, 5), (48, 10)))
    if kind == 0:
        bits.u(1)
    elif kind == 2:
        bits.u(64)
    elif kind == 5:
        bits.u32((1, 0), (0, 2), (3, 4), (19, 8))


def _colours(bits: _Bits) -> tuple[int, int, bool]:
    """ColourEncoding (E.2): (primaries, transfer, whether an ICC profile follows)."""
    if bits.u(1):
        return 1, 13, False
    icc = bool(bits.u(1))
    space = bits.enum()
    if icc:
        return 1, 13, True
    primaries = 1
    custom: Callable[[], int] = lambda: bits.u32((0, 19), (524288, 19), (1048576, 20), (2097152, 21))  # noqa: E731
    if space != 2:  # XYB has none
        if bits.enum() == 2:
            custom(), custom()
        if space != 1:  # grey has none
            primaries = bits.enum()
            if primaries == 2:
                for _ in range(6):
                    custom()
                primaries = 1
    if bits.u(1):
        bits.u(24)
        return primaries, 13, False
    return primaries, bits.enum(), False
