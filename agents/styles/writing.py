"""Write the texts of all styles from one interview: by the questioner, checked against the answers, else by the rules.

    for written in write_styles(facts, StyleOptions(("alt", "tags")), prompts.styles, model, rules, seeds):
        written.style, written.text, written.by

A draft is brought into its form (`agents.styles.forms`), and what no certain answer says is taken out of it. A draft
that speaks of the notes, is too long, or loses more than half is asked for once more; then the rules write the text.
Whoever writes, the limits hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agents.audit.rewrite import false_claims, without
from agents.claims.extract import extract_claims
from agents.claims.known import Known, base_forms, said_in
from agents.claims.phrases import tokens
from agents.claims.summaries import is_content, speaks_english, speaks_of_the_work, unsupported_sentences
from agents.styles.forms import JOINT, split_tags, tags_in_form, text_in_form
from agents.styles.options import EMPTY_FOR, StyleOptions, cleaned_text, framed
from agents.styles.own import MOST, StylePrompt
from agents.styles.owner import told_in
from agents.styles.vocabulary import base_tag
from core.net.budgets import MORE
from core.records import Claim, StyledText, Turn
from core.tasks import OWNER, STYLE, Task
from core.text import sentences, shortened, whole_sentences

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

QUESTIONER, RULES, FIXED = "questioner", "rules", "fixed"
WORK, UNSUPPORTED, LONG, EMPTY = "speaks of the notes", "says what no answer says", "too long", "empty"
NOTHING: Final = "Content unclear"  # fits every limit
ATTEMPTS: Final = 2
INVENTED: Final = 0.75  # of the words of a short text, at least, stand in the answers
TAGS_ENOUGH: Final = 2  # tags of a questioner that are left after the check
_ACTIONS: Final = ("link to ", "links to ", "link: ", "button to ", "button: ", "button ", "icon for ")


@dataclass(frozen=True, slots=True)
class Facts:
    """What an interview has found out."""

    turns: Sequence[Turn]
    """The certain ones, without their uncertain sentences."""
    description: str
    """The summary, without the claims that an audit took out."""
    described_by: str = ""
    claims: Sequence[Claim] = ()
    """Of the summary, judged; what is false there may not be said in another style either."""
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Writers:
    """Who writes: the questioner, and the rules in its place."""

    questioner: BaseChatModel
    rules: BaseChatModel | None
    """None: nobody replaces the questioner."""
    by_rules: bool
    """The questioner follows rules itself."""
    seed: Callable[[str, int], int | None]
    """The seed of an attempt (from 0) at a style."""
    tokens: int = 300


def write_styles(
    facts: Facts, options: StyleOptions, prompts: Mapping[str, StylePrompt], writers: Writers,
    done: Sequence[StyledText] = (),
) -> Iterator[StyledText]:  # fmt: skip
    """Yield the text of each style, in order. Raises QuestionerError if the questioner cannot be reached.

    `done`: texts of an earlier run; one that was made of the same options is yielded as it is.
    """
    earlier = {one.style: one for one in done}
    for style in options.styles:
        prompt = prompts.get(style, StylePrompt(style, "{notes}"))
        known = earlier.get(style)
        if known is not None and known.options == options.described(prompt):
            yield known
            continue
        start = time.perf_counter()
        written = _Writing(facts, options, prompt, writers).written()
        yield written.model_copy(update={"seconds": round(time.perf_counter() - start, 4)})


def missing_styles(
    options: StyleOptions | None, prompts: Mapping[str, StylePrompt], done: Sequence[StyledText]
) -> bool:
    """Whether `write_styles` would write anything that is not `done`, or put it in another order."""
    if options is None or not options.styles:
        return False
    wanted = [(style, options.described(prompts.get(style, StylePrompt(style, "{notes}")))) for style in options.styles]
    return wanted != [(one.style, one.options) for one in done[: len(wanted)]]


class _Writing:
    """One text of one style."""

    def __init__(self, facts: Facts, options: StyleOptions, prompt: StylePrompt, writers: Writers) -> None:
        self.facts, self.options, self.prompt, self.writers = facts, options, prompt, writers
        self.style = prompt.name
        self.room = options.room_of(self.style, prompt)
        self.purpose = cleaned_text(options.purpose) if self.style != "short" else ""
        self.removed: list[str] = []
        self.refused: list[str] = []
        self.false = {(claim.kind, claim.about, claim.value) for claim in false_claims(facts.claims)}
        self._known: Known | None = None

    def written(self) -> StyledText:
        if self.style == "description":
            return self._text(shortened(self.facts.description, self.room) or NOTHING, self.facts.described_by or FIXED)
        if self.style == "alt" and (fixed := self._by_purpose()) is not None:
            return self._text(fixed, FIXED)
        if not self.facts.turns:
            return self._text("" if self.prompt.form == "tags" else NOTHING, FIXED)
        for attempt in range(1 if self.writers.by_rules else ATTEMPTS):
            found = self._drafted(attempt)
            if found is not None:
                return found
        if self.writers.rules is not None and not self.writers.by_rules and speaks_english("", self.facts.language):
            found = self._by_rules(self.writers.rules)
            if found is not None:
                return found
        last = text_in_form(self.facts.description, self.style, self.room) if self.prompt.form == "text" else ""
        return self._text(last or ("" if self.prompt.form == "tags" else NOTHING), self.facts.described_by or FIXED)

    def _by_purpose(self) -> str | None:
        """The alt text where the purpose alone decides it (W3C, "An alt Decision Tree"); None if it does not."""
        purpose = self.purpose.casefold().strip(" .")
        if purpose in EMPTY_FOR:
            return ""
        for action in _ACTIONS:
            if purpose.startswith(action) and len(purpose) > len(action):
                where = self.purpose.strip(" .")[len(action) :]
                return text_in_form(where, "alt", self.room).rstrip(".") or NOTHING
        return None

    # --- drafts ---------------------------------------------------------------------------------------------------

    def _drafted(self, attempt: int) -> StyledText | None:
        """The questioner's text, if it can be used."""
        if self.writers.by_rules:
            return self._by_rules(self.writers.questioner)
        from agents.llm.questioners import ContentFilterError, EmptyReplyError, ask_reply

        try:
            reply = ask_reply(
                self.writers.questioner, self._messages(attempt), max_tokens=self._tokens,
                retry_tokens=MORE * self.writers.tokens, enough=lambda text: bool(text.strip()),
                seed=self.writers.seed(self.style, attempt),
            )  # fmt: skip
        except (ContentFilterError, EmptyReplyError):
            self.refused.append(EMPTY)
            return None
        if self.prompt.form == "tags":
            written = split_tags(reply.text)
            return self._tags_of(JOINT.join(written[:-1] if reply.truncated else written))
        text = whole_sentences(reply.text) if reply.truncated else reply.text
        return self._checked(text, last=attempt == ATTEMPTS - 1)

    @property
    def _tokens(self) -> int:
        """What a text of the style's length may take; a model that goes on and on is stopped there."""
        characters = 240 if self.room == MOST else self.room
        english = speaks_english("", self.facts.language)
        return min(self.writers.tokens, characters // 2 + 20 if english else 2 * characters)

    def _checked(self, draft: str, *, last: bool) -> StyledText | None:
        draft = " ".join(draft.split())
        whole = text_in_form(draft, self.style, MOST)
        gone = self._unsupported(whole)
        kept = self._true(" ".join(one for one in sentences(whole) if one not in gone))
        text = text_in_form(kept, self.style, self.room)
        fault = ""
        if not whole:
            fault = EMPTY
        elif speaks_english(whole, self.facts.language) and speaks_of_the_work(whole, self.facts.turns):
            fault = WORK
        elif 2 * len(gone) > len(sentences(whole)) or not text or self._invents(text):
            fault = UNSUPPORTED
        elif (
            len(text) < len(kept) and self.style != "short" and (not last or 2 * len(text) < min(len(kept), self.room))
        ):
            fault = LONG
        if fault:
            self.refused.append(fault)
            return None
        self.removed += gone
        return self._text(text, QUESTIONER)

    def _is_cut(self, kept: str, text: str, *, last: bool) -> bool:
        """Whether a draft is too long to be shortened: the first one always, the last one if little is left."""
        return len(text) < len(kept) - 1 and (not last or 2 * len(text) < min(len(kept), self.room))

    def _unsupported(self, text: str) -> list[str]:
        turns = [*self.facts.turns, Turn(question="", answer=self.purpose)] if self.purpose else self.facts.turns
        return [one.text for one in unsupported_sentences(text, turns, language=self.facts.language)]

    def _invents(self, text: str) -> bool:
        """Whether more than a quarter of what a short text says stands in no answer: moods, postures, adjectives."""
        if not speaks_english(text, self.facts.language):
            return False
        known = self._said
        spoken = [one.text for one in tokens(text) if one.kind == "word" and is_content(one.text)]
        said = sum(known.has(word) or bool(base_forms(word) & known.hedged) for word in spoken)
        return said < INVENTED * len(spoken)

    @property
    def _said(self) -> Known:
        if self._known is None:
            turns = self.facts.turns
            self._known = said_in([*turns, Turn(question="", answer=self.purpose)] if self.purpose else turns)
        return self._known

    def _true(self, text: str) -> str:
        """`text` without what an audit found false."""
        if not self.false:
            return text
        claims = [
            claim.model_copy(update={"verdict": "contradicted"})
            if (claim.kind, claim.about, claim.value) in self.false
            else claim
            for claim in extract_claims(text)
        ]
        return without(text, claims)

    def _by_rules(self, rules: BaseChatModel) -> StyledText | None:
        from agents.llm.questioners import EmptyReplyError, ask_reply

        try:  # in a separate context: nobody counts or traces the calls of the rules
            reply = Context().run(ask_reply, rules, self._messages(0), seed=self.writers.seed(self.style, 0))
        except EmptyReplyError:
            return None
        by = QUESTIONER if self.writers.by_rules else RULES
        if self.prompt.form == "tags":
            tags = self._taggable(reply.text)
            return self._text(JOINT.join(tags), by, tags)
        text = text_in_form(self._true(reply.text), self.style, self.room)
        return self._text(text, by) if text else None

    def _tags_of(self, reply: str) -> StyledText | None:
        tags = self._taggable(reply)
        if len(tags) < TAGS_ENOUGH:
            self.refused.append(UNSUPPORTED if split_tags(reply) else EMPTY)
            return None
        return self._text(JOINT.join(tags), QUESTIONER, tags)

    def _taggable(self, reply: str) -> tuple[str, ...]:
        """The tags of a reply that the answers support."""
        english = speaks_english(reply, self.facts.language)
        false = {about for kind, about, _ in self.false if kind == "thing"}
        kept = []
        for tag in split_tags(reply):
            words = base_tag(tag).replace("-", " ").split()
            said = all(self._said.has(word) for word in words) or self._said.has(base_tag(tag))
            wrong = any(base_forms(word) & false for word in words)
            if (said or not english) and not wrong:
                kept.append(tag)
            else:
                self.removed.append(tag[:100])
        found = tags_in_form(kept, self.room, self.options.vocabulary)
        told = told_in(self.facts.turns)
        return tuple(tag.title() if self.options.vocabulary is None and tag.title() in told else tag for tag in found)

    def _messages(self, attempt: int) -> list[BaseMessage]:
        from langchain_core.messages import HumanMessage

        notes = "\n".join(
            f"- {'The owner of the picture says:' if turn.asked_by == OWNER else turn.question} {turn.answer}"
            for turn in self.facts.turns
        )
        language = f" Write in this language: {self.facts.language.strip()}." if self.facts.language else ""
        room = str(self.room) if self.room < MOST else ""
        purpose = f" It is for: {self.purpose.rstrip('.')}. Begin with what matters for that." if self.purpose else ""
        request = self.prompt.filled(notes=notes, purpose=purpose, max_chars=room, language=language)
        if attempt:
            why = {
                WORK: "Do not speak of the notes, questions or answers.",
                LONG: f"Your last text was too long. Write at most {room} characters.",
            }.get(self.refused[-1] if self.refused else "", "Say only what is in the notes, in their words.")
            request += f"\n\n{why}"
        task = Task.of(STYLE, self.facts.turns, language=self.facts.language)
        task = Task(STYLE, task.turns, task.language, style=self.style, purpose=self.purpose, most=min(self.room, MOST))
        return [HumanMessage(request, additional_kwargs=task.to_kwargs())]

    def _text(self, text: str, by: str, tags: tuple[str, ...] = ()) -> StyledText:
        return StyledText(
            style=self.style,
            text=framed(self.options, text) if self.style == "prompt" else text,
            tags=tags,
            by=by,
            options=self.options.described(self.prompt),
            removed=tuple(dict.fromkeys(self.removed)),
            refused=tuple(self.refused),
        )
