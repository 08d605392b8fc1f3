"""Make a short example video from the photographs in the source:

    python -m agents.video.example clip.webm

Nine seconds of WebM: a zoom into a cat, a cup of coffee, and the cat again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from PIL import Image

from core.errors import InquisightError, UsageError, printable
from core.images.picture import open_picture

PHOTOS: Final = Path(__file__).resolve().parents[2] / "examples" / "photos"
NAMES: Final = ("cat", "coffee")
SIZE: Final = (426, 240)
RATE: Final = 10  # frames a second
SCENE: Final = 3  # seconds
NEARER: Final = 0.12  # share by which a scene zooms in
_OPTIONS: Final = {"b": "300k", "g": "15", "deadline": "good", "cpu-used": "5", "threads": "1"}


def can_be_made() -> bool:
    """Whether PyAV and the photographs exist; an installed package has no photographs."""
    return find_spec("av") is not None and all((PHOTOS / f"{name}.jpg").is_file() for name in NAMES)


def make_example(path: Path) -> Path:
    """Write the video. Raises UsageError if it cannot be made or written."""
    if not can_be_made():
        raise UsageError("the example video needs the source with its photographs, and pip install 'inquisight[video]'")
    from av import VideoFrame
    from av import open as open_av

    picture: Any = VideoFrame
    try:
        with path.open("wb") as file, open_av(file, "w", format="webm") as container:
            stream: Any = container.add_stream("libvpx", rate=RATE, options=_OPTIONS)
            stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
            for number, image in enumerate(_frames()):
                frame = picture.from_image(image)
                frame.pts, frame.time_base = number, Fraction(1, RATE)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise UsageError(f"'{printable(path)}' cannot be written: {reason}") from None
    return path


def _frames() -> Iterator[Image.Image]:
    cat, coffee = (open_picture(str(PHOTOS / f"{name}.jpg")).image for name in NAMES)
    for shown in (cat, coffee, cat):
        for step in range(SCENE * RATE):
            yield _part(shown, SIZE, NEARER * step / (SCENE * RATE))


def _part(image: Image.Image, size: tuple[int, int], nearer: float) -> Image.Image:
    """The centre of `image`, scaled to `size`, without a share of `nearer` at its edges."""
    scale = min(image.width / size[0], image.height / size[1]) * (1 - nearer)
    width, height = size[0] * scale, size[1] * scale
    left, upper = max(0.0, (image.width - width) / 2), max(0.0, (image.height - height) / 2)
    box = (left, upper, min(image.width, left + width), min(image.height, upper + height))
    return image.resize(size, Image.Resampling.BICUBIC, box=box)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE.webm")
    try:
        print(make_example(parser.parse_args().file))
    except InquisightError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
