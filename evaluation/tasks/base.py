"""What all tasks share: their options, the rows of their results, and what the runner calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from core.errors import UsageError, printable
from core.nouns import with_article
from evaluation.asking import Talk
from evaluation.captions import KINDS
from evaluation.data.examples import DataSet, Example
from evaluation.export.write import ExportedQuestion
from evaluation.measures.statistics import Figure, Measure, figures

IS_THERE: Final = "Is there {} in the image?"
BASELINE: Final = "baseline"

Records = Mapping[str, Mapping[str, Any]]  # example's key -> what its talk returned
Captions = Mapping[str, Mapping[str, str]]  # kind or file -> example's key -> caption


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The options of tasks; each task reads its own."""

    seed: int = 0
    prompt: str | None = None
    kinds: tuple[str, ...] = KINDS  # of captions of the vision model
    samplings: tuple[str, ...] = ()
    per_image: int = 3
    synonyms: Path | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a result: figures of one kind of caption or question, by one parser."""

    group: str  # kind of caption or question; "" if there is one only
    name: str  # parser, or what else tells it from the other rows of its group
    images: int
    figures: Mapping[str, Figure]


class Task(ABC):
    """A measurement. Created with all data; raises UsageError if the labels that it needs are missing."""

    captioned: ClassVar[bool] = False  # measures captions
    shown: ClassVar[tuple[str, ...]]  # the figures of the plot

    asks: bool = True  # asks questions, beside captions
    examples: Sequence[Example]  # those that take part

    def __init__(self, data: DataSet, options: TaskOptions) -> None:
        self.data, self.options = data, options
        self.examples = data.examples
        self.prepare()

    @property
    def caption_kinds(self) -> tuple[str, ...]:
        """The captions of the vision model that are measured."""
        return self.options.kinds if self.captioned else ()

    @abstractmethod
    def prepare(self) -> None:
        """Choose the examples and the questions. Raises UsageError."""

    def talk(self, example: Example) -> Talk:
        """The questions about one image; `asks` says whether there are any."""
        raise NotImplementedError

    def exported(self) -> list[ExportedQuestion]:
        """The questions, for other programs; none if they depend on answers or captions."""
        return []

    @abstractmethod
    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """The figures, from what was answered and captioned."""

    @abstractmethod
    def recipe(self) -> dict[str, str]:
        """Prompts, parsers, sampling: all that the figures depend on beside model and data."""

    def row(self, group: str, name: str, counts: Sequence[Mapping[str, float]], measures: Mapping[str, Measure]) -> Row:
        """A row from the counts of each image."""
        return Row(group, name, len(counts), figures(counts, measures, self.options.seed))

    def filled(self, template: str, word: str) -> str:
        """A prompt with its object: --prompt, or the task's own. Raises UsageError without a place for it."""
        prompt = self.options.prompt or template
        if "{}" not in prompt:
            raise UsageError(f"--prompt '{printable(prompt, 80)}' has no {{}} in the place of the object or question.")
        return prompt.replace("{}", word)


class CaptionTask(Task):
    """A measurement of captions: counts of each caption, and figures of their sums."""

    captioned: ClassVar = True
    asks = False
    measures: Mapping[str, Measure]

    @abstractmethod
    def counts(self, example: Example, caption: str) -> dict[str, float]:
        """The counts of one caption, which `measures` reads."""

    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """Each kind of captions, and a caption that names the most frequent object."""
        constant = constant_caption(self.examples)
        baseline = {f"{BASELINE}: {constant}": {one.key: constant for one in self.examples}}
        return self.caption_rows({**captions, **baseline})

    def caption_rows(self, captions: Captions) -> list[Row]:
        """A row for each kind of captions."""
        return [
            self.row("", kind, [self.counts(one, text) for one, text in seen], self.measures)
            for kind, seen in seen_captions(self, captions)
        ]


def is_there(task: Task, name: str) -> str:
    """POPE's question about an object."""
    return task.filled(IS_THERE, with_article(name))


def seen_captions(task: Task, captions: Captions) -> list[tuple[str, list[tuple[Example, str]]]]:
    """Each kind of captions with its examples and texts, those without a caption left out."""
    return [
        (kind, [(one, texts[one.key]) for one in task.examples if one.key in texts]) for kind, texts in captions.items()
    ]


def constant_caption(examples: Sequence[Example]) -> str:
    """The baseline of caption tasks: a caption that names the most frequent object of the labels."""
    counts: dict[str, int] = {}
    for example in examples:
        for name in example.objects or ():
            counts[name] = counts.get(name, 0) + 1
    return f"There is {with_article(max(counts, key=lambda name: counts[name]))}." if counts else ""
