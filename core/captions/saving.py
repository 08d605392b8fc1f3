"""Save new captions where other tools look for them: `.txt`, XMP sidecars, the picture files themselves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from core.captions.exiftool import ExifTool
from core.captions.forms import (
    CaptionError,
    CaptionExistsError,
    Form,
    XmpName,
    caption_file,
    clean,
    existing_xmp,
    read_text,
    write_text,
)
from core.captions.places import batched
from core.captions.xmp.sidecars import CaptionFields, caption_of, read_xmp, write_fields
from core.closing import Closing
from core.errors import UsageError, printable

WAY_OUT: Final = "add --overwrite to replace it, or --existing skip or append"
_AT_ONCE: Final = 200
_ENDS: Final = (".", "!", "?", "…", "。", "！", "？", ":", ",", ";")


class Existing(StrEnum):
    """What becomes of a caption that exists already."""

    SKIP = "skip"
    OVERWRITE = "overwrite"
    APPEND = "append"


@dataclass(frozen=True, slots=True)
class SaveTargets:
    """Where captions are saved."""

    txt: bool = False
    xmp: bool = False
    metadata: bool = False
    """Into the picture files, by exiftool."""
    xmp_name: XmpName = XmpName.FULL
    existing: Existing | None = None
    """None: an existing caption is an error."""

    def __bool__(self) -> bool:
        return self.txt or self.xmp or self.metadata


def save_targets(
    *, txt: bool, xmp: bool, metadata: bool, xmp_name: str | None, existing: str | None, overwrite: bool
) -> SaveTargets:
    """The targets of a command's options. Raises UsageError."""
    names = [str(name) for name in XmpName]
    if xmp_name is not None and xmp_name not in names:
        raise UsageError(f"--xmp-name is '{printable(xmp_name, 40)}': take {' or '.join(names)}")
    if xmp_name is not None and not xmp:
        raise UsageError("--xmp-name only means something together with --xmp")
    modes = [str(one) for one in Existing]
    if existing is not None and existing not in modes:
        raise UsageError(f"--existing is '{printable(existing, 40)}': take {', '.join(modes[:-1])} or {modes[-1]}")
    if overwrite and existing not in (None, Existing.OVERWRITE):
        raise UsageError(f"--overwrite and --existing {existing} contradict each other; choose one")
    for option, given in (("--existing", existing is not None), ("--overwrite", overwrite)):
        if given and not (txt or xmp or metadata):
            raise UsageError(f"{option} only means something together with --save-beside, --xmp or --write-metadata")
    mode = Existing.OVERWRITE if overwrite else Existing(existing) if existing else None
    return SaveTargets(txt, xmp, metadata, XmpName(xmp_name) if xmp_name else XmpName.FULL, mode)


