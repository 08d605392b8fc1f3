"""How the interview about a video looks on a page: the story, its scenes, the questions with their frames, files of it.

What models and files say is escaped before it becomes HTML, and is never Markdown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from agents.interview.live import corrected
from agents.video.interview import SCENE, frame_of, without_label
from agents.video.timeline import cues, learned, to_subrip, to_webvtt
from core.video.base import clock
from ui.state.transcripts import as_json, as_sidecar, as_text
from ui.text import count
from ui.views.clipboard import copy_button
from ui.views.style import tag, text

if TYPE_CHECKING:
    from agents.video.interview import VideoPart
    from agents.video.live import VideoState
    from core.records import Caption, Turn
    from ui.state.videos import Frame

CSS = """
<style>
.stVideo { max-height: 26rem; background: #000000; }
.iq-film { display: flex; gap: .8rem; align-items: flex-start; }
.iq-film img { width: 5.6rem; flex: none; border-radius: .3rem; }
.iq-film > div { min-width: 0; }
.iq-film .iq-tag { margin: 0 .45rem 0 0; }
.iq-story { margin-bottom: .8rem; }
.iq-said { font-size: .875rem; overflow-wrap: anywhere; }
.iq-said p { margin: 0 0 .4rem; }
.iq-said .iq-q { margin: 0; font-size: 1rem; }
.iq-film .iq-a .iq-tag { margin: 0 0 0 .45rem; }
[class*="st-key-jump-"] { margin-top: -.6rem; }
[class*="st-key-jump-"] button { min-height: 1.5rem; padding: 0 0 0 .8rem; opacity: .8; }
[class*="st-key-jump-"] button p { font-size: .8rem; }
[class*="st-key-jump-"] button:hover, [class*="st-key-jump-"] button:focus-visible { opacity: 1; }
@media (max-width: 640px) { .iq-film img { width: 4.2rem; } .iq-film { gap: .5rem; } }
</style>
"""


@dataclass(frozen=True, slots=True)
class AskedFrame:
    """One question and its answer, with the frame it was about."""

    number: int  # of the question, from 1
    frame: int
    seconds: float
    place: int  # among the turns of the interview, from 0
    turn: Turn  # its question without the label


def asked_of(view: VideoState) -> list[AskedFrame]:
    """The questions, in the order in which they were asked."""
    found: list[AskedFrame] = []
    for place, turn in enumerate(view.turns):
        frame = frame_of(turn.question)
        if frame is not None and 1 <= frame <= len(view.times):
            bare = turn.model_copy(update={"question": without_label(turn.question)})
            found.append(AskedFrame(len(found) + 1, frame, view.times[frame - 1], place, bare))
    return found


def told_of(view: VideoState) -> list[tuple[VideoPart, str]]:
    """Each part that was told, of a video of several; "" for one that is about to be told anew."""
    told = [turn.answer for turn in view.turns if turn.asked_by == SCENE]
    return list(zip(view.parts, told, strict=False)) if len(view.parts) > 1 else []


def times_of(asked: Sequence[AskedFrame], view: VideoState) -> list[int]:
    """How often each frame was asked about, that of frame 1 first."""
    counts = [0] * len(view.times)
    for one in asked:
        counts[one.frame - 1] += 1
    return counts


def said_of(asked: Sequence[AskedFrame], frame: int) -> str:
    """What is known of a frame, for those who do not see it."""
    return learned([one.turn for one in asked if one.frame == frame])


def often(times: int) -> str:
    """ "asked about twice" """
    words = {0: "not asked about", 1: "asked about once", 2: "asked about twice"}
    return words.get(times, f"asked about {times} times")


def between(begin: float, end: float) -> str:
    """A span of the video, in words."""
    return f"{clock(begin)} to {clock(end)}"


def data_url(jpeg: bytes) -> str:
    """A picture inside a page."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def question_html(one: AskedFrame, frame: Frame | None) -> str:
    """One question and its answer, beside its frame."""
    unsure = one.turn.certainty == "unsure"
    kinds = [
        ("your question", one.turn.asked_by == "person"),
        ("unsure: not used", unsure),
        ("corrected by you", corrected(one.turn)),
    ]
    tags = "".join(tag(words) for words, so in kinds if so)
    image = f'<img src="{data_url(frame.small)}" alt="Frame {one.frame}">' if frame else ""
    return (
        f'<div class="iq-turn iq-film{" unsure" if unsure else ""}">{image}<div>'
        f'<p class="iq-q"><span class="n">{one.number}</span>'
        f"{tag(f'frame {one.frame}, {clock(one.seconds, exact=True)}')}{text(one.turn.question)}</p>"
        f'<p class="iq-a">{text(one.turn.answer) or "(nothing)"}{tags}</p></div></div>'
    )


def asking_html(view: VideoState, number: int, frames: Mapping[int, Frame]) -> str:
    """The question whose answer is awaited."""
    frame = frame_of(view.asked) or 1
    image = f'<img src="{data_url(frames[frame].small)}" alt="Frame {frame}">' if frame in frames else ""
    when = clock(view.times[frame - 1], exact=True) if frame <= len(view.times) else ""
    return (
        f'<div class="iq-turn iq-film">{image}<div><p class="iq-q"><span class="n">{number}</span>'
        f"{tag(f'frame {frame}, {when}')}{text(without_label(view.asked))}</p>"
        f'<p class="iq-a iq-dots"><span class="iq-sr">the answer is awaited</span></p></div></div>'
    )


def story_html(view: VideoState) -> str:
    """The story, as far as it is told."""
    body = text(view.summary)
    if not body and view.written:
        body = f'{text(view.written)}<span class="iq-dots"></span>'
    if not body:
        return ""
    return f'<section class="iq-caption iq-story" aria-label="The story"><h2>The story</h2><p>{body}</p></section>'


def scene_html(number: int, part: VideoPart, said: str) -> str:
    """What happens in one part; `said` is empty while that is awaited."""
    body = text(said) or '<span class="iq-dots"></span>'
    return (
        f'<div class="iq-turn"><p class="iq-q"><span class="n">Scene {number}</span>'
        f'{tag(between(part.begin, part.end))}</p><p class="iq-a">{body}</p></div>'
    )


def draw_read_only(view: VideoState) -> None:
    """Story, scenes and questions, without frames: for a transcript whose video is not here."""
    st.html(CSS)
    if story := story_html(view):
        st.html(story)
    for number, (part, said) in enumerate(told_of(view), start=1):
        st.html(scene_html(number, part, said))
    asked = asked_of(view)
    with st.expander(f"The dialogue: {count(len(asked), 'question')}", expanded=len(view.parts) == 1):
        for one in asked:
            st.html(question_html(one, None))


def draw_film_downloads(caption: Caption, stem: str, *, key: str) -> None:
    """Copy the story, or take it, the dialogue and the timeline home as files."""
    timeline = cues(caption)
    files = [
        ("Story", as_sidecar(caption), ".txt", "text/plain", "description", "Only the story"),
        ("Dialogue", as_text(caption), "-interview.txt", "text/plain", "forum", "All of it, to be read"),
        ("JSON", as_json(caption), "-interview.json", "application/json", "data_object", "All of it, for programs"),
    ]
    if timeline:
        files += [
            ("WebVTT", to_webvtt(timeline), ".vtt", "text/vtt", "subtitles", "The story with times, for players"),
            ("SRT", to_subrip(timeline), ".srt", "application/x-subrip", "subtitles", "The same as SubRip"),
        ]
    with st.container(horizontal=True, vertical_alignment="center"):
        copy_button(caption.text, "Copy story", key=f"{key}-copy")
        for label, data, end, mime, icon, about in files:
            st.download_button(
                label,
                data,
                f"{stem}{end}",
                mime,
                key=f"{key}-{label.lower()}",
                on_click="ignore",
                icon=f":material/{icon}:",
                help=about,
            )
