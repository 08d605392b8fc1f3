"""What an interview requests from its models: one function per kind of call, shared by all drivers.

`visual_question` and `ask_questioner` serve one need each, so a driver can collect the needs of many interviews and
answer them in one batch. `Session` holds what a driver knows about one interview and builds its caption.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from agents.interview.asking import FALLBACK
from agents.interview.prompts import Prompts
from agents.interview.protocol import (
    END_STOPPED,
    Finished,
    Interview,
    InterviewOptions,
    Message,
    NeedAnswer,
    NeedPlainCaption,
    NeedQuestion,
    NeedSummary,
)
from agents.interview.seeds import call_seed
from agents.interview.summaries import RULES
from agents.interview.turns import usable
from agents.styles.options import StyleOptions
from agents.styles.owner import find_conflicts, is_told, told_in, without_told
from agents.styles.writing import Facts, Writers, missing_styles, write_styles
from core.errors import BackendError, InquisightError, QuestionerError, UsageError, printable
from core.net.budgets import MORE
from core.records import Caption, Claim, PictureInfo, StyledText, Turn, run_key
from core.tasks import OWNER, Task, is_nothing_new
from core.vision import EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from agents.audit.auditor import Audited, PictureClaims
    from agents.audit.captions import AuditedCaption
    from agents.claims.questioner import ReadClaims
    from agents.witnesses.examination import Examined

PROPOSED: Final = 5  # questions of the rules in guided asking
AGAIN: Final = 1.0  # temperature after a refused reply; a model that repeats itself needs more than its own
# Words of a story that say when something happens, at the beginning of a sentence; other texts leave them out.
_WHEN: Final = re.compile(
    r"(?<![^.!?] )\b(?:(?:At first|At the end|After a while|After that|In the end|For a moment|Still later|Then|Later|"
    r"Finally|Next|Meanwhile|In this video),? )([a-z])"
)
_NUMBER: Final = re.compile(r"\W{0,9}(?:question|number|no\.?)?\s{0,3}(\d{1,2})\W{0,9}$", re.IGNORECASE)
Described = dict[str, str]
"""What a model reports about itself."""


def visual_question(
    need: NeedPlainCaption | NeedAnswer,
    image: EncodedImage,
    interview: Interview,
    *,
    instructed: bool = False,
    seed: int | None = None,
) -> VisualQuestion:
    """The vision model's input for this need. `instructed`: it follows instructions and gets the longer prompt."""
    tokens = interview.options.answer_tokens
    if isinstance(need, NeedPlainCaption):
        options = GenerationOptions(tokens, seed=call_seed(seed, "plain"), retry_tokens=MORE * tokens)
        return VisualQuestion(image, None, (), options)
    text = interview.prompts.text("answerer.instructed" if instructed else "answerer.short", question=need.question)
    options = GenerationOptions(tokens, seed=call_seed(seed, "answer", need.step), retry_tokens=MORE * tokens)
    return VisualQuestion(image, text, need.history, options)


