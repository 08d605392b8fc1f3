"""Measure the peak memory of reading and captioning large pictures, each in a process of its own.

    python -m benchmarks.large_pictures
    python -m benchmarks.large_pictures --kinds JPEG --sides 3000x2250,12000x9000 --questions 2 --json

The pictures are noise over a gradient, made here, so that no file is better compressed than photographs are. `peak` is
the peak resident memory of the process, `more` what it is above that of a 64 x 48 picture read by the same command.
With `--questions 0` pictures are only read; otherwise `scripted` asks that many questions and `pocket` answers.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

KINDS = ("JPEG", "progressive JPEG", "JPEG2000", "TIFF", "PNG")
SIDES = "3000x2250,6000x4500,12000x9000"
TILE = 512
MB = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--sides", default=SIDES)
    parser.add_argument("--questions", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child, options.questions)))
        return
    if not options.json:
        print(f"{'picture':34} {'file':>8} {'read at':>14} {'peak':>9} {'more':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds.split(","):
            base = in_a_process(make(Path(folder), kind, 64, 48), options.questions)["peak_mb"]
            for side in options.sides.split(","):
                width, height = map(int, side.split("x"))
                file = make(Path(folder), kind, width, height)
                found = in_a_process(file, options.questions)
                found |= {"kind": kind, "width": width, "height": height, "file_mb": file.stat().st_size / MB}
                found["more_mb"] = found["peak_mb"] - base
                file.unlink()
                print(json.dumps(found) if options.json else row(found), flush=True)


def row(found: dict[str, Any]) -> str:
    name = f"{found['kind']} {found['width']} x {found['height']}"
    if "refused" in found:
        return f"{name:34} {found['file_mb']:5.0f} MB  refused: {found['refused']}"
    read = f"{found['read_width']} x {found['read_height']}"
    return f"{name:34} {found['file_mb']:5.0f} MB {read:>14} {found['peak_mb']:6.0f} MB {found['more_mb']:6.0f} MB"


def make(folder: Path, kind: str, width: int, height: int) -> Path:
    """A picture of that size in a file, made in a process of its own, since it needs all its pixels."""
    file = folder / f"{kind.replace(' ', '_')}_{width}x{height}"
    code = "import sys; from benchmarks.large_pictures import write; write(*sys.argv[1:])"
    subprocess.run([sys.executable, "-c", code, str(file), kind, str(width), str(height)], check=True)
    return file


def write(file: str, kind: str, width: str, height: str) -> None:
    tile = Image.merge("RGB", [Image.effect_noise((TILE, TILE), 12).rotate(90 * turn) for turn in range(3)])
    image = Image.new("RGB", (int(width), int(height)))
    for top in range(0, image.height, TILE):
        for left in range(0, image.width, TILE):
            shade = (255 * left // image.width, 255 * top // image.height, 128)
            image.paste(Image.blend(tile, Image.new("RGB", tile.size, shade), 0.7), (left, top))
    options: dict[str, Any] = {"quality": 88} if "JPEG" in kind else {}
    if kind.startswith("progressive"):
        options["progressive"] = True
    elif kind == "JPEG2000":
        options = {"irreversible": True, "quality_mode": "rates", "quality_layers": [20]}
    elif kind == "TIFF":
        options = {"compression": "tiff_lzw"}
    image.save(file, kind.rpartition(" ")[2], **options)


def in_a_process(file: Path, questions: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.large_pictures", "--child", str(file), "--questions", str(questions)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(file: str, questions: int) -> dict[str, Any]:
    """Read the picture, caption it if asked to, and say how much memory this process took at most."""
    import inquisight
    from core.errors import ImageError

    found: dict[str, Any] = {}
    try:
        picture = inquisight.open_picture(file)
        found = {"read_width": picture.width, "read_height": picture.height, "note": picture.note}
        if questions:
            inquisight.caption(picture, vision="pocket", questioner="scripted", rounds=questions, seed=1)
    except ImageError as error:
        found = {"refused": str(error).partition("' ")[2]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return found | {"peak_mb": peak / MB}


if __name__ == "__main__":
    main()
