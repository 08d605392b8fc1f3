"""Reading: the text in images against its labelled lines, as character error rate and exact matches."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from core.vision import CHAT_TOKENS
from evaluation.asking import Ask, Talk
from evaluation.data.examples import Example
from evaluation.data.load import needing
from evaluation.measures.statistics import share_of
from evaluation.measures.words import as_written, distance, letters, quoted
from evaluation.tasks.base import BASELINE, Captions, Records, Row, Task

PROMPT: Final = "What does the text in this image say?"
MEASURES: Final = {
    "CER": share_of("errors", "characters"),
    "exact": share_of("exact", "images"),
    "lines read": share_of("read", "lines"),
    "unparsed": share_of("unparsed", "images"),
    "words": share_of("words", "images", share=False),
}


class Reading(Task):
    """The task `reading`."""

    shown: ClassVar = ("CER", "exact", "lines read")

    def prepare(self) -> None:
        """Keep the images with text."""
        labelled = [bool(one.lines) for one in self.data.examples]
        self.examples = needing(self.data, "labelled text", labelled, "reading needs a table with 'text'").examples

    def talk(self, example: Example) -> Talk:
        """Ask for the text."""
        [reply] = yield [Ask(self.options.prompt or PROMPT, tokens=CHAT_TOKENS)]
        return {"answer": reply.text}

    def rows(self, records: Records, captions: Captions) -> list[Row]:
        """Both parsers, and a model that reads nothing."""
        read = [(one.lines or (), str(records[one.key]["answer"])) for one in self.examples if one.key in records]
        return [
            self.row("", "strict", [counts(lines, answer, as_written) for lines, answer in read], MEASURES),
            self.row("", "lenient", [counts(lines, answer, _lenient) for lines, answer in read], MEASURES),
            self.row("", f"{BASELINE}: no answer", [counts(lines, "", as_written) for lines, _ in read], MEASURES),
        ]

    def recipe(self) -> dict[str, str]:
        """The prompt and the parsers."""
        return {
            "prompt": self.options.prompt or PROMPT,
            "CER": "edit distance over characters of the labelled lines, joined by spaces; may exceed 100 %",
            "lines read": "labelled lines that the answer contains",
            "parser strict": "the answer as it is, with single spaces",
            "parser lenient": "what the answer quotes, or all of it; letters and digits alone, in one case; an answer "
            "without any is unparsed",
        }


def _lenient(text: str) -> str:
    return letters(quoted(text))


def counts(lines: tuple[str, ...], answer: str, parse: Callable[[str], str]) -> dict[str, float]:
    """The counts of one image."""
    true, said = parse(" ".join(lines)), parse(answer)
    return {
        "images": 1,
        "characters": len(true),
        "errors": distance(true, said),
        "exact": said == true,
        "lines": len(lines),
        "read": sum(bool(parse(line)) and parse(line) in said for line in lines),
        "unparsed": not said,
        "words": len(answer.split()),
    }
