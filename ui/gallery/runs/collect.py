"""Take over the results of runs: captions into the folder, what was unsure or false into its facts.

A result is saved first and noted as taken after that, so a kill in between takes it again, with the same outcome.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from core.console.processes import describe_process
from core.errors import StoreError, UsageError
from core.files.journal import write_json
from core.records import Caption
from ui.gallery.runs.journal import facts_of, new_records
from ui.gallery.runs.request import RunRequest, write_list
from ui.gallery.runs.run import Progress, Run, runs_in

if TYPE_CHECKING:
    from ui.gallery.entries import Entry
    from ui.gallery.facts import Facts

POLL: Final = 0.7  # seconds
MAX_PROCESSES: Final = 2  # of this server
SERVER: Final = "server.json"  # which server follows the runs of which folder, see core.console.processes
_going: Final[set[Path]] = set()
_guard: Final = threading.Lock()


class RunFolder(Protocol):
    """The folder whose pictures are captioned."""

    root: Path
    data: Path
    facts: Facts

    def path(self, entry: Entry) -> Path: ...

    def take_captions(self, texts: Mapping[str, str], before: Mapping[str, str], run: str) -> set[str]: ...

    def results_came(self) -> None: ...


class FolderRuns:
    """The runs of one folder; one of them goes on at a time."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.path = folder.data / "runs"
        self._lock = threading.RLock()
        self._watcher: threading.Thread | None = None
        self._digests: dict[str, tuple[str, int]] = {}  # sha256 -> where the caption of these bytes is
        self._before: dict[str, dict[str, str]] = {}  # of the run whose results came last
        self.all = runs_in(self.path)
        for run in self.all:
            self._count(run)
        if self.all and self.all[-1].active:
            self._watch(self.all[-1])

    @property
    def current(self) -> Run | None:
        """The newest run."""
        return self.all[-1] if self.all else None

    def progress(self) -> Progress | None:
        """How far the newest run is; None if there is none."""
        run = self.current
        return run.progress() if run is not None else None

    @property
    def active(self) -> bool:
        """Whether a process works for the newest run, or its results are being taken over."""
        run = self.current
        return run is not None and run.active

    # --- what people do -------------------------------------------------------------------------------------------

    def pictures(self, entries: Sequence[Entry], *, replace: bool) -> list[Entry]:
        """Those of `entries` that a run would caption."""
        return [entry for entry in entries if replace or not entry.caption.strip()]

    def start(self, request: RunRequest, entries: Sequence[Entry]) -> Run:
        """Start a run over `entries`. Raises UsageError."""
        with self._lock:
            if self.active or (self.current is not None and self.current.state == "paused"):
                raise UsageError("a run over this folder is not finished; let it end, or discard it")
            chosen = self.pictures(entries, replace=request.replace)
            if not chosen:
                raise UsageError("all of these pictures have a caption; choose to replace them, or other pictures")
            _claim(self.path)
            run = Run.make(self.path, request, {entry.key: entry.caption for entry in chosen})
            write_list(run.path, [self.folder.path(entry) for entry in chosen])
            run.start()
            self.all.append(run)
            self._watch(run)
            return run

    def pause(self) -> None:
        """Pause the newest run."""
        with self._lock:
            if (run := self.current) is not None:
                run.pause()

    def go_on(self) -> None:
        """Continue a run that was paused or failed. Raises UsageError."""
        with self._lock:
            run = self.current
            if run is None or run.state not in ("paused", "failed"):
                raise UsageError("there is no run to continue")
            _claim(self.path)
            run.tries = 0
            run.start()
            self._watch(run)

    def discard(self) -> None:
        """End a run before its end; its captions stay. Raises UsageError while its process runs."""
        with self._lock:
            run = self.current
            if run is None or run.alive:
                raise UsageError("pause the run first")
            run.state = "done"
            run.save()

    # --- the thread that takes results over -----------------------------------------------------------------------

    def _watch(self, run: Run) -> None:
        with _guard:
            _going.add(self.path)
        with suppress(StoreError):  # a full disk: the run goes on, and the next server will not find it by itself
            write_json(self.path / SERVER, {"root": str(self.folder.root), **describe_process()})
        self._watcher = threading.Thread(target=self._follow, args=(run,), name=f"run {run.id}", daemon=True)
        self._watcher.start()

    def _follow(self, run: Run) -> None:
        from ui.text import error_message

        try:
            while run.active:
                alive = run.alive
                while self.collect(run):
                    pass
                if not alive:
                    with self._lock:
                        run.ended()
                time.sleep(POLL)
        except Exception as error:  # noqa: BLE001 - the last frame of the thread
            run.state, run.words = "failed", error_message(error)
        finally:
            with _guard:
                _going.discard(self.path)
            self.folder.results_came()

    def collect(self, run: Run) -> bool:
        """Take over what the run has found since; whether there was something."""
        folder, facts = self.folder, self.folder.facts
        before = self._before_of(run)
        results: dict[str, tuple[str, dict[str, Any]]] = {}
        records: list[dict[str, Any]] = []
        noted = False
        end = facts.taken.get(run.id, 0)
        for begin, stop, record in new_records(run.path, end):
            end = stop
            key = self._key(record["key"]) if "key" in record else ""
            match record.get("kind"):
                case "done":
                    caption = Caption.model_validate(record["caption"])
                    self._digests[caption.picture.sha256] = caption.chosen, begin
                    results[key] = caption.chosen, {"run": run.id, "begin": begin, **facts_of(caption)}
                case "same" if (found := self._digests.get(record["sha256"])) is not None:
                    text, at = found
                    other = next((one for one in results.values() if one[1]["begin"] == at), None)
                    shared = other[1] if other else self._shared(run.id, at)
                    results[key] = text, {**shared, "run": run.id, "begin": at}
                case "failed":
                    reason = f"{record.get('where', '')}: {record.get('reason', '')}".strip(": ")
                    records.append({"kind": "missed", "key": key, "error": reason})
                    run.counts["failed"] += 1
                case "run":
                    run.notes.append({name: value for name, value in record.items() if name != "kind"})
                    noted = True
        if end == facts.taken.get(run.id, 0):
            run.tick()
            return False
        kept = folder.take_captions({key: text for key, (text, _) in results.items()}, before, run.id)
        records += [{"kind": "caption", "key": key, **about} for key, (_, about) in results.items()]
        records += [{"kind": "kept", "key": key} for key in kept]
        facts.add(*records, {"kind": "taken", "run": run.id, "end": end})
        run.counts["kept"] += len(kept)
        run.counts["captioned"] += len(results) - len(kept)
        run.tick()
        if noted:
            run.save()
        folder.results_came()
        return True

    def _shared(self, run: str, begin: int) -> Mapping[str, Any]:
        for about in self.folder.facts.all():
            if about.run == run and about.begin == begin:
                return {name: asdict(about)[name] for name in ("unsure", "false", "unchecked")}
        return {"unsure": 0, "false": 0, "unchecked": False}

    def _count(self, run: Run) -> None:
        """What a run had settled when the server ended."""
        end = self.folder.facts.taken.get(run.id, 0)
        if run.state == "done" or not end:
            return
        begin = 0
        while begin < end:
            at = begin
            for first, stop, record in new_records(run.path, begin):
                if first >= end:
                    break
                begin = stop
                kind = record.get("kind")
                run.counts["captioned"] += kind in ("done", "same")
                run.counts["failed"] += kind == "failed"
                if kind == "done":
                    text = Caption.model_validate(record["caption"])
                    self._digests[text.picture.sha256] = text.chosen, first
            if begin == at:
                return

    def _before_of(self, run: Run) -> dict[str, str]:
        if run.id not in self._before:
            self._before = {run.id: run.before()}
        return self._before[run.id]

    def _key(self, path: str) -> str:
        return os.path.relpath(path, self.folder.root).replace(os.sep, "/")


def _claim(path: Path) -> None:
    """Raise UsageError if this server runs as many processes as it may."""
    with _guard:
        if path not in _going and len(_going) >= MAX_PROCESSES:
            raise UsageError("the dashboard works on as many runs as it may; try again when one has ended")
