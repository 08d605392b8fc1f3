"""An interview as HTML: the caption first, then the captions without questions, then turns with their marks.

Text of models and files is escaped before it becomes HTML, and is never Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import streamlit as st

from agents.interview.live import InterviewState, corrected
from agents.text.attribution import added_by_turns
from ui.text import count, escape, tag
from ui.views.claims_view import draw_claims

if TYPE_CHECKING:
    from core.records import RefusedQuestion, Turn

WAITING: Final = '<span class="iq-sr">waiting for the answer</span>'
_COMPARED: Final = (
    ("plain", "Direct caption", "by the vision model without questions"),
    ("opening", "First answer", "to the opening question"),
)


def turn_tags(turn: Turn) -> str:
    """The marks of a turn."""
    marks = (
        (f"answered by {turn.answered_by}", bool(turn.answered_by)),
        ("your question", turn.asked_by == "person"),
        ("asked by the rules", turn.asked_by in ("fallback", "mended")),
        ("unsure: not used", turn.certainty == "unsure"),
        ("cut short", turn.truncated),
        ("corrected by you", corrected(turn)),
    )
    return "".join(tag(words) for words, holds in marks if holds)


def answer_html(answer: str) -> str:
    """The paragraph of an answer, which is HTML."""
    return f'<p class="iq-a{" iq-dots" if answer == WAITING else ""}">{answer}</p>'


def turn_html(number: int, question: str, answer: str, kinds: str = "") -> str:
    """A question and its answer, both HTML."""
    return (
        f'<div class="iq-turn {kinds}"><p class="iq-q"><span class="n">{number}</span>{question}</p>'
        f"{answer_html(answer)}</div>"
    )


def turns_html(turns: Sequence[Turn]) -> list[str]:
    """Each question and its answer, with marks."""
    shown = []
    for number, turn in enumerate(turns, start=1):
        kinds = (("person", turn.asked_by == "person"), ("unsure", turn.certainty == "unsure"))
        answer = f"{escape(turn.answer) or '(nothing)'}{turn_tags(turn)}"
        kind = " ".join(name for name, holds in kinds if holds)
        shown.append(turn_html(number, escape(turn.question), answer, kind))
    return shown


def asking_html(view: InterviewState) -> str:
    """The question that is being answered."""
    by = tag("your question") if view.asked_by == "person" else ""
    return turn_html(len(view.turns) + 1, escape(view.asked) + by, WAITING)


def announced_lines(view: InterviewState, name: str) -> list[str]:
    """What screen readers announce: the image's name, each question with its answer, the caption."""
    lines = [f"Image {name}"]
    for number, turn in enumerate(view.turns, start=1):
        lines.append(f"Question {number}: {turn.question} Answer: {turn.answer or 'nothing'}")
    if view.state == "complete" and view.summary:
        lines.append(f"Caption: {view.summary}")
    return lines


def refused_html(refused: Sequence[RefusedQuestion]) -> str:
    """The refused replies of the language model, folded; "" if there are none."""
    if not refused:
        return ""
    lines = "".join(
        f"<li>before answer {one.step + 1}, {escape(one.reason)}: {escape(one.text) or '(nothing)'}</li>"
        for one in refused
    )
    title = count(len(refused), "refused question")
    return f'<details class="iq-note"><summary>{title} of the language model</summary><ul>{lines}</ul></details>'


def removed_html(removed: Sequence[str], by: str) -> str:
    """The sentences that were taken out of the caption, folded, and whether the rules wrote it; "" if neither."""
    note = "The rules wrote this caption, since no draft of the language model could be used." if by == "rules" else ""
    if not removed:
        return f'<p class="iq-note">{note}</p>' if note else ""
    lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in removed)
    title = f"{count(len(removed), 'sentence')} taken out of the caption: no answer says this"
    return f'<details class="iq-note"><summary>{title}</summary>{note}<ul>{lines}</ul></details>'


def draw_removed(removed: Sequence[str], by: str) -> None:
    """The sentences that were taken out of the caption, folded."""
    if shown := removed_html(removed, by):
        st.html(shown)


def draft_html(written: str) -> str:
    """A draft of the caption while it is written: it is not checked yet."""
    return f'{escape(written)}<span class="iq-dots"></span> {tag("draft, not checked yet")}' if written else ""


def draw_refused(refused: Sequence[RefusedQuestion]) -> None:
    """The refused replies of the language model, folded."""
    if shown := refused_html(refused):
        st.html(shown)


def captions_html(view: InterviewState) -> str:
    """The caption, each addition of an answer marked with its number; below it the two that it can be compared with."""
    about = "edited by you" if view.caption and view.caption.edits else "from all certain answers"
    cards = [_card_html(name, title, escape(getattr(view, name)), about) for name, title, about in _COMPARED]
    main = _card_html("summary", "Caption", _summary_html(view), about)
    return f'{main}<div class="iq-cards">{"".join(cards)}</div>'


def _card_html(name: str, title: str, body: str, about: str) -> str:
    body = body or '<span class="iq-note">not available yet</span>'
    return (
        f'<section class="iq-caption {name}" aria-label="{title}"><h2>{title}</h2><p>{body}</p>'
        f'<p class="iq-note">{about}</p></section>'
    )


def _summary_html(view: InterviewState) -> str:
    if not view.summary:
        return draft_html(view.written)
    if view.text != view.summary:
        return escape(view.text).replace("\n", "<br>")
    return "".join(
        escape(piece.text)
        if piece.turn is None
        else f'<mark title="added by answer {piece.turn}">{escape(piece.text)}'
        f'<sup><span class="iq-sr">, from answer </span>{piece.turn}</sup></mark>'
        for piece in added_by_turns(view.summary, view.turns)
    )


def draw_captions(view: InterviewState, edit: Callable[[], None] = lambda: None) -> None:
    """The captions, what `edit` draws below them, and an explanation of their marks."""
    shown = captions_html(view)
    st.html(shown)
    edit()
    if "<mark" in shown:
        st.html('<p class="iq-note">Marked: details that an answer added, with the number of that answer.</p>')
    draw_removed(view.removed, view.summary_by)
    draw_claims(view.caption)
