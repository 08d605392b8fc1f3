"""Coverage: how many labelled objects a caption covers, by ChatCaptioner's rule (`evaluation.measures.coverage`)."""

from __future__ import annotations

from typing import ClassVar, Final

from evaluation.data.load import needing
from evaluation.measures.coverage import SIMILAR, covered
from evaluation.measures.objects import words_of
from evaluation.measures.statistics import share_of
from evaluation.tasks.base import BASELINE, Captions, Records, Row, Task, constant_caption, seen_captions

MEASURES: Final = {
    "covered": share_of("covered", "objects"),
    "objects": share_of("objects", "captions", share=False),
    "words": share_of("words", "captions", share=False),
}


class Coverage(Task):
    """The task `coverage`."""

    captioned: ClassVar = True
    asks = False
    shown: ClassVar = ("covered",)

    def prepare(self) -> None:
        """Keep the images with objects."""
        labelled = [bool(one.objects) for one in self.data.examples]
        way = "coverage needs COCO instances or a table with 'objects'"
        self.examples = needing(self.data, "labelled objects", labelled, way).examples

    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """Each kind of captions, and a caption that names the most frequent object."""
        constant = constant_caption(self.examples)
        baseline = {f"{BASELINE}: {constant}": {one.key: constant for one in self.examples}}
        return [
            self.row("", kind, [self.counts(one.objects or (), text) for one, text in seen], MEASURES)
            for kind, seen in seen_captions(self, {**captions, **baseline})
        ]

    @staticmethod
    def counts(objects: tuple[str, ...], caption: str) -> dict[str, float]:
        """The counts of one caption."""
        words = len(words_of(caption))
        return {"captions": 1, "objects": len(objects), "covered": len(covered(objects, caption)), "words": words}

    def recipe(self) -> dict[str, str]:
        """The rule."""
        return {
            "covered": (
                f"a noun of the caption and the object have senses in WordNet 3.0 with a Wu-Palmer similarity above "
                f"{SIMILAR}, or one is a kind of the other (ChatCaptioner, obj_cover.ipynb)"
            ),
            "nouns": "by this project's grammar of captions, in place of NLTK's tagger; 'people' is 'person'",
        }
