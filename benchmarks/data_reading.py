"""Measure samples per second from shards: Inquisight's stream against the webdataset package.

    python -m benchmarks.data_reading                     2,000 samples in 4 shards, about a minute
    python -m benchmarks.data_reading --samples 20000 --side 256 --threads 8 --json

The same shards (JPEG of random smooth pictures, .txt and .json, as img2dataset writes them), the same order of work, in
the same run and in alternating order. Two things are measured, each for both:

- read: picture bytes and caption of every sample, shuffled in a buffer of 1,000;
- decode: the same, and the picture decoded to RGB. Webdataset decodes with its own `decode("pil")`, ours through
  `core.images.picture`, which also checks the format, limits the size and turns the picture upright.

Ours is measured without threads and with `--threads`. Plain webdataset runs in one process as well; more processes
(its DataLoader workers) would multiply both. What ours does besides: it knows its exact position, names what is broken,
and gives no sample twice. The floor is reading the files' bytes from front to end. Files come from the operating
system's memory, so the disk is not measured. Ratios travel to other machines; samples per second do not.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.datasets.samples.spec import DataSpec
from core.errors import InquisightError
from training.data.stream import open_stream

BUFFER = 1000


def write_shards(place: Path, samples: int, shards: int, side: int) -> int:
    """Shards of JPEGs; gives back their size in bytes."""
    random = np.random.default_rng(0)
    for shard in range(shards):
        with tarfile.open(place / f"{shard:05d}.tar", "w") as tar:
            for number in range(shard, samples, shards):
                name = f"{shard:05d}{number:06d}"
                # Random, but smooth: a picture's file is about as large as a photograph's.
                coarse = random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
                caption = f"a picture with the number {number} and some words about it"
                fields = {"caption": caption, "url": f"https://example.org/{number}.jpg", "width": side, "height": side}
                members = (("jpg", buffer.getvalue()), ("txt", caption.encode()), ("json", json.dumps(fields).encode()))
                for suffix, data in members:
                    info = tarfile.TarInfo(f"{name}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return sum(file.stat().st_size for file in place.glob("*.tar"))


def ours(place: Path, *, decode: bool, threads: int) -> Iterable[Any]:
    """Our stream over all shards, once."""
    return open_stream(
        [DataSpec(path=str(place))], seed=0, epochs=1, shuffle_buffer=BUFFER, decode=decode, threads=threads
    )


def theirs(place: Path, *, decode: bool) -> Iterable[Any]:
    """webdataset as its documentation shows it."""
    import webdataset

    urls = sorted(map(str, place.glob("*.tar")))
    found: Any = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=0).shuffle(BUFFER)
    chosen: Iterable[Any] = (found.decode("pil") if decode else found).to_tuple("jpg", "txt")
    return chosen


def floor(place: Path) -> Iterable[bytes]:
    """The bytes of all shards, in pieces."""
    for file in sorted(place.glob("*.tar")):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                yield block


def main(argv: list[str] | None = None) -> int:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--side", type=int, default=256, help="side of a picture in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    try:
        import webdataset  # noqa: F401
    except ImportError:
        print("this compares with the package webdataset: pip install webdataset", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="inquisight-") as folder:
        place = Path(folder)
        size = write_shards(place, given.samples, given.shards, given.side)
        ways: dict[str, Callable[[], Iterable[Any]]] = {
            "read: webdataset": lambda: theirs(place, decode=False),
            "read: ours": lambda: ours(place, decode=False, threads=0),
            "decode: webdataset": lambda: theirs(place, decode=True),
            "decode: ours": lambda: ours(place, decode=True, threads=0),
            f"decode: ours, {given.threads} threads": lambda: ours(place, decode=True, threads=given.threads),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        floors: list[float] = []
        try:
            for repeat in range(given.repeats + 1):  # the first one warms up and does not count
                for name in list(ways)[:: 1 if repeat % 2 else -1]:
                    begun = time.perf_counter()
                    found = sum(1 for _ in ways[name]())
                    taken = time.perf_counter() - begun
                    if found != given.samples:
                        print(
                            f"{name} gave {found} of {given.samples} samples: the comparison is void.", file=sys.stderr
                        )
                        return 1
                    if repeat:
                        seconds[name].append(taken)
                begun = time.perf_counter()
                sum(map(len, floor(place)))
                if repeat:
                    floors.append(time.perf_counter() - begun)
        except InquisightError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    _print(given, size, seconds, statistics.median(floors))
    return 0


def _print(given: argparse.Namespace, size: int, seconds: dict[str, list[float]], floor_seconds: float) -> None:
    rates = {name: given.samples / statistics.median(times) for name, times in seconds.items()}
    ratios: dict[str, float] = {}  # of runs that stood side by side, so that other programs disturb both
    for name, times in seconds.items():
        what, _, _ = name.partition(":")
        pairs = zip(seconds[f"{what}: webdataset"], times, strict=True)
        ratios[name] = statistics.median(one / other for one, other in pairs)
    if given.json:
        figures = {"samples_per_second": rates, "ratio_to_webdataset": ratios}
        print(json.dumps({**figures, "floor_seconds": floor_seconds, "bytes": size, "options": vars(given)}, indent=2))
        return
    print(f"{given.samples:,} samples of {size / given.samples / 1000:.1f} KB in {given.shards} shards,", end=" ")
    print(f"median of {given.repeats} runs; floor (the bytes alone): {given.samples / floor_seconds:,.0f} samples/s\n")
    print(f"{'':28}{'samples/s':>12}{'to webdataset':>16}")
    for name, rate in rates.items():
        print(f"{name:28}{rate:12,.0f}{ratios[name]:15.2f}x")


if __name__ == "__main__":
    sys.exit(main())
