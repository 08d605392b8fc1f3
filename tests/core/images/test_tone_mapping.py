"""PQ, HLG and tone mapping against the values that the recommendations print."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from core.images import tone


@pytest.mark.parametrize(
    ("nits", "code"),
    # BT.2408-7, table 1 and annex: signal levels in per cent for reference levels; BT.2100 for the ends.
    [(0, 0.0), (26, 0.38), (100, 0.508), (203, 0.58), (1000, 0.752), (4000, 0.903), (10000, 1.0)],
)
def test_pq_levels_of_the_recommendations(nits: float, code: float) -> None:
    assert_allclose(tone.nits_to_pq(np.asarray(float(nits))), code, atol=0.005)
    assert_allclose(tone.pq_to_nits(tone.nits_to_pq(np.asarray(float(nits)))), nits, atol=1e-4 + nits * 1e-6)


def test_hlg_levels_of_the_recommendations() -> None:
    # BT.2408-7, table 1: 75 % HLG is reference white, 203 cd/m2 on a display of 1000; 38 % is 26 cd/m2, 18 % grey.
    assert_allclose(tone.hlg_to_scene(np.array([0.0, 0.5, 1.0])), [0, 1 / 12, 1], atol=1e-6)
    assert_allclose(1000 * tone.hlg_to_scene(np.array([0.75, 0.38])) ** 1.2, [203, 26], rtol=0.02)


def test_the_eetf_keeps_darkness_and_reaches_the_display_s_peak() -> None:
    levels = np.array([0.0, 1.0, 10.0, 50.0, 100.0, 203.0, 1000.0, 4000.0])
    mapped = tone.eetf(levels, 1000, 203)
    high, top = tone.nits_to_pq(np.asarray(1000.0)), tone.nits_to_pq(np.asarray(203.0))
    knee = tone.pq_to_nits((1.5 * top / high - 0.5) * high)
    assert_allclose(mapped[levels < knee], levels[levels < knee], rtol=1e-6)
    assert_allclose(mapped[-2:], 203, rtol=1e-6)  # the peak, and what is brighter than the file says
    assert (np.diff(mapped) >= -1e-9).all() and (mapped <= levels + 1e-9).all()
    assert_allclose(tone.eetf(levels, 203, 203), np.minimum(levels, 203))


def test_greys_stay_grey_and_hues_stay() -> None:
    codes = np.linspace(0, 65535, 64).astype(np.uint16)
    for transfer in (tone.PQ, tone.HLG):
        grey = tone.to_srgb(np.repeat(codes[None, :, None], 3, axis=2), 9, transfer)
        assert (np.ptp(grey.astype(int), axis=2) <= 1).all()
        levels = grey[0, :, 0].astype(int)
        assert levels[0] == 0 and (np.diff(levels) >= 0).all()
        assert levels[-1] == 255


def test_sdr_primaries_are_converted_and_srgb_passes() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    assert np.abs(tone.to_srgb(pixels, 1, 13).astype(int) - pixels).max() <= 1
    green = np.array([[[117, 251, 76]]], dtype=np.uint8)  # sRGB's green in P3
    assert np.abs(tone.to_srgb(green, 12, 13).astype(int) - [0, 255, 0]).max() <= 3  # the code values are rounded


@pytest.mark.parametrize(
    ("code", "red", "green", "blue"),
    [(9, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), (12, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))],
)
def test_the_matrices_follow_from_the_chromaticities(
    code: int, red: tuple[float, float], green: tuple[float, float], blue: tuple[float, float]
) -> None:
    def to_xyz(*corners: tuple[float, float]) -> np.ndarray:
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in corners]).T
        white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
        return columns * np.linalg.solve(columns, white)

    bt709 = to_xyz((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
    assert_allclose(tone._TO_709[code], np.linalg.inv(bt709) @ to_xyz(red, green, blue), atol=2e-5)


def test_a_picture_is_converted_alike_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (37, 20, 3), dtype=np.uint16)
    whole = tone.to_srgb(pixels, 9, tone.PQ)
    monkeypatch.setattr(tone, "_ROWS", 100)
    assert (tone.to_srgb(pixels, 9, tone.PQ) == whole).all()
