"""Yes or no: three parsers of answers, and the figures of POPE.

Li et al. 2023, "Evaluating Object Hallucination in Large Vision-Language Models" (https://arxiv.org/abs/2305.10355).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from core.scoring import named_choice
from evaluation.measures.statistics import Measure, ratio, share_of

Parser = Callable[[str, str], str | None]  # answer, question -> "yes", "no" or None


def strict(answer: str, question: str = "") -> str | None:
    """The answer if it is "yes" or "no" alone, in any case, with or without a full stop."""
    word = answer.strip().rstrip(".!").strip().lower()
    return word if word in ("yes", "no") else None


def official(answer: str, question: str = "") -> str:
    """As POPE's evaluate.py: "no" if a word before the first full stop is No, not or no, else "yes"."""
    words = answer.partition(".")[0].replace(",", "").split(" ")
    return "no" if not {"No", "not", "no"}.isdisjoint(words) else "yes"


def lenient(answer: str, question: str = "") -> str | None:
    """What the words mean (`core.scoring.named_choice`): "There is no dog." is no, "I am not sure." neither."""
    place = named_choice(answer, ("yes", "no"), question)
    return None if place is None else ("yes", "no")[place]


PARSERS: Final[dict[str, Parser]] = {"official": official, "strict": strict, "lenient": lenient}
RECIPES: Final = {
    "official": "POPE's: no if a word before the first full stop is No, not or no; else yes",
    "strict": "yes or no alone; anything else counts as wrong and is unparsed",
    "lenient": "what the words mean; no clear yes or no counts as wrong and is unparsed",
}


def counts(answers: Iterable[tuple[str, str, str]], parser: Parser) -> dict[str, float]:
    """Counts of one image's (answer, question, label)."""
    found = dict.fromkeys(("asked", "yes", "no", "true yes", "true no", "false yes", "false no", "words"), 0.0)
    found["unparsed"] = 0.0
    for answer, question, label in answers:
        said = parser(answer, question)
        found["asked"] += 1
        found[label] += 1
        found["words"] += len(answer.split())
        found["unparsed" if said is None else f"{'true' if said == label else 'false'} {said}"] += 1
    return found


MEASURES: Final[Mapping[str, Measure]] = {
    "accuracy": Measure(lambda sums: ratio(sums["true yes"] + sums["true no"], sums["asked"])),
    "precision": Measure(lambda sums: ratio(sums["true yes"], sums["true yes"] + sums["false yes"])),
    "recall": share_of("true yes", "yes"),
    "F1": Measure(lambda sums: ratio(2 * sums["true yes"], sums["true yes"] + sums["false yes"] + sums["yes"])),
    "yes ratio": Measure(lambda sums: ratio(sums["true yes"] + sums["false yes"], sums["asked"])),
    "unparsed": share_of("unparsed", "asked"),
    "words": share_of("words", "asked", share=False),
}
