"""The questions of an interview: which replies are refused, who asks next, and when asking may end.

`Asking` holds the attempts of one round and what the record tells of all rounds. It has no input or output; the
interviews of pictures and of videos use it.

In each round the questioner has `1 + repeats` attempts. Then the fallback asks, a questioner that follows rules. The
next round begins with the questioner again. One that says too early that nothing is left is told what is left; from the
second time on, until it asks a question, the fallback asks at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from agents.claims.asked import fault_of_content, keeps_things
from agents.claims.summaries import speaks_english
from agents.interview.named import Named
from agents.interview.prompts import Prompts
from agents.text.cleaning import AskedQuestions, clean_quoted, question_key
from agents.text.questions import Fault, PromptEcho, find_fault, prompt_echo
from core.records import Caption, QuestionCounts, RefusedQuestion, Turn
from core.tasks import NOTHING_NEW
from core.vision import Aspect

QUESTIONER: Final = "questioner"
FALLBACK: Final = "fallback"
EARLY: Final = "too early"  # reason of a refusal: the questioner wants to end
UNFAITHFUL: Final = "not proposed"  # likewise: in guided asking, it asks something else than was proposed
_WHY: Final = {  # reason: the prompt that explains it; others are "refusal.question"
    "repeated": "refusal.repeated",
    "answer": "refusal.said",
    "prompt": "refusal.said",
    "vague": "refusal.vague",
    "unnamed": "refusal.unnamed",
    "negated": "refusal.negated",
    UNFAITHFUL: "refusal.unfaithful",
    EARLY: "refusal.too_early",
}
_NUMBER: Final = re.compile(r"\W{0,9}(?:question|number|no\.?)?\s{0,3}(\d{1,2})(?!\d)", re.IGNORECASE)
_SECOND: Final = re.compile(r"\b(?:and|or) (?:what|which|who|where|how|why)\b", re.IGNORECASE)
_ASKING_WORDS: Final = frozenset("what which where who how many kind type sort what's where's who's else".split())
KEPT: Final = 50  # refused replies in a record
KEPT_CHARS: Final = 240  # of each


@dataclass(slots=True)
class Asking:
    """The attempts of the current round, and the counts of all rounds."""

    prompts: Prompts
    repeats: int
    fallback: str
    by_rules: bool = False
    """The questioner follows rules: it may end asking at any time, and nothing replaces it."""
    cannot_tell: frozenset[Aspect] = frozenset()
    """What the vision model never tells."""
    attempt: int = 0
    refused: tuple[RefusedQuestion, ...] = ()  # in this round
    spent: float = 0.0  # seconds of the questioner in this round, including refused attempts
    log: tuple[RefusedQuestion, ...] = ()
    counts: QuestionCounts = field(default_factory=QuestionCounts)
    named: Named = field(default_factory=Named)
    last: RefusedQuestion | None = None  # refused; kept also after its round
    proposed: tuple[str, ...] = ()  # questions of the rules for the next reply, in guided asking
    early: int = 0  # how often it wanted to end too early since its last question

    def resume(self, caption: Caption) -> None:
        """Continue the counts of an unfinished caption."""
        self.log, self.counts = caption.refused, caption.questions or QuestionCounts()
        own = [step for step, turn in enumerate(caption.dialogue.turns) if turn.asked_by == QUESTIONER]
        self.early = sum(one.reason == EARLY and one.step > max(own, default=-1) for one in self.log)

    @property
    def state(self) -> tuple[object, ...]:
        """What the next request depends on."""
        return (self.attempt, self.refused, self.by_rules)

    @property
    def exhausted(self) -> bool:
        """Whether the questioner has used up its attempts of this round."""
        if self.helped and self.early > 1 and self.refused and self.refused[-1].reason == EARLY:
            return True
        return self.attempt > self.repeats

    @property
    def by(self) -> str:
        """Who asks next."""
        return FALLBACK if self.exhausted and self.helped else QUESTIONER

    @property
    def helped(self) -> bool:
        """Whether a fallback takes part."""
        return self.fallback != "none" and not self.by_rules

    @property
    def texts(self) -> tuple[str, ...]:
        """The refused replies of this round that are not empty."""
        return tuple(one.text for one in self.refused if one.text)

    def next_round(self) -> None:
        """Forget the attempts of this round."""
        self.attempt, self.spent, self.refused = 0, 0.0, ()

    def refuse(self, said: str, fault: str, step: int) -> None:
        """Note a refused reply; `step` is the number of the turn it was to become, from 0."""
        one = RefusedQuestion(text=clean_quoted(said)[:KEPT_CHARS], reason=fault, step=step)
        self.attempt += 1
        self.early += fault == EARLY
        self.refused = (*self.refused, one)
        self.last = one
        self.log = (*self.log, one)[:KEPT]
        self.counts = QuestionCounts(proposed=self.counts.proposed + 1, refused=self.counts.refused + 1)

    def accept(self) -> None:
        """Count an accepted question of the questioner."""
        self.early = 0
        self.counts = QuestionCounts(proposed=self.counts.proposed + 1, refused=self.counts.refused)

    # --- checks ---------------------------------------------------------------------------------------------------

    def fault_of(
        self, question: str, said: str, turns: Sequence[Turn], asked: AskedQuestions, *, vague: bool = False
    ) -> Fault | None:
        """Why the reply is refused, or None. `vague`: a question about nothing definite is allowed.

        Of a questioner that follows rules, only empty and repeated questions are refused.
        """
        if self.by_rules:
            return "empty" if not question else "repeated" if question in asked else None
        answers = " ".join([turn.answer for turn in turns])
        last = next((turn.answer for turn in reversed(turns) if turn.answer), "")
        fault = find_fault(
            question, said=said, last_answer=last, answers=answers, prompts=_echo_of(self.prompts), asked=asked
        )
        if fault is None and speaks_english(question, None):
            fault = fault_of_content(question, self.named.said(turns))
        if fault == "unnamed" and not self.named.names_things(turns):
            fault = None  # there is nothing else to ask about
        return None if fault in ("vague", "unnamed") and vague else fault

    def proposal_of(self, question: str, said: str) -> str:
        """The proposed question that a reply stands for: by its number, or by the words that they share; "" if none."""
        number = _NUMBER.match(said)
        if number and 0 < int(number[1]) <= len(self.proposed):
            return self.proposed[int(number[1]) - 1]
        shared = {one: len(_content(one) & _content(question)) for one in self.proposed}
        best = max(shared, key=shared.__getitem__, default="")
        return best if best and shared[best] else ""

    def is_proposed(self, question: str, said: str) -> bool:
        """Whether a question is a proposed one, or one in other words: about the same things, with a word in common.

        Two questions in one are not.
        """
        if question in self.proposed:
            return True
        meant = self.proposal_of(question, said)
        if not meant or _SECOND.search(question):
            return False
        return bool(_content(meant) & _content(question)) and keeps_things(meant, question)

    def may_end(self, rounds: int, least: int, turns: Sequence[Turn]) -> bool:
        """Whether the questioner may say that nothing is left: after `least` rounds, and all that was named is asked.

        At any time if `least` is 0 or the questioner follows rules.
        """
        return self.by_rules or least == 0 or (rounds >= least and not self.named.unasked(turns))

    def spare_questions(self, asked: AskedQuestions) -> list[str]:
        """The prompts' spare questions that were not asked."""
        spare = self.prompts.text("fallback.spare").splitlines()
        return [line.strip() for line in spare if line.strip() and line.strip() not in asked]

    # --- prompts --------------------------------------------------------------------------------------------------

    def answered(self, answer: str, turns: Sequence[Turn], *, may_end: bool, why: str = "", **fields: str) -> str:
        """The last answer as it is handed to the questioner: with what is left to ask, and why a reply was refused.

        `why`: replaces the general reason of the last refusal. `fields` fill in the prompt.
        """
        left = "" if self.by_rules else self.named.unasked(turns).words(self.cannot_tell)
        text = self.prompts.text(
            "questioner.answered",
            answer=answer,
            named=self.prompts.text("questioner.named", things=left) if left else "",
            way_out=self.prompts.text("questioner.way_out", nothing_new=NOTHING_NEW) if may_end else "",
            **fields,
        )
        if self.refused:
            why = why or self.prompts.text(_WHY.get(self.refused[-1].reason, "refusal.question"))
            text = f"{text}\n\n{why}"
        return text


def _content(question: str) -> frozenset[str]:
    return frozenset(question_key(question)) - _ASKING_WORDS


_NOT_OURS: Final = ("answerer.opening", "witness.", "fallback.")  # questions that may be asked


def echo_texts(texts: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Of prompts by key, those whose words may not come back as a question."""
    return tuple(text for key, text in texts if not key.startswith(_NOT_OURS))


def _echo_of(prompts: Prompts) -> PromptEcho:
    return prompt_echo(echo_texts(prompts.texts.items()))
