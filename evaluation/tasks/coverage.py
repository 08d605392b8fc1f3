"""Coverage: how many labelled objects a caption covers, by ChatCaptioner's rule (`evaluation.measures.coverage`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from evaluation.data.examples import Example
from evaluation.data.load import needing
from evaluation.measures.coverage import SIMILAR, covered
from evaluation.measures.objects import words_of
from evaluation.measures.statistics import Measure, share_of
from evaluation.tasks.base import CaptionTask


class Coverage(CaptionTask):
    """The task `coverage`."""

    measures: Mapping[str, Measure] = {
        "covered": share_of("covered", "objects"),
        "objects": share_of("objects", "captions", share=False),
        "words": share_of("words", "captions", share=False),
    }
    shown: ClassVar = ("covered",)

    def prepare(self) -> None:
        """Keep the images with objects."""
        labelled = [bool(one.objects) for one in self.data.examples]
        way = "coverage needs COCO instances or a table with 'objects'"
        self.examples = needing(self.data, "labelled objects", labelled, way).examples

    def counts(self, example: Example, caption: str) -> dict[str, float]:
        """The objects of one image that its caption covers."""
        objects = example.objects or ()
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
