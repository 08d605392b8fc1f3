"""Chat: the visitor talks with an eye about pictures; answers can be stopped, tried again, and every branch stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import streamlit as st

from agents.chat.tree import Growing, Node, check_pictures, page_of
from core.errors import InquisightError, printable
from ui.state.conversations import ChatPageState, VisitorChat, desk_of
from ui.state.jobs import queue_words, watch
from ui.state.model_choice import blocked
from ui.state.navigation import draw_kept
from ui.state.session import Visitor, visitor
from ui.text import attempt, complete, count, label, plain, show_trouble, told
from ui.views.clipboard import copy_button
from ui.views.style import tag, text
from ui.views.transcript_view import draw_chat_downloads
from ui.widgets.attention import announce
from ui.widgets.model_choice import choose_eye, choose_seed
from ui.widgets.picture_input import intake
from ui.widgets.web_frame import web_frame

if TYPE_CHECKING:
    from agents.chat.presets import Form
    from core.records import ChatTurn, PictureInfo

SECONDS: Final = 0.5  # between two looks at an answer that grows
_EDIT: Final = "chat.edit"
_FORMS: Final[dict[str, Form | None]] = {"Short": "short", "As it comes": None, "Long": "long"}
_CSS: Final = """
<style>
.iq-said { white-space: pre-wrap; overflow-wrap: anywhere; margin: .15rem 0 0 !important; }
.iq-asked { overflow-wrap: anywhere; white-space: pre-wrap; font-weight: 600; margin: 0 !important; }
.iq-asked .n { opacity: .75; font-variant-numeric: tabular-nums; margin-right: .4rem; }
.iq-prompt summary { cursor: pointer; font-size: .85rem; opacity: .85; }
.iq-prompt p { font-size: .9rem; margin: .2rem 0 0; white-space: pre-wrap; }
[class*="st-key-chat-turn"] .iq-note { margin: 0; }
[class*="st-key-chat-turn"] { border-left: 3px solid var(--iq-line); padding-left: .8rem; }
[class*="st-key-chat-turn"] [data-testid="stBaseButton-tertiary"] { min-height: 1.6rem; padding: 0; opacity: .85; }
[class*="st-key-chat-turn"] [data-testid="stBaseButton-tertiary"] p { font-size: .8rem; }
[class*="st-key-chat-tasks"] button { min-height: 2rem; padding: .1rem .7rem; border-radius: 1rem; }
[class*="st-key-chat-tasks"] button p { font-size: .85rem; }
</style>
"""


def page() -> None:
    """Draw it."""
    me = visitor()
    desk = desk_of(me)
    st.html(_CSS)
    st.title("Chat")
    st.write("Talk with a model about your pictures. Any question can be asked otherwise or again; nothing is lost.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        intake(me.shelf, desk, key="chat")
        _pictures(me, desk)
        wrong = _settings(desk)
    with right:
        _do(desk)
        _choose(desk)
        _conversation(me, desk)
        _ask(desk, wrong)
        _take_home(desk.here)
    _edit_dialog(desk)


# --- pictures and settings ----------------------------------------------------------------------------------------


def _pictures(me: Visitor, desk: ChatPageState) -> None:
    waiting = desk.here.talk.waiting
    if not waiting:
        return
    st.caption("Come with your next question:" if not desk.fresh else "The conversation is about:")
    with st.container(horizontal=True, key="chat-waiting"):
        for picture in waiting:
            with st.container(width=150, gap="small"):
                _thumbnail(me, picture.info(), f"{picture.source}, not asked about yet")
                st.button(
                    f"Remove {label(picture.source, 24)}",
                    key=f"chat-remove-{picture.sha256[:12]}",
                    type="tertiary",
                    icon=":material/close:",
                    help=f"Take {plain(picture.source, 40)} out of the conversation",
                    on_click=attempt,
                    args=(desk.take_away, picture),
                )


def _thumbnail(me: Visitor, info: PictureInfo, alt: str) -> None:
    held = me.shelf.get(info.sha256)
    if held is None:
        st.caption(f":material/image_not_supported: {plain(info.source, 40)} is not here any more; add it to go on.")
    else:
        st.image(held.shown, alt=alt, width=150)
        if info.note:
            st.caption(plain(info.note))


def _settings(desk: ChatPageState) -> str:
    """Draw them; gives back what is in the way of a question, in a sentence."""
    setting = desk.setting
    setting.vision = choose_eye(f"chat-eye-{desk.here.key}", setting.vision)
    with st.expander("Settings", icon=":material/tune:"):
        form = st.segmented_control(
            "Length of the answers",
            list(_FORMS),
            default=next(name for name, form in _FORMS.items() if form == setting.form),
            required=True,
            key="chat-form",
            help="For models that follow instructions",
        )
        setting.form = _FORMS.get(form or "")
        setting.likeliest = st.toggle(
            "Always the likeliest word",
            setting.likeliest,
            key="chat-likeliest",
            help="No chance in the answers; asking again still draws another one",
        )
        about = "Of the next conversation: same seed, same model, same questions, same answers"
        setting.seed, _ = choose_seed("chat-seed", setting.seed, about)
    if reason := blocked(vision=[setting.vision]):
        return reason
    talk = desk.here.talk
    pictures = (talk.waiting or talk.pictures) if desk.elsewhere else talk.pictures
    try:
        check_pictures(setting.vision, pictures)
    except InquisightError as error:
        wrong = complete(str(error))
        st.warning(
            f"{plain(wrong)} Take some away, begin a new conversation, or choose another model."
            if len(pictures) > 1
            else plain(wrong),
            icon=":material/photo_library:",
        )
        return wrong
    return ""


def _do(desk: ChatPageState) -> None:
    """What was clicked and hangs on the settings."""
    for act in desk.wishes():
        with told():
            act()
            st.rerun()  # pictures and the list of work stand above
    show_trouble()


# --- the conversation ---------------------------------------------------------------------------------------------


def _choose(desk: ChatPageState) -> None:
    """Which conversation, where there are several."""
    numbers = list(range(len(desk.all)))
    if desk.fresh and len(numbers) == 1:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(numbers) > 1:
            chosen = st.selectbox(
                "Conversation",
                numbers,
                index=desk.chosen,
                format_func=lambda one: f"{one + 1}. {printable(desk.all[one].title, 60)}",
                key=f"chat-conversation-{len(numbers)}-{desk.here.key}",
            )
            if chosen is not None and chosen != desk.chosen:
                desk.chosen = chosen
                desk.setting.vision = desk.here.vision
                st.rerun()
        if not desk.fresh:
            st.button(
                "New conversation",
                key="chat-new",
                icon=":material/add_comment:",
                on_click=attempt,
                args=(desk.begin,),
            )


def _conversation(me: Visitor, desk: ChatPageState) -> None:
    one = desk.here
    was_active = one.active
    view = one.talk.view
    lines = [f"Answer {place}: {node.turn.answer or 'nothing'}" for place, node in enumerate(view.path, start=1)]
    announce(lines, of=one.key, key="announce-chat")
    if not view.path and view.growing is None:
        words = "Ask something about it." if one.talk.pictures else "Add a picture to begin, or take an example."
        st.info(words, icon=":material/chat:" if one.talk.pictures else ":material/add_photo_alternate:")
    for place, node in enumerate(view.path, start=1):
        _turn(me, desk, place, node)
    watch(one.job, lambda: _growing(me, one, len(one.talk.view.path) + 1), every=SECONDS, key=f"chat-grow-{one.key}")
    if was_active and not one.active:
        st.rerun()  # the answer came while the page was drawn, and is not on it yet
    _problems(desk)


def _turn(me: Visitor, desk: ChatPageState, place: int, node: Node) -> None:
    one, turn = desk.here, node.turn
    name = f"{one.key}-{node.number}"
    with st.container(key=f"chat-turn-{name}", gap="small"):
        _shown(me, turn.pictures, turn.answer)
        stopped = tag("stopped") if turn.status == "stopped" else ""
        st.html(_question_html(desk, place, turn.question, turn.task) + _answer_html(turn.answer, stopped))
        for notice in turn.notices:
            st.html(f'<p class="iq-note">{text(complete(notice))}</p>')
        _web_page(desk, turn, name)
        if not one.active:
            _actions(desk, place, node, name)


def _shown(me: Visitor, pictures: tuple[PictureInfo, ...], said: str) -> None:
    if pictures:
        with st.container(horizontal=True):
            for info in pictures:
                with st.container(width=150):
                    _thumbnail(me, info, f"{info.source}: {said[:300]}" if said else info.source)


def _question_html(desk: ChatPageState, place: int, question: str, task: str | None) -> str:
    number = f'<span class="n">{place}</span>'
    if task is None or task not in desk.tasks.task:
        return f'<p class="iq-asked">{number}{text(question)}</p>'
    title = desk.tasks.task[task].title
    return (
        f'<p class="iq-asked">{number}{text(title[:1].upper() + title[1:])}{tag("task")}</p>'
        f'<details class="iq-prompt"><summary>What it was asked</summary><p>{text(question)}</p></details>'
    )


def _answer_html(answer: str, more: str = "") -> str:
    return f'<p class="iq-said">{text(answer) or "(nothing)"}{more}</p>'


def _actions(desk: ChatPageState, place: int, node: Node, name: str) -> None:
    siblings = desk.here.talk.siblings(node)
    with st.container(horizontal=True, vertical_alignment="center", key=f"chat-do-{name}"):
        st.button(
            f"Edit question {place}",
            key=f"chat-edit-{name}",
            type="tertiary",
            icon=":material/edit:",
            on_click=_want_edit,
            args=(desk.here.key, node.number),
        )
        st.button(
            f"Answer {place} again",
            key=f"chat-again-{name}",
            type="tertiary",
            icon=":material/refresh:",
            on_click=desk.wish,
            args=(desk.again, node.number),
        )
        copy_button(node.turn.answer, f"Copy answer {place}", key=f"chat-copy-{name}", quiet=True)
        if len(siblings) > 1:
            _versions(desk, place, node, siblings, name)


def _versions(desk: ChatPageState, place: int, node: Node, siblings: tuple[Node, ...], name: str) -> None:
    """Over to what else was tried at this place."""
    here = siblings.index(node)
    for step, which, icon in ((-1, "Earlier", ":material/chevron_left:"), (1, "Later", ":material/chevron_right:")):
        other = here + step
        if step > 0:
            st.html(f'<p class="iq-note">version {here + 1} of {len(siblings)}</p>', width="content")
        there = 0 <= other < len(siblings)
        st.button(
            f"{which} version of {place}",
            key=f"chat-{which.lower()}-{name}",
            type="tertiary",
            icon=icon,
            disabled=not there,
            on_click=attempt,
            args=(desk.here.talk.choose, siblings[other if there else here].number),
        )


def _web_page(desk: ChatPageState, turn: ChatTurn, name: str) -> None:
    found = page_of(turn, desk.tasks)
    if found is None:
        if turn.task in desk.tasks.task and desk.tasks.task[turn.task].writes == "html" and turn.status == "complete":
            st.info(
                "The answer holds no HTML, so there is no web page to show; ask again, or choose another model.",
                icon=":material/web_asset_off:",
            )
        return
    if not found.whole:
        st.caption("The page is not whole: it breaks off, or is a part of one.")
    scripts = st.toggle(
        "Let its scripts run",
        key=f"chat-scripts-{name}",
        help="The page is a model's code. Web addresses and this dashboard stay closed to it, either way.",
    )
    shown, code = st.columns(2, gap="small")
    with shown:
        web_frame(found.html, "The web page that the model wrote", key=f"chat-page-{name}", scripts=scripts)
    with code:
        st.code(found.html, language="html", height=480, wrap_lines=True)
    stem = re.sub(r"[^\w\-]+", "-", turn.pictures[0].source.rpartition(".")[0]).strip("-") if turn.pictures else ""
    st.download_button(
        "Web page",
        found.html,
        f"{stem or 'page'}.html",
        "text/html",
        key=f"chat-get-page-{name}",
        on_click="ignore",
        icon=":material/download:",
        help="Read it before you open it or give it on",
    )


def _growing(me: Visitor, one: VisitorChat, place: int) -> None:
    growing, job = one.talk.view.growing, one.job
    if growing is None or job is None or not job.active:
        return
    with st.container(key=f"chat-turn-growing-{one.key}", gap="small"):
        _shown(me, growing.pictures, "")
        st.html(_question_html(desk_of(me), place, growing.question, growing.task) + _written_html(growing))
        for notice in growing.notices:
            st.html(f'<p class="iq-note">{text(complete(notice))}</p>')
    with st.container(horizontal=True, vertical_alignment="center"):
        words = queue_words(job)
        st.html(f'<p class="iq-dots">{text(words[:1].upper() + words[1:])}</p>', width="content")
        st.button(
            "Stop",
            key=f"chat-stop-{one.key}",
            icon=":material/stop:",
            on_click=job.stop,
            disabled=job.state == "stopping",
        )


def _written_html(growing: Growing) -> str:
    return f'<p class="iq-said" aria-busy="true">{text(growing.written)}</p>' if growing.written else ""


def _problems(desk: ChatPageState) -> None:
    one = desk.here
    view, job = one.talk.view, one.job
    if one.active:
        return
    if view.error:
        said = job.error if job is not None and job.state == "failed" and job.error else complete(view.error)
        st.error(plain(said), icon=":material/error:")
    elif job is not None and job.state == "stopped" and view.unanswered:
        st.info("Stopped before the first word.", icon=":material/pause:")
    if view.unanswered:
        st.button(
            "Ask it again",
            key=f"chat-reask-{one.key}",
            icon=":material/refresh:",
            on_click=desk.wish,
            args=(desk.ask, view.unanswered),
        )
    if view.save_error:
        st.warning(plain(f"This conversation is not kept: {complete(view.save_error)}"))


# --- asking -------------------------------------------------------------------------------------------------------


def _ask(desk: ChatPageState, wrong: str) -> None:
    one = desk.here
    ready = bool(one.talk.pictures) and not one.active and not wrong
    if desk.elsewhere and not one.active:
        st.info(
            f"Your next question begins a new conversation with {plain(desk.setting.vision, 60)}; this one stays.",
            icon=":material/alt_route:",
        )
    if desk.fresh:
        with st.container(horizontal=True, gap="small", key="chat-tasks"):
            _tasks(desk, ready)
    else:
        with st.popover("Ready questions", icon=":material/lightbulb:"):
            _tasks(desk, ready)
    asked = st.chat_input("Ask about your pictures", key="chat-input", max_chars=4000, disabled=not ready)
    if asked:
        with told():
            desk.ask(asked)
            st.rerun()


def _tasks(desk: ChatPageState, ready: bool) -> None:
    for name, task in desk.tasks.task.items():
        title = task.title[:1].upper() + task.title[1:]
        st.button(
            title,
            key=f"chat-task-{name}",
            disabled=not ready,
            on_click=desk.wish,
            args=(desk.ask,),
            kwargs={"task": name},
        )


def _want_edit(key: str, number: int) -> None:
    st.session_state[_EDIT] = (key, number)


def _forget_edit() -> None:
    st.session_state.pop(_EDIT, None)


def _edit_dialog(desk: ChatPageState) -> None:
    """Open while the visitor has not said what to ask instead."""
    wanted = st.session_state.get(_EDIT)
    if wanted is None:
        return
    path = desk.here.talk.view.path
    place = next((place for place, node in enumerate(path, start=1) if node.number == wanted[1]), None)
    if wanted[0] != desk.here.key or place is None:
        _forget_edit()
        return

    @st.dialog(f"Edit question {place}", on_dismiss=_forget_edit)
    def edit() -> None:
        with st.form("chat-edit", border=False):
            question = st.text_area(
                "What to ask instead",
                path[place - 1].turn.question,
                max_chars=4000,
                key=f"chat-edit-text-{wanted[0]}-{wanted[1]}",
            )
            st.caption("The conversation goes on from here; what was said after it stays as another version.")
            if st.form_submit_button("Ask it", type="primary"):
                with told():
                    desk.edit(wanted[1], question)
                    _forget_edit()
                    st.rerun()

    edit()


def _take_home(one: VisitorChat) -> None:
    record = one.talk.record
    if record is None or one.active:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        draw_chat_downloads(record, key=f"chat-{one.key}")
        draw_kept(record.id, f", {count(len(record.turns), 'answer')}")
