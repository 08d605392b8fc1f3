"""The ChatCaptioner protocol as a state machine without input or output.

It returns what it needs next and is fed the result. Drivers serve the needs: of one picture, of many in batches, or on
another machine.

    interview = Interview(prompts, InterviewOptions(rounds=5))
    while not isinstance(need := interview.need, Finished):
        interview.feed(result_of(need))          # NeedFindings: interview.feed_findings(...)
    interview.dialogue, interview.plain, interview.opening, interview.summary

`need` depends only on `dialogue`, `plain` and `summary`, so `resumed` builds an interview from a saved caption.
Protocol: ChatCaptioner (Zhu et al. 2023, arXiv:2303.06594): a fixed opening, asked rounds, a summary. Ours: witnesses
answer two fixed questions after the opening, which things there are and what is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from agents.interview.asking import EARLY, FALLBACK, QUESTIONER, UNFAITHFUL, Asking
from agents.interview.options import InterviewOptions as InterviewOptions
from agents.interview.prompts import Prompts
from agents.interview.summaries import SummaryCheck
from agents.interview.turns import Past
from agents.interview.turns import usable as usable
from agents.styles.owner import owner_turn, told_in, with_told, without_conflicts
from agents.text.cleaning import clean_answer, clean_question, clean_summary, is_unsure
from agents.text.questions import wants_to_end
from core.errors import UsageError
from core.findings import Findings
from core.records import Caption, Dialogue, Status, Turn
from core.tasks import OWNER, QUESTION, SUMMARY, Task
from core.text import whole_sentences

Role = Literal["system", "user", "assistant"]
END_ROUNDS, END_NOTHING_NEW, END_STOPPED, END_FAILED = "rounds", "nothing new to ask", "stopped", "failed"
END_NO_QUESTION = "no usable question"

NOTHING_SUPPORTED = "no answer supports a sentence of the questioner's summary; try another questioner"

RAW_CHARS = 4000  # characters of a model's raw reply that are saved beside the cleaned one


@dataclass(frozen=True, slots=True)
class Message:
    """One message to the questioner; roles alternate after the system message, as strict chat templates require."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class NeedPlainCaption:
    """The vision model's caption, without a question."""


@dataclass(frozen=True, slots=True)
class NeedAnswer:
    """The vision model's answer. `history`: earlier question-answer pairs, oldest first."""

    question: str
    history: tuple[tuple[str, str], ...]
    asked_by: str
    step: int  # number of the turn, from 0

    @property
    def labelled(self) -> str:
        """The question as it is recorded."""
        return self.question


@dataclass(frozen=True, slots=True)
class NeedFindings:
    """What these witnesses find in the picture, for `Interview.feed_findings`."""

    witnesses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NeedQuestion:
    """The questioner's next question. `task` holds the same as `messages`, for questioners that are programs."""

    messages: tuple[Message, ...]
    task: Task
    step: int
    attempt: int  # 0, then 1, 2 ... after refused ones
    by: str = QUESTIONER  # or "fallback"


