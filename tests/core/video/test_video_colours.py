"""HDR and wide-gamut videos are shown in sRGB; the track that players show is the one that is read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av", reason="videos are an optional part")

import av

from core.images import tone
from core.video.clip import open_video
from core.video.colours import peak_of
from tests.agents.video.clips import film, grey, level

PQ, HLG, BT709 = 16, 18, 1
NITS = (0.0, 26.0, 100.0, 203.0)
SIDE = 64


def deep_film(path: Path, codes: np.ndarray, *, primaries: int = 9, transfer: int = PQ, **params: str) -> Path:
    """Encode patches beside each other in 10-bit HEVC; `codes`: (patches, 3) of R'G'B' between 0 and 1.

    Y'CbCr after BT.2020-2, table 4 and 5 (non-constant luminance, narrow range), computed here and not by swscale.
    """
    luma = codes @ np.array((0.2627, 0.6780, 0.0593))
    blue, red = (codes[:, 2] - luma) / 1.8814, (codes[:, 0] - luma) / 1.4746
    planes = [(876 * luma + 64, 1), (896 * blue + 512, 2), (896 * red + 512, 2)]
    settings = {
        "colorprim": str(primaries), "transfer": str(transfer), "colormatrix": "9", "range": "limited",
        "log-level": "none", "pools": "none", "frame-threads": "1", **params,
    }  # fmt: skip
    text = ":".join(f"{name}={value}" for name, value in settings.items())
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "crf": "4", "x265-params": text}
        stream: Any = container.add_stream("libx265", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = SIDE * len(codes), SIDE, "yuv420p10le"
        stream.codec_context.color_primaries, stream.codec_context.color_trc = primaries, transfer
        stream.codec_context.colorspace, stream.codec_context.color_range = 9, 1
        for number in range(3):
            frame = av.VideoFrame(stream.width, stream.height, "yuv420p10le")
            for plane, (values, shrink) in zip(frame.planes, planes, strict=True):
                row = np.repeat(np.round(values).astype("<u2"), SIDE // shrink)
                lines = np.zeros((plane.height, plane.line_size // 2), dtype="<u2")
                lines[:, : row.size] = row
                plane.update(lines.tobytes())
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def patches(path: Path, count: int) -> tuple[list[tuple[int, int, int]], str]:
    """The colour of each patch in the second frame, and the note."""
    with open_video(path) as video:
        [(_, picture)] = video.pictures([1])
        width, height = picture.image.size
        spots = [(int((number + 0.5) * width / count), height // 2) for number in range(count)]
        return [picture.image.getpixel(spot) for spot in spots], video.info().note or ""  # type: ignore[misc]


def srgb(nits: float) -> int:
    """The sRGB level of a grey after the EETF from 1000 cd/m2 to white."""
    light = float(tone.eetf(np.asarray(nits), 1000, 203)) / 203
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


def test_pq_is_tone_mapped(tmp_path: Path) -> None:
    codes = np.repeat(tone.nits_to_pq(np.array([*NITS, 1000.0]))[:, None], 3, axis=1)
    found, note = patches(deep_film(tmp_path / "pq.mp4", codes), 5)
    assert "HDR (PQ) tone-mapped to sRGB" in note
    for pixel, nits in zip(found, [*NITS, 1000.0], strict=True):
        assert all(abs(value - srgb(nits)) <= 4 for value in pixel), (pixel, nits, srgb(nits))


def test_hlg_is_tone_mapped(tmp_path: Path) -> None:
    codes = np.repeat(np.array([0.0, 0.38, 0.75, 1.0])[:, None], 3, axis=1)  # black, 26 and 203 cd/m2, the peak
    found, note = patches(deep_film(tmp_path / "hlg.mov", codes, transfer=HLG), 4)
    assert "HDR (HLG) tone-mapped to sRGB" in note
    for pixel, nits in zip(found, (0.0, 26.0, 203.0, 1000.0), strict=True):
        assert all(abs(value - srgb(nits)) <= 5 for value in pixel), (pixel, nits, srgb(nits))


def test_saturated_colours_keep_their_hue(tmp_path: Path) -> None:
    """BT.709's primaries of 100 cd/m2 in BT.2020 PQ."""
    from_709 = np.linalg.inv(np.array(tone._TO_709[9]))
    light = np.clip((from_709 @ np.eye(3)).T * 100, 0, None)  # rows: red, green, blue
    found, _ = patches(deep_film(tmp_path / "colours.mkv", tone.nits_to_pq(light)), 3)
    for number, pixel in enumerate(found):
        others = [value for place, value in enumerate(pixel) if place != number]
        assert pixel[number] > 140 and max(others) < 60, (number, pixel)