def to_langchain(messages: Sequence[Message], task: Task) -> list[BaseMessage]:
    """LangChain messages; the last one carries `task` for questioners that are programs (see core.tasks)."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

    kinds: dict[str, type[Any]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    converted: list[BaseMessage] = [kinds[message.role](message.content) for message in messages]
    converted[-1].additional_kwargs.update(task.to_kwargs())
    return converted


def ask_questioner(
    need: NeedQuestion | NeedSummary, model: BaseChatModel, interview: Interview, *, seed: int | None = None
) -> Reply:
    """One reply of the questioner, or of the fallback if `need` asks for it: the next question, or the summary.

    An empty question is returned as such; the interview treats it like a repeated one. A truncated reply is requested
    once more with more tokens; a question that is whole is kept, even if the text after it is truncated.
    """
    from agents.llm.providers import PROVIDER
    from agents.llm.questioners import EmptyReplyError, ask_reply

    messages = to_langchain(need.messages, need.task)
    if isinstance(need, NeedSummary):
        tokens, place = interview.options.summary_tokens, (need.attempt,) if need.attempt else ()
        seed = call_seed(seed, "summary", *place)
        if need.by == RULES:
            return Context().run(ask_reply, fallback_questioner("scripted"), messages, seed=seed)
        return ask_reply(model, messages, max_tokens=tokens, retry_tokens=MORE * tokens, seed=seed)
    options = interview.options
    step = call_seed(seed, "question", need.step, need.attempt)
    if need.by == FALLBACK:  # in a separate context: nobody counts or traces the calls of the rules
        return Context().run(ask_reply, fallback_questioner(options.fallback), messages, seed=step)
    proposed: list[str] = []
    if options.asking == "guided" and not interview.asking.by_rules:
        proposed = Context().run(propose_questions, need.task, step)
        proposed += interview.spare_questions(PROPOSED - len(proposed))
        if proposed:
            numbered = "\n".join(f"{number}. {question}" for number, question in enumerate(proposed, start=1))
            more = interview.prompts.text("questioner.choose", questions=numbered)
            messages[-1].content = f"{messages[-1].text}\n\n{more}"
    interview.asking.proposed = tuple(proposed)
    try:
        reply = ask_reply(
            model,
            messages,
            max_tokens=options.question_tokens,
            retry_tokens=MORE * options.question_tokens,
            enough=lambda text: "?" in text or "？" in text or bool(_NUMBER.match(text)),
            temperature=AGAIN if need.attempt and PROVIDER in (model.metadata or {}) else None,
            seed=step,
        )
    except EmptyReplyError:
        return Reply("")
    return replace(reply, text=chosen_question(reply.text, proposed))


def propose_questions(task: Task, seed: int | None) -> list[str]:
    """Up to `PROPOSED` questions of the built-in rules for this task, the best first."""
    from langchain_core.messages import HumanMessage

    from agents.llm.questioners import ask_reply

    found: list[str] = []
    for _ in range(PROPOSED):
        more = replace(task, refused=(*task.refused, *found))
        message = HumanMessage("Ask a question.", additional_kwargs=more.to_kwargs())
        question = ask_reply(fallback_questioner("scripted"), [message], seed=seed).text
        if is_nothing_new(question):
            break
        found.append(question)
    return found


def chosen_question(text: str, proposed: Sequence[str]) -> str:
    """A reply that is the number of a proposed question, with that question; any other reply as it is."""
    number = _NUMBER.match(text)
    if number and 0 < int(number[1]) <= len(proposed):
        return f"{number[1]}. {proposed[int(number[1]) - 1]}"
    return text


@lru_cache(maxsize=4)
def fallback_questioner(name: str) -> BaseChatModel:
    """The questioner that asks in another one's place. Raises InquisightError."""
    from agents.llm.questioners import load_questioner

    return load_questioner(name)


def _first_letter(match: re.Match[str]) -> str:
    return match[1].upper()


def follows_rules(model: BaseChatModel) -> bool:
    """Whether the questioner declares that it is a program: it may end asking when it likes, and is not replaced."""
    return bool(getattr(model, "follows_rules", False))


def read_claims(text: str, model: BaseChatModel, *, seed: int | None = None) -> ReadClaims:
    """The claims of a caption as the questioner reads them; by the rules if it follows rules itself.

    A reply that cannot be read is asked for once more. Raises QuestionerError.
    """
    from agents.claims.extract import extract_claims
    from agents.claims.questioner import ReadClaims, questioner_claims

    if follows_rules(model) or not text:
        return ReadClaims(extract_claims(text))
    return questioner_claims(text, model, seeds=[call_seed(seed, "claims", attempt) for attempt in range(2)])


def describe_questioner(model: BaseChatModel) -> Described:
    """What a transcript records about the questioner; no address, no key."""
    from agents.llm.providers import SPEC

    name = (model.metadata or {}).get(SPEC) or getattr(model, "_llm_type", type(model).__name__)
    described = {"name": str(name)}
    wire = getattr(model, "model_name", None) or getattr(model, "model", None)
    if isinstance(wire, str) and wire and wire not in described["name"]:
        described["model"] = wire
    return described


def described_options(options: InterviewOptions, prompts: Prompts) -> dict[str, Any]:
    """What decides how an interview goes, besides models and seed; two runs with equal values are the same run."""
    described = {**asdict(options), "witnesses": list(options.witnesses), "prompts": prompts.sha256}
    if not options.context:
        del described["context"]
    if not options.witnesses:
        del described["witnesses"]
    if options.audit == "none":
        del described["audit"], described["threshold"]
    if options.audit == "none" or options.claims == "rules":
        del described["claims"]
    return described


def resume_key(
    sha256: str, vision: VisionBackend, questioner: BaseChatModel, options: dict[str, Any], seed: int | None
) -> str:
    """The key by which `TranscriptStore.find_partial` finds an unfinished interview about these bytes."""
    return run_key(
        picture_sha256=sha256,
        vision=vision.describe(),
        questioner=describe_questioner(questioner),
        options=options,
        seed=seed,
    )


def check_language(options: InterviewOptions, questioner: BaseChatModel) -> None:
    """Raise UsageError if the questioner does not support the language."""
    known = getattr(questioner, "languages", None)
    if options.language is None or known is None:
        return
    if options.language.strip().casefold() not in {str(name).casefold() for name in known}:
        raise UsageError(
            f"the questioner {describe_questioner(questioner)['name']!r} cannot write in {options.language!r}; "
            f"it has {', '.join(map(str, known))}. Leave --language out or choose a language model as questioner"
        )


