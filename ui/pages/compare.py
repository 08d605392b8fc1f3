"""Compare: one picture, several eyes or questioners side by side."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import streamlit as st

from agents.interview.live import InterviewState, LiveInterview
from agents.interview.protocol import InterviewOptions
from core.errors import BackendError, UsageError
from core.settings import get_settings
from ui.state.interviews import drive, progress_of, state_of
from ui.state.jobs import Job, queue_words, watch
from ui.state.model_choice import blocked, eyes, may_type, questioners, require
from ui.state.models import eye, questioner
from ui.state.pictures import Held, Shelf, show
from ui.state.session import Visitor, visitor
from ui.state.transcripts import as_archive, saver
from ui.text import complete, count, label, plain, seconds, told
from ui.views.interview_view import captions_html, draw_contradictions, marked, turn_html
from ui.views.style import tag, text
from ui.widgets.attention import announce, lead_to
from ui.widgets.model_choice import choose_eye, choose_questioner, draw_blocked
from ui.widgets.picture_input import intake

MOST: Final = 4  # columns
Axis = Literal["eyes", "questioners"]


@dataclass(eq=False)
class Column:
    """One combination of models, and its interview with a job of its own."""

    vision: str
    questioner: str
    title: str
    rounds: int
    steered: LiveInterview
    job: Job | None = None
    unusable: str | None = None
    """The model that failed in a way that any other interview would meet."""
    id: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def state(self) -> str:
        """In a word: see `ui.state.interviews.state_of`."""
        return state_of(self.steered.view, self.job)

    @property
    def made_of(self) -> tuple[str, str, int]:
        """What tells it from another column about the same picture."""
        return self.vision, self.questioner, self.rounds

    def stop(self) -> None:
        """Stop this column alone."""
        if self.job is not None:
            self.job.stop()


@dataclass
class ComparePageState:
    """What one visitor compares; it outlives a reload."""

    shelf: Shelf
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
        """Another picture: what was compared about the last one goes. Raises UsageError while that is at work."""
        if self.held is not None and held.id != self.held.id:
            if self.busy is not None:
                raise UsageError(f"{self.held.label} is being compared; stop that, or wait, to compare another picture")
            self.shelf.remove(self.held.id, "compare")
            self.columns = []
        self.held = held

    def stop(self) -> None:
        """Ask every column to stop."""
        for column in reversed(self.columns):
            column.stop()

    def remove(self, column: Column) -> None:
        """Take a column away, and stop it; the others go on."""
        column.stop()
        self.columns.remove(column)

    def models(self) -> list[tuple[str, str, str]]:
        """(name, vision model, questioner) of each column that is chosen."""
        return [
            (name, *((name, self.other) if self.axis == "eyes" else (self.other, name))) for name in self.chosen[:MOST]
        ]

    @property
    def missing(self) -> int:
        """How many chosen columns are not there, or did not come to their end."""
        there = {column.made_of for column in self.columns if column.state not in ("failed", "stopped")}
        return sum((vision, asks, self.rounds) not in there for _, vision, asks in self.models())

    @property
    def busy(self) -> Job | None:
        """A job that is still at work, if any is."""
        jobs = [one.job for one in self.columns if one.job is not None and one.job.active]
        return next((job for job in jobs if job.state != "waiting"), jobs[0] if jobs else None)


def page() -> None:
    """Draw it."""
    me = visitor()
    desk = me.keep("compare", lambda: ComparePageState(me.shelf))
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
        _start(me, desk)
    if desk.columns:
        with st.container(key="compare-results"):
            watch(desk.busy, lambda: _results(desk), key="compare")


def _start(me: Visitor, desk: ComparePageState) -> None:
    missing, busy = desk.missing, desk.busy is not None
    models = desk.models()
    reason = blocked(vision=[sees for _, sees, _ in models], questioner=[asks for _, _, asks in models])
    there = len(desk.models()) - missing
    words = "Compare" if not there else f"Add {count(missing, 'column')}" if missing else "Compare again"
    st.button(
        words,
        type="primary",
        key="compare-start",
        icon=":material/play_arrow:",
        disabled=bool(reason) or desk.held is None or not desk.chosen or (busy and not missing),
        on_click=desk.want,
    )
    draw_blocked(reason)
    if desk.wanted:
        desk.wanted = False
        with told():
            begin(me, desk)
            lead_to("compare-results")
            st.rerun()
    if desk.held is None:
        st.info("Add a picture first.", icon=":material/add_photo_alternate:")
    elif not desk.chosen:
        st.info("Choose at least one model; two or more to compare.", icon=":material/compare:")


def _settings(desk: ComparePageState) -> None:
    axes: dict[Axis, str] = {"eyes": "Vision models", "questioners": "Language models"}
    axis = st.segmented_control(
        "What differs", list(axes), default=desk.axis, required=True, format_func=axes.__getitem__, key="compare-axis"
    )
    if axis is not None and axis != desk.axis:
        desk.axis, desk.chosen, desk.other = axis, [], ""
    by_eyes = desk.axis == "eyes"
    choices = eyes() if by_eyes else questioners()
    offered = [choice.spec for choice in choices if choice.ready]  # so that "Select all" takes no other
    first = get_settings().vision if by_eyes else get_settings().questioner
    chosen = desk.chosen or ([first] if first in offered else offered[:1])
    names = list(dict.fromkeys([*offered, *chosen]))
    desk.chosen = st.multiselect(
        "Vision models" if by_eyes else "Language models",
        names,
        default=chosen,
        max_selections=MOST,
        accept_new_options=may_type("eye" if by_eyes else "questioner"),
        key=f"compare-{desk.axis}",
        help="Type a name with its directory or model behind a colon: minigpt4:/models/minigpt4-7b, ollama:llama3.2.",
    )
    if others := [choice.spec for choice in choices if not choice.ready]:
        st.caption(f"Not ready, see Plugins and models: {plain(', '.join(others))}.")
    if by_eyes:
        desk.other = choose_questioner("compare-questioner", desk.other or get_settings().questioner)
    else:
        desk.other = choose_eye("compare-eye", desk.other or get_settings().vision)
    desk.rounds = int(st.number_input("Questions", 1, 30, desk.rounds, key="compare-rounds"))


def begin(me: Visitor, desk: ComparePageState) -> None:
    """Start one interview per chosen model that has none; all of them anew where none is missing. Raises UsageError."""
    held = desk.held
    assert held is not None
    models = desk.models()
    require(vision=[sees for _, sees, _ in models], questioner=[asks for _, _, asks in models])
    keep = {column.made_of: column for column in desk.columns if column.state not in ("failed", "stopped")}
    if not desk.missing and desk.busy is None:
        keep = {}
    columns = []
    for title, sees, asks in desk.models():
        steered = LiveInterview(
            held.info,
            held.open,
            partial(eye, sees),
            partial(questioner, asks, get_settings().seed),
            InterviewOptions(rounds=desk.rounds),
            seed=get_settings().seed,
            save=saver(me),
        )
        new = Column(sees, asks, title, desk.rounds, steered)
        columns.append(keep.get(new.made_of, new))
    for column in desk.columns:
        if column not in columns:
            column.stop()
    desk.columns = columns
    for column in columns:
        column.unusable = None
    for column in columns:
        if column.job is None:
            work = partial(_drive, columns, column)
            column.job = me.jobs.start("compare", column.title, work, queue=column.id)


def _drive(columns: list[Column], column: Column, job: Job) -> None:
    """Hold a column's interview; an error that others with the same model would meet stops those."""
    column.job = job
    if any(other.unusable in (column.vision, column.questioner) for other in columns):
        job.stop()
        return
    error = drive(column.steered, job)
    if error is None:
        return
    column.unusable = column.vision if isinstance(error, BackendError) else column.questioner
    for other in columns:
        if other is not column and other.job is not None and column.unusable in (other.vision, other.questioner):
            other.job.stop()


