"""What an interview counts and uses of its turns."""

from __future__ import annotations

from collections.abc import Sequence

from agents.text.cleaning import AskedQuestions, certain_part
from core.records import Turn
from core.tasks import OWNER


class Past:
    """Counts of the turns, updated turn by turn, so long interviews stay fast."""

    def __init__(self) -> None:
        self._turns: tuple[Turn, ...] = ()
        self.rounds = 0  # turns without what the owner told, the questions of a person and those to witnesses
        self.questions = AskedQuestions()

    def of(self, turns: tuple[Turn, ...]) -> Past:
        """Update: with the one new turn, or from the start if others have changed."""
        old, new = self._turns, turns
        if old is turns:
            return self
        if len(turns) != len(old) + 1 or (old and turns[len(old) - 1] is not old[-1]):
            self.rounds, self.questions = 0, AskedQuestions()
        else:
            new = turns[-1:]
        for turn in new:
            self.rounds += turn.asked_by not in ("person", "witness", OWNER)
            self.questions.add(turn.question)
        self._turns = turns
        return self


def usable(turns: Sequence[Turn]) -> list[Turn]:
    """The certain turns, without uncertain sentences."""
    return [turn.model_copy(update={"answer": _certain(turn)}) for turn in turns if turn.certainty == "sure"]


def _certain(turn: Turn) -> str:
    if turn.answered_by == OWNER:
        return turn.answer
    if not turn.answered_by:
        return certain_part(turn.answer)
    from agents.witnesses.words import certain_words

    return certain_words(turn.answer)  # signs may say "I do not know"
