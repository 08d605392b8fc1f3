"""Pictures of tool calls: a path below an allowed folder, a data URL, or the handle of an earlier answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agents.langchain.messages import Sources
from core.errors import UsageError, printable
from core.images.picture import Picture, open_picture
from core.settings import get_settings

KEPT: Final = 16  # decoded pictures in memory
HANDLE: Final = "picture:"
_DIGITS: Final = 16


class AllowedPictures:
    """Opens pictures; safe for threads."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """`roots`: the allowed folders. Raises UsageError if one is none."""
        self.roots = [_folder(root) for root in roots]
        self._known: OrderedDict[str, Picture] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, name: str) -> tuple[str, Picture]:
        """(handle, picture). Raises UsageError or ImageError, which name no folder that is not allowed."""
        name = name.strip()
        if name.startswith(HANDLE):
            with self._lock:
                if (known := self._known.get(name)) is None:
                    raise UsageError(f"{printable(name, 40)} is not known any more; name the picture by its path again")
                return name, known
        if name[:5].lower() == "data:":
            data = Sources().get({"type": "image", "url": name}, "the data URL")
            picture = open_picture(data, name="data URL", max_pixels=get_settings().max_pixels)
        else:
            picture = open_picture(self._path(name), name=name, max_pixels=get_settings().max_pixels)
        handle = f"{HANDLE}{picture.sha256[:_DIGITS]}"
        with self._lock:
            self._known[handle] = picture
            self._known.move_to_end(handle)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return handle, picture

    def _path(self, name: str) -> Path:
        """The file in the first allowed folder that has it."""
        shown = f"'{printable(name, 80)}'"
        if not self.roots:
            raise UsageError(f"{shown}: no folder is allowed; start the server with --root FOLDER, or send a data URL")
        for root in self.roots:
            try:
                path = (root / Path(name).expanduser()).resolve()
                if path.is_relative_to(root) and path.is_file():
                    return path
            except (OSError, ValueError, RuntimeError):
                continue
        raise UsageError(f"{shown} is no file in the allowed folders ({', '.join(root.name for root in self.roots)})")

    def listing(self, most: int) -> tuple[list[str], int]:
        """(paths of pictures relative to their allowed folder, how many there are besides)."""
        from core.datasets.folders import find_pictures
        from core.datasets.left_out import LeftOut

        found = [
            str(path.relative_to(root))
            for root in self.roots
            for path in (Path(str(one)) for one in find_pictures([root], LeftOut()))
            if path.resolve().is_relative_to(root)
        ]
        return found[:most], max(0, len(found) - most)


def _folder(root: Path) -> Path:
    try:
        found = root.expanduser().resolve(strict=True)
    except (OSError, RuntimeError):
        raise UsageError(f"--root '{printable(root)}' is no folder") from None
    if not found.is_dir():
        raise UsageError(f"--root '{printable(root)}' is no folder")
    return found
