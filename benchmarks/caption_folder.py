"""Measure a caption folder: looking at the disk, pages, searches, a change of all captions, and its undo.

    python -m benchmarks.caption_folder                     100,000 small images, two thirds with a caption
    python -m benchmarks.caption_folder --images 10000

The table shows wall time and the most memory that the process has held by then.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.captions.edits import Replace
from core.captions.folder import CaptionFolder
from core.captions.records import CaptionQuery

TEXT = "A cat number {} sits on a mat in the sun, beside a window with blue curtains. " * 3
IMAGE = bytes.fromhex("ffd8ffe0") + bytes(60)  # enough of a JPEG to be listed: nothing here decodes it


def make_folder(root: Path, images: int) -> None:
    """Images in folders of ten thousand; every third one has no caption."""
    for number in range(images):
        folder = root / f"{number // 10_000:03d}"
        folder.mkdir(exist_ok=True)
        (folder / f"p{number:06d}.jpg").write_bytes(IMAGE)
        if number % 3:
            (folder / f"p{number:06d}.txt").write_text(TEXT.format(*[number] * 3), "utf-8")


def measure(root: Path, images: int) -> list[tuple[str, float, int, str]]:
    """(what, seconds, MiB, result) of each step."""
    rows: list[tuple[str, float, int, str]] = []

    def step(name: str, work: Callable[[], object]) -> None:
        begin = time.perf_counter()
        result = work()
        rows.append((name, time.perf_counter() - begin, most_memory(), str(result)))
        print(f"{name:32} {rows[-1][1]:8.2f} s {rows[-1][2]:6} MiB   {rows[-1][3]}", flush=True)

    with CaptionFolder(root) as folder:
        step("first look at the disk", lambda: f"{folder.refresh().captioned:,} captions")
        step("second look", lambda: f"{folder.refresh().changed:,} changed")
        step("first page of 100", lambda: len(folder.find(limit=100)))
        step("last page of 100", lambda: len(folder.find(limit=100, offset=images - 100)))
        step("search, page of 100", lambda: len(folder.find(CaptionQuery(contains="number 777"), limit=100)))
        step("images without caption", lambda: f"{folder.count(CaptionQuery(captioned=False)):,}")
        step("numbers of all filters", lambda: len(folder.counts()))
        step("one edit", lambda: folder.set("000/p000001.jpg", "a new caption").captions)
        step("preview of a replacement", lambda: f"{folder.preview(Replace('cat', 'dog')).total:,} captions")
        step("replacement in all captions", lambda: f"{folder.replace('cat', 'dog').captions:,} captions")
        step("its undo", lambda: f"{getattr(folder.undo(), 'captions', 0):,} captions")
    return rows


def most_memory() -> int:
    """The most memory that this process has held, in MiB."""
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) >> 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=100_000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder), images)
        measure(Path(folder), images)


if __name__ == "__main__":
    main()
