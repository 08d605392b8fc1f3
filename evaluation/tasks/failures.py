"""Failures: texts that break off, repeat themselves, mix in foreign symbols, or miss the subject.

MiniGPT-4's own measure (Zhu et al. 2023, https://arxiv.org/abs/2304.10592, section 4.3): the share of descriptions and
of poems that fail; stories are counted as well. The kinds are those of `agents.text.text_metrics`. Off the subject: no
labelled object is mentioned.
"""

from __future__ import annotations

from typing import ClassVar, Final

from agents.text.languages import guess_language
from agents.text.text_metrics import FAILURES, failures
from core.vision import CHAT_TOKENS
from evaluation.asking import Ask, Talk
from evaluation.data.examples import Example
from evaluation.measures.objects import object_names, present, words_of
from evaluation.measures.statistics import share_of
from evaluation.tasks.base import Captions, CaptionTask, Records, Row

WRITTEN: Final = {"poem": "Write a short poem about this image.", "story": "Write a short story about this image."}
OFF: Final = "off the subject"


class Failures(CaptionTask):
    """The task `failures`."""

    shown: ClassVar = ("failed",)

    def prepare(self) -> None:
        """Find out what is in each image, where labels say so."""
        self.asks = bool(self.options.kinds)  # a poem and a story: not of others
        self.labelled = bool(self.data.categories)
        self.names = object_names(self.data.categories, self.options.synonyms)
        self.there = {
            one.key: present(self.names, one.objects, one.captions) for one in self.examples if one.objects is not None
        }
        self.measures = {
            "failed": share_of("failed", "texts"),
            **{kind: share_of(kind, "texts") for kind in FAILURES},
            **({OFF: share_of(OFF, "labelled")} if self.labelled else {}),
            "words": share_of("words", "texts", share=False),
        }

    def talk(self, example: Example) -> Talk:
        """Ask for a poem and a story."""
        replies = yield [Ask(prompt, tokens=CHAT_TOKENS) for prompt in WRITTEN.values()]
        return {kind: reply.text for kind, reply in zip(WRITTEN, replies, strict=True)}

    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """Each kind of captions, poems and stories."""
        kinds = WRITTEN if records else ()
        return self.caption_rows(
            {**captions, **{kind: {key: record[kind] for key, record in records.items()} for kind in kinds}}
        )

    def counts(self, example: Example, caption: str) -> dict[str, float]:
        """The failures of one text."""
        kinds = failures(caption)
        there = self.there.get(example.key, set())
        off = bool(there) and there.isdisjoint(self.names.mentions(caption))
        return {
            "texts": 1,
            "failed": bool(kinds) or off,
            **{kind: kind in kinds for kind in FAILURES},
            OFF: off,
            "labelled": bool(there),
            "words": len(words_of(caption)),
        }

    def recipe(self) -> dict[str, str]:
        """The prompts and the kinds."""
        detects = bool(guess_language("This is a sentence in English.")[0])
        found = "py3langid" if detects else "not looked for among Latin letters: pip install py3langid"
        return {
            **WRITTEN,
            "failed": f"{', '.join(FAILURES)}"
            + (f", {OFF} (no labelled object is mentioned)" if self.labelled else ""),
            "other languages": found,
        }
