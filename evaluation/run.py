"""Run a task: ask and caption what no earlier run has, keep each image's answers at once, then compute the figures.

The folder holds `answers.jsonl` (a journal, one line per image and part), `settings.json` (what the answers depend on),
and the result as `result.json`, `result.md` and `result.png`. A run that was killed resumes from the journal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from core.console.status import Status
from core.datasets.left_out import LeftOut, Reason
from core.errors import StoreError, UsageError, printable
from core.files.journal import Journal, clear_torn, read_json, write_json
from core.text import duration
from evaluation.asking import Asked, Talk, ask_many
from evaluation.captions import ALONE, CAPTION_PARTS, JOURNAL, caption_alone, interview_many_images
from evaluation.data.examples import Example
from evaluation.tasks.base import Row, Task

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.batch.pipeline import PipelineConfig
    from core.vision import VisionBackend

SETTINGS: Final = "settings.json"
PARTS: Final = ("questions", *CAPTION_PARTS)
EVERY: Final = 30.0  # seconds between lines of progress outside a terminal
FAILED: Final = Reason("image that failed", "images that failed", is_fault=True)


@dataclass(frozen=True, slots=True)
class Models:
    """The models of a run, and how they are used."""

    vision: VisionBackend
    questioner: BaseChatModel | None  # None: no interviews
    config: PipelineConfig
    prompt: str  # of the detailed caption
    max_pixels: int

    def ask(self, examples: Sequence[Example], talk: Callable[[Example], Talk]) -> Iterator[Asked]:
        """Hold a talk about each image."""
        talks = ((one.key, one.file, partial(talk, one)) for one in examples)
        return ask_many(talks, self.vision, batch=self.config.batch, max_pixels=self.max_pixels)

    def interview(self, examples: Sequence[Example]) -> Iterator[Asked]:
        """Interview about each image."""
        assert self.questioner is not None
        return interview_many_images(examples, self.vision, self.questioner, self.config, self.max_pixels)


@dataclass
class EvaluationRun:
    """The answers of a run in a folder, by part (questions, captions, interviews) and image."""

    folder: Path
    left_out: LeftOut
    records: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {part: {} for part in PARTS})

    def begin(self, facts: dict[str, Any]) -> None:
        """Compare with the settings that the folder was begun with, and read its answers. Raises InquisightError."""
        clear_torn(self.folder)
        saved = read_json(self.folder / SETTINGS)
        for name, now in facts.items():
            if saved is not None and saved.get(name) != now:
                raise UsageError(
                    f"--out '{printable(self.folder)}' was begun with {name} {_shown(saved.get(name))}, not "
                    f"{_shown(now)}; take the same options, another --out, or --fresh to start over."
                )
        if saved is None:
            write_json(self.folder / SETTINGS, facts)
        with closing(Journal(self.folder / JOURNAL)) as journal:
            for _, line in journal.read():
                try:
                    self.records[line["part"]][line["key"]] = line["record"]
                except (KeyError, TypeError):
                    raise StoreError(
                        f"'{printable(self.folder / JOURNAL)}' holds a line of something else; take another --out."
                    ) from None

    def missing(self, part: str, examples: Sequence[Example]) -> list[Example]:
        """The examples without a record of this part."""
        return [one for one in examples if one.key not in self.records[part]]

    def work(self, task: Task, models: Models) -> None:
        """Ask and caption what is missing; each record is in the journal before the next is waited for."""
        with closing(Journal(self.folder / JOURNAL)) as journal:
            if task.asks:
                todo = self.missing("questions", task.examples)
                self._keep("questions", models.ask(todo, task.talk), len(todo), journal)
            kinds = task.caption_kinds
            if alone := [kind for kind in kinds if kind in ALONE]:
                todo = self.missing("captions", task.examples)
                captions = models.ask(todo, lambda _: caption_alone(alone, models.prompt))
                self._keep("captions", captions, len(todo), journal)
            if len(alone) < len(kinds):
                todo = self.missing("interviews", task.examples)
                self._keep("interviews", models.interview(todo), len(todo), journal)

    def _keep(self, part: str, results: Iterator[Asked], total: int, journal: Journal) -> None:
        progress, first = Progress(part, total), None
        try:
            for result in results if total else ():
                if result.record is None:
                    first = first or result.error
                    self.left_out.add(FAILED, f"{result.key}: {result.error}")
                else:
                    journal.append({"part": part, "key": result.key, "record": result.record})
                    self.records[part][result.key] = result.record
                progress.step()
        finally:
            progress.close()
        if first is not None and not self.records[part]:
            raise type(first)(f"none of the {total:,} images could be evaluated; the first: {first}")

    def rows(self, task: Task, others: Mapping[str, Mapping[str, str]]) -> list[Row]:
        """The figures of the task over its own captions and those of others."""
        own = {
            kind: {key: record[kind] for key, record in self.records[part].items()}
            for kind in task.caption_kinds
            for part in ("captions" if kind in ALONE else "interviews",)
        }
        return task.rows(self.records["questions"], {**own, **others})


class Progress:
    """Progress on standard error: a line that overwrites itself in a terminal, a line every half minute elsewhere."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self.status = Status()
        self.began = self.shown = time.monotonic()

    def step(self) -> None:
        """One more image is done."""
        self.done += 1
        now = time.monotonic()
        left = (now - self.began) / self.done * (self.total - self.done)
        text = f"{self.what}: {self.done:,} of {self.total:,} images, {duration(left)} left"
        if self.status.alive:
            self.status.show(text)
        elif now - self.shown >= EVERY:
            self.shown = now
            print(f"inquisight: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        self.status.clear()


def _shown(value: Any) -> str:
    return f"'{printable(value, 100)}'" if value is not None else "nothing"
