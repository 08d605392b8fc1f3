"""What an interview, a video and a conversation on a page have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ui.text import sentence

if TYPE_CHECKING:
    from core.records import PictureInfo
    from ui.state.jobs import Job


class View(Protocol):
    """How the work stands."""

    @property
    def error(self) -> str: ...


class LiveItem:
    """Something on a page that a job works on."""

    info: PictureInfo
    job: Job | None

    @property
    def view(self) -> View:
        """The state of the work."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """The start of its widget keys."""
        return self.info.sha256[:12]

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
