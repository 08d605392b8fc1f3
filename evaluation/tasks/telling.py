"""Telling: what a model knows of an image when it is asked, and how much of that reaches its captions.

The reason for interviews (Zhu et al. 2023, https://arxiv.org/abs/2303.06594): a model's caption names little of what it
can answer. For each labelled object it is asked whether it is there; objects that are not there are asked about too,
because a model that says yes to everything knows nothing.
"""

from __future__ import annotations

import random
from typing import ClassVar, Final

from evaluation.asking import Ask, Talk
from evaluation.data.examples import Example
from evaluation.data.load import needing
from evaluation.measures.objects import object_names, words_of
from evaluation.measures.statistics import share_of
from evaluation.measures.yes_no import PARSERS, RECIPES
from evaluation.tasks.base import (
    BASELINE,
    IS_THERE,
    Captions,
    Records,
    Row,
    Task,
    constant_caption,
    is_there,
    seen_captions,
)

MEASURES: Final = {
    "knows": share_of("known", "there"),
    "false yes": share_of("false yes", "absent"),
    "tells of known": share_of("told known", "known"),
    "tells of all": share_of("told", "there"),
    "unparsed": share_of("unparsed", "asked"),
    "words": share_of("words", "captions", share=False),
}


class Telling(Task):
    """The task `telling`."""

    captioned: ClassVar = True
    shown: ClassVar = ("knows", "tells of known", "tells of all")

    def prepare(self) -> None:
        """Choose as many absent objects as there are present ones."""
        labelled = [bool(one.objects) for one in self.data.examples]
        way = "telling needs COCO instances or a table with 'objects'"
        self.examples = needing(self.data, "labelled objects", labelled, way).examples
        self.names = object_names(self.data.categories, self.options.synonyms)
        rng = random.Random(f"telling {self.options.seed}")
        self.absent: dict[str, list[str]] = {}
        for one in self.examples:
            others = [name for name in self.data.categories if name not in {*(one.objects or ()), *one.maybe}]
            self.absent[one.key] = rng.sample(others, min(len(one.objects or ()), len(others)))

    def talk(self, example: Example) -> Talk:
        """Ask about each object, there or not."""
        names = [*(example.objects or ()), *self.absent[example.key]]
        replies = yield [Ask(is_there(self, name)) for name in names]
        return {"answers": {name: reply.text for name, reply in zip(names, replies, strict=True)}}

    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """Each kind of captions, by both parsers of the answers."""
        constant = constant_caption(self.examples)
        baseline = {f"{BASELINE}: {constant}": {one.key: constant for one in self.examples}}
        return [
            self.row(
                kind,
                parser,
                [
                    self.counts(one, text, records[one.key]["answers"], parser)
                    for one, text in some
                    if one.key in records
                ],
                MEASURES,
            )
            for kind, some in seen_captions(self, {**captions, **baseline})
            for parser in ("strict", "lenient")
        ]

    def counts(self, example: Example, caption: str, answers: dict[str, str], parser: str) -> dict[str, float]:
        """The counts of one image."""
        said = {name: PARSERS[parser](answer, is_there(self, name)) for name, answer in answers.items()}
        there, absent, told = set(example.objects or ()), self.absent[example.key], set(self.names.mentions(caption))
        known = {name for name in there if said[name] == "yes"}
        return {
            "captions": 1,
            "asked": len(said),
            "unparsed": list(said.values()).count(None),
            "there": len(there),
            "known": len(known),
            "absent": len(absent),
            "false yes": sum(said[name] == "yes" for name in absent),
            "told": len(there & told),
            "told known": len(known & told),
            "words": len(words_of(caption)),
        }

    def recipe(self) -> dict[str, str]:
        """The prompt, the parsers and the synonyms."""
        return {
            "prompt": self.options.prompt or IS_THERE,
            "asked about": "each labelled object, and as many of the others, drawn at random",
            "told": "the caption mentions the object by one of its names, as in chair",
            "synonyms": f"{self.names.source}, sha256 {self.names.sha256[:16]}",
            **{f"parser {name}": RECIPES[name] for name in ("strict", "lenient")},
        }
