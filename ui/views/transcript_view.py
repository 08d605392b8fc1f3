"""A kept transcript on a page: what it is, what was said, what to take home, and on to the page where it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from agents.cli.render.chat import as_text
from agents.interview.live import view_of
from agents.video.records import is_video
from core.records import Caption, Chat
from ui.state import conversations, interviews
from ui.state.navigation import go
from ui.text import complete, count, plain, seconds
from ui.views.interview_view import draw_captions, draw_contradictions, draw_downloads, marked, turn_html
from ui.views.style import tag, text

if TYPE_CHECKING:
    from core.records import ChatTurn
    from ui.state.session import Visitor


def name_of(record: Caption | Chat) -> str:
    """What its pictures were called."""
    if isinstance(record, Caption):
        return record.picture.source
    return ", ".join(dict.fromkeys(picture.source for picture in record.pictures))


def draw_heading(record: Caption | Chat) -> None:
    """What it is about, when it was made and by whom."""
    st.subheader(plain(name_of(record), 120) or "No picture", anchor=False)
    eye, took = record.vision.get("name", ""), None
    if isinstance(record, Caption):
        asked, took = record.questioner.get("name", ""), record.seconds.get("total")
    else:
        asked = record.assistant.get("name", "a person")
    when = record.created.astimezone().strftime("%Y-%m-%d %H:%M")
    facts = [when, f"{eye} saw" if eye else "", f"{asked} asked" if asked else "", seconds(took) if took else ""]
    pictures = [record.picture] if isinstance(record, Caption) else record.pictures
    facts += dict.fromkeys(picture.note for picture in pictures if picture.note)
    st.html(f'<p class="iq-note">{text(", ".join(filter(None, facts)))}. Kept as {record.id[:10]}</p>')


def draw_go_on(me: Visitor, record: Caption | Chat) -> None:
    """A button that puts it on the page where it can go on. Raises UsageError where it cannot."""
    if isinstance(record, Caption) and is_video(record):
        if st.button("Open in Video", key="history-go-on", type="primary", icon=":material/movie:"):
            from ui.state.videos import desk_of

            desk_of(me).open_again(record, me)
            st.toast("It lies on the page Video now.", icon=":material/movie:")
            go("video")
    elif isinstance(record, Caption):
        if st.button("Go on in Interview", key="history-go-on", type="primary", icon=":material/forum:"):
            interviews.desk_of(me).open_again(record, me.shelf.get(record.picture.sha256), me)
            st.toast("It lies on the page Interview now.", icon=":material/forum:")
            go("interview")
    elif record.kind == "chat" and st.button(
        "Go on in Chat", key="history-go-on", type="primary", icon=":material/chat:"
    ):
        conversations.desk_of(me).open_again(record)
        st.toast("It lies on the page Chat now.", icon=":material/chat:")
        go("chat")


def draw_record(me: Visitor, record: Caption | Chat) -> None:
    """All of it, and its downloads."""
    if isinstance(record, Caption) and is_video(record):
        _video(record)
    elif isinstance(record, Caption):
        _interview(me, record)
    else:
        _chat(me, record)


def _interview(me: Visitor, caption: Caption) -> None:
    held = me.shelf.get(caption.picture.sha256)
    if held is not None:
        st.image(held.shown, alt=caption.text or held.label, width=320)
    view = view_of(caption)
    draw_captions(view)
    for one in marked(view.turns):
        st.html(turn_html(one))
    draw_contradictions(view.turns)
    if caption.error:
        st.error(plain(complete(caption.error)), icon=":material/error:")
    draw_downloads(caption, held.stem if held else "interview", key="history-get")


def _video(caption: Caption) -> None:
    from agents.video.live import view_of as video_view_of
    from ui.views.video_view import draw_film_downloads, draw_read_only

    draw_read_only(video_view_of(caption))
    if caption.error:
        st.error(plain(complete(caption.error)), icon=":material/error:")
    draw_film_downloads(caption, "video", key="history-get")


def _chat(me: Visitor, chat: Chat) -> None:
    there = [held for picture in chat.pictures if (held := me.shelf.get(picture.sha256)) is not None]
    if there:
        with st.container(horizontal=True):
            for held in there:
                st.image(held.shown, alt=f"{held.label}: {chat.text[:300]}", width=150)
    for number, turn in enumerate(chat.turns, start=1):
        st.html(_turn_html(number, turn))
    draw_chat_downloads(chat, key="history-get")


def _turn_html(number: int, turn: ChatTurn) -> str:
    pictures = "".join(tag(picture.source) for picture in turn.pictures)
    stopped = tag("stopped") if turn.status == "stopped" else ""
    notes = "".join(f'<p class="iq-note">{text(complete(notice))}</p>' for notice in turn.notices)
    calls = "".join(f"<li>{text(call.tool)}: {text(call.result[:400])}</li>" for call in turn.calls)
    if calls:
        used = f"{count(len(turn.calls), 'tool')} used"
        calls = f'<details class="iq-note"><summary>{used}</summary><ul>{calls}</ul></details>'
    return (
        f'<div class="iq-turn"><p class="iq-q"><span class="n">{number}</span>{text(turn.question)}{pictures}</p>'
        f'<p style="white-space: pre-wrap">{text(turn.answer) or "(nothing)"}{stopped}</p>{notes}{calls}</div>'
    )


def draw_chat_downloads(chat: Chat, *, key: str) -> None:
    """Take a conversation home as a file."""
    st.download_button(
        "Text",
        lambda: as_text(chat),
        "conversation.txt",
        "text/plain",
        key=f"{key}-txt",
        on_click="ignore",
        icon=":material/description:",
        help="This conversation, to be read",
    )
    st.download_button(
        "JSON",
        lambda: chat.to_json(indent=2) + "\n",
        "conversation.json",
        "application/json",
        key=f"{key}-json",
        on_click="ignore",
        icon=":material/data_object:",
        help="This conversation, for programs",
    )
