"""Mirror: whether left and right swap when the image is mirrored; needs no labels.

Asked about are the things that the model's own description names, since it cannot place what it does not see. An answer
without left or right ("in the middle") says nothing about the mirror and is counted apart.
"""

from __future__ import annotations

from typing import ClassVar, Final

from agents.claims.extract import extract_claims
from core.scoring import named_choice
from core.vision import CHAT_TOKENS
from evaluation.asking import Ask, Talk
from evaluation.captions import DETAIL
from evaluation.data.examples import Example, once
from evaluation.measures.statistics import Measure, ratio, share_of
from evaluation.measures.yes_no import Parser
from evaluation.tasks.base import Captions, Records, Row, Task

PROMPT: Final = "Is the {} on the left or on the right of the image?"
THINGS: Final = 3  # per image
SIDES: Final = ("left", "right", "middle")
SWAPPED: Final = ("left", "right")  # what a mirror exchanges
MEASURES: Final = {
    "swapped": share_of("swapped", "sided"),
    "same side": share_of("same", "sided"),
    "not sided": Measure(lambda sums: ratio(sums["asked"] - sums["sided"], sums["asked"])),
    "unparsed": share_of("unparsed", "answers"),
    "left ratio": share_of("left", "with side"),
    "words": share_of("words", "answers", share=False),
}


class Mirror(Task):
    """The task `mirror`."""

    shown: ClassVar = ("swapped", "same side")

    def prepare(self) -> None:
        """All images take part."""

    def talk(self, example: Example) -> Talk:
        """Have the image described, then ask about each thing in it and in its mirror image."""
        [reply] = yield [Ask(DETAIL, tokens=CHAT_TOKENS)]
        claims = extract_claims(reply.text)
        things = once(one.about for one in claims if one.kind == "thing" and one.about)[:THINGS]
        if not things:
            return {"pairs": []}
        replies = yield [Ask(self.filled(PROMPT, one), mirrored) for one in things for mirrored in (False, True)]
        texts = [reply.text for reply in replies]
        return {"pairs": [list(pair) for pair in zip(things, texts[::2], texts[1::2], strict=True)]}

    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """Both parsers, and what chance gives."""
        parsers = {"strict": strict, "lenient": lenient}
        pairs = [records[one.key]["pairs"] for one in self.examples if one.key in records]
        asked = [one for one in pairs if one]
        rows = [
            self.row("", name, [counts(one, parser, self.options.prompt or PROMPT) for one in asked], MEASURES)
            for name, parser in parsers.items()
        ]
        always = [[[thing, "left", "left"] for thing, _, _ in one] for one in asked]
        baseline = [counts(one, strict, PROMPT) for one in always]
        return [*rows, self.row("", "baseline: always left", baseline, MEASURES)]

    def recipe(self) -> dict[str, str]:
        """The prompt and the parsers."""
        return {
            "prompt": self.options.prompt or PROMPT,
            "things": f"the first {THINGS} that the model's own description names ({DETAIL})",
            "swapped": "left for the image and right for its mirror image, or the other way round, over the pairs in "
            "which both answers name a side; chance gives 50 %",
            "parser strict": "left or right alone, also as 'on the left'",
            "parser lenient": "the side that the words mean",
        }


def strict(answer: str, question: str = "") -> str | None:
    """The side, if the answer is nothing else."""
    words = answer.strip().rstrip(".").lower().split()
    while words and words[0] in ("on", "the", "in", "at"):
        words.pop(0)
    return words[0] if len(words) == 1 and words[0] in SIDES else None


def lenient(answer: str, question: str = "") -> str | None:
    """The side that the words mean; None if they mean none or both."""
    place = named_choice(answer, SIDES, question)
    return None if place is None else SIDES[place]


def counts(pairs: list[list[str]], parser: Parser, prompt: str) -> dict[str, float]:
    """The counts of one image's (thing, answer, answer for the mirror image)."""
    names = ("asked", "answers", "sided", "swapped", "same", "unparsed", "left", "with side", "words")
    found = dict.fromkeys(names, 0.0)
    for thing, *answers in pairs:
        sides = [parser(answer, prompt.replace("{}", thing)) for answer in answers]
        found["asked"] += 1
        found["answers"] += 2
        found["unparsed"] += sides.count(None)
        found["left"] += sides.count("left")
        found["with side"] += sum(side in SWAPPED for side in sides)
        found["words"] += sum(len(answer.split()) for answer in answers)
        if all(side in SWAPPED for side in sides):
            found["sided"] += 1
            found["same" if sides[0] == sides[1] else "swapped"] += 1
    return found
