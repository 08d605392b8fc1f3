"""POPE: whether a model says that objects are there which are not.

Li et al. 2023 (https://arxiv.org/abs/2305.10355): for each image, questions about objects that are there, and as many
about objects that are not: drawn at random, the most frequent ones of the data, or those that are most often together
with the object that was asked about before. The questions come from POPE's own file, or are sampled from labels.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final

from core.errors import UsageError, printable
from evaluation.asking import Ask, Talk
from evaluation.data.examples import Example
from evaluation.data.load import needing
from evaluation.export.write import ExportedQuestion
from evaluation.measures.yes_no import MEASURES, PARSERS, RECIPES, counts
from evaluation.tasks.base import BASELINE, IS_THERE, Captions, Records, Row, Task, is_there

SAMPLINGS: Final = ("random", "popular", "adversarial")

Labelled = list[tuple[str, str]]  # questions with their labels


class Pope(Task):
    """The task `pope`."""

    shown: ClassVar = ("F1", "accuracy")

    def prepare(self) -> None:
        """Take the questions of POPE's file, or sample them."""
        self.questions: dict[str, dict[str, Labelled]] = {}  # sampling -> example's key -> questions
        if self.data.format in ("POPE", "VQA") or not any(one.objects for one in self.data.examples):
            fits = [any(_label(q.answers) for q in one.questions) for one in self.data.examples]
            data = needing(self.data, "yes/no questions", fits, "POPE needs its own file or labelled objects")
            self.examples = data.examples
            self.questions[""] = {
                one.key: [(q.text, label) for q in one.questions if (label := _label(q.answers))]
                for one in self.examples
            }
            return
        enough = [len(one.objects or ()) >= self.options.per_image for one in self.data.examples]
        objects = f"{self.options.per_image} objects" if self.options.per_image > 1 else "an object"
        data = needing(self.data, objects, enough, "take fewer objects per image with --per-image")
        self.examples = data.examples
        for sampling in self.options.samplings or SAMPLINGS:
            if sampling not in SAMPLINGS:
                raise UsageError(f"--sampling is '{printable(sampling, 40)}': take {', '.join(SAMPLINGS)}.")
            self.questions[sampling] = {
                key: [(is_there(self, name), label) for name, label in chosen]
                for key, chosen in sample(self.examples, sampling, self.options.per_image, self.options.seed)
            }

    def talk(self, example: Example) -> Talk:
        """Ask each question once, also where several samplings have it."""
        texts = list(dict.fromkeys(text for asked in self.questions.values() for text, _ in asked[example.key]))
        replies = yield [Ask(text) for text in texts]
        return {"answers": {text: reply.text for text, reply in zip(texts, replies, strict=True)}}

    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """Each sampling by each parser, and the baseline that always gives the more frequent answer."""
        rows = []
        for sampling, questions in self.questions.items():
            answered = {key: asked for key, asked in questions.items() if key in records}
            for name, parser in PARSERS.items():
                tallies = [
                    counts([(records[key]["answers"][text], text, label) for text, label in asked], parser)
                    for key, asked in answered.items()
                ]
                rows.append(self.row(sampling, name, tallies, MEASURES))
            labels = Counter(label for asked in answered.values() for _, label in asked)
            most = "yes" if labels["yes"] >= labels["no"] else "no"
            tallies = [
                counts([(most, text, label) for text, label in asked], PARSERS["strict"]) for asked in answered.values()
            ]
            rows.append(self.row(sampling, f"{BASELINE}: always {most}", tallies, MEASURES))
        return rows

    def exported(self) -> list[ExportedQuestion]:
        """All questions, with their sampling as the category."""
        asked = [
            (one.file, sampling, text, label)
            for sampling, questions in self.questions.items()
            for one in self.examples
            for text, label in questions[one.key]
        ]
        return [
            ExportedQuestion(str(number), file, text, (label,), sampling or "all")
            for number, (file, sampling, text, label) in enumerate(asked, start=1)
        ]

    def recipe(self) -> dict[str, str]:
        """The prompt, the sampling and the parsers."""
        sampled = "" not in self.questions
        asked = sum(len(asked) for questions in self.questions.values() for asked in questions.values())
        return {
            "prompt": (self.options.prompt or IS_THERE) if sampled else "as in the file",
            "sampling": (
                f"{', '.join(self.questions)}: {self.options.per_image} objects per image that are there, in the order "
                "of their labels, and as many that are not; frequencies over the images that take part"
                if sampled
                else "as in the file"
            ),
            "questions": f"{asked:,}",
            **{f"parser {name}": text for name, text in RECIPES.items()},
        }


def _label(answers: Sequence[str]) -> str:
    """ "yes" or "no" if that is what most people answered, else ""."""
    [(most, _)] = Counter(one.strip().lower() for one in answers).most_common(1) or [("", 0)]
    return most if most in ("yes", "no") else ""


def sample(
    examples: Sequence[Example], sampling: str, per_image: int, seed: int
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """For each image (object, label), one that is there and one that is not in turn; fewer if no other object is left.

    "popular": the most frequent objects first; "adversarial": those most often with the object asked about before; if
    none is left, one at random. Equally frequent ones come in the order of their first mention.
    """
    rng = random.Random(f"{sampling} {seed}")
    frequent = Counter(name for one in examples for name in one.objects or ())
    together = _together(examples) if sampling == "adversarial" else {}
    for example in examples:
        chosen: list[tuple[str, str]] = []
        used = {*(example.objects or ()), *example.maybe}
        for name in (example.objects or ())[:per_image]:
            chosen.append((name, "yes"))
            ranked: Mapping[str, int] = {"popular": frequent, "adversarial": together.get(name, {})}.get(sampling, {})
            left = [one for one, _ in Counter(ranked).most_common() if one not in used]
            others = [one for one in frequent if one not in used] if not left else []
            if left or others:
                other = left[0] if left else rng.choice(others)
                used.add(other)
                chosen.append((other, "no"))
        yield example.key, chosen


def _together(examples: Sequence[Example]) -> dict[str, Counter[str]]:
    """How often each object is in one image with each other."""
    found: dict[str, Counter[str]] = {}
    for example in examples:
        for name in example.objects or ():
            found.setdefault(name, Counter()).update(one for one in example.objects or () if one != name)
    return found
