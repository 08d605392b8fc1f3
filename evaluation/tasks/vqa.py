"""VQA: short answers against those of people (`evaluation.measures.vqa`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import ClassVar, Final

from evaluation.asking import Ask, Talk
from evaluation.data.examples import Example, LabelledQuestion
from evaluation.data.load import needing
from evaluation.export.write import ExportedQuestion
from evaluation.measures.statistics import share_of
from evaluation.measures.vqa import accuracy, lenient_answer, normalised
from evaluation.tasks.base import BASELINE, Captions, Records, Row, Task

SHORT: Final = 3  # words of a short answer
MEASURES: Final = {
    "accuracy": share_of("score", "asked"),
    "unparsed": share_of("unparsed", "asked"),
    "words": share_of("words", "asked", share=False),
}
Counted = Callable[[LabelledQuestion, str], tuple[float, bool]]  # -> accuracy, whether it was parsed


def _strict(question: LabelledQuestion, answer: str) -> tuple[float, bool]:
    return accuracy(answer, question.answers), 0 < len(normalised(answer).split()) <= SHORT


def _lenient(question: LabelledQuestion, answer: str) -> tuple[float, bool]:
    said = lenient_answer(answer, question.answers, question.text)
    short = 0 < len(normalised(answer).split()) <= SHORT
    return (accuracy(said, question.answers), True) if said is not None else (0.0, short)


class Vqa(Task):
    """The task `vqa`."""

    shown: ClassVar = ("accuracy",)

    def prepare(self) -> None:
        """Keep the images with questions."""
        asked = [bool(one.questions) for one in self.data.examples]
        way = "vqa needs VQA's files or a table with 'question' and 'answers'"
        self.examples = needing(self.data, "questions with answers", asked, way).examples

    def talk(self, example: Example) -> Talk:
        """Ask all questions of an image."""
        replies = yield [Ask(self.filled("{}", question.text)) for question in example.questions]
        answers = {question.id: reply.text for question, reply in zip(example.questions, replies, strict=True)}
        return {"answers": answers}

    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """All questions and each answer type, by both parsers and with the most frequent answer of that type."""
        answered = [one for one in self.examples if one.key in records]
        types = sorted({q.kind for one in answered for q in one.questions if q.kind})
        rows = []
        for kind in ["", *types] if len(types) > 1 else [""]:
            asked = [q for one in answered for q in one.questions if kind in ("", q.kind)]
            [(most, _)] = Counter(normalised(one) for q in asked for one in q.answers).most_common(1) or [("", 0)]
            for name, counted, given in (
                ("strict", _strict, None),
                ("lenient", _lenient, None),
                (f"{BASELINE}: always {most}", _strict, most),
            ):
                tallies = [
                    tally
                    for one in answered
                    if (tally := self.counts(one, kind, counted, records[one.key]["answers"], given))["asked"]
                ]
                rows.append(self.row(kind or "all", name, tallies, MEASURES))
        return rows

    @staticmethod
    def counts(
        example: Example, kind: str, counted: Counted, answers: dict[str, str], given: str | None
    ) -> dict[str, float]:
        """The counts of one image; `given` replaces the answers."""
        found = dict.fromkeys(("asked", "score", "unparsed", "words"), 0.0)
        for question in example.questions:
            if kind in ("", question.kind):
                answer = answers[question.id] if given is None else given
                score, parsed = counted(question, answer)
                found["asked"] += 1
                found["score"] += score
                found["unparsed"] += not parsed
                found["words"] += len(answer.split())
        return found

    def exported(self) -> list[ExportedQuestion]:
        """All questions, with their answer type as the category."""
        return [
            ExportedQuestion(question.id, one.file, self.filled("{}", question.text), question.answers, question.kind)
            for one in self.examples
            for question in one.questions
        ]

    def recipe(self) -> dict[str, str]:
        """The prompt and the parsers."""
        return {
            "prompt": self.options.prompt or "the question alone",
            "accuracy": "VQA's: min(matches / 3, 1), averaged over all sets that leave one person out; one person's "
            "answer alone: equal or not",
            "normalisation": "of both sides: punctuation, articles, numbers to ten as digits, contractions",
            "parser strict": f"the answer as it is; over {SHORT} words, or none, is unparsed",
            "parser lenient": "if the answer means exactly one of people's answers, that one",
        }