def _results(desk: ComparePageState) -> None:
    announce(
        [line for column in desk.columns for line in _said(column)],
        of=desk.held.id if desk.held is not None else "",
        key="announce-compare",
    )
    _columns(desk)
    _export(desk)


def _said(column: Column) -> list[str]:
    """What screen readers are told of a column: its end."""
    view = column.steered.view
    if column.state in ("finished", "failed", "stopped"):
        return [f"{column.title}: {column.state}. {view.summary or view.error}"]
    return []


def _columns(desk: ComparePageState) -> None:
    if desk.busy is not None and len(desk.columns) > 1:
        st.button("Stop all", key="compare-stop", icon=":material/stop:", on_click=desk.stop)
    for column, place in zip(list(desk.columns), st.columns(max(1, len(desk.columns)), gap="medium"), strict=False):
        with place:
            _column(desk, column)


def _column(desk: ComparePageState, column: Column) -> None:
    view, job, name = column.steered.view, column.job, label(column.title, 40)
    st.subheader(plain(column.title), anchor=False)
    st.html(f'<p class="iq-note">{text(column.questioner)} asks, {text(column.vision)} answers</p>')
    with st.container(horizontal=True, vertical_alignment="center"):
        if job is not None and job.active:
            words = ": ".join(filter(None, (progress_of(view, column.rounds), queue_words(job))))
            st.html(f'<p class="iq-dots">{text(words[:1].upper() + words[1:])}</p>')
            st.button(
                f"Stop {name}",
                key=f"compare-stop-{column.id}",
                type="tertiary",
                icon=":material/stop:",
                on_click=_end,
                args=(column.stop,),
                disabled=job.state == "stopping",
            )
        st.button(
            f"Remove {name}",
            key=f"compare-remove-{column.id}",
            type="tertiary",
            icon=":material/close:",
            help="Its transcript stays in the history",
            on_click=_end,
            args=(desk.remove, column),
        )
    st.html(captions_html(view))
    _figures(view)
    with st.expander(f"The dialogue ({len(view.turns)})"):
        for one in marked(view.turns):
            st.html(turn_html(one))
        draw_contradictions(view.turns)
    if column.state == "failed":
        said = job.error if job is not None and job.state == "failed" and job.error else complete(view.error)
        st.error(plain(said), icon=":material/error:")
    elif column.state in ("stopped", "new"):
        st.info("Stopped.", icon=":material/pause:")


def _end(act: Callable[..., None], *args: object) -> None:
    act(*args)
    lead_to("compare-results")


def _figures(view: InterviewState) -> None:
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


def _export(desk: ComparePageState) -> None:
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
