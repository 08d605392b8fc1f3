"""Find the picture files of a folder, by content, and count by kind what is not read.

A file with the suffix of a supported format is taken as a picture: opening it reports what is wrong. Any other file is
judged by its first bytes. Hidden files, and files that are neither a picture nor similar to one, are ignored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from core.datasets.left_out import (
    BROKEN_LINK,
    LINKED_FOLDER,
    SPECIAL,
    UNREADABLE_FILE,
    UNREADABLE_FOLDER,
    LeftOut,
    Reason,
)
from core.errors import ImageError, UsageError, printable, why
from core.images.decode import can_decode, supported
from core.images.file_type import KIND_OF, NAMES, OTHER_SUFFIXES, SUFFIXES_OF, other_picture, sniff

HEAD: Final = 4096  # bytes that identify a file
NO_PICTURE: Final = Reason("", "")  # nothing to count: not a picture, and not similar to one
ARCHIVE: Final = Reason("archive", "archives")
VIDEO: Final = Reason("video", "videos")
BACKUP: Final = Reason("backup by exiftool", "backups by exiftool")  # photo.jpg_original
_PACKED: Final = frozenset({".gz", ".bz2", ".xz", ".zst"})
_ARCHIVES: Final = frozenset({".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar", ".cbz", ".cbr"})
_VIDEOS: Final = frozenset(".mp4 .m4v .mov .webm .mkv .avi .mpg .mpeg .m2ts .mts .flv .wmv .ogv .3gp".split())
_SYSTEM: Final = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


@cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes of the formats whose decoders are installed."""
    return frozenset(suffix for kind, suffixes in SUFFIXES_OF.items() if can_decode(kind) for suffix in suffixes)


def suffix_of(name: str) -> str:
    """Return the last suffix with its dot, in lower case and without blanks: ".jpg" for "photo.v2.JPG "."""
    return os.path.splitext(name)[1].strip().lower()


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the system: `.DS_Store`, `._photo.jpg`, `__MACOSX`, `Thumbs.db`."""
    return name.startswith(".") or name.lower() in _SYSTEM


def why_not(name: str, head: Callable[[], bytes]) -> Reason | None:
    """Return why a file is not read as a picture, None for one. `head` returns its first bytes. Raises OSError."""
    suffix = suffix_of(name)
    if suffix in picture_suffixes():
        return None
    if suffix in _ARCHIVES or (
        suffix in _PACKED and suffix_of(name[: name.rindex(".")]) in {".tar", *picture_suffixes()}
    ):
        return ARCHIVE
    if suffix in _VIDEOS:
        return VIDEO
    named = KIND_OF.get(suffix)
    if named == "RAW":  # it may start like a TIFF
        return Reason.of_kind(NAMES[named])
    data = head()
    kind = sniff(data)
    if kind is not None:
        return None if can_decode(kind) else Reason.of_kind(NAMES[kind])
    other = other_picture(data) or OTHER_SUFFIXES.get(suffix) or (NAMES[named] if named else None)
    return Reason.of_kind(other) if other else NO_PICTURE


def entries_below(folder: str, left_out: LeftOut, *, ordered: bool = False) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder that is not a folder and not hidden; links to folders are counted, not followed.

    Nothing is collected unless `ordered`, so a folder of a million files takes no memory. With it, the files of each
    folder come by name, before those of its subfolders. A subfolder that cannot be read is counted.
    Raises UsageError if the folder itself cannot be read.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        deeper: list[str] = []
        try:
            with os.scandir(here) as found:
                for entry in sorted(found, key=lambda one: one.name) if ordered else found:
                    if is_hidden(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        deeper.append(entry.path)
                    elif entry.is_symlink() and os.path.isdir(entry.path):  # entry.is_dir raises for a link to itself
                        left_out.add(LINKED_FOLDER, entry.path)
                    else:
                        yield entry
        except OSError as error:
            if here == folder:
                raise UsageError(f"'{printable(folder)}' cannot be read: {why(error)}") from None
            left_out.add(UNREADABLE_FOLDER, here)
        waiting += reversed(deeper)


def judged(path: str) -> Reason | None:
    """Return why a file is not read as a picture, by its name and first bytes; None for a picture."""
    name = os.path.basename(path)
    if suffix_of(name) in picture_suffixes():
        return None  # also a broken link or a pipe: opening it reports that
    if name.endswith("_original") and suffix_of(name.removesuffix("_original")) in picture_suffixes():
        return BACKUP
    if not os.path.isfile(path):
        if os.path.islink(path) and not os.path.exists(path):
            return BROKEN_LINK
        return SPECIAL  # never opened: reading a named pipe would block
    try:
        return why_not(name, lambda: _head(path))
    except OSError:
        return UNREADABLE_FILE


def _head(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(HEAD)


def pictures_below(
    folder: str, left_out: LeftOut, *, ordered: bool = False, known: Collection[str] = ()
) -> Iterator[str]:
    """Yield the path of every picture below a folder; count other files, except `known` ones (absolute paths).

    Raises UsageError.
    """
    for entry in entries_below(folder, left_out, ordered=ordered):
        path = entry.path.removeprefix("./")
        reason = judged(path)
        if reason is None:
            yield path
        elif reason is not NO_PICTURE and not (known and os.path.abspath(path) in known):
            left_out.add(reason, path)


def count_beside(folder: str | Path, left_out: LeftOut, reason: Reason, known: Iterable[str | Path]) -> None:
    """Count, for `reason`, the pictures below a folder that are not in `known`. Raises UsageError."""
    names = set(map(os.path.abspath, known))
    for path in pictures_below(str(folder), left_out, known=names):
        if os.path.abspath(path) not in names:
            left_out.add(reason, path)


def files_below(folder: str, suffix: str) -> list[str]:
    """Return the paths of all files with a suffix, in order. Raises UsageError."""
    entries = entries_below(folder, LeftOut())
    return sorted(entry.path.removeprefix("./") for entry in entries if suffix_of(entry.name) == suffix)


def find_pictures(paths: Iterable[str | Path], left_out: LeftOut | None = None) -> list[Path]:
    """Return every picture named by `paths`, each once; folders are expanded with subfolders, sorted by path.

    A named file is always returned, so that opening it reports what is wrong. In folders, files are judged by content;
    `left_out` counts those that are not read. Hidden files and folders are ignored. `"-"` is returned as is.
    Raises ImageError for a folder without pictures, UsageError for one that cannot be read.
    """
    left_out = LeftOut() if left_out is None else left_out
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        try:
            is_folder = path.is_dir()
        except (OSError, ValueError):  # too long, or with a NUL: opening it reports that
            is_folder = False
        if not is_folder:
            found.setdefault(path)
            continue
        here = LeftOut()
        inside = sorted(map(Path, pictures_below(str(path), here)))
        if not inside:
            raise no_pictures(f"the folder '{printable(path)}'", here)
        left_out.update(here)
        found.update(dict.fromkeys(inside))
    return list(found)


def no_pictures(where: str, left_out: LeftOut) -> ImageError:
    """Return the error for a source without a picture that can be read."""
    if left_out:
        return ImageError(f"{where} holds no pictures that can be read ({left_out}); export them as PNG or JPEG.")
    return ImageError(f"{where} holds no pictures (looked for {supported()}).")
