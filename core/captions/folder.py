"""The captions of a folder of pictures: listed, searched, changed, with versions and undo.

    folder = CaptionFolder("photos")
    folder.refresh()                                             # looks at the disk
    page = folder.find(CaptionQuery(contains="cat"), limit=50)
    folder.set(page[0].path, "A black cat.")
    change = folder.apply(Replace("cat", "dog"), CaptionQuery(contains="cat"))
    folder.undo()

Captions stand where other programs look for them: in `photo.txt`, `photo.caption`, `photo.jpg.xmp` or `photo.xmp`, or
in `metadata.jsonl` or `captions.jsonl` of the folder. A picture's caption is that of the first of them. The same text
in several of them is changed in all. Threads and processes may share a folder; each makes its own CaptionFolder or
shares one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import EllipsisType
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from core.captions.changes import (
    EDIT,
    REDO,
    UNDO,
    Planned,
    carry_out,
    finish_open,
    note_outside,
    reversed_rows,
    start,
    to_redo,
    to_undo,
)
from core.captions.database import Database
from core.captions.edits import Edit, Prefix, Replace, Tags, Trim, cleaned
from core.captions.forms import CaptionError, Form, XmpName, caption_file, clean, existing_xmp
from core.captions.places import read_place, read_table
from core.captions.records import (
    CaptionChange,
    CaptionQuery,
    CaptionVersion,
    PictureCaption,
    Preview,
    Previewed,
    Refreshed,
)
from core.captions.scan import Progress, Scan, named_pictures, own_tables
from core.captions.selection import HeldPlace, Selection
from core.closing import Closing
from core.errors import UsageError, printable
from core.records import Caption
from core.store.query import INTERVIEW, TranscriptQuery

if TYPE_CHECKING:
    from core.store.transcripts import TranscriptStore

Texts = Mapping[str, str | None]
NOTHING: Final = CaptionChange(0, datetime.min.replace(tzinfo=UTC), EDIT, "nothing to change", 0)
NEW_TABLE: Final = "captions.jsonl"


class CaptionFolder(Closing):
    """Captions of the pictures in `root` and its subfolders.

    `form`: read and write only this form. `new`: the form of a caption where a picture has none (default: `form`, else
    the one that most captions of the folder have, else `.txt`). `tables`: .jsonl files with captions, besides
    `metadata.jsonl` and `captions.jsonl` in the folder.

    A path names a picture relative to `root`, with slashes. Methods raise UsageError for a picture or change that does
    not exist, CaptionError for a file that cannot be read or written, StoreError for the versions.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        form: Form | None = None,
        new: Form | None = None,
        tables: Sequence[Path] = (),
        xmp_name: XmpName = XmpName.FULL,
    ) -> None:
        self.root = Path(root)
        self.form, self.new, self.xmp_name = form, new or form, xmp_name
        self._tables = [Path(path) for path in tables]
        self._database = Database(self.root)
        self._selection = Selection(form)

    @property
    def read_only(self) -> bool:
        """Whether the folder is not writable, so captions can be read only."""
        return self._database.read_only

    # --- reading --------------------------------------------------------------------------------------------------

    def refresh(self, progress: Progress | None = None, *, wait: float | None = None) -> Refreshed:
        """Look at the disk for new, changed and deleted pictures and captions; finish what a kill interrupted.

        Captions that other programs changed become versions. `progress` gets the number of pictures so far. `wait`:
        seconds to wait for a change by another process [600]. Until the first call the folder seems empty.
        """
        with self._database.locked() if wait is None else self._database.locked(wait):
            if not self.read_only:
                finish_open(self._database)
            return Scan(self._database, self._all_tables(), progress).run()

    def find(self, query: CaptionQuery | None = None, *, limit: int = 100, offset: int = 0) -> list[PictureCaption]:
        """Matching pictures in the order of the query, skipping `offset`."""
        with self._database.transaction() as connection:
            return self._selection.listed(connection, query or CaptionQuery(), limit, offset)

    def count(self, query: CaptionQuery | None = None) -> int:
        """The number of matching pictures."""
        with self._database.transaction() as connection:
            return self._selection.count(connection, query or CaptionQuery())

    def counts(self) -> dict[str, int]:
        """Numbers for filters: "pictures", "captioned", "edited", "unsure", "failed_audit", "problem"."""
        with self._database.transaction() as connection:
            return self._selection.counts(connection)

    def get(self, path: str) -> PictureCaption:
        """One picture. Raises UsageError if the folder does not have it."""
        found = self.find(CaptionQuery(paths=frozenset((path,))), limit=1)
        if not found:
            raise UsageError(f"there is no picture '{printable(path)}' in '{printable(self.root)}'")
        return found[0]

    def each(self, query: CaptionQuery | None = None) -> Iterator[PictureCaption]:
        """All matching pictures by path, a few in memory at a time."""
        with self._database.transaction() as connection:
            yield from self._selection.each(connection, query or CaptionQuery())

    # --- changing -------------------------------------------------------------------------------------------------

    def set(self, path: str, text: str | None, *, was: str | EllipsisType | None = ...) -> CaptionChange:
        """Set the caption of one picture; None removes it.

        With `was`, the caption that a person saw: raises CaptionError if it is another one now, and changes nothing.
        """
        return self.set_many({path: text}, was={} if was is ... else {path: was})

    def set_many(self, texts: Texts, *, was: Texts | None = None, label: str = "edit") -> CaptionChange:
        """Set captions of many pictures as one change."""
        cleaned_texts = {path: None if text is None else clean(text) for path, text in texts.items()}

        def planned(connection: Connection) -> Iterator[Planned]:
            for path, text in cleaned_texts.items():
                yield from self._planned_text(connection, path, text, was or {})

        return self._change(label, planned)

    def preview(self, edit: Edit, query: CaptionQuery | None = None, *, limit: int = 20) -> Preview:
        """What `edit` would do to the captions of the matching pictures. Raises UsageError for an invalid edit."""
        change = cleaned(edit.check())
        shown: list[Previewed] = []
        total = of = 0
        with self._database.transaction() as connection:
            for path, text in self._selection.texts(connection, query or CaptionQuery()):
                of += 1
                after = change(text)
                if after != text:
                    total += 1
                    if len(shown) < limit:
                        shown.append(Previewed(path, text, after))
        return Preview(tuple(shown), total, of)

    def apply(self, edit: Edit, query: CaptionQuery | None = None, progress: Progress | None = None) -> CaptionChange:
        """Apply `edit` to the captions of the matching pictures, as one change; pictures without caption stay so.

        `progress` gets the number of captions written so far. A change of nothing has the id 0.
        """
        change = cleaned(edit.check())

        def planned(connection: Connection) -> Iterator[Planned]:
            with self._database.transaction() as reading:  # a snapshot beside the transaction that writes
                for place, text in self._selection.places(reading, query or CaptionQuery()):
                    after = change(text)
                    if after != text:
                        yield Planned(place, text, after)

        return self._change(edit.label, planned, change, progress)

    def replace(self, find: str, by: str, query: CaptionQuery | None = None, *, regex: bool = False) -> CaptionChange:
        """Find and replace; more options: `apply(Replace(...))`."""
        return self.apply(Replace(find, by, regex=regex), query)

    def prefix(self, text: str, query: CaptionQuery | None = None) -> CaptionChange:
        """Put `text` before captions that do not begin with it."""
        return self.apply(Prefix(text), query)

    def trim(self, query: CaptionQuery | None = None) -> CaptionChange:
        """Remove superfluous white space."""
        return self.apply(Trim(), query)

    def remove_duplicates(self, query: CaptionQuery | None = None, *, separator: str = ",") -> CaptionChange:
        """Keep one of equal tags."""
        return self.apply(Tags(separator=separator), query)

    def undo(self, change: int | None = None, progress: Progress | None = None) -> CaptionChange | None:
        """Take back the newest change, or the one with this id; captions that were changed since are left alone.

        None if there is nothing to undo. Raises UsageError if `change` is none that can be undone.
        """

        def target(connection: Connection) -> tuple[int, str] | None:
            found = to_undo(connection, change)
            if found is None and change is not None:
                raise UsageError(
                    f"there is no change {change} that can be undone; see `inquisight captions FOLDER --history`"
                )
            return found

        return self._reverse(UNDO, target, progress)

    def redo(self, progress: Progress | None = None) -> CaptionChange | None:
        """Make the change again that was undone last. None if there is none, or captions were edited since."""
        return self._reverse(REDO, to_redo, progress)

    def restore(self, path: str, version: int) -> CaptionChange:
        """Set the caption of a picture to the text after an earlier version; 0: the text before the first one."""
        versions = self.versions(path)
        texts = {one.id: one.after for one in versions}
        if versions:
            texts[0] = versions[-1].before
        if version in texts:
            label = f"version {version} again" if version else "the first text again"
            return self.set_many({path: texts[version]}, label=label)
        raise UsageError(f"'{printable(path)}' has no version {version}")

    def mark(self, path: str, *, unsure: bool | None = None, failed_audit: bool | None = None) -> None:
        """Note what an interview or audit of the picture told; None leaves it as it is."""
        if not self._mark(path, unsure=unsure, failed=failed_audit):
            raise UsageError(f"there is no picture '{printable(path)}' in '{printable(self.root)}'")

    def _mark(self, path: str, **flags: bool | None) -> bool:
        """Set flags of a picture; whether there is one."""
        values = {name: one for name, one in flags.items() if one is not None}
        with self._database.transaction(write=bool(values)) as connection:
            return self._selection.mark(connection, path, values)

    def read_transcripts(self, store: TranscriptStore, progress: Progress | None = None) -> int:
        """`mark` the pictures of the newest interviews in a store; returns the number of those that are in the folder.

        An interview belongs to the picture whose path it names, as absolute path or from the current folder.
        """
        marked: set[str] = set()
        for number, record in enumerate(store.records(TranscriptQuery(kind=INTERVIEW))):
            if progress is not None and number % 100 == 0:
                progress(number)
            if not isinstance(record, Caption):
                continue
            for path in named_pictures(self.root, record.picture.source):
                if path in marked:
                    continue
                failed = any(claim.verdict in ("contradicted", "unsupported") for claim in record.claims)
                if self._mark(path, unsure=record.unsure, failed=failed):
                    marked.add(path)
        return len(marked)

    # --- versions -------------------------------------------------------------------------------------------------

    def versions(self, path: str) -> list[CaptionVersion]:
        """All versions of a picture's caption, newest first."""
        with self._database.transaction() as connection:
            return self._selection.versions(connection, path)

    def changes(self, limit: int = 50, offset: int = 0) -> list[CaptionChange]:
        """The changes of the folder, newest first: edits, undos, and what other programs did."""
        with self._database.transaction() as connection:
            return self._selection.changes(connection, limit, offset)

    def close(self) -> None:
        """Close the file of versions; the next use opens it again."""
        self._database.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _all_tables(self) -> list[Path]:
        known = {path.resolve(): path for path in [*own_tables(self.root), *self._tables]}
        return list(known.values())

    def _change(
        self,
        label: str,
        planned: Callable[[Connection], Iterable[Planned]],
        edit: Callable[[str], str] | None = None,
        progress: Progress | None = None,
        kind: str = EDIT,
        undoes: int | None = None,
    ) -> CaptionChange:
        self._database.check_writable()
        with self._database.locked():
            finish_open(self._database)
            change = start(self._database, label, planned, kind, undoes)
            if change is None:
                return NOTHING
            carry_out(self._database, change, edit, progress)
        with self._database.transaction() as connection:
            return self._selection.change(connection, change)

    def _reverse(
        self, kind: str, target: Callable[[Connection], tuple[int, str] | None], progress: Progress | None
    ) -> CaptionChange | None:
        self._database.check_writable()
        with self._database.transaction() as connection:
            found = target(connection)
        if found is None:
            return None
        change, label = found
        return self._change(
            f"{kind}: {label}",
            lambda connection: reversed_rows(connection, change, again=kind == REDO),
            progress=progress,
            kind=kind,
            undoes=change,
        )

    def _planned_text(self, connection: Connection, path: str, text: str | None, was: Texts) -> Iterator[Planned]:
        """The places of one picture that get `text`; makes one if the picture has none."""
        picture = self._selection.picture(connection, path)
        if picture is None:
            raise UsageError(f"there is no picture '{printable(path)}' in '{printable(self.root)}'")
        held = self._selection.held(connection, picture)
        held = [note_outside(connection, place, self._read(place)) for place in held]
        main = next((place for place in held if place.text is not None), None)
        shown = None if main is None else main.text
        if path in was and was[path] != shown:
            raise CaptionError(
                f"the caption of '{printable(path)}' was changed by somebody else in between; look at it again"
            )
        if main is None:
            targets = [] if text is None else [self._place_for_new(connection, picture, path, held)]
        else:
            targets = [place for place in held if place.text == shown]
        for place in targets:
            if place.text != text:
                yield Planned(place.id, place.text, text)

    def _read(self, place: HeldPlace) -> str | None:
        path = self.root / place.file
        if place.form is Form.JSONL:
            return read_table(path).get(place.line) if path.exists() else None
        return read_place(path, place.form)

    def _place_for_new(self, connection: Connection, picture: int, path: str, held: Sequence[HeldPlace]) -> HeldPlace:
        """Where the first caption of a picture goes: a file that is there without one, else a new file or line."""
        form = self.new or (held[0].form if held else self._selection.usual_form(connection))
        if (there := next((place for place in held if place.form is form), None)) is not None:
            return there
        if form is Form.JSONL:
            tables = self._all_tables()
            file = tables[0] if tables else self.root / NEW_TABLE
            line = path
        else:
            picture_file = self.root / path
            xmp = form is Form.XMP
            file = existing_xmp(picture_file, self.xmp_name) if xmp else caption_file(picture_file, form)
            line = ""
        name = os.path.relpath(file, self.root)
        name = os.path.abspath(file) if name.startswith("..") else name
        return self._selection.new_place(connection, picture, name, line, form)
