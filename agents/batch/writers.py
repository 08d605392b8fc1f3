"""Write the files of a batch: texts beside the pictures at once, all other outputs at the end of a run."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

from agents.batch.ledger import CaptionRow, Ledger
from agents.batch.outputs import failures_of, is_beside, text_of, write_beside, write_failures, write_output
from agents.batch.plan import BatchConfig
from agents.batch.shard_output import write_shards
from core.console.status import Status
from core.datasets.pictures.inputs import bytes_of
from core.datasets.pictures.listing import Listing
from core.datasets.pictures.sources import BY_PATH
from core.errors import ImageError, UsageError, printable
from core.files.sidecar import check_sidecars, sidecar_of
from core.records import Caption


class Writer:
    """Writes the outputs of a plan from its ledger."""

    def __init__(self, plan: BatchConfig, ledger: Ledger) -> None:
        self.plan, self.ledger = plan, ledger
        config = plan.config
        names = config.styles.styles if config.styles else ()
        self._styles = {name: config.prompts.form_of(name) for name in names}

    # --- texts beside the pictures --------------------------------------------------------------------------------

    def check_beside(self, listing: Listing, condition: str) -> None:
        """Check that every picture has its own text file. Raises UsageError or SidecarError."""
        for item in listing.items(self.plan.scope, "1"):
            if item.part != BY_PATH:
                raise UsageError(
                    f"--save-beside needs pictures that are files; '{printable(item.key)}' lies in a shard or table"
                )
        for item in listing.items(self.plan.scope, condition):
            check_sidecars([item.key], overwrite=self.plan.request.overwrite)
        if shared := listing.shared(lambda key: str(sidecar_of(key))):
            first, second, path = shared
            raise UsageError(
                f"'{printable(first)}' and '{printable(second)}' would share '{printable(path)}'; "
                "leave --save-beside out"
            )

    def catch_up_beside(self) -> None:
        """Write the texts of captions from a run that was killed, or that had no --save-beside."""
        begin = int(self.ledger.get("beside") or 0)
        for _, record in self.ledger.journal.read(begin):
            if record["kind"] in ("done", "same", "styled"):
                key = record["key"]
                text = self.text_of(self.ledger.caption(key))
                if Path(key).exists() and not is_beside(key, text):
                    check_sidecars([key], overwrite=self.plan.request.overwrite)
                    write_beside(key, text)
        self.ledger.set("beside", self.ledger.journal.size)
        self.ledger.commit()

    def text_of(self, caption: Caption) -> str:
        """The text beside a picture."""
        return text_of(caption, self._styles)

    def beside(self, key: str, caption: Caption) -> None:
        """Write the text of a caption that was just saved. Raises StoreError."""
        if self.plan.request.save_beside:
            write_beside(key, self.text_of(caption))
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
