"""A visitor's comparison: one image, and an interview per model."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agents.interview.protocol import InterviewOptions
from core.errors import UsageError
from core.settings import get_settings
from ui.state import interviews
from ui.state.interviews import InterviewItem
from ui.state.jobs import Job, busiest
from ui.state.model_choice import Kind, require

if TYPE_CHECKING:
    from ui.state.images import UploadedImage
    from ui.state.session import Visitor

MAX_COLUMNS: Final = 4


@dataclass(eq=False)
class Column(InterviewItem):
    """One combination of models, and its interview."""

    rounds: int = 0
    id: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def models(self) -> tuple[str, str, int]:
        """What distinguishes it from another column about the same image."""
        return self.vision, self.questioner, self.rounds

    @property
    def ended_early(self) -> bool:
        """Whether it failed or was stopped."""
        return self.state in ("new", "failed", "stopped")


@dataclass
class ComparePageState:
    """The state of the page Compare for one visitor; it survives a reload."""

    me: Visitor
    upload: UploadedImage | None = None
    columns: list[Column] = field(default_factory=list)
    compared: Kind = "vision"
    """The kind of model that differs between columns."""
    chosen: list[str] = field(default_factory=list)
    other: str = ""
    """The model of the other kind, the same in all columns."""
    rounds: int = 6

    def put(self, upload: UploadedImage) -> None:
        """Replace the image, and remove the columns of the last one. Raises UsageError while an interview runs."""
        if self.upload is not None and upload.id != self.upload.id:
            if self.busy is not None:
                raise UsageError(f"{self.upload.label} is being compared; stop that, or wait, to compare another image")
            self.me.images.remove(self.upload.id, "compare")
            self.columns = []
        self.upload = upload

    def stop(self) -> None:
        """Stop every column."""
        for column in reversed(self.columns):
            column.stop()

    def remove(self, column: Column) -> None:
        """Stop and remove a column; the others continue."""
        column.stop()
        self.columns.remove(column)

    def name(self, column: Column) -> str:
        """The model that distinguishes a column."""
        return column.vision if self.compared == "vision" else column.questioner

    @property
    def models(self) -> list[tuple[str, str, int]]:
        """Vision model, language model and number of questions of each chosen column."""
        pairs = [(name, self.other) if self.compared == "vision" else (self.other, name) for name in self.chosen]
        return [(*pair, self.rounds) for pair in pairs[:MAX_COLUMNS]]

    @property
    def missing(self) -> int:
        """Number of chosen columns that are not there or ended early."""
        there = {column.models for column in self.columns if not column.ended_early}
        return sum(models not in there for models in self.models)

    @property
    def busy(self) -> Job | None:
        """An active job of any column."""
        return busiest(column.job for column in self.columns)


def page_state(me: Visitor) -> ComparePageState:
    """The visitor's state of the page Compare."""
    return me.keep("compare", lambda: ComparePageState(me))


def begin(state: ComparePageState) -> None:
    """Start an interview for each chosen column that is missing; for all of them if none is. Raises UsageError."""
    upload, wanted = state.upload, state.models
    if upload is None:
        raise UsageError("add an image first")
    require(vision=[vision for vision, _, _ in wanted], questioner=[questioner for _, questioner, _ in wanted])
    kept = {column.models: column for column in state.columns if not column.ended_early}
    if not state.missing and state.busy is None:
        kept = {}
    columns = [
        kept.get((vision, questioner, rounds)) or Column(upload.info, upload, vision, questioner, rounds=rounds)
        for vision, questioner, rounds in wanted
    ]
    for column in state.columns:
        if column not in columns:
            column.stop()
    state.columns = columns
    for column in columns:
        column.failed_model = None
    for column in columns:
        if column.job is None:
            options = InterviewOptions(rounds=column.rounds)
            interviews.start(state.me, column, columns, options, get_settings().seed, queue=column.id)
