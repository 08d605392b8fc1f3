"""Exports of the gallery: the page chooses pictures and a format, `agents.captions.export` writes the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.captions import export as engine
from agents.captions.export import CaptionedPicture, Export, Exported
from core.errors import UsageError
from ui.gallery.runs.journal import record_of

if TYPE_CHECKING:
    from ui.gallery.entries import Entry
    from ui.gallery.folder import GalleryFolder


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What is exported."""

    format: str
    numbers: tuple[int, ...]


def write_export(folder: GalleryFolder, request: ExportRequest, out: Path) -> Exported:
    """Write the file `out`, with the interviews. Raises UsageError or StoreError."""
    entries = folder.entries(request.numbers)
    captioned = [one for one in entries if one.caption.strip()]
    if not captioned:
        raise UsageError("none of these pictures has a caption")
    done = Exported(without=len(entries) - len(captioned))
    export = Export(folder.root, _pictures(folder, captioned), detailed=True, done=done)
    return export.write(request.format, out, overwrite=True)


def write_beside(folder: GalleryFolder, entries: Sequence[Entry]) -> int:
    """Write an XMP sidecar beside each picture that has a caption. Returns their number. Raises CaptionError."""
    return engine.write_beside(folder.root, _pictures(folder, entries))


def _pictures(folder: GalleryFolder, entries: Sequence[Entry]) -> Iterator[CaptionedPicture]:
    for entry in entries:
        if text := entry.caption.strip():
            yield CaptionedPicture(entry.key, text, record_of(folder.data / "runs", folder.facts_of(entry)))