@dataclass(eq=False)
class Session:
    """One interview with its models, as a driver holds it."""

    interview: Interview
    picture: PictureInfo
    seed: int | None
    describe: Callable[[], tuple[Described, Described]]
    """What vision model and questioner report about themselves."""
    options: dict[str, Any] | None = None
    """`described_options` of the interview, if they were computed before."""
    seconds: dict[str, float] = field(default_factory=dict)
    error: InquisightError | None = None
    read: ReadClaims | None = None  # claims of the summary, where the questioner is to read them
    audited: AuditedCaption | None = None  # the summary, where the options ask for an audit
    unaudited: str = ""  # why the audit failed, one line
    styles: StyleOptions | None = None  # which texts to write at the end
    written: tuple[StyledText, ...] = ()
    created: datetime | None = None  # of the complete caption

    def resume(self, earlier: Caption) -> None:
        """Take over what of a complete caption is not in its interview: its audit and its styles."""
        from agents.audit.captions import AuditedCaption
        from agents.claims.questioner import ReadClaims

        self.seconds = dict(earlier.seconds)
        if earlier.status != "complete":
            return
        self.created, self.written = earlier.created, earlier.styles
        if self.interview.options.audit != "none" and not earlier.unaudited and earlier.claims:
            self.read = ReadClaims(earlier.claims, earlier.claim_counts)
            self.audited = AuditedCaption(earlier.summary, earlier.claims, 0, 0.0)

    @property
    def needs_styles(self) -> bool:
        """Whether texts are to be written that are not there; the audit comes before."""
        if self.error is not None or self.interview.status != "complete" or self.needs_audit:
            return False
        return missing_styles(self.styles, self.interview.prompts.styles, self.written)

    def write_styles(self, questioner: BaseChatModel) -> Iterator[StyledText]:
        """Write and yield them, one after the other. Raises QuestionerError."""
        assert self.styles is not None
        found = []
        written = write_styles(
            self._facts(), self.styles, self.interview.prompts.styles, self._writers(questioner), self.written
        )
        for one in written:
            found.append(one)
            yield one
        names = {one.style for one in found}
        self.written = (*found, *(one for one in self.written if one.style not in names))

    def all_styles(self, questioner: BaseChatModel) -> tuple[StyledText, ...]:
        """Write all of them; may be called in any thread. Returns `written`."""
        for _ in self.write_styles(questioner):
            pass
        return self.written

    def _facts(self) -> Facts:
        interview = self.interview
        turns: Sequence[Turn] = usable(interview.dialogue.turns)
        if turns and "video" in (self.options or {}):  # only the story puts together what was said of single frames
            story = without_told(interview.summary or "", told_in(turns))
            owner = [turn for turn in turns if turn.asked_by == OWNER]
            turns = [*owner, Turn(question="Describe the video.", answer=_WHEN.sub(_first_letter, story))]
        return Facts(
            turns=turns,
            description=self.audited_text or interview.summary or "",
            described_by=interview.check.by,
            claims=self.audited.claims if self.audited else (),
            language=interview.options.language,
        )

    def _writers(self, questioner: BaseChatModel) -> Writers:
        options = self.interview.options
        by_rules = follows_rules(questioner)
        fallback = None if by_rules or options.fallback == "none" else fallback_questioner("scripted")
        return Writers(
            questioner, fallback, by_rules, lambda style, attempt: call_seed(self.seed, "style", style, attempt),
            options.summary_tokens,
        )  # fmt: skip

    @property
    def needs_audit(self) -> bool:
        """Whether the options ask for an audit of the summary that is there."""
        interview = self.interview
        wanted = interview.options.audit != "none" and self.audited is None
        return wanted and self.error is None and interview.status == "complete" and bool(interview.dialogue.certain)

    @property
    def needs_claims(self) -> bool:
        """Whether the questioner is to read the claims of the summary before the audit."""
        return self.needs_audit and self.interview.options.claims == "questioner" and self.read is None

    def audit(self, vision: VisionBackend, image: EncodedImage) -> AuditedCaption:
        """Check the claims of the summary one by one. Raises BackendError if the vision model fails."""
        from agents.audit.auditor import audit_claims

        start = time.perf_counter()
        [judged] = audit_claims(vision, [self.claims_to_check(image)], threshold=self.interview.options.threshold)
        return self.take_audit(judged, time.perf_counter() - start)

    def claims_to_check(self, image: EncodedImage) -> PictureClaims:
        """The claims of the summary with the evidence for them."""
        from agents.audit.auditor import PictureClaims

        claims, turns = self.claims, self.interview.dialogue.turns
        asked = [number for number, claim in enumerate(claims) if not is_told(claim, turns)]
        return PictureClaims(image, claims, self.interview.findings or (), asked)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims of the summary, each with the numbers of the turns that say the same."""
        from agents.audit.captions import with_turns
        from agents.claims.extract import extract_claims

        claims = self.read.claims if self.read else extract_claims(self.interview.summary or "")
        return with_turns(claims, self.interview.dialogue.turns)

    def take_audit(self, judged: Audited, seconds: float) -> AuditedCaption:
        """Take the judged `claims`."""
        from agents.audit.captions import AuditedCaption

        self.add_seconds("audit", seconds)
        self.unaudited = ""
        turns, told = self.interview.dialogue.turns, {"verdict": "supported", "score": None, "evidence": OWNER}
        claims = tuple(claim.model_copy(update=told) if is_told(claim, turns) else claim for claim in judged.claims)
        self.audited = AuditedCaption(self.interview.summary or "", claims, judged.questions, seconds)
        return self.audited

    @property
    def audited_text(self) -> str:
        """What is left of the summary, if false claims were to be taken out and some were there."""
        if self.audited is None or self.interview.options.audit != "drop":
            return ""
        left = self.audited.repaired or self.interview.prompts.text("summary.nothing_certain")
        return left if left != self.audited.text else ""

    def add_seconds(self, what: str, seconds: float) -> float:
        self.seconds[what] = self.seconds.get(what, 0.0) + seconds
        return seconds

    def feed(self, reply: Reply, seconds: float) -> None:
        """Pass on a model's reply. Sets `error` if the interview failed with it: a model that returns no text."""
        need = self.interview.need
        self.interview.feed(reply.text, seconds=seconds, truncated=reply.truncated)
        if self.interview.error is not None:
            vision, questioner = self.describe()
            if isinstance(need, NeedSummary):
                self.error = QuestionerError(f"{questioner['name']}: {self.interview.error}")
            else:
                self.error = BackendError(f"{vision['name']}: {self.interview.error}")
                self.interview.fail(self.error)

    def feed_findings(self, examined: Examined) -> list[int]:
        """Pass on what witnesses found. Returns the numbers of the turns that say it, from 0."""
        before = len(self.interview.dialogue.turns)
        self.add_seconds("witnesses", examined.seconds)
        self.interview.feed_findings(examined.findings, examined.problems, seconds=examined.seconds)
        return list(range(before, len(self.interview.dialogue.turns)))

    def stop(self) -> None:
        """Stop the interview or, if it is complete, its audit; both can be resumed."""
        if self.needs_audit:
            self.unaudited = END_STOPPED
        self.interview.stop()

    def fail(self, error: BaseException) -> None:
        """End the interview or, if it is complete, its audit with the error of a model.

        An error that is not ours is wrapped in one line.
        """
        if not isinstance(error, InquisightError):
            vision = isinstance(self.interview.need, NeedPlainCaption | NeedAnswer | Finished)
            kind, who = (BackendError, self.describe()[0]["name"]) if vision else (QuestionerError, "the questioner")
            line = printable(str(error).strip().partition("\n")[0] or "no details")
            wrapped = kind(f"{who} failed: {type(error).__name__}: {line}")
            wrapped.__cause__ = error
            error = wrapped
        self.error = error
        if self.interview.status != "complete":
            self.interview.fail(error)
        elif self.interview.options.audit != "none" and self.audited is None:
            self.unaudited = " ".join(str(error).split()) or type(error).__name__

    def caption(self) -> Caption:
        """The caption as far as the interview went."""
        interview = self.interview
        if self.created is None and interview.status == "complete":
            self.created = datetime.now(UTC)
        vision, questioner = self.describe()
        return Caption(
            picture=self.picture,
            status=interview.status,
            error=interview.error,
            plain=interview.plain or "",
            opening=interview.opening,
            summary=interview.summary or "",
            summary_by=interview.check.by if interview.summary else "",
            removed=interview.check.removed if interview.summary else (),
            truncated=interview.truncated,
            dialogue=interview.dialogue,
            audited=self.audited_text,
            claims=self.audited.claims if self.audited else (),
            claim_counts=self.read.counts if self.read else None,
            unaudited=self.unaudited,
            findings=interview.findings or (),
            problems=interview.problems,
            refused=interview.asking.log,
            questions=interview.asking.counts if interview.asking.counts.proposed else None,
            vision=vision,
            questioner=questioner,
            options=self.options or described_options(interview.options, interview.prompts),
            seed=self.seed,
            seconds={name: round(value, 4) for name, value in self.seconds.items()},
            ended_because=interview.ended_because,
            styles=self.written,
            conflicts=find_conflicts(interview.dialogue.turns),
            created=self.created or datetime.now(UTC),
        )
