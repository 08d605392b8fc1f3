"""A stored transcript: its facts, its dialogue, its exports, and a button that resumes it on its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from agents.interview.live import view_of
from agents.video.records import is_video
from core.records import Caption, Chat
from ui.controls import button
from ui.navigation import open_page
from ui.state import chats, interviews
from ui.text import count, escape, plain, seconds, sentence, tag
from ui.views.exports import draw_exports
from ui.views.findings_view import draw_image, draw_problems
from ui.views.interview_view import draw_captions, draw_refused, turns_html

if TYPE_CHECKING:
    from core.records import ChatTurn
    from ui.state.session import Visitor


def name_of(record: Caption | Chat) -> str:
    """The file names of its images."""
    if isinstance(record, Caption):
        return record.picture.source
    return ", ".join(dict.fromkeys(picture.source for picture in record.pictures))


def draw_heading(record: Caption | Chat) -> None:
    """Its images, when it was made and by which models."""
    st.subheader(plain(name_of(record), 120) or "No image", anchor=False)
    if isinstance(record, Caption):
        notes, took = [record.picture.note], record.seconds.get("total")
        asked = record.questioner.get("name", "")
    else:
        notes, took = [picture.note for picture in record.pictures], None
        asked = record.assistant.get("name", "")
    vision = record.vision.get("name", "")
    facts = [
        record.created.astimezone().strftime("%Y-%m-%d %H:%M"),
        f"vision model {vision}" if vision else "",
        f"language model {asked}" if asked else "",
        seconds(took) if took else "",
        *dict.fromkeys(notes),
    ]
    st.html(f'<p class="iq-note">{escape(", ".join(filter(None, facts)))}. Transcript {record.id[:10]}</p>')


def draw_resume(me: Visitor, record: Caption | Chat) -> None:
    """A button that opens it on the page that can resume it. Raises UsageError if that is impossible."""
    if isinstance(record, Chat):
        page, icon = ("chat", "chat") if record.kind == "chat" else ("", "")
    else:
        page, icon = ("video", "movie") if is_video(record) else ("interview", "forum")
    if not page or not button(f"Resume in {page.capitalize()}", "history-resume", icon=icon, type="primary"):
        return
    if isinstance(record, Chat):
        chats.page_state(me).reopen(record)
    elif page == "interview":
        interviews.page_state(me).reopen(record, me.images.get(record.picture.sha256), me)
    else:
        from ui.state import videos

        videos.page_state(me).reopen(record, me)
    st.toast(f"Opened on the page {page.capitalize()}.")
    open_page(page)


def draw_record(me: Visitor, record: Caption | Chat) -> None:
    """The whole transcript, and its exports."""
    if isinstance(record, Chat):
        stem = "conversation"
        with st.container(horizontal=True):
            for picture in record.pictures:
                if (upload := me.images.get(picture.sha256)) is not None:
                    st.image(upload.preview, alt=f"{upload.label}: {record.text[:300]}", width=150)
        for number, turn in enumerate(record.turns, start=1):
            st.html(_turn_html(number, turn))
    elif is_video(record):
        from agents.video.live import view_of as video_view_of
        from ui.views.video_view import draw_read_only

        stem = "video"
        draw_read_only(video_view_of(record))
    else:
        stem = _draw_interview(me, record)
    if isinstance(record, Caption) and record.error:
        st.error(plain(sentence(record.error)), icon=":material/error:")
    draw_exports(record, stem, key="history-get")


def _draw_interview(me: Visitor, caption: Caption) -> str:
    upload = me.images.get(caption.picture.sha256)
    if upload is not None:
        draw_image(upload, caption.text or upload.label, caption.findings, f"history-{upload.id[:12]}", 480)
    view = view_of(caption)
    draw_captions(view)
    for turn in turns_html(view.turns):
        st.html(turn)
    draw_refused(view.refused)
    draw_problems(view.problems)
    return upload.stem if upload else "interview"


def _turn_html(number: int, turn: ChatTurn) -> str:
    pictures = "".join(tag(picture.source) for picture in turn.pictures)
    stopped = tag("stopped") if turn.status == "stopped" else ""
    notes = "".join(f'<p class="iq-note">{escape(sentence(notice))}</p>' for notice in turn.notices)
    calls = "".join(f"<li>{escape(call.tool)}: {escape(call.result[:400])}</li>" for call in turn.calls)
    if calls:
        used = f"{count(len(turn.calls), 'tool call')}"
        calls = f'<details class="iq-note"><summary>{used}</summary><ul>{calls}</ul></details>'
    return (
        f'<div class="iq-turn"><p class="iq-q"><span class="n">{number}</span>{escape(turn.question)}{pictures}</p>'
        f'<p style="white-space: pre-wrap">{escape(turn.answer) or "(nothing)"}{stopped}</p>{notes}{calls}</div>'
    )
