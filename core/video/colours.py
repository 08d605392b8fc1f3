"""Frames of PyAV as sRGB images: PQ and HLG are tone-mapped, wide-gamut colours converted (`core.images.tone`)."""

from __future__ import annotations

from struct import error as StructError
from struct import unpack_from
from typing import Any, Final

from PIL import Image

from core.images import tone

_WHITE_LEVEL, _MOST = tone.WHITE, 10_000.0  # cd/m2
_MAX_LUMINANCE: Final = 72  # bytes into AVMasteringDisplayMetadata (libavutil/mastering_display_metadata.h)


def colour_note(frame: Any) -> str | None:
    """The note for a video whose frames are converted."""
    primaries, transfer = _code_points(frame)
    return tone.describe(primaries, transfer) if tone.is_needed(primaries, transfer) else None


def to_image(frame: Any, size: tuple[int, int], peak: float) -> Image.Image:
    """`frame` scaled to `size` as sRGB. `peak`: see `peak_of`."""
    primaries, transfer = _code_points(frame)
    width, height = size
    if not tone.is_needed(primaries, transfer):
        image: Image.Image = frame.to_image(width=width, height=height, interpolation="BICUBIC")
        return image
    deep = frame.reformat(width=width, height=height, format="rgb48le", interpolation="BICUBIC")
    return Image.fromarray(tone.to_srgb(deep.to_ndarray(), primaries, transfer, peak=peak))


def peak_of(frame: Any) -> float:
    """cd/m2 of the brightest pixel: as the content says, or its mastering display, or 1000."""
    found = {str(data.type).upper().rpartition(".")[2]: bytes(data) for data in frame.side_data}
    level = mastered = 0.0
    for name, data in found.items():
        try:
            if "CONTENT_LIGHT_LEVEL" in name:
                level = float(unpack_from("=I", data)[0])
            elif "MASTERING_DISPLAY" in name:
                number, unit, _, has_luminance = unpack_from("=iiii", data, _MAX_LUMINANCE)
                mastered = number / unit if has_luminance and unit else 0.0
        except StructError:
            continue
    peak = level or mastered or tone.PEAK
    return min(max(peak, _WHITE_LEVEL), _MOST)


def _code_points(frame: Any) -> tuple[int, int]:
    """(primaries, transfer) after H.273; swscale has applied the matrix and the range."""
    return int(frame.color_primaries), int(frame.color_trc)
