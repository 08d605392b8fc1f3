"""Pictures that visitors upload to the gallery: a private folder for each, deleted when the visitor is forgotten.

The folder is named by the digest of the visitor's cookie, so the same browser finds it again after the server was
started again. `sweep` deletes what nobody has used for a while.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Final

import streamlit as st

from core.errors import UsageError
from core.files.atomic import replacing
from core.images.file_type import SUFFIXES_OF, sniff
from ui.gallery.library import folders, visitors_folder
from ui.state.images import open_upload
from ui.state.session import IDLE_SECONDS

if TYPE_CHECKING:
    from ui.gallery.folder import GalleryFolder
    from ui.state.session import Visitor

MAX_FILES: Final = 2000  # of one visitor
MAX_BYTES: Final = 1_000_000_000  # of one visitor
MAX_ALL: Final = 20_000_000_000  # of all visitors
PICTURES, SEEN = "pictures", "seen"


class VisitorFolder:
    """The uploaded pictures of one visitor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pictures = path / PICTURES
        self._lock = threading.Lock()
        self.pictures.mkdir(parents=True, exist_ok=True)
        os.chmod(path, 0o700)
        self.touch()

    def touch(self) -> None:
        """Note that it is used."""
        (self.path / SEEN).touch()

    def add(self, data: bytes, name: str) -> str:
        """Check a picture and keep it, scaled down if it exceeds the limits; returns its file name.

        Raises ImageError, and UsageError if there is no space.
        """
        _, kept = open_upload(data, name)
        kind = sniff(kept)
        suffixes = SUFFIXES_OF[kind] if kind is not None else (".jpg",)
        with self._lock:
            files = [one for one in self.pictures.iterdir() if one.suffix.lower() in _suffixes()]
            if len(files) >= MAX_FILES:
                raise UsageError(f"you have {MAX_FILES:,} pictures here, which is the maximum; remove some first")
            if sum(one.stat().st_size for one in files) + len(kept) > MAX_BYTES:
                raise UsageError(f"your pictures would exceed {MAX_BYTES // 1_000_000:,} MB; remove some first")
            path = self._free(name, suffixes)
            with replacing(path, UsageError, sync=False) as file:
                file.write(kept)
        self.touch()
        return path.name

    def _free(self, name: str, suffixes: tuple[str, ...]) -> Path:
        """A path that is not taken, with the letters and digits of `name`; pictures of one stem would share a text."""
        given = PureWindowsPath(name)
        stem = re.sub(r"[^\w\- ]+", "-", given.stem).strip("-. ")[:80] or "picture"
        suffix = given.suffix if given.suffix.lower() in suffixes else suffixes[0]
        taken = {one.stem for one in self.pictures.iterdir()}
        for number in range(1, MAX_FILES + 2):
            free = stem if number == 1 else f"{stem}-{number}"
            if free not in taken:
                return self.pictures / f"{free}{suffix}"
        raise UsageError("too many pictures of that name")

    def remove(self, folder: GalleryFolder, numbers: list[int]) -> int:
        """Delete pictures with their captions; returns how many."""
        removed = 0
        for entry in folder.entries(numbers):
            path = folder.path(entry)
            for one in (path, path.with_suffix(".txt")):
                one.unlink(missing_ok=True)
            removed += 1
        folder.scan()
        return removed


def _suffixes() -> frozenset[str]:
    return frozenset(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)


def visitor_folder(me: Visitor) -> VisitorFolder:
    """The visitor's folder, made on first use. Raises UsageError if all visitors have too many pictures."""

    def make() -> VisitorFolder:
        root = visitors_folder()
        sweep(root)
        if _used(root) > MAX_ALL:
            raise UsageError("the dashboard holds as many pictures as it may; try again in a while")
        one = VisitorFolder(root / me.token)
        me.on_forgotten.append(lambda: forget(one))
        return one

    return me.keep("gallery uploads", make)


def forget(one: VisitorFolder) -> None:
    """End the visitor's run, and delete the folder with everything in it."""
    folder = folders().known(one.pictures)
    if folder is not None:
        folder.runs.pause()
        folders().forget(one.pictures)
    shutil.rmtree(one.path, ignore_errors=True)


def sweep(root: Path) -> None:
    """Delete the folders that nobody has used for as long as visitors are remembered."""
    for path in root.iterdir() if root.is_dir() else ():
        try:
            age = time.time() - (path / SEEN).stat().st_mtime
        except OSError:
            age = float("inf")
        if age > IDLE_SECONDS and not _going(path):
            shutil.rmtree(path, ignore_errors=True)


def _going(path: Path) -> bool:
    folder = folders().known(path / PICTURES)
    return folder is not None and folder.runs.active


@st.cache_data(ttl=60, max_entries=1, show_spinner=False)
def _used(root: Path) -> int:
    return sum(one.stat().st_size for one in root.rglob("*") if one.is_file())
