"""CHAIR: how many of the objects that captions mention are not there.

Rohrbach et al. 2018 (https://arxiv.org/abs/1809.02156). CHAIRi: mentions of absent objects over all mentions of
objects. CHAIRs: captions with at least one of them over all captions. Objects are there if they are labelled or if a
reference caption mentions them. Recall: objects that are there and mentioned, over those that are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from evaluation.data.examples import Example
from evaluation.data.load import needing
from evaluation.measures.objects import ObjectNames, object_names, present, words_of
from evaluation.measures.statistics import Measure, share_of
from evaluation.tasks.base import CaptionTask


class Chair(CaptionTask):
    """The task `chair`."""

    measures: Mapping[str, Measure] = {
        "CHAIRi": share_of("absent mentions", "mentions"),
        "CHAIRs": share_of("captions with absent", "captions"),
        "recall": share_of("mentioned", "there"),
        "mentions": share_of("mentions", "captions", share=False),
        "words": share_of("words", "captions", share=False),
    }
    shown: ClassVar = ("CHAIRi", "CHAIRs", "recall")

    def prepare(self) -> None:
        """Find out what is in each image."""
        labelled = [one.objects is not None for one in self.data.examples]
        data = needing(self.data, "labelled objects", labelled, "chair needs COCO instances or a table with 'objects'")
        self.examples = data.examples
        self.names: ObjectNames = object_names(self.data.categories, self.options.synonyms)
        self.there = {one.key: present(self.names, one.objects or (), one.captions) for one in self.examples}

    def counts(self, example: Example, caption: str) -> dict[str, float]:
        """The mentions of one caption."""
        there = self.there[example.key]
        mentions = [name for name in self.names.mentions(caption) if name in there or name not in example.maybe]
        absent = [name for name in mentions if name not in there]
        return {
            "captions": 1,
            "captions with absent": bool(absent),
            "mentions": len(mentions),
            "absent mentions": len(absent),
            "there": len(there),
            "mentioned": len(there & set(mentions)),
            "words": len(words_of(caption)),
        }

    def recipe(self) -> dict[str, str]:
        """The synonyms and what counts as there."""
        referred = sum(bool(one.captions) for one in self.examples)
        return {
            "objects": f"{len(self.data.categories)}",
            "synonyms": f"{self.names.source}, sha256 {self.names.sha256[:16]}",
            "there": f"labelled objects; reference captions of {referred:,} images",
            "counting": "each mention counts; the longest name of an object; words are compared in the singular",
        }
