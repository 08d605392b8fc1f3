"""Score scene changes between small copies of frames with FFmpeg's filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Final

from PIL import Image

from core.errors import UsageError

SMALL: Final = 160  # pixels; the longer side of the compared copies
MISSING: Final = "videos need an optional part: pip install 'inquisight[video]'"


def small_size(width: int, height: int) -> tuple[int, int]:
    scale = SMALL / max(width, height)
    return max(8, round(width * scale)), max(8, round(height * scale))


def small(image: Image.Image) -> Any:
    """A decoded picture as a small frame for `scored`. Raises UsageError if PyAV is missing."""
    return pyav().VideoFrame.from_image(image.resize(small_size(*image.size), Image.Resampling.BOX))


def scored(frames: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, float]]:
    """FFmpeg's scene score of each small frame against the previous one."""
    av = pyav()
    graph: Any = None
    size: tuple[int, int] | None = None
    for tick, (number, frame) in enumerate(frames):
        if (frame.width, frame.height) != size:  # the first frame, or a stream that changes its size
            size = (frame.width, frame.height)
            graph = scorer(av, *size)
        frame.pts, frame.time_base = tick, Fraction(1, 25)
        graph.push(frame)
        while True:
            try:
                compared = graph.pull()
            except (av.error.BlockingIOError, EOFError):
                break
            yield number, float(compared.metadata.get("lavfi.scene_score", 0.0))


def scorer(av: Any, width: int, height: int) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=Fraction(1, 25))
    chosen = graph.add("select", "gte(scene,0)")  # passes all frames and adds the score to each
    sink = graph.add("buffersink")
    source.link_to(chosen)
    chosen.link_to(sink)
    graph.configure()
    return graph


def pyav() -> Any:
    try:
        import av
        import av.filter  # noqa: F401 - reached as an attribute
    except ImportError:
        raise UsageError(MISSING) from None
    return av
