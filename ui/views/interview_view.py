"""How an interview looks on a page: its turns with their marks, the three captions side by side, what to take home.

What models and files say is escaped before it becomes HTML, and is never Markdown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import streamlit as st

from agents.interview.live import InterviewState, corrected
from agents.text.attribution import added_by_turns
from agents.text.contradictions import contradictions
from ui.state.transcripts import as_json, as_sidecar, as_text
from ui.views.clipboard import copy_button
from ui.views.style import tag, text

if TYPE_CHECKING:
    from agents.text.contradictions import Contradiction
    from core.records import Caption, Turn

_TITLES: Final = (
    ("plain", "At a glance", "the answer without a question"),
    ("opening", "Asked for detail", "the answer to the first question"),
    ("summary", "After the interview", "written from all certain answers"),
)


@dataclass(frozen=True, slots=True)
class Marked:
    """A turn with what is remarkable about it."""

    number: int
    turn: Turn
    unsure: bool
    corrected: bool
    against: tuple[Contradiction, ...]


def marked(turns: Iterable[Turn]) -> list[Marked]:
    """Each turn with its marks."""
    all_turns = tuple(turns)
    against: dict[int, list[Contradiction]] = {}
    for pair in contradictions(all_turns):
        against.setdefault(pair.first, []).append(pair)
        against.setdefault(pair.second, []).append(pair)
    return [
        Marked(number, turn, turn.certainty == "unsure", corrected(turn), tuple(against.get(number, ())))
        for number, turn in enumerate(all_turns, start=1)
    ]


def turn_html(one: Marked) -> str:
    """One question and its answer."""
    tags = []
    if one.turn.asked_by == "person":
        tags.append(tag("your question"))
    if one.unsure:
        tags.append(tag("unsure: not used"))
    if one.turn.truncated:
        tags.append(tag("cut short"))
    if one.corrected:
        tags.append(tag("corrected by you"))
    for pair in one.against:
        other = pair.first if pair.second == one.number else pair.second
        tags.append(tag(f"contradicts answer {other}", "red"))
    kinds = [
        kind
        for kind, so in (("person", one.turn.asked_by == "person"), ("unsure", one.unsure), ("against", one.against))
        if so
    ]
    return (
        f'<div class="iq-turn {" ".join(kinds)}"><p class="iq-q"><span class="n">{one.number}</span>'
        f'{text(one.turn.question)}</p><p class="iq-a">{text(one.turn.answer) or "(nothing)"}{"".join(tags)}</p></div>'
    )


def asking_html(view: InterviewState) -> str:
    """The question whose answer is awaited."""
    by = tag("your question") if view.asked_by == "person" else ""
    return (
        f'<div class="iq-turn"><p class="iq-q"><span class="n">{len(view.turns) + 1}</span>{text(view.asked)}{by}</p>'
        f'<p class="iq-a iq-dots"><span class="iq-sr">the answer is awaited</span></p></div>'
    )


def said_lines(view: InterviewState, name: str) -> list[str]:
    """What screen readers are told as it comes: the picture's name, each answer with its question, the description."""
    lines = [f"Picture {name}"]
    lines += [
        f"Question {number}: {turn.question} Answer: {turn.answer or 'nothing'}"
        for number, turn in enumerate(view.turns, start=1)
    ]
    if view.state == "complete" and view.summary:
        lines.append(f"Description: {view.summary}")
    return lines


def draw_contradictions(turns: Iterable[Turn]) -> None:
    """What does not fit together, in words; nothing where all does."""
    found = contradictions(tuple(turns))
    if found:
        lines = "".join(f"<li>{text(one.words[:1].upper() + one.words[1:])}.</li>" for one in found)
        st.html(f'<div class="iq-note"><strong>These answers contradict each other:</strong><ul>{lines}</ul></div>')


def captions_html(view: InterviewState) -> str:
    """The three captions side by side; in the last one, what each turn added is marked with its number."""
    cards = []
    for name, title, about in _TITLES:
        said = getattr(view, name)
        body = text(said)
        if name == "summary":
            body = _summary_html(view)
        if not body:
            body = '<span class="iq-note">not there yet</span>'
        cards.append(
            f'<section class="iq-caption" aria-label="{text(title)}"><h2>{text(title)}</h2><p>{body}</p>'
            f'<p class="iq-note">{text(about)}</p></section>'
        )
    return f'<div class="iq-cards">{"".join(cards)}</div>'


def _summary_html(view: InterviewState) -> str:
    if not view.summary:
        return f'{text(view.written)}<span class="iq-dots"></span>' if view.written else ""
    parts = []
    for piece in added_by_turns(view.summary, view.turns):
        if piece.turn is None:
            parts.append(text(piece.text))
            continue
        parts.append(
            f'<mark title="added by answer {piece.turn}">{text(piece.text)}'
            f'<sup><span class="iq-sr">, from answer </span>{piece.turn}</sup></mark>'
        )
    return "".join(parts)


def draw_captions(view: InterviewState) -> None:
    """The three captions, and how to read their marks."""
    st.html(captions_html(view))
    if view.summary and any(piece.turn for piece in added_by_turns(view.summary, view.turns)):
        st.html('<p class="iq-note">Marked: what the interview added; the number is that of the answer.</p>')


def draw_downloads(caption: Caption, stem: str, *, key: str) -> None:
    """Copy the description, or take the interview home as a file."""
    with st.container(horizontal=True, vertical_alignment="center"):
        copy_button(caption.text, "Copy description", key=f"{key}-copy")
        st.download_button(
            "Text",
            as_text(caption),
            f"{stem}-interview.txt",
            "text/plain",
            key=f"{key}-txt",
            on_click="ignore",
            icon=":material/description:",
            help="The whole interview, to be read",
        )
        st.download_button(
            "JSON",
            as_json(caption),
            f"{stem}-interview.json",
            "application/json",
            key=f"{key}-json",
            on_click="ignore",
            icon=":material/data_object:",
            help="The whole interview, for programs",
        )
        st.download_button(
            "Caption file",
            as_sidecar(caption),
            f"{stem}.txt",
            "text/plain",
            key=f"{key}-sidecar",
            on_click="ignore",
            icon=":material/subtitles:",
            help="Only the description, named like the picture, as training tools expect it",
        )
