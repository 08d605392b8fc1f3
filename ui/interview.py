"""Interview: two models talk about the visitor's pictures, and the visitor watches, asks, corrects and takes home."""

from __future__ import annotations

import streamlit as st

from core.settings import get_settings
from ui.shared.choices import choose_eye, choose_questioner, choose_seed
from ui.shared.intake import intake
from ui.shared.interviews import MOST_ROUNDS, Desk, Item, Setting, begin, desk_of, go_on
from ui.shared.jobs import queue_words, watch
from ui.shared.kept import as_archive
from ui.shared.pictures import show
from ui.shared.session import Visitor, visitor
from ui.shared.style import text
from ui.shared.talk import asking_html, draw_captions, draw_contradictions, draw_downloads, marked, turn_html
from ui.shared.words import complete, count, plain, seconds, told


def page() -> None:
    """Draw it."""
    me = visitor()
    desk = desk_of(me)
    st.title("Interview")
    st.write("Two models talk about your picture: one asks, one sees. At the end you have a description.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        intake(me.shelf, desk, key="interview")
        item = _choose_picture(desk)
        if item is not None:
            _picture(me, desk, item)
        setting = _settings(desk)
        _start(me, desk, setting)
    with right:
        if item is None:
            st.info("Add a picture to begin, or take an example.", icon=":material/add_photo_alternate:")
            return
        _talk(me, desk, item)
    _change_dialog(me, desk)


# --- the pictures -------------------------------------------------------------------------------------------------


def _choose_picture(desk: Desk) -> Item | None:
    item = desk.item
    if item is None or len(desk.items) == 1:
        return item
    ids = list(desk.items)
    names = {
        id: f"{number}. {plain(desk.items[id].info.source, 24)}: {desk.items[id].state}"
        for number, id in enumerate(ids, start=1)
    }
    key = f"chosen-{desk.uploads}-{len(ids)}"  # another key for another list, so that a new picture is the chosen one
    picked = st.radio("Your pictures", ids, index=ids.index(item.info.sha256), format_func=names.__getitem__, key=key)
    desk.chosen = picked or desk.chosen
    return desk.item


def _picture(me: Visitor, desk: Desk, item: Item) -> None:
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
        if st.button(
            "Take away",
            key="remove",
            type="tertiary",
            icon=":material/close:",
            help="Take this picture off your desk; its transcript stays in the history",
        ):
            desk.remove(item)
            me.shelf.remove(item.info.sha256)
            st.rerun()


# --- the settings -------------------------------------------------------------------------------------------------


def _settings(desk: Desk) -> Setting:
    setting = desk.setting
    setting.vision = choose_eye("interview-eye", setting.vision)
    setting.questioner = choose_questioner("interview-questioner", setting.questioner)
    with st.expander("More settings", icon=":material/tune:"):
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
            "The eye remembers all earlier answers",
            setting.context == -1,
            key="interview-context",
            help="Otherwise only the last one, as eyes for short questions need it",
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


def _start(me: Visitor, desk: Desk, setting: Setting) -> None:
    waiting = [item for item in desk.items.values() if item.held and item.state == "new"]
    chosen = desk.items.get(desk.chosen or "")
    again = bool(chosen and chosen.held and not waiting and chosen.state not in ("talking", "waiting"))
    label = "Start again" if again else f"Start with {count(len(waiting), 'picture')}" if len(waiting) > 1 else "Start"
    if st.button(
        label,
        type="primary",
        key="start",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=not (waiting or again),
    ):
        with told():
            begin(me, [chosen] if again and chosen else waiting, setting)
            st.rerun()


# --- the talk -----------------------------------------------------------------------------------------------------


def _talk(me: Visitor, desk: Desk, item: Item) -> None:
    if item.steered is None:
        st.info("Press Start, and they begin to talk.", icon=":material/play_arrow:")
        return
    if item.steered.wanted and not item.active and item.held and item.view.state == "complete":
        with told():
            go_on(me, item)  # it was wished in the moment in which the interview ended
    watch(item.job, lambda: _dialogue(item), key=f"talk-{item.key}")
    if item.held is not None:
        _own_question(me, item)
    caption = item.view.caption
    if caption is not None and not item.active:
        draw_downloads(caption, item.stem, key=f"get-{item.key}")
        _archive(desk)
    if item.view.id:
        took = caption.seconds.get("total") if caption else None
        st.caption(f"Kept as {item.view.id[:10]}" + (f", {seconds(took)}" if took else ""))


def _dialogue(item: Item) -> None:
    assert item.steered is not None
    view, job, active = item.view, item.job, item.active
    if active and job is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            waits = view.state == "new" and job.total > 1
            words = f"waiting for picture {job.done + 1} of {job.total}" if waits else queue_words(job)
            st.html(f'<p class="iq-dots" role="status" aria-live="polite">{text(words[:1].upper() + words[1:])}</p>')
            st.button(
                "Stop",
                key=f"stop-{item.key}",
                icon=":material/stop:",
                on_click=job.stop,
                disabled=job.state == "stopping",
            )
    if view.plain or view.turns:
        draw_captions(view)
    for one in marked(view.turns):
        with st.container(key=f"turn-{item.key}-{one.number}", gap=None):
            st.html(turn_html(one))
            if item.held is not None and st.button(
                f"Change answer {one.number}",
                key=f"change-{item.key}-{one.number}",
                type="tertiary",
                icon=":material/edit:",
            ):
                st.session_state["interview.change"] = (item.info.sha256, one.number - 1)
                st.rerun()
    if active and view.asked:
        st.html(asking_html(view))
    for question in view.waiting:
        st.html(f'<p class="iq-note">Your question comes next: {text(question)}</p>')
    draw_contradictions(view.turns)
    if view.state == "failed" and view.error:
        st.error(plain(complete(view.error)), icon=":material/error:")
    if view.save_error:
        st.warning(plain(complete(view.save_error)))
    if view.state in ("failed", "stopped") and not active and item.held is not None:
        if view.state == "stopped":
            st.info(f"Stopped after {count(len(view.turns), 'answer')}.", icon=":material/pause:")
        if st.button("Go on", key=f"goon-{item.key}", icon=":material/play_arrow:"):
            with told():
                go_on(visitor(), item)
                st.rerun()
    if job is not None and job.state == "failed" and job.error:
        st.error(plain(job.error), icon=":material/error:")


def _own_question(me: Visitor, item: Item) -> None:
    asked = st.chat_input("Ask a question of your own", key=f"ask-{item.key}", max_chars=240)
    if asked and item.steered is not None:
        with told():
            item.steered.ask(asked)
            go_on(me, item)
            st.rerun()


def _archive(desk: Desk) -> None:
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


def _change_dialog(me: Visitor, desk: Desk) -> None:
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
