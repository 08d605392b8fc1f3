"""Write the files of a batch: captions beside the pictures at once, all other outputs at the end of a run."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

from agents.batch.ledger import CaptionRow, Ledger
from agents.batch.outputs import failures_of, text_of, write_failures, write_output
from agents.batch.plan import BatchConfig
from agents.batch.shard_output import write_shards
from agents.text.caption_fields import CAPTIONED, fields_of
from core.captions.forms import CaptionError, CaptionExistsError
from core.captions.saving import CaptionSaver, Existing
from core.console.status import Status
from core.datasets.left_out import LeftOut
from core.datasets.pictures.inputs import bytes_of
from core.datasets.pictures.listing import Listing
from core.datasets.pictures.sources import BY_PATH
from core.errors import ImageError, UsageError, printable
from core.records import Caption


class Writer:
    """Writes the outputs of a plan from its ledger. A context manager: it ends exiftool."""

    def __init__(self, plan: BatchConfig, ledger: Ledger) -> None:
        self.plan, self.ledger = plan, ledger
        config = plan.config
        names = config.styles.styles if config.styles else ()
        self._styles = {name: config.prompts.form_of(name) for name in names}
        self.saver = CaptionSaver(plan.targets) if plan.targets else None
        self.unsaved = 0
        """Captions that a picture's sidecar or file did not take; the ledger and the outputs have them."""
        self.first_unsaved = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.saver is not None:
            self.saver.close()

    # --- captions beside the pictures -----------------------------------------------------------------------------

    def skip_captioned(self, listing: Listing, condition: str, left_out: LeftOut) -> None:
        """With --existing skip: take the pictures that have a caption out of the listing, and count them."""
        if self.saver is None or self.plan.targets.existing is not Existing.SKIP:
            return
        keys = (item.key for item in listing.items(self.plan.scope, condition) if item.part == BY_PATH)
        for key in self.saver.captioned(keys):
            left_out.add(CAPTIONED, key)
            listing.remove(key)

    def check_beside(self, listing: Listing, condition: str) -> None:
        """Check that every picture has its own files. Raises UsageError or CaptionError."""
        if self.saver is None:
            return
        for item in listing.items(self.plan.scope, "1"):
            if item.part != BY_PATH:
                raise UsageError(
                    "--save-beside, --xmp and --write-metadata need pictures that are files; "
                    f"'{printable(item.key)}' lies in a shard or table"
                )
        for item in listing.items(self.plan.scope, condition):
            self.saver.check_one(item.key)
        for number in range(len(self.saver.files("photo.jpg"))):
            if shared := listing.shared(lambda key, number=number: str(self._files(key)[number])):  # type: ignore[misc]
                first, second, path = shared
                raise UsageError(
                    f"'{printable(first)}' and '{printable(second)}' would share '{printable(path)}'; "
                    "leave --save-beside and --xmp-name photo.xmp out"
                )

    def _files(self, key: str) -> list[Path]:
        assert self.saver is not None
        return self.saver.files(key)

    def catch_up_beside(self) -> None:
        """Write the captions of a run that was killed, or that wrote none beside the pictures."""
        if self.saver is None:
            return
        begin = int(self.ledger.get("beside") or 0)
        for _, record in self.ledger.journal.read(begin):
            key = record.get("key", "")
            if record["kind"] not in ("done", "same", "styled") or not Path(key).exists():
                continue
            self.saver.checked = record["kind"] == "styled"  # in place of a text of ours
            try:
                self._save(key, self.ledger.caption(key))
            except CaptionExistsError:
                raise
            except CaptionError as error:
                self._note_unsaved(error)
        self._caught_up()
        self.ledger.commit()
        self.saver.checked = True

    def beside(self, key: str, caption: Caption) -> None:
        """Write a caption that was just saved beside its picture. Raises StoreError."""
        if self.saver is None:
            return
        try:
            self._save(key, caption)
        except CaptionError as error:
            self._note_unsaved(error)
        self._caught_up()

    def _save(self, key: str, caption: Caption) -> None:
        assert self.saver is not None
        self.saver.save(key, fields_of(caption, self._styles), text=text_of(caption, self._styles))

    def _note_unsaved(self, error: CaptionError) -> None:
        self.unsaved += 1
        self.first_unsaved = self.first_unsaved or str(error)

    def _caught_up(self) -> None:
        """Note how far the journal is saved beside the pictures; the next run tries again from the first failure on."""
        if not self.unsaved:
            self.ledger.set("beside", self.ledger.journal.size)

    # --- outputs --------------------------------------------------------------------------------------------------

    def write_outputs(self, listing: Listing) -> None:
        """Write every file from the ledger. Raises StoreError."""
        ledger, plan = self.ledger, self.plan
        ledger.commit()
        tally = ledger.tally()
        if not tally:
            return  # nothing was begun
        status = Status()
        try:
            for path in plan.outputs:
                status.show(f"writing {printable(path.name)}")
                if path.suffix.lower() == ".tar":
                    self._write_shards(path, listing, status)
                else:
                    write_output(path, ledger.rows, self._styles)
            write_failures(failures_of(plan.outputs[0]), ledger.failures())
        finally:
            status.clear()

    def _write_shards(self, path: Path, listing: Listing, status: Status) -> None:
        def fetch(row: CaptionRow) -> bytes:
            item = listing.find(row.key)
            if item is None:
                raise ImageError(f"'{printable(row.key)}' is not named any more.")
            data = bytes_of(self.plan.sources, item)
            if sha256(data).hexdigest() != row.caption.picture.sha256:
                raise ImageError(f"'{printable(row.key)}' has changed since it was captioned.")
            return data

        missing = 0
        size, of = self.plan.request.shard_size, self.plan.scope.of
        for number, count, left_out in write_shards(path, self.ledger, fetch, size=size, of=of, styles=self._styles):
            missing += left_out
            status.show(f"writing {printable(path.name)}: {number} of {count} shards")
        if missing:
            status.clear()
            say(f"{missing} pictures have changed or gone since they were captioned; '{printable(path)}' lacks them")


def say(text: str) -> None:
    """Print a line on standard error."""
    print(f"inquisight: {text}", file=sys.stderr, flush=True)
