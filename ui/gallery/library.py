"""Which folders a visitor has open, and the thumbnails of this server."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from core.errors import UsageError, printable
from core.images.thumbnails import Thumbnails
from core.settings import get_settings
from ui.gallery.exports import ExportRequest
from ui.gallery.folder import GalleryFolder

if TYPE_CHECKING:
    from ui.state.session import Visitor

MAX_FOLDERS: Final = 12  # in memory; the least recently used one is dropped, and read again when it is needed
MAX_EXPORTS: Final = 20  # that one visitor may still download


@dataclass
class Libraries:
    """The folders of one visitor, by a random id that only this visitor's browser may use."""

    open: dict[str, Path] = field(default_factory=dict)
    own: Path | None = None
    """The folder of the visitor's uploads, into which this browser may add pictures."""
    exports: dict[str, ExportRequest] = field(default_factory=dict)
    """What may be downloaded, by a random name; the newest ones."""

    def add(self, root: Path) -> str:
        """The id of a folder."""
        for id, path in self.open.items():
            if path == root:
                return id
        id = secrets.token_hex(16)
        self.open[id] = root
        return id

    def offer(self, request: ExportRequest) -> str:
        """The name under which an export may be downloaded."""
        for name, known in self.exports.items():
            if known == request:
                return name
        name = secrets.token_hex(16)
        self.exports[name] = request
        while len(self.exports) > MAX_EXPORTS:
            del self.exports[next(iter(self.exports))]
        return name


def libraries_of(me: Visitor) -> Libraries:
    """The folders that a visitor has open."""
    return me.keep("gallery libraries", Libraries)


def visitors_folder() -> Path:
    """Where the folders of visitors are, each with pictures and what the gallery keeps about them."""
    return get_settings().home / "gallery" / "visitors"


def is_private(root: Path) -> bool:
    """Whether a folder holds the uploads of one visitor."""
    return root.parent.parent == visitors_folder()


def data_folder(root: Path) -> Path:
    """Where the gallery keeps runs and facts of a folder."""
    if is_private(root):
        return root.parent / "data"
    digest = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:20]
    return get_settings().home / "gallery" / digest


class Folders:
    """The folders of this server, read once for all visitors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, GalleryFolder] = OrderedDict()
        self._reading: dict[Path, threading.Lock] = {}

    def get(self, root: Path) -> GalleryFolder:
        """The folder, read on first use. Raises UsageError."""
        root = Path(os.path.abspath(root))
        with self._lock:
            reading = self._reading.setdefault(root, threading.Lock())
        with reading:
            with self._lock:
                if root in self._open:
                    self._open.move_to_end(root)
                    return self._open[root]
            if not root.is_dir():
                raise UsageError(f"there is no folder '{printable(root)}'; check the path")
            folder = GalleryFolder(root, data_folder(root))
            with self._lock:
                self._open[root] = folder
                while len(self._open) > MAX_FOLDERS:
                    self._open.popitem(last=False)
            return folder

    def known(self, root: Path) -> GalleryFolder | None:
        """The folder if it is in memory."""
        return self._open.get(Path(os.path.abspath(root)))

    def forget(self, root: Path) -> None:
        """Drop a folder that was deleted."""
        with self._lock:
            self._open.pop(Path(os.path.abspath(root)), None)


@st.cache_resource(show_spinner=False)
def folders() -> Folders:
    """The folders of this server."""
    return Folders()


@st.cache_resource(show_spinner=False)
def thumbnails() -> Thumbnails:
    """The thumbnails of this server."""
    return Thumbnails(get_settings().home / "thumbnails")