@dataclass(frozen=True, slots=True)
class NeedSummary:
    """The questioner's summary of the certain turns."""

    messages: tuple[Message, ...]
    task: Task
    by: str = QUESTIONER  # or "rules"
    attempt: int = 0  # 1: the first draft was refused


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing more to do; `reason` is one of the END_ constants."""

    reason: str


Need = NeedPlainCaption | NeedAnswer | NeedFindings | NeedQuestion | NeedSummary | Finished


class Interview:
    """One picture's interview. Not thread-safe."""

    kind = "picture"

    def __init__(self, prompts: Prompts, options: InterviewOptions | None = None) -> None:
        self.prompts = prompts
        self.options = options or InterviewOptions()
        told = self.options.context
        self.dialogue = Dialogue(turns=(owner_turn(told, self.kind),) if told else ())
        self.plain: str | None = None  # None: not requested yet
        self.summary: str | None = None
        self.error: str | None = None
        self.findings: tuple[Findings, ...] | None = None  # None: not examined yet
        self.problems: tuple[str, ...] = ()  # one line for each witness that failed
        self.asking = Asking(prompts, self.options.repeats, self.options.fallback)
        self.check = SummaryCheck(self.asking)
        self._past = Past()
        self._known: tuple[Dialogue, tuple[object, ...], Need] | None = None  # dialogue, other state, need in it
        self._pending: tuple[str, str, str | None, float] | None = None  # question, asked_by, raw, seconds
        self._end = ""  # why asking ended, once it has
        self._halted: Status | None = None
        self._cut: set[str] = set()  # "plain", "summary": cut at the token limit

    @classmethod
    def resumed(cls, caption: Caption, prompts: Prompts, options: InterviewOptions | None = None) -> Interview:
        """Resume the interview of `caption`; its questions are not asked again."""
        interview = cls(prompts, options)
        interview.dialogue = caption.dialogue if caption.dialogue.turns else interview.dialogue
        answered = any(turn.asked_by != OWNER for turn in caption.dialogue.turns)
        interview.plain = caption.plain if caption.plain or answered else None
        interview.findings, interview.problems = caption.findings or None, caption.problems
        interview.asking.resume(caption)
        interview.check.resume(caption)
        if caption.truncated and not any(turn.truncated for turn in caption.dialogue.turns):
            interview._cut.add("plain")
        if caption.status == "complete":
            interview.summary = caption.summary
            interview._end = caption.ended_because
        return interview

    # --- state -------------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """ "stopped" also means: not finished yet."""
        return self._halted or ("complete" if self.summary is not None else "stopped")

    @property
    def ended_because(self) -> str:
        need = self.need
        return need.reason if isinstance(need, Finished) else END_STOPPED

    @property
    def opening(self) -> str:
        """The answer to the opening question, or ""."""
        return next((turn.answer for turn in self.dialogue.turns if turn.asked_by == "opening"), "")

    @property
    def truncated(self) -> bool:
        """Whether a reply was cut at the token limit."""
        return bool(self._cut) or any(turn.truncated for turn in self.dialogue.turns)

    @property
    def asked(self) -> int:
        """Rounds used so far."""
        return self._past.of(self.dialogue.turns).rounds

    @property
    def lacks_findings(self) -> bool:
        """Whether witnesses take part and have not examined the picture."""
        return bool(self.options.witnesses) and self.findings is None

    @property
    def pending(self) -> str:
        """The question that waits for its answer, or ""; `inject` replaces it."""
        return self._pending[0] if self._pending else ""

    @property
    def need(self) -> Need:
        """What has to be fed next; cached, since it holds the whole dialogue."""
        state = (
            self.plain is None,
            self.summary is None,
            self.findings is None,
            self.options,
            self._pending,
            self._end,
            self._halted,
            self.asking.state,
            self.check.state,
        )
        if self._known is None or self._known[0] is not self.dialogue or self._known[1] != state:
            self._known = (self.dialogue, state, self._find_need())
        return self._known[2]

    def _find_need(self) -> Need:
        if self._halted:
            return Finished(END_FAILED if self._halted == "failed" else END_STOPPED)
        if self.plain is None:
            return NeedPlainCaption()
        if self._pending:
            return self._need_answer(self._pending[0], self._pending[1])
        if not any(turn.asked_by == "opening" for turn in self.dialogue.turns):
            return self._need_answer(self.prompts.text("answerer.opening"), "opening")
        if self.summary is not None:
            return Finished(self._end or END_ROUNDS)
        if self.lacks_findings:
            return NeedFindings(self.options.witnesses)
        if not self._end and self.asked < self.options.rounds:
            return self._need_question()
        return self._need_summary()

    # --- transitions -----------------------------------------------------------------------------------------

    def feed(self, text: str, *, seconds: float = 0.0, truncated: bool = False) -> None:
        """Pass on the reply to the last `need`; `seconds` is how long the model took.

        `truncated`: the reply was cut at the token limit, so its unfinished sentence is dropped. The interview fails if
        the vision model leaves the opening question, or most questions, unanswered.
        """
        need = self.need
        match need:
            case NeedPlainCaption():
                self.plain = clean_answer(self._whole(text, truncated, "plain"))
            case NeedAnswer():
                self._take_answer(need, text, seconds, truncated)
            case NeedQuestion():
                self._take_question(need, text, seconds)
            case NeedSummary():
                self._take_summary(need, text, seconds, truncated)
            case NeedFindings() | Finished():
                raise RuntimeError("no reply of a model is needed")
        self._state_findings()
        self._fail_where_silent()
        self._skip_empty_summary()

    def feed_findings(
        self, findings: Sequence[Findings], problems: Sequence[str] = (), *, seconds: float = 0.0
    ) -> None:
        """Pass on what the witnesses of `NeedFindings` found, and one line for each that failed."""
        if not isinstance(self.need, NeedFindings):
            raise RuntimeError("no findings are needed")
        self.findings, self.problems = tuple(findings), tuple(problems)
        self._state_findings(seconds)
        self._skip_empty_summary()

    def fail(self, error: BaseException | str) -> None:
        """End the interview because a model call failed; what was learned so far stays."""
        self.error = " ".join(str(error).split()) or type(error).__name__
        self._halted = "failed"

    def stop(self) -> None:
        """Stop the interview; it can be resumed."""
        if not isinstance(self.need, Finished):
            self._halted = "stopped"

    def spare_questions(self, number: int) -> list[str]:
        """Up to `number` of the prompts' spare questions that were not asked."""
        return self.asking.spare_questions(self._past.of(self.dialogue.turns).questions)[:number]

    def inject(self, question: str) -> None:
        """Put a person's question next; after the end, this reopens the interview. Raises UsageError."""
        cleaned = clean_question(question)
        if not cleaned:
            raise UsageError(f"this is no question: {question!r}")
        self._pending = (cleaned, "person", None, 0.0)
        self._reopen()

    def correct(self, index: int, answer: str, *, go_on: bool = False) -> None:
        """Replace the answer of turn `index` (from 0) by a person's; the model's stays as `raw_answer`.

        `go_on`: later turns rest on the wrong answer, so they are dropped and asking continues from there.
        """
        turns = list(self.dialogue.turns)
        if not 0 <= index < len(turns):
            raise UsageError(f"there is no turn {index}; this dialogue has {len(turns)}, counted from 0")
        old = turns[index]
        cleaned = clean_answer(answer, old.question)
        turns[index] = old.model_copy(
            update={
                "answer": cleaned,
                "raw_answer": old.raw_answer if old.raw_answer is not None else old.answer,
                "certainty": "unsure" if is_unsure(cleaned) else "sure",
            }
        )
        if go_on:
            del turns[index + 1 :]
            self._end = ""
            self._pending = None
        self.dialogue = Dialogue(turns=tuple(turns))
        self._reopen()
        self._state_findings()
        self._skip_empty_summary()

    def go_on(self) -> None:
        """Resume a stopped or failed interview; no effect on others."""
        self.error = self._halted = None
        self.asking.next_round()

    # --- inside -----------------------------------------------------------------------------------------------

    def _whole(self, text: str, truncated: bool, what: str) -> str:
        """`text`, without its unfinished last sentence if it was truncated; remembers `what` was truncated."""
        self._cut.discard(what)
        if truncated:
            self._cut.add(what)
        return whole_sentences(text) if truncated else text

    def _fail_where_silent(self) -> None:
        """Fail if the vision model leaves questions unanswered; these are asked again on resuming."""
        asked = (turn for turn in self._asked_of_vision() if turn.asked_by not in ("person", "witness", OWNER))
        turns = list(islice(asked, 2))
        if len(turns) > 1 and not isinstance(self.need, NeedSummary):
            return
        turns += asked
        silent = sum(not turn.answer for turn in turns)
        alone = len(turns) == silent == 1
        if alone or (isinstance(self.need, NeedSummary) and 2 * silent > len(turns)):
            what = "the opening question" if alone else f"{silent} of {len(turns)} questions"
            self.fail(f"the vision model gave no answer to {what}")
            self.dialogue = Dialogue(turns=tuple(turn for turn in self.dialogue.turns if turn.answer))

    def _asked_of_vision(self) -> tuple[Turn, ...]:
        return self.dialogue.turns

    def _state_findings(self, seconds: float = 0.0) -> None:
        """Add the turns that witnesses answer, once the opening question is answered; `seconds` go to the first."""
        if not self.findings or not any(turn.asked_by == "opening" for turn in self.dialogue.turns):
            return
        from agents.witnesses.words import statements

        stated = {turn.question for turn in self.dialogue.turns if turn.answered_by}
        for one in statements(self.findings):
            question = self.prompts.text(f"witness.{one.kind}")
            if question not in stated:
                turn = Turn(
                    question=question,
                    answer=one.answer,
                    asked_by="witness",
                    answered_by=one.names,
                    certainty="sure" if one.sure else "unsure",
                    seconds_answer=round(seconds, 4),
                )
                self.dialogue, seconds = self.dialogue.append(turn), 0.0

    def _reopen(self) -> None:
        self.summary = self.error = self._halted = None
        self.check.restart()
        self._cut.discard("summary")
        self.asking.next_round()

    def _need_answer(self, question: str, asked_by: str) -> NeedAnswer:
        turns = self.dialogue.turns
        last = len(turns) if self.options.history == -1 else self.options.history
        own = (turn for turn in reversed(turns) if turn.answer and not turn.answered_by)
        latest = islice(((turn.question, turn.answer) for turn in own), last)
        return NeedAnswer(question, tuple(latest)[::-1], asked_by, len(turns))

    def _need_question(self) -> NeedQuestion:
        asking, turns = self.asking, self.dialogue.turns
        language, refused = self.options.language, asking.texts
        task = Task.of(QUESTION, turns, language=language, refused=refused, cannot_tell=asking.cannot_tell)
        return NeedQuestion(self._messages(), task, len(turns), asking.attempt, asking.by)

    def _messages(self) -> tuple[Message, ...]:
        """The dialogue for the questioner: questions (assistant), answers (user); without refused replies."""
        messages = [
            Message("system", self.prompts.text("questioner.brief")),
            Message("user", self.prompts.text("questioner.hello")),
        ]
        turns = self.dialogue.turns
        for number, turn in enumerate(turns, start=1):
            messages.append(Message("assistant", turn.question))
            answer = turn.answer or "(no answer)"
            if number == len(turns):
                answer = self.asking.answered(answer, turns, may_end=self._may_end())
            messages.append(Message("user", answer))
        return tuple(messages)

    def _may_end(self) -> bool:
        return self.asking.may_end(self.asked, self.options.fewest_rounds, self.dialogue.turns)

    def _need_summary(self) -> NeedSummary:
        turns = usable(self.dialogue.turns)
        notes = "\n".join(f"- {turn.question} {turn.answer}" for turn in turns)
        name = self.options.language
        language = self.prompts.text("summary.language", name=name.strip()) if name else ""
        request = self.prompts.text("summary.request", notes=notes, language=language)
        messages = (Message("system", self.prompts.text("summary.brief")), Message("user", self._once_more(request)))
        check = self.check
        return NeedSummary(messages, Task.of(SUMMARY, turns, language=name), check.by, check.attempt)

    def _once_more(self, request: str) -> str:
        """The request for a summary, with the rule that the last draft broke."""
        return f"{request}\n\n{self.prompts.text('summary.again')}" if self.check.attempt else request

    def _skip_empty_summary(self) -> None:
        """Use a fixed summary if nothing certain was learned."""
        if isinstance(self.need, NeedSummary) and not self.dialogue.certain:
            self.summary = self.prompts.text("summary.nothing_certain")
            self._end = self._end or END_ROUNDS

    def _take_question(self, need: NeedQuestion, text: str, seconds: float) -> None:
        asking, turns = self.asking, self.dialogue.turns
        question, asked = clean_question(text), self._past.of(turns).questions
        asking.spent += seconds
        ends = wants_to_end(question or text)
        if need.by == FALLBACK:
            question = (
                question
                if question and not ends and question not in asked
                else next(iter(asking.spare_questions(asked)), "")
            )
            if question:
                self._put(question, FALLBACK, text)
            else:
                self._end_asking(END_NOTHING_NEW)
        elif ends and self._may_end():
            self._end_asking(END_NOTHING_NEW)
        elif fault := EARLY if ends else self._question_fault(question, text):
            asking.refuse(question or text, fault, len(turns))
            meant = asking.proposal_of(question, text) if asking.helped else ""
            if meant and meant not in asked:
                self._put(meant, FALLBACK, text)
            elif asking.exhausted and not asking.helped:
                self._end_asking(END_NOTHING_NEW if asking.by_rules or ends else END_NO_QUESTION)
        else:
            asking.accept()
            self._put(question, QUESTIONER, text)

    def _question_fault(self, question: str, said: str) -> str | None:
        asking, turns = self.asking, self.dialogue.turns
        fault = asking.fault_of(question, said, turns, self._past.of(turns).questions)
        if fault is None and asking.proposed and not asking.is_proposed(question, said):
            return UNFAITHFUL
        return fault

    def _put(self, question: str, asked_by: str, said: str) -> None:
        self._pending = (question, asked_by, _raw(said, question), self.asking.spent)
        self.asking.next_round()

    def _end_asking(self, reason: str) -> None:
        self._end = reason
        self.asking.next_round()

    def _take_summary(self, need: NeedSummary, text: str, seconds: float, truncated: bool) -> None:
        summary = clean_summary(self._whole(text, truncated, "summary"))
        if summary:
            kept = self.check.take(summary, need.task.turns, language=self.options.language, cut=truncated)
            if kept is None:
                return
            if kept:
                self.summary = self._as_told(kept)
                self._end = self._end or END_ROUNDS
                return
        self.fail("the questioner wrote an empty summary" if not summary else NOTHING_SUPPORTED)

    def _as_told(self, summary: str) -> str:
        """The summary with what the owner told, and without what contradicts it."""
        told = told_in(self.dialogue.turns)
        if not told:
            return summary
        return with_told(without_conflicts(summary, told), told)

    def _take_answer(self, need: NeedAnswer, text: str, seconds: float, truncated: bool) -> None:
        _, _, raw_question, seconds_question = self._pending or ("", "", None, 0.0)
        answer = clean_answer(whole_sentences(text) if truncated else text, need.question)
        self.dialogue = self.dialogue.append(
            Turn(
                question=need.labelled,
                answer=answer,
                asked_by=need.asked_by,
                certainty="unsure" if is_unsure(answer) else "sure",
                raw_question=raw_question,
                raw_answer=_raw(text, answer),
                truncated=truncated,
                seconds_question=round(seconds_question, 4),
                seconds_answer=round(seconds, 4),
            )
        )
        self._pending = None


def _raw(text: str, cleaned: str) -> str | None:
    """The raw reply if cleaning changed it; bounded, since a model may never stop."""
    return text[:RAW_CHARS] if text != cleaned else None
