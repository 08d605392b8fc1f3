"""Interview: two models talk about the visitor's pictures; the visitor watches, asks, corrects and exports."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.settings import get_settings
from ui.state.interviews import (
    MOST_ROUNDS,
    InterviewItem,
    InterviewPageState,
    InterviewSettings,
    begin,
    desk_of,
    go_on,
    progress_of,
)
from ui.state.jobs import queue_words, watch
from ui.state.model_choice import blocked
from ui.state.navigation import draw_kept
from ui.state.pictures import show
from ui.state.session import Visitor, visitor
from ui.state.transcripts import as_archive
from ui.text import complete, count, label, plain, seconds, told
from ui.views import interview_view as talk
from ui.views.style import text
from ui.widgets.attention import announce, lead_to
from ui.widgets.model_choice import choose_eye, choose_questioner, choose_seed, draw_blocked
from ui.widgets.picture_input import intake
from ui.widgets.picture_list import LIST, draw_list


def page() -> None:
    """Draw it."""
    me = visitor()
    desk = desk_of(me)
    item, job, sign = desk.item, desk.job, desk.sign()

    def changed() -> bool:
        return desk.sign() != sign

    st.title("Interview")
    st.write("Two models talk about your picture: one asks, one answers. At the end you have a description.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        intake(me.shelf, desk, key="interview")
        watch(job, lambda: draw_list(desk, _remove), until=changed, key="list")
        if item is not None:
            _picture(desk, item)
        setting = _settings(desk)
        _start(me, desk, setting)
    with right, st.container(key="talk"):
        if item is None:
            st.info("Add a picture to begin, or take an example.", icon=":material/add_photo_alternate:")
            return
        _talk(me, desk, item, lambda: watch(job, lambda: _dialogue(desk, item), until=changed, key=f"talk-{item.key}"))
    _change_dialog(me, desk)


# --- the pictures -------------------------------------------------------------------------------------------------


def _picture(desk: InterviewPageState, item: InterviewItem) -> None:
    if item.held is None:
        st.info(
            "This interview is kept without its picture. Add the same picture again to go on with it.",
            icon=":material/image_not_supported:",
        )
    else:
        said = item.view.summary or item.view.opening or item.view.plain
        show(item.held, alt=said)
    note = f", {plain(item.info.note)}" if item.info.note else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{plain(item.info.source)} ({item.info.width} × {item.info.height}{note})")
        if len(desk.items) == 1:
            st.button(
                f"Remove {label(item.info.source, 40)}",
                key="remove",
                type="tertiary",
                icon=":material/close:",
                help="Its transcript stays in the history",
                on_click=_remove,
                args=(item,),
            )


def _remove(item: InterviewItem) -> None:
    me = visitor()
    desk = desk_of(me)
    desk.remove(item)
    me.shelf.remove(item.info.sha256, "interview")
    lead_to(LIST if len(desk.items) > 1 else "interview-intake", control=True)


# --- the settings -------------------------------------------------------------------------------------------------


def _settings(desk: InterviewPageState) -> InterviewSettings:
    setting = desk.setting
    setting.vision = choose_eye("interview-eye", setting.vision)
    setting.questioner = choose_questioner("interview-questioner", setting.questioner)
    with st.expander("Settings", icon=":material/tune:"):
        setting.rounds = int(
            st.number_input(
                "Questions",
                1,
                MOST_ROUNDS,
                setting.rounds,
                key="interview-rounds",
                help="The opening question included; yours do not count",
            )
        )
        every = st.toggle(
            "Send all earlier answers with each question",
            setting.context == -1,
            key="interview-context",
            help="Otherwise only the last one, as vision models for short questions need it",
        )
        setting.context = -1 if every else max(1, get_settings().context)
        setting.language = st.text_input(
            "Language of the description",
            setting.language,
            key="interview-language",
            placeholder="English",
            max_chars=40,
        )
        setting.seed, _ = choose_seed("interview-seed", setting.seed)
    return setting


def _start(me: Visitor, desk: InterviewPageState, setting: InterviewSettings) -> None:
    waiting = [item for item in desk.items.values() if item.held and item.state == "new"]
    shown = desk.item
    again = [shown] if shown and shown.held and not waiting and not shown.active else []
    label = "Start again" if again else f"Start with {count(len(waiting), 'picture')}" if len(waiting) > 1 else "Start"
    reason = blocked(vision=[setting.vision], questioner=[setting.questioner])
    if st.button(
        label,
        type="primary",
        key="start",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=bool(reason) or not (waiting or again),
    ):
        with told():
            begin(me, again or waiting, setting)
            desk.pick(None)
            lead_to("talk")
            st.rerun()
    draw_blocked(reason)


# --- the talk -----------------------------------------------------------------------------------------------------


def _talk(me: Visitor, desk: InterviewPageState, item: InterviewItem, draw: Callable[[], None]) -> None:
    wished = item.steered is not None and item.steered.requested and item.view.state == "complete"
    if wished and item.held and not item.active:
        with told():
            go_on(me, item)  # it was wished in the moment in which the interview ended
    draw()
    if item.steered is None:
        return
    if item.held is not None:
        _own_question(me, desk, item)
    caption = item.view.caption
    if caption is not None and not item.active:
        talk.draw_downloads(caption, item.stem, key=f"get-{item.key}")
    _archive(desk)
    if item.view.id:
        took = caption.seconds.get("total") if caption else None
        draw_kept(item.view.id, f", {seconds(took)}" if took else "")


def _dialogue(desk: InterviewPageState, item: InterviewItem) -> None:
    view, active = item.view, item.active
    announce(
        talk.said_lines(view, item.info.source),
        of=item.key,
        key="announce-interview",
        on_typing=lambda: desk.pick(item.info.sha256),
    )
    _standing(desk, item)
    if item.steered is None:
        return
    if view.plain or view.turns:
        talk.draw_captions(view)
    for one in talk.marked(view.turns):
        with st.container(key=f"turn-{item.key}-{one.number}", gap=None):
            st.html(talk.turn_html(one))
            if item.held is not None and st.button(
                f"Change answer {one.number}",
                key=f"change-{item.key}-{one.number}",
                type="tertiary",
                icon=":material/edit:",
            ):
                st.session_state["interview.change"] = (item.info.sha256, one.number - 1)
                st.rerun()
    if active and view.asked:
        st.html(talk.asking_html(view))
    for question in view.waiting:
        st.html(f'<p class="iq-note">Your question comes next: {text(question)}</p>')
    talk.draw_contradictions(view.turns)
    if view.save_error:
        st.warning(plain(complete(view.save_error)))
    if active:
        return
    job = item.job
    if job is not None and job.state == "failed" and job.error:
        st.error(plain(job.error), icon=":material/error:")
    elif view.state == "failed" and view.error:
        st.error(plain(complete(view.error)), icon=":material/error:")
    if view.state in ("failed", "stopped") and item.held is not None:
        if view.state == "stopped":
            st.info(f"Stopped after {count(len(view.turns), 'answer')}.", icon=":material/pause:")
        if st.button("Go on", key=f"goon-{item.key}", icon=":material/play_arrow:"):
            with told():
                go_on(visitor(), item)
                lead_to("talk")
                st.rerun()


def _standing(desk: InterviewPageState, item: InterviewItem) -> None:
    """Which picture this is, and what is being done about it now."""
    job = item.job
    if len(desk.items) > 1:
        place = list(desk.items).index(item.info.sha256) + 1 if item.info.sha256 in desk.items else 1
        st.html(f'<p class="iq-note">Picture {place} of {len(desk.items)}: <b>{text(item.info.source)}</b></p>')
    if item.active and job is not None:
        with st.container(horizontal=True, vertical_alignment="center", key=f"standing-{item.key}"):
            words = queue_words(job)
            how_far = progress_of(item.view, item.steered.options.rounds) if item.steered is not None else ""
            if how_far and how_far != words:
                words = f"{how_far}: {words}"
            st.html(f'<p class="iq-dots">{text(words[:1].upper() + words[1:])}</p>')
            st.button(
                "Stop",
                key=f"stop-{item.key}",
                icon=":material/stop:",
                on_click=_stop,
                args=(item,),
                disabled=job.state == "stopping",
            )
    elif item.state == "new":
        st.info("Press Start, and they begin to talk.", icon=":material/play_arrow:")


def _stop(item: InterviewItem) -> None:
    item.stop()
    lead_to("talk")


def _own_question(me: Visitor, desk: InterviewPageState, item: InterviewItem) -> None:
    asked = st.chat_input("Ask a question of your own", key=f"ask-{item.key}", max_chars=240)
    if asked and item.steered is not None:
        with told():
            item.steered.ask(asked)
            desk.pick(item.info.sha256)  # stay with what was asked about
            go_on(me, item)
            st.rerun()


def _archive(desk: InterviewPageState) -> None:
    done = [(item.stem, item.view.caption) for item in desk.items.values()]
    captions = [(stem, caption) for stem, caption in done if caption is not None]
    if len(captions) > 1:
        st.download_button(
            f"All {len(captions)} as ZIP",
            lambda: as_archive(captions),
            "interviews.zip",
            "application/zip",
            key="zip",
            on_click="ignore",
            icon=":material/folder_zip:",
        )


# --- putting an answer right --------------------------------------------------------------------------------------


def _forget_change() -> None:
    st.session_state.pop("interview.change", None)


def _change_dialog(me: Visitor, desk: InterviewPageState) -> None:
    """Open while the visitor has not said what the answer should be; it survives what happens beside it."""
    wanted = st.session_state.get("interview.change")
    if wanted is None:
        return
    item = desk.items.get(wanted[0])
    if item is None or item.steered is None or wanted[1] >= len(item.view.turns):
        _forget_change()
        return
    steered, index, turn = item.steered, wanted[1], item.view.turns[wanted[1]]

    @st.dialog(f"Change answer {index + 1}", on_dismiss=_forget_change)
    def change() -> None:
        st.html(f'<p class="iq-q">{text(turn.question)}</p>')
        with st.form("change", border=False):
            answer = st.text_area(
                "The right answer", turn.answer, max_chars=700, key=f"change-answer-{item.key}-{index}"
            )
            follow = st.radio(
                "And the questions after it",
                ["go", "stay"],
                format_func={
                    "go": "are asked anew from here",
                    "stay": "stay; only the description is written anew",
                }.get,
                key=f"change-follow-{item.key}-{index}",
            )
            if st.form_submit_button("Change and go on", type="primary"):
                with told():
                    steered.correct(index, answer, go_on=follow == "go")
                    go_on(me, item)
                    _forget_change()
                    st.rerun()

    change()
