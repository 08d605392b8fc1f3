"""Records of labelled images: what is in an image, what is asked about it, and where its file is."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.datasets.left_out import LeftOut


@dataclass(frozen=True, slots=True)
class LabelledQuestion:
    """A question about an image with the answers that people gave."""

    id: str
    text: str
    answers: tuple[str, ...]
    kind: str = ""  # VQA's answer type ("yes/no", "number", "other"), or POPE's sampling


@dataclass(frozen=True, slots=True)
class Example:
    """An image and its labels."""

    key: str  # unique in its data set
    file: Path
    names: frozenset[str] = frozenset()  # what others call it: its id, its file name with and without suffix
    objects: tuple[str, ...] | None = None  # each once; None: not labelled
    maybe: frozenset[str] = frozenset()  # objects that are neither there nor absent
    captions: tuple[str, ...] = ()
    lines: tuple[str, ...] | None = None  # of text; None: not labelled
    questions: tuple[LabelledQuestion, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSet:
    """Labelled images of one file or folder."""

    path: Path
    format: str  # "COCO instances", "POPE", "VQA", "table", "images"
    sha256: str  # of the files with labels; of the names of the images where there are none
    examples: tuple[Example, ...]
    categories: tuple[str, ...] = ()  # all objects that may be labelled
    left_out: LeftOut = field(default_factory=LeftOut)

    def sample(self, count: int | None, seed: int) -> DataSet:
        """`count` of the examples, drawn at random and kept in their order; all of them if there are not more."""
        if count is None or count >= len(self.examples):
            return self
        drawn = sorted(random.Random(seed).sample(range(len(self.examples)), count))
        return replace(self, examples=tuple(self.examples[place] for place in drawn))


def names_of(file: str, *more: object) -> frozenset[str]:
    """The names by which captions of others may refer to an image."""
    path = Path(file)
    return frozenset({file, path.name, path.stem, *map(str, more)})


def once(objects: Iterable[str]) -> tuple[str, ...]:
    """Each object once, in the order of its first mention."""
    return tuple(dict.fromkeys(objects))
