"""What interviews about images and videos, and conversations, have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from agents.interview.options import AskingMode, AuditMode, Fallback
from agents.witnesses.choice import chosen
from core.settings import get_settings
from ui.state.models import models
from ui.state.transcripts import saver
from ui.text import sentence

if TYPE_CHECKING:
    from core.records import Caption, PictureInfo
    from ui.state.images import Upload
    from ui.state.jobs import Job
    from ui.state.session import Visitor

MAX_ROUNDS: Final = 30


@dataclass
class DialogueSettings:
    """The models and options of interviews about images and videos."""

    vision: str = field(default_factory=lambda: get_settings().vision)
    questioner: str = field(default_factory=lambda: get_settings().questioner)
    history: int = field(default_factory=lambda: get_settings().history)
    seed: int | None = field(default_factory=lambda: get_settings().seed)
    language: str = ""
    witnesses: list[str] = field(default_factory=lambda: chosen(get_settings().witness))
    asking: AskingMode = "free"
    fallback: Fallback = "scripted"
    min_rounds: int | None = None
    audit: AuditMode = "none"


def live_arguments(
    me: Visitor, vision: str, questioner: str, seed: int | None, earlier: Caption | None
) -> dict[str, Any]:
    """The arguments that `LiveInterview` and `LiveVideo` share."""
    return {
        "vision": lambda: models().vision(vision),
        "questioner": lambda: models().questioner(questioner, seed),
        "seed": seed,
        "save": saver(me),
        "earlier": earlier,
    }


class View(Protocol):
    """How the work stands."""

    @property
    def error(self) -> str: ...


class LiveItem:
    """Something on a page that a job works on."""

    info: PictureInfo
    upload: Upload | None
    job: Job | None
    default_stem: ClassVar[str] = "interview"

    @property
    def view(self) -> View:
        """The state of the work."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """The start of its widget keys."""
        return self.info.sha256[:12]

    @property
    def stem(self) -> str:
        """The file name of downloads, without suffix."""
        return self.upload.stem if self.upload else self.default_stem

    @property
    def active(self) -> bool:
        """Whether a job works on it or will."""
        return self.job is not None and self.job.active

    @property
    def error(self) -> str:
        """Why the last job failed, as a sentence; else ""."""
        if self.job is not None and self.job.error:
            return self.job.error
        return sentence(self.view.error) if self.view.error else ""