def test_wide_gamut_without_hdr_is_converted(tmp_path: Path) -> None:
    codes = np.array([[0.5, 0.5, 0.5], [0.0, 0.8, 0.0]])
    found, note = patches(deep_film(tmp_path / "wide.mp4", codes, transfer=14), 2)
    assert "wide-gamut colours converted to sRGB" in note
    assert all(abs(value - 128) <= 4 for value in found[0]) and found[1][1] > 200 and max(found[1][::2]) < 30


def test_ordinary_videos_are_left_alone(tmp_path: Path) -> None:
    path = film(tmp_path / "plain.mp4", [grey(90)] * 3)
    with open_video(path) as video:
        assert "sRGB" not in (video.info().note or "")
        assert level(next(video.pictures([0]))[1]) == pytest.approx(90, abs=3)


def test_the_peak_is_that_of_the_content_then_of_its_display(tmp_path: Path) -> None:
    codes = np.repeat(tone.nits_to_pq(np.array([203.0, 4000.0]))[:, None], 3, axis=1)
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)"
    peaks = {}
    for name, params in (("none", {}), ("display", {"master-display": display}),
                         ("content", {"master-display": display, "max-cll": "2000,400"})):  # fmt: skip
        path = deep_film(tmp_path / f"{name}.mp4", codes, **params)
        with av.open(str(path)) as container:
            peaks[name] = peak_of(next(container.decode(video=0)))
    assert peaks == {"none": 1000.0, "display": 4000.0, "content": 2000.0}
    assert patches(tmp_path / "display.mp4", 2)[0][0][0] < patches(tmp_path / "none.mp4", 2)[0][0][0]


# --- tracks -----------------------------------------------------------------------------------------------------------


def tracks(path: Path, *made: tuple[int, tuple[int, int], str | None]) -> Path:
    """A film of several video tracks: (grey level, size, disposition)."""
    with av.open(str(path), "w") as container:
        streams = []
        for _, (width, height), disposition in made:
            stream: Any = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = getattr(av.stream.Disposition, disposition) if disposition else 0
            streams.append(stream)
        for number in range(5):
            for stream, (shade, size, _) in zip(streams, made, strict=True):
                frame = av.VideoFrame.from_image(Image.new("RGB", size, (shade,) * 3))
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("first", ["attached_pic", "timed_thumbnails", "still_image", "dependent", None])
def test_the_default_track_is_read(first: str | None, tmp_path: Path) -> None:
    path = tracks(tmp_path / "many.mkv", (200, (320, 240), first), (80, (64, 48), "default"))
    with open_video(path) as video:
        assert (video.width, video.height) == (64, 48)
        assert level(next(video.pictures([2]))[1]) == pytest.approx(80, abs=4)


def test_without_a_default_the_largest_track_is_read(tmp_path: Path) -> None:
    path = tracks(tmp_path / "many.mkv", (200, (64, 48), None), (80, (128, 96), None))
    with open_video(path) as video:
        assert (video.width, video.height) == (128, 96)


def test_a_cover_picture_in_an_mp4_is_not_the_video(tmp_path: Path) -> None:
    from tests.pictures import encoded

    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 320, 240, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        packet = av.Packet(encoded("red", (320, 240), "JPEG"))
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 10)
        for number in range(5):
            frame = av.VideoFrame.from_image(grey(80))
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
            if number == 0:
                container.mux(packet)
        container.mux(stream.encode())
    with open_video(path) as video:
        assert (video.width, video.height) == (64, 48)
