"""Convert high dynamic range and wide-gamut pixels to sRGB: PQ, HLG, BT.2020 and P3, by the code points of H.273.

Transfer functions: ITU-R BT.2100-2, tables 4 and 5. Tone mapping: the EETF of ITU-R BT.2390-11, 5.4.1, applied to the
largest of R, G and B, so that hues stay. White: 203 cd/m2, the reference white of ITU-R BT.2408-7, table 1.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

PQ, HLG, LINEAR = 16, 18, 8  # H.273, table 3
WHITE: Final = 203.0  # cd/m2
PEAK: Final = 1000.0  # cd/m2 of the brightest pixel, where a file does not say
_GAMMA: Final = 1.2  # system gamma of HLG for a display of 1000 cd/m2
_ROWS: Final = 1 << 20  # pixels that are converted at a time

# Linear RGB of H.273's colour primaries (table 2) -> linear RGB of BT.709; made from their chromaticities, white D65.
_TO_709: Final[dict[int, tuple[tuple[float, float, float], ...]]] = {
    9: ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    12: ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
_TO_709[11] = _TO_709[12]  # DCI P3 in files of cameras and browsers is P3 with white D65


def is_needed(primaries: int, transfer: int) -> bool:
    """Whether pixels with these code points differ from sRGB."""
    return primaries in _TO_709 or transfer in (PQ, HLG, LINEAR)


def describe(primaries: int, transfer: int) -> str:
    """The note for a converted picture."""
    name = {PQ: "HDR (PQ)", HLG: "HDR (HLG)"}.get(transfer)
    return f"{name} tone-mapped to sRGB" if name else "wide-gamut colours converted to sRGB"


def to_srgb(pixels: NDArray[Any], primaries: int, transfer: int, *, peak: float = PEAK) -> NDArray[np.uint8]:
    """sRGB of `pixels` (height, width, 3), uint8 or uint16 code values over the full range.

    `peak`: cd/m2 of the brightest pixel; only for PQ.
    """
    import numpy as np

    out = np.empty(pixels.shape, dtype=np.uint8)
    step = max(1, _ROWS // max(1, pixels.shape[1]))
    for start in range(0, pixels.shape[0], step):
        out[start : start + step] = _converted(pixels[start : start + step], primaries, transfer, peak)
    return out


def _converted(pixels: NDArray[Any], primaries: int, transfer: int, peak: float) -> NDArray[np.uint8]:
    import numpy as np

    light = _decoding_table(transfer, pixels.dtype.itemsize)[pixels]  # linear, 1 is white
    if transfer == HLG:
        luminance = light @ np.asarray((0.2627, 0.6780, 0.0593), dtype=np.float32)
        light *= (np.maximum(luminance, 1e-9) ** (_GAMMA - 1))[..., None] * (PEAK / WHITE)
    if transfer in (PQ, HLG):
        top = light.max(axis=-1)
        grid, gains = _gains(PEAK if transfer == HLG else peak)
        light *= np.interp(top, grid, gains).astype(np.float32)[..., None]
    if (matrix := _TO_709.get(primaries)) is not None:
        light = light @ np.asarray(matrix, dtype=np.float32).T
    index = np.clip(light, 0, 1) ** np.float32(0.5) * 4095 + 0.5  # the square root spreads dark values
    encoded: NDArray[np.uint8] = _encoding_table()[index.astype(np.uint16)]
    return encoded


@cache
def _decoding_table(transfer: int, size: int) -> Floats:
    """Linear light of every code value, 1 for white; for HLG of the scene, 1 for the peak."""
    import numpy as np

    code = np.linspace(0, 1, 256**size)
    if transfer == PQ:
        linear = pq_to_nits(code) / WHITE
    elif transfer == HLG:
        linear = hlg_to_scene(code)
    elif transfer == LINEAR:
        linear = code
    else:
        linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


@cache
def _encoding_table() -> NDArray[np.uint8]:
    """8-bit sRGB (IEC 61966-2-1) of squared 4096ths."""
    import numpy as np

    light = np.linspace(0, 1, 4096) ** 2
    code = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return (code * 255).round().astype(np.uint8)


@cache
def _gains(peak: float) -> tuple[Floats, Floats]:
    """(linear values, 1 for white; the factor for each) of the tone mapping from `peak` cd/m2 to white."""
    import numpy as np

    nits = pq_to_nits(np.linspace(0, 1, 4096))
    mapped = eetf(nits, peak, WHITE)
    gains = np.ones_like(nits)
    gains[1:] = mapped[1:] / nits[1:]
    return (nits / WHITE).astype(np.float32), gains.astype(np.float32)


def pq_to_nits(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """cd/m2 of PQ values between 0 and 1 (BT.2100-2, table 4)."""
    import numpy as np

    root = np.asarray(code, dtype=np.float64) ** (1 / 78.84375)
    return 10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)


def nits_to_pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """PQ values between 0 and 1 of cd/m2 (BT.2100-2, table 4)."""
    import numpy as np

    power = (np.asarray(nits, dtype=np.float64) / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_to_scene(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scene light between 0 and 1 of HLG values (BT.2100-2, table 5, inverse OETF)."""
    import numpy as np

    code = np.asarray(code, dtype=np.float64)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)


def eetf(nits: NDArray[np.float64], source: float, target: float) -> NDArray[np.float64]:
    """cd/m2 on a display of `target` cd/m2 for a picture of up to `source` cd/m2 (BT.2390-11, 5.4.1, black 0)."""
    import numpy as np

    nits = np.asarray(nits, dtype=np.float64)
    if source <= target:
        return np.minimum(nits, target)
    high = nits_to_pq(np.asarray(source))
    top = float(nits_to_pq(np.asarray(target)) / high)
    knee = 1.5 * top - 0.5
    value = np.clip(nits_to_pq(nits) / high, 0, 1)
    part = (value - knee) / (1 - knee)
    spline = (2 * part**3 - 3 * part**2 + 1) * knee
    spline += (part**3 - 2 * part**2 + part) * (1 - knee) + (-2 * part**3 + 3 * part**2) * top
    return pq_to_nits(np.where(value < knee, value, spline) * high)
