"""An interview about a video as HTML: the caption, its scenes, and the questions with their frames.

Text of models and files is escaped before it becomes HTML, and is never Markdown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from agents.video.interview import SCENE, frame_of, without_label
from agents.video.timeline import learned
from core.video.base import clock
from ui.text import count, data_url, escape, tag
from ui.views.claims_view import draw_claims
from ui.views.findings_view import draw_problems
from ui.views.interview_view import WAITING, answer_html, draft_html, draw_refused, draw_removed, turn_tags

if TYPE_CHECKING:
    from agents.video.interview import VideoPart
    from agents.video.live import VideoState
    from core.records import Turn
    from ui.state.videos import Frame


@dataclass(frozen=True, slots=True)
class AskedFrame:
    """One question and its answer, with the frame it was about."""

    number: int  # of the question, from 1
    frame: int
    seconds: float
    place: int  # in the turns of the interview, from 0
    turn: Turn  # its question without the label

    @property
    def when(self) -> str:
        """The frame's time."""
        return clock(self.seconds, exact=True)


def asked_frames(view: VideoState) -> list[AskedFrame]:
    """The questions, in the order in which they were asked."""
    found: list[AskedFrame] = []
    for place, turn in enumerate(view.turns):
        frame = frame_of(turn.question)
        if frame is not None and 1 <= frame <= len(view.times):
            bare = turn.model_copy(update={"question": without_label(turn.question)})
            found.append(AskedFrame(len(found) + 1, frame, view.times[frame - 1], place, bare))
    return found


def captioned_scenes(view: VideoState) -> list[tuple[VideoPart, str]]:
    """Each captioned scene of several, with its caption; "" while it is rewritten."""
    captions = [turn.answer for turn in view.turns if turn.asked_by == SCENE]
    return list(zip(view.parts, captions, strict=False)) if len(view.parts) > 1 else []


def strip_frames(
    view: VideoState, asked: Sequence[AskedFrame], frames: Mapping[int, Frame], now: int | None
) -> list[dict[str, object]]:
    """The frames as `ui.widgets.filmstrip` takes them; `now` is being asked about."""
    counts = Counter(one.frame for one in asked)
    firsts = {part.first for part in view.parts}
    return [
        {
            "number": number,
            "seconds": at,
            "when": clock(at, exact=True),
            "words": f"Frame {number} at {clock(at, exact=True)}, {count(counts[number], 'question')}",
            "picture": data_url(frames[number].small) if number in frames else "",
            "asked": counts[number],
            "now": number == now,
            "first": number in firsts,
        }
        for number, at in enumerate(view.times, start=1)
    ]


def known_about(asked: Sequence[AskedFrame], frame: int) -> str:
    """What the answers say about a frame, as its alternative text."""
    return learned([one.turn for one in asked if one.frame == frame])


def span(part: VideoPart) -> str:
    """The time span of a scene, in words."""
    return f"{clock(part.begin)} to {clock(part.end)}"


def _turn_html(number: int, frame: int, when: str, question: str, answer: str, image: Frame | None, kind: str) -> str:
    shown = f'<img src="{data_url(image.small)}" alt="Frame {frame}">' if image else ""
    return (
        f'<div class="iq-turn iq-film {kind}">{shown}<div><p class="iq-q"><span class="n">{number}</span>'
        f"{tag(f'frame {frame}, {when}')}{escape(question)}</p>{answer_html(answer)}</div></div>"
    )


def question_html(one: AskedFrame, frame: Frame | None) -> str:
    """One question and its answer, beside its frame."""
    answer = (escape(one.turn.answer) or "(nothing)") + turn_tags(one.turn)
    kind = "unsure" if one.turn.certainty == "unsure" else ""
    return _turn_html(one.number, one.frame, one.when, one.turn.question, answer, frame, kind)


def asking_html(view: VideoState, number: int, frames: Mapping[int, Frame]) -> str:
    """The question that is being answered."""
    frame = frame_of(view.asked) or 1
    when = clock(view.times[frame - 1], exact=True) if frame <= len(view.times) else ""
    return _turn_html(number, frame, when, without_label(view.asked), WAITING, frames.get(frame), "")


def caption_html(view: VideoState) -> str:
    """The caption of the video, as far as it is written."""
    body = escape(view.text).replace("\n", "<br>")
    body = body or draft_html(view.written)
    if not body:
        return ""
    return f'<section class="iq-caption iq-story" aria-label="Caption"><h2>Caption</h2><p>{body}</p></section>'


def draw_witnessed(view: VideoState) -> None:
    """The claims of the caption, if they were checked; what witnesses said, and which of them failed."""
    draw_claims(view.caption)
    said = [turn for turn in view.turns if turn.answered_by]
    if said:
        with st.expander("What the witnesses found", expanded=len(view.parts) == 1):
            for turn in said:
                st.html(witness_html(turn))
    draw_removed(view.removed, view.summary_by)
    draw_refused(view.refused)
    draw_problems(view.caption.problems if view.caption else ())


def witness_html(turn: Turn) -> str:
    """A question that witnesses answered, and the answer."""
    kind = " unsure" if turn.certainty == "unsure" else ""
    answer = answer_html((escape(turn.answer) or "(nothing)") + turn_tags(turn))
    return f'<div class="iq-turn{kind}"><p class="iq-q">{escape(turn.question)}</p>{answer}</div>'


def scene_html(number: int, part: VideoPart, caption: str) -> str:
    """The caption of a scene; "" while it is being written."""
    body = escape(caption) or '<span class="iq-dots"></span>'
    return (
        f'<div class="iq-turn"><p class="iq-q"><span class="n">Scene {number}</span>'
        f'{tag(span(part))}</p><p class="iq-a">{body}</p></div>'
    )


def draw_read_only(view: VideoState) -> None:
    """Caption, scenes and questions without frames, for a transcript whose video is not here."""
    if caption := caption_html(view):
        st.html(caption)
    draw_witnessed(view)
    for number, (part, caption) in enumerate(captioned_scenes(view), start=1):
        st.html(scene_html(number, part, caption))
    asked = asked_frames(view)
    with st.expander(f"Dialogue: {count(len(asked), 'question')}", expanded=len(view.parts) == 1):
        for one in asked:
            st.html(question_html(one, None))
