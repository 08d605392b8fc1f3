"""The labels of the photographs that sight is measured on, one half at a time."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.datasets.text_lines import split_lines
from core.errors import UsageError, printable
from core.images.picture import Picture, open_picture
from training.photographs.fetch import TABLE

HALVES = ("development", "held-out")


@dataclass(frozen=True, slots=True)
class LabelledThing:
    """Things of one name in a photograph."""

    name: str
    count: int
    exact: bool  # whether they were counted, not estimated
    places: tuple[str, ...]  # thirds: "left", "middle", "right"


@dataclass(frozen=True, slots=True)
class Labels:
    """What is in a photograph."""

    id: str
    things: tuple[LabelledThing, ...]
    maybe: frozenset[str]  # names that are neither right nor wrong
    writing: tuple[str, ...]  # lines of text that can be read
    small_writing: bool  # there are more lines, too small to read

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Labels:
        things = [
            LabelledThing(thing["name"], thing["count"], thing["exact"], tuple(thing["places"]))
            for thing in row["things"]
        ]
        return cls(row["id"], tuple(things), frozenset(row["maybe"]), tuple(row["writing"]), row["small_writing"])


def labels(half: str) -> list[Labels]:
    """The labels of the photographs of one half."""
    rows = (line.split("\t") for line in split_lines(TABLE.with_name("split.tsv").read_text("utf-8")))
    halves = {row[0]: row[1] for row in rows if not row[0].startswith("#")}
    truth = map(json.loads, split_lines(TABLE.with_name("truth.jsonl").read_text("utf-8")))
    return [Labels.from_json(row) for row in truth if halves[row["id"]] == half]


def labelled_pictures(folder: Path, half: str) -> Iterator[tuple[Labels, Picture]]:
    """Each photograph of one half with its labels. Raises UsageError if one is missing."""
    for one in labels(half):
        file = folder / f"{one.id}.jpg"
        if not file.is_file():
            raise UsageError(
                f"{printable(file)} is missing; fetch the photographs with "
                f"`python -m training.photographs.fetch {printable(folder)}`."
            )
        yield one, open_picture(file)


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser for a folder of photographs and the half to measure."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("photographs", type=Path, help="folder that training.photographs.fetch filled")
    parser.add_argument("--half", choices=HALVES, default=HALVES[0], help="half to measure [%(default)s]")
    return parser
