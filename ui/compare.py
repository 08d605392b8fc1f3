"""Compare: one picture, several eyes or questioners side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import streamlit as st

from agents.interview import InterviewOptions
from agents.steering import Steered, View
from core.settings import get_settings
from ui.shared.choices import choose_eye, choose_questioner, eyes, may_type, questioners
from ui.shared.intake import intake
from ui.shared.interviews import drive
from ui.shared.jobs import Job, queue_words, watch
from ui.shared.kept import as_archive, saver
from ui.shared.models import eye, questioner
from ui.shared.pictures import Held, show
from ui.shared.session import Visitor, visitor
from ui.shared.style import tag, text
from ui.shared.talk import captions_html, draw_contradictions, marked, turn_html
from ui.shared.words import complete, plain, seconds, told

MOST: Final = 4  # columns
Axis = Literal["eyes", "questioners"]


@dataclass
class Column:
    """One combination of models, and its interview."""

    vision: str
    questioner: str
    title: str
    steered: Steered
    job: Job | None = None


@dataclass
class Desk:
    """What one visitor compares; it outlives a reload."""

    held: Held | None = None
    columns: list[Column] = field(default_factory=list)
    axis: Axis = "eyes"
    chosen: list[str] = field(default_factory=list)
    other: str = ""
    rounds: int = 6
    uploads: int = 0
    wanted: bool = False  # the button was pressed, and the page has not come to it yet

    def want(self) -> None:
        """For `on_click`: a click outlives a run that another one cuts short."""
        self.wanted = True

    def put(self, held: Held) -> None:
        """Another picture: what was compared about the last one goes."""
        if self.held is None or held.id != self.held.id:
            self.stop()
            self.held, self.columns = held, []

    def stop(self) -> None:
        """Ask every column to stop."""
        for column in self.columns:
            if column.job is not None:
                column.job.stop()

    @property
    def busy(self) -> Job | None:
        """A job that is still at work, if any is."""
        return next((one.job for one in self.columns if one.job is not None and one.job.active), None)


def page() -> None:
    """Draw it."""
    me = visitor()
    desk = me.keep("compare", Desk)
    st.title("Compare")
    st.write("One picture, several models side by side: each column is an interview of its own.")
    left, right = st.columns([2, 3], gap="large")
    with left:
        intake(me.shelf, desk, key="compare", several=False)
        if desk.held is not None:
            said = next((column.steered.view.summary for column in desk.columns if column.steered.view.summary), "")
            show(desk.held, alt=said)
            st.caption(plain(", ".join(filter(None, (desk.held.label, desk.held.info.note)))))
    with right:
        _settings(desk)
        ready = desk.held is not None and bool(desk.chosen) and desk.busy is None
        st.button(
            "Compare",
            type="primary",
            key="compare-start",
            icon=":material/play_arrow:",
            disabled=not ready,
            on_click=desk.want,
        )
        if desk.wanted:
            desk.wanted = False
            with told():
                begin(me, desk)
                st.rerun()
        if desk.held is None:
            st.info("Add a picture first.", icon=":material/add_photo_alternate:")
        elif not desk.chosen:
            st.info("Choose at least one model; two or more to compare.", icon=":material/compare:")
    if desk.columns:
        watch(desk.busy, lambda: _results(desk), key="compare")


def _settings(desk: Desk) -> None:
    axes: dict[Axis, str] = {"eyes": "Several that see", "questioners": "Several that ask"}
    axis = st.segmented_control(
        "What differs", list(axes), default=desk.axis, required=True, format_func=axes.__getitem__, key="compare-axis"
    )
    if axis is not None and axis != desk.axis:
        desk.axis, desk.chosen, desk.other = axis, [], ""
    by_eyes = desk.axis == "eyes"
    offered = [choice.spec for choice in (eyes() if by_eyes else questioners())]
    first = get_settings().vision if by_eyes else get_settings().questioner
    chosen = desk.chosen or [first]
    names = list(dict.fromkeys([*offered, *chosen]))
    desk.chosen = st.multiselect(
        "Models that see" if by_eyes else "Models that ask",
        names,
        default=chosen,
        max_selections=MOST,
        accept_new_options=may_type("eye" if by_eyes else "questioner"),
        key=f"compare-{desk.axis}",
        help="Type a name with what it takes behind a colon, such as minigpt4:/models/minigpt4-7b or ollama:llama3.2.",
    )
    if by_eyes:
        desk.other = choose_questioner("compare-questioner", desk.other or get_settings().questioner)
    else:
        desk.other = choose_eye("compare-eye", desk.other or get_settings().vision)
    desk.rounds = int(st.number_input("Questions", 1, 30, desk.rounds, key="compare-rounds"))


def begin(me: Visitor, desk: Desk) -> None:
    """Start one interview per chosen model. Raises UsageError."""
    held = desk.held
    assert held is not None
    desk.stop()
    columns = []
    for name in desk.chosen[:MOST]:
        sees, asks = (name, desk.other) if desk.axis == "eyes" else (desk.other, name)
        steered = Steered(
            held.info,
            held.open,
            lambda sees=sees: eye(sees),  # type: ignore[misc]
            lambda asks=asks: questioner(asks, get_settings().seed),  # type: ignore[misc]
            InterviewOptions(rounds=desk.rounds),
            seed=get_settings().seed,
            save=saver(me),
        )
        columns.append(Column(sees, asks, name, steered))
    desk.columns = columns
    for column in columns:
        column.job = me.jobs.start("compare", column.title, partial(drive, column.steered))


def _results(desk: Desk) -> None:
    _columns(desk)
    _take_home(desk)


def _columns(desk: Desk) -> None:
    if desk.busy is not None:
        st.button("Stop all", key="compare-stop", icon=":material/stop:", on_click=desk.stop)
    for column, place in zip(desk.columns, st.columns(len(desk.columns), gap="medium"), strict=True):
        with place:
            _column(column)


def _column(column: Column) -> None:
    view, job = column.steered.view, column.job
    st.subheader(plain(column.title), anchor=False)
    st.html(f'<p class="iq-note">{text(column.questioner)} asks, {text(column.vision)} looks</p>')
    if job is not None and job.active:
        words = queue_words(job)
        st.html(f'<p class="iq-dots" role="status">{text(words[:1].upper() + words[1:])}</p>')
    st.html(captions_html(view))
    _figures(view)
    with st.expander(f"The dialogue ({len(view.turns)})"):
        for one in marked(view.turns):
            st.html(turn_html(one))
        draw_contradictions(view.turns)
    if view.state == "failed" and view.error:
        st.error(plain(complete(view.error)), icon=":material/error:")
    elif job is not None and job.state == "failed" and job.error:
        st.error(plain(job.error), icon=":material/error:")
    if view.state == "stopped":
        st.info("Stopped.", icon=":material/pause:")


def _figures(view: View) -> None:
    """What can be counted: questions, unsure and contradicting answers, time."""
    if not view.turns:
        return
    ones = marked(view.turns)
    facts = [f"{len(ones)} answers", f"{sum(one.unsure for one in ones)} unsure"]
    against = sum(bool(one.against) for one in ones)
    if view.caption is not None and "total" in view.caption.seconds:
        facts.append(seconds(view.caption.seconds["total"]))
    tags = "".join(tag(fact) for fact in facts) + (tag(f"{against} contradicting", "red") if against else "")
    st.html(f"<p>{tags}</p>")


def _take_home(desk: Desk) -> None:
    done = [(column.title.replace(":", "-").replace("/", "-"), column.steered.view.caption) for column in desk.columns]
    captions = [(name, caption) for name, caption in done if caption is not None]
    if captions and desk.busy is None:
        st.download_button(
            "All as ZIP",
            lambda: as_archive(captions),
            "comparison.zip",
            "application/zip",
            key="compare-zip",
            on_click="ignore",
            icon=":material/folder_zip:",
        )
