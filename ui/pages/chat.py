"""Chat: ask a vision model about images; answers are streamed, and every edited or regenerated branch is kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import streamlit as st

from agents.chat.tree import Node, check_pictures, page_of
from core.errors import InquisightError, printable
from ui.controls import (
    act_button,
    button,
    close_dialog,
    dialog,
    dialog_value,
    download,
    draw_job,
    header,
    note,
    open_dialog,
    refresh,
)
from ui.navigation import draw_transcript_link
from ui.state.chats import ChatPageState, VisitorChat, page_state
from ui.state.images import stem_of
from ui.state.model_choice import blocked
from ui.state.session import Visitor, visitor
from ui.text import capital, count, escape, label, plain, sentence, show_errors, tag
from ui.views.clipboard import copy_button
from ui.views.exports import draw_exports
from ui.widgets.attention import announce
from ui.widgets.image_input import draw_image_input
from ui.widgets.model_choice import choose_model, choose_seed
from ui.widgets.web_frame import web_frame

if TYPE_CHECKING:
    from agents.chat.presets import Form
    from core.records import ChatTurn, PictureInfo

POLL: Final = 0.5  # seconds between two refreshes of a streamed answer
LENGTHS: Final[dict[str, Form | None]] = {"Short": "short", "Default": None, "Long": "long"}


def page() -> None:
    """Draw the page."""
    me = visitor()
    state = page_state(me)
    header("Chat", "Ask a vision model about your images. Edit questions and regenerate answers; nothing is lost.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        draw_image_input(state, "chat")
        _next_images(me, state)
        problem = _settings(state)
    with right:
        _choose_chat(state)
        _conversation(me, state)
        _ask(state, problem)
        chat = state.chat
        if (record := chat.tree.record) is not None and not chat.active:
            draw_exports(record, "conversation", key=f"chat-{chat.key}")
            draw_transcript_link(record.id, f", {count(len(record.turns), 'answer')}")
    _edit_dialog(state)


# --- images and settings ------------------------------------------------------------------------------------------


def _next_images(me: Visitor, state: ChatPageState) -> None:
    waiting = state.chat.tree.waiting
    if not waiting:
        return
    st.caption("Images of this conversation:" if state.fresh else "Images sent with your next question:")
    with st.container(horizontal=True, key="chat-waiting"):
        for picture in waiting:
            name, key = picture.source, f"chat-remove-{picture.sha256[:12]}"
            with st.container(width=150, gap="small"):
                _thumbnail(me, picture.info(), f"{name}, no question yet")
                about = f"Remove {plain(name, 40)} from the conversation"
                text = f"Remove {label(name, 24)}"
                act_button(text, key, state.remove, picture, icon="close", type="tertiary", help=about)


def _thumbnail(me: Visitor, info: PictureInfo, alt: str) -> None:
    upload = me.images.get(info.sha256)
    if upload is None:
        st.caption(f":material/image_not_supported: {plain(info.source, 40)} is no longer here; add it to continue.")
    else:
        st.image(upload.preview, alt=alt, width=150)
        if info.note:
            st.caption(plain(info.note))


def _settings(state: ChatPageState) -> str:
    """Draw the settings; returns why no question can be asked, as a sentence, or ""."""
    settings = state.settings
    settings.vision = choose_model("vision", f"chat-vision-{state.chat.key}", settings.vision)
    with st.expander("Settings", icon=":material/tune:"):
        chosen = next(name for name, form in LENGTHS.items() if form == settings.form)
        about = "For models that follow instructions"
        length = st.segmented_control(
            "Length of answers", list(LENGTHS), default=chosen, required=True, key="chat-form", help=about
        )
        settings.form = LENGTHS.get(length or "")
        about = "Temperature 0: always the most probable word. Regenerate still samples"
        settings.greedy = st.toggle("Greedy decoding", settings.greedy, key="chat-greedy", help=about)
        about = "Of the next conversation; same seed, model and questions: same answers"
        settings.seed, _ = choose_seed("chat-seed", settings.seed, about)
    if reason := blocked(vision=[settings.vision]):
        return reason
    pictures = state.next_pictures
    try:
        check_pictures(settings.vision, pictures)
    except InquisightError as error:
        problem = sentence(str(error))
        hint = " Remove some, start a new conversation, or choose another model." if len(pictures) > 1 else ""
        st.warning(plain(problem) + hint, icon=":material/photo_library:")
        return problem
    return ""


# --- the conversation ---------------------------------------------------------------------------------------------


def _choose_chat(state: ChatPageState) -> None:
    """A list of conversations if there are several, and a button for a new one."""
    numbers = list(range(len(state.all)))
    if state.fresh and len(numbers) == 1:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(numbers) > 1:
            chosen = st.selectbox(
                "Conversation",
                numbers,
                index=state.chosen,
                format_func=lambda number: f"{number + 1}. {printable(state.all[number].title, 60)}",
                key=f"chat-conversation-{len(numbers)}-{state.chat.key}",
            )
            if chosen is not None and chosen != state.chosen:
                state.chosen = chosen
                state.settings.vision = state.chat.vision
                st.rerun()
        if not state.fresh:
            act_button("New conversation", "chat-new", state.begin, icon="add_comment")


def _conversation(me: Visitor, state: ChatPageState) -> None:
    chat = state.chat
    was_active, view = chat.active, chat.view
    lines = [f"Answer {place}: {node.turn.answer or 'nothing'}" for place, node in enumerate(view.path, start=1)]
    announce(lines, of=chat.key, key="announce-chat")
    if not view.path and view.growing is None:
        if chat.tree.pictures:
            note("Ask a question about the image.", "chat")
        else:
            note("Add an image to begin, or choose an example.", "add_photo_alternate")
    for place, node in enumerate(view.path, start=1):
        _turn(me, state, place, node)
    refresh(lambda: chat.active, lambda: _growing(me, state, chat), every=POLL, key=f"chat-grow-{chat.key}")
    if chat.active:
        return
    if was_active:
        st.rerun()  # the answer arrived while the page was drawn, and is not on it yet
    if view.error:
        st.error(plain(chat.error), icon=":material/error:")
    elif chat.job is not None and chat.job.state == "stopped" and view.unanswered:
        note("Stopped before the first word.", "pause")
    if view.unanswered and button("Retry", f"chat-retry-{chat.key}", icon="refresh"):
        with show_errors():
            state.ask(view.unanswered)
            st.rerun()
    if view.save_error:
        st.warning(plain(f"This conversation is not saved: {sentence(view.save_error)}"))


def _turn(me: Visitor, state: ChatPageState, place: int, node: Node) -> None:
    turn, name = node.turn, f"{state.chat.key}-{node.number}"
    with st.container(key=f"chat-turn-{name}", gap="small"):
        _images(me, turn.pictures, turn.answer)
        stopped = tag("stopped") if turn.status == "stopped" else ""
        answer = f'<p class="iq-said">{escape(turn.answer) or "(nothing)"}{stopped}</p>'
        st.html(_question_html(state, place, turn.question, turn.task) + answer + _notices_html(turn.notices))
        _web_page(state, turn, name)
        if not state.chat.active:
            _actions(state, place, node, name)


def _images(me: Visitor, pictures: Sequence[PictureInfo], answer: str) -> None:
    if pictures:
        with st.container(horizontal=True):
            for info in pictures:
                with st.container(width=150):
                    _thumbnail(me, info, f"{info.source}: {answer[:300]}" if answer else info.source)


def _question_html(state: ChatPageState, place: int, question: str, task: str | None) -> str:
    number = f'<span class="n">{place}</span>'
    if task is None or task not in state.tasks.task:
        return f'<p class="iq-asked">{number}{escape(question)}</p>'
    title = capital(state.tasks.task[task].title)
    return (
        f'<p class="iq-asked">{number}{escape(title)}{tag("task")}</p>'
        f'<details class="iq-prompt"><summary>Prompt</summary><p>{escape(question)}</p></details>'
    )


def _notices_html(notices: Sequence[str]) -> str:
    return "".join(f'<p class="iq-note">{escape(sentence(notice))}</p>' for notice in notices)


def _actions(state: ChatPageState, place: int, node: Node, name: str) -> None:
    versions = state.chat.tree.siblings(node)
    here = versions.index(node)
    with st.container(horizontal=True, vertical_alignment="center", key=f"chat-do-{name}"):
        value, key = (state.chat.key, node.number), f"chat-edit-{name}"
        act_button(f"Edit question {place}", key, open_dialog, "chat", value, icon="edit", type="tertiary")
        if button(f"Regenerate answer {place}", f"chat-again-{name}", icon="refresh", type="tertiary"):
            with show_errors():
                state.regenerate(node.number)
                st.rerun()
        copy_button(node.turn.answer, f"Copy answer {place}", key=f"chat-copy-{name}", quiet=True)
        if len(versions) == 1:
            return
        for text, other, icon in (("Previous", here - 1, "chevron_left"), ("Next", here + 1, "chevron_right")):
            if other > here:
                words = f"version {here + 1} of {len(versions)}"
                st.html(f'<p class="iq-note">{words}</p>', width="content")
            there = 0 <= other < len(versions)
            number, key = versions[other if there else here].number, f"chat-{text.lower()}-{name}"
            choose = partial(state.chat.tree.choose, number)
            act_button(f"{text} version of {place}", key, choose, icon=icon, type="tertiary", disabled=not there)


def _web_page(state: ChatPageState, turn: ChatTurn, name: str) -> None:
    found = page_of(turn, state.tasks)
    if found is None:
        task = state.tasks.task.get(turn.task or "")
        if task is not None and task.writes == "html" and turn.status == "complete":
            note("The answer contains no HTML. Regenerate it, or choose another model.", "web_asset_off")
        return
    if not found.whole:
        st.caption("The HTML is incomplete.")
    about = "The page is generated code. It cannot reach the network or this dashboard, either way"
    scripts = st.toggle("Run its scripts", key=f"chat-scripts-{name}", help=about)
    shown, code = st.columns(2, gap="small")
    with shown:
        web_frame(found.html, "Generated web page", key=f"chat-page-{name}", scripts=scripts)
    with code:
        st.code(found.html, language="html", height=480, wrap_lines=True)
    stem = stem_of(turn.pictures[0].source, "page") if turn.pictures else "page"
    about = "Read the code before you open or share it"
    download("Web page (HTML)", found.html, f"{stem}.html", f"chat-get-page-{name}", help=about)


def _growing(me: Visitor, state: ChatPageState, chat: VisitorChat) -> None:
    """The answer that is being written."""
    view, job = chat.view, chat.job
    growing = view.growing
    if growing is None or job is None or not job.active:
        return
    with st.container(key=f"chat-turn-growing-{chat.key}", gap="small"):
        _images(me, growing.pictures, "")
        question = _question_html(state, len(view.path) + 1, growing.question, growing.task)
        written = f'<p class="iq-said" aria-busy="true">{escape(growing.written)}</p>' if growing.written else ""
        st.html(question + written + _notices_html(growing.notices))
    draw_job(job, f"chat-stop-{chat.key}")


# --- asking -------------------------------------------------------------------------------------------------------


def _ask(state: ChatPageState, problem: str) -> None:
    chat = state.chat
    ready = bool(chat.tree.pictures) and not chat.active and not problem
    if state.changes_model and not chat.active:
        model = plain(state.settings.vision, 60)
        note(f"Your next question starts a new conversation with {model}; this one is kept.", "alt_route")
    if state.fresh:
        box = st.container(horizontal=True, gap="small", key="chat-tasks")
    else:
        box = st.popover("Suggested questions", icon=":material/lightbulb:")
    with box:
        for name, task in state.tasks.task.items():
            if button(capital(task.title), f"chat-task-{name}", disabled=not ready):
                with show_errors():
                    state.ask(task=name)
                    st.rerun()
    asked = st.chat_input("Ask about your images", key="chat-input", max_chars=4000, disabled=not ready)
    if asked:
        with show_errors():
            state.ask(asked)
            st.rerun()


def _edit_dialog(state: ChatPageState) -> None:
    key, number = dialog_value("chat") or ("", 0)
    path = state.chat.view.path
    place = next((place for place, node in enumerate(path, start=1) if node.number == number), None)
    if key != state.chat.key or place is None:
        close_dialog("chat")
        return

    def edit() -> None:
        with st.form("chat-edit", border=False):
            text = path[place - 1].turn.question
            question = st.text_area("Question", text, max_chars=4000, key=f"chat-edit-text-{key}-{number}")
            st.caption("The conversation continues from here; later turns are kept as another version.")
            if st.form_submit_button("Ask", type="primary"):
                with show_errors():
                    state.edit(number, question)
                    close_dialog("chat")
                    st.rerun()

    dialog("chat", f"Edit question {place}", edit)