class CaptionSaver(Closing):
    """Saves captions of pictures; a context manager. Raises UsageError if exiftool is needed and missing."""

    def __init__(self, targets: SaveTargets) -> None:
        self.targets = targets
        self.checked = False
        """Set when no caption is in the way, so that the files beside pictures are ours to replace."""
        self._exiftool = ExifTool() if targets.metadata else None

    def files(self, source: str) -> list[Path]:
        """The files beside `source` that its caption is written to."""
        found = [caption_file(source, Form.TXT)] if self.targets.txt else []
        return [*found, existing_xmp(source, self.targets.xmp_name)] if self.targets.xmp else found

    # --- before the work ------------------------------------------------------------------------------------------

    def check(self, sources: Iterable[str]) -> None:
        """Raise UsageError or CaptionError if a caption of these pictures could not be saved."""
        taken: dict[Path, str] = {}
        for source in sources:
            self.check_one(source)
            for path in self.files(source):
                if path in taken:
                    both = f"'{printable(source)}' and '{printable(taken[path])}'"
                    raise UsageError(f"{both} would share '{printable(path)}'; caption them one at a time")
                taken[path] = source

    def check_one(self, source: str) -> None:
        """`check` for one picture, without comparing it with others."""
        if source == "-":
            raise UsageError("captions are saved beside files, and standard input is none; leave --save-beside out")
        if not os.path.exists(source):
            return  # opening it will say so
        for path in self.files(source):
            if path.is_dir():
                raise CaptionError(f"'{printable(path)}' is a folder, so no description can be written there")
            if not os.access(path.parent, os.W_OK | os.X_OK):
                raise CaptionError(
                    f"the folder '{printable(path.parent)}' is not writable; leave --save-beside and --xmp out"
                )
            if self.targets.existing is None and _has_caption(path):
                raise CaptionExistsError(f"'{printable(path)}' exists already; {WAY_OUT}")
        if self.targets.metadata and not os.access(os.path.dirname(os.path.abspath(source)), os.W_OK | os.X_OK):
            raise CaptionError(f"the folder of '{printable(source)}' is not writable; leave --write-metadata out")

    def captioned(self, sources: Iterable[str]) -> Iterator[str]:
        """The pictures that have a caption wherever one would be written: --existing skip leaves them out."""
        for some in batched(sources, _AT_ONCE):
            found = [source for source in some if all(_has_caption(path) for path in self.files(source))]
            if self._exiftool is not None:
                in_files = self._exiftool.read(found)
                found = [source for source in found if source in in_files]
            yield from found

    # --- saving ---------------------------------------------------------------------------------------------------

    def save(self, source: str, fields: CaptionFields, *, text: str | None = None) -> None:
        """Save the caption of one picture; calling it twice changes nothing more. Raises CaptionError.

        `text` is for the text file; without it, the description of `fields`.
        """
        errors: list[CaptionError] = []
        for save in self._saves(source, fields, fields.description if text is None else text):
            try:
                save()
            except CaptionError as error:
                errors.append(error)  # the other places get the caption all the same
        if errors:
            raise errors[0]

    def _saves(self, source: str, fields: CaptionFields, text: str | None) -> Iterator[Callable[[], None]]:
        if self.targets.txt and text is not None:
            yield lambda: self._save_text(caption_file(source, Form.TXT), clean(text))
        if self.targets.xmp:
            yield lambda: self._save_xmp(existing_xmp(source, self.targets.xmp_name), fields)
        if self._exiftool is not None:
            yield lambda: self._save_in_file(source, fields)

    def _save_text(self, path: Path, text: str) -> None:
        merged = self._merged(path, read_text(path), text)
        if merged is not None:
            write_text(path, merged, keep_end=merged != text)

    def _save_xmp(self, path: Path, fields: CaptionFields) -> None:
        xmp = read_xmp(path)
        there = None if xmp is None else caption_of(xmp)
        write_fields(path, self._with_description(path, there, fields))

    def _save_in_file(self, source: str, fields: CaptionFields) -> None:
        assert self._exiftool is not None
        there = self._exiftool.read([source]).get(source)
        text = clean(fields.description or "").strip()
        if there is not None and text and there.endswith(text):
            return  # written before a kill
        if there is not None and self.targets.existing is None:
            raise CaptionExistsError(f"'{printable(source)}' has a description already; {WAY_OUT}")
        self._exiftool.write(source, self._with_description(Path(source), there, fields))

    def _with_description(self, path: Path, there: str | None, fields: CaptionFields) -> CaptionFields:
        if fields.description is None:
            return fields
        return replace(fields, description=self._merged(path, there, clean(fields.description)))

    def _merged(self, path: Path, there: str | None, text: str) -> str | None:
        """The caption to write where `there` stands; None: leave it. Raises CaptionError if it may not be replaced."""
        mode = self.targets.existing
        if (
            there is None
            or not there.strip()
            or there == text
            or mode is Existing.OVERWRITE
            or (mode is None and self.checked)
        ):
            return text
        if mode is Existing.SKIP:
            return None
        if mode is Existing.APPEND:
            return there if there.endswith(text.strip()) else appended(there, text)
        raise CaptionExistsError(f"'{printable(path)}' exists already; {WAY_OUT}")

    def close(self) -> None:
        """End exiftool."""
        if self._exiftool is not None:
            self._exiftool.close()


def appended(there: str, text: str) -> str:
    """An existing caption followed by a new one, on one line: trainers read the first line of a file only."""
    there = there.rstrip()
    return f"{there} {text}" if there.endswith(_ENDS) else f"{there}, {text}"


def _read(path: Path) -> str | None:
    if path.suffix.lower() != ".xmp":
        return read_text(path)
    try:
        xmp = read_xmp(path)
    except CaptionError:
        return None  # saving says so, and leaves it alone
    return None if xmp is None else caption_of(xmp)


def _has_caption(path: Path) -> bool:
    return bool((_read(path) or "").strip())
