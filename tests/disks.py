"""Real disks that are small, full or read-only, for tests: file systems in memory, where this user may mount them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(at: Path, kilobytes: int = 1024) -> Iterator[Path]:
    """A disk of that size, or a skipped test."""
    at.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k,mode=755", "tmpfs", str(at))
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=False, capture_output=True)


full_disk = small_disk  # to be filled by what is tested


@contextmanager
def read_only(at: Path) -> Iterator[Path]:
    """A folder as it is on a disk that cannot be written, even by root, or a skipped test."""
    at.mkdir(parents=True, exist_ok=True)
    _mount("--bind", str(at), str(at))
    try:
        _mount("-o", "remount,ro,bind", str(at))
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=False, capture_output=True)


def fill(disk: Path) -> Path:
    """Take all the room there is; removing the file gives it back."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def _mount(*arguments: str) -> None:
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this user may not mount a disk")
