"""The summary of an interview: which sentences are taken out, and who writes it if the questioner cannot.

Each sentence of a draft is compared with the certain answers (`agents.claims.summaries`); an unsupported one is taken
out and listed. A draft that speaks of the notes, was cut, or loses more than half of its sentences is asked for once
more; then the rules of the fallback write the summary. Like `agents.interview.asking`, this has no input or output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agents.interview.asking import QUESTIONER, Asking
from core.records import Caption, Turn
from core.tasks import TaskTurn
from core.text import sentences

RULES: Final = "rules"
WORK, CUT, UNSUPPORTED = "speaks of the notes", "cut at the token limit", "says what no answer says"


@dataclass(slots=True)
class SummaryCheck:
    """The drafts of the current summary, and what was taken out of all of them."""

    asking: Asking
    attempt: int = 0
    by: str = QUESTIONER
    """Who writes the next draft, or wrote the summary: "questioner" or "rules"."""
    fault: str = ""
    """Why the last draft was refused."""
    removed: tuple[str, ...] = ()
    _last: tuple[str, ...] = ()  # sentences of the last refused draft that no answer supports

    @property
    def state(self) -> tuple[object, ...]:
        """What the next request depends on."""
        return (self.attempt, self.by)

    def resume(self, caption: Caption) -> None:
        """Take over what was noted of a finished caption."""
        self.by, self.removed = caption.summary_by or QUESTIONER, caption.removed

    def restart(self, *, forget: bool = True) -> None:
        """Begin a new summary; `forget`: it replaces the earlier one."""
        self.attempt, self.by, self.fault, self._last = 0, QUESTIONER, "", ()
        if forget:
            self.removed = ()

    def take(
        self, draft: str, notes: Sequence[TaskTurn], *, language: str | None, cut: bool = False, also: str = ""
    ) -> str | None:
        """What is kept of a draft; None if another one is needed. "" if nothing remains and nobody else can write.

        `notes`: the certain turns that the draft was made from; `also`: what else the writer was told of the picture.
        """
        if self.asking.by_rules:
            return draft
        from agents.claims.summaries import speaks_english, speaks_of_the_work, unsupported_sentences

        turns = [Turn(question=one.question, answer=one.answer) for one in notes]
        turns += [Turn(question="", answer=also)] if also else []
        gone = tuple(one.text for one in unsupported_sentences(draft, turns, language=language))
        written = sentences(draft)
        if self.by == RULES:
            kept = " ".join(sentence for sentence in written if sentence not in gone)
            self.removed = (*self.removed, *self._last, *(gone if kept else ()))
            return kept or draft
        english = speaks_english(draft, language)
        if english and speaks_of_the_work(draft, turns):
            self.fault = WORK
        elif cut:
            self.fault = CUT
        else:
            self.fault = UNSUPPORTED if 2 * len(gone) > len(written) else ""
        if self.fault and self._again(gone, language):
            return None
        self.removed = (*self.removed, *gone)
        return " ".join(sentence for sentence in written if sentence not in gone)

    def _again(self, gone: tuple[str, ...], language: str | None) -> bool:
        """Whether somebody writes another draft: the questioner once more, then the rules, in English."""
        from agents.claims.summaries import speaks_english

        if self.attempt == 0:
            self.attempt = 1
        elif self.asking.helped and speaks_english("", language):
            self.by, self._last = RULES, gone
        else:
            return False
        return True
