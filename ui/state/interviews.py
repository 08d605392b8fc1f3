"""A visitor's interviews: the images of the page Interview, and a job for each; also the columns of Compare."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from agents.interview.events import Failed
from agents.interview.live import InterviewState, LiveInterview
from agents.interview.options import asking_options
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from core.errors import BackendError, InquisightError, UsageError
from core.net.remote import for_all
from core.settings import get_settings
from ui.state.items import MAX_ROUNDS, DialogueSettings, LiveItem, live_arguments
from ui.state.jobs import Job, busiest, job_status
from ui.state.model_choice import require
from ui.text import count

if TYPE_CHECKING:
    from core.images.picture import Picture
    from core.records import Caption, PictureInfo
    from ui.state.images import UploadedImage
    from ui.state.session import Visitor

DOING: Final = {
    "looking": "encoding the image",
    "asking": "writing a question",
    "answering": "answering the question",
    "examining": "looking for things and writing",
    "summarising": "writing the caption",
    "reading": "finding the claims of the caption",
    "auditing": "checking the claims of the caption",
}


@dataclass
class InterviewSettings(DialogueSettings):
    """The models and options of new interviews."""

    rounds: int = field(default_factory=lambda: min(MAX_ROUNDS, get_settings().rounds))

    def options(self) -> InterviewOptions:
        """The options of the interview. Raises UsageError."""
        language = self.language.strip() or None
        more = {**asking_options(self), "audit": self.audit, "witnesses": tuple(self.witnesses)}
        return InterviewOptions(self.rounds, self.history, language, **more)


@dataclass(eq=False)
class InterviewItem(LiveItem):
    """An image, the interview about it by two models, and the job that runs it."""

    info: PictureInfo
    upload: UploadedImage | None
    vision: str = ""
    questioner: str = ""
    live: LiveInterview | None = None
    job: Job | None = None
    removed: bool = False
    before: LiveInterview | None = None
    """The interview that the present one replaces; restored if the job is stopped before its turn."""
    failed_model: str | None = None
    """The model whose error every other interview with it would meet."""

    @property
    def view(self) -> InterviewState:
        """The state of its interview."""
        return self.live.view if self.live else InterviewState()

    @property
    def state(self) -> str:
        """One of new, waiting, running, stopped, failed, finished and removed."""
        job, state = self.job, self.view.state
        if self.removed:
            return "removed"
        if job is not None and job.active:
            return "waiting" if job.state == "waiting" else "running"
        if job is not None and job.state in ("stopped", "failed") and state in ("new", "running"):
            return job.state
        return "finished" if state == "complete" else state

    @property
    def progress(self) -> str:
        """How far the interview is: "question 3 of 8", "3 answers"; "" before the first question."""
        view = self.view
        if view.state != "running" or self.live is None or not (view.turns or view.asked):
            return count(len(view.turns), "answer") if view.turns else ""
        if view.doing == "summarising":
            return DOING["summarising"]
        own = sum(turn.asked_by == "person" for turn in view.turns) + (view.asked_by == "person")
        total = self.live.options.rounds + own
        answered = sum(not turn.answered_by for turn in view.turns)
        return f"question {min(answered + 1, total)} of {total}"

    @property
    def status(self) -> str:
        """State and progress, for the list of images."""
        state = self.state
        if state == "waiting" and self.job is not None:
            return job_status(self.job)
        if state == "new":
            return "not started"
        progress = "loading" if state == "running" and self.view.state != "running" else self.progress
        return f"{state}, {progress}" if progress else state

    def open(self) -> Picture:
        """Decode the image. Raises UsageError if only the transcript is there."""
        if self.upload is None:
            raise UsageError("add the same image again first; it is not stored with the interview")
        return self.upload.open()

    def stop(self) -> None:
        """Stop this interview alone, or take it out of the queue."""
        if self.job is not None and self.job.active:
            self.job.stop()
            if not self.job.active:
                self.live, self.job = self.before, None


class InterviewPageState:
    """The state of the page Interview for one visitor; it survives a reload."""

    def __init__(self) -> None:
        self.items: dict[str, InterviewItem] = {}
        self.settings = InterviewSettings()
        self.picked: str | None = None
        """The image that the visitor chose to see; None: the one whose interview runs."""
        self._shown: str | None = None

    @property
    def item(self) -> InterviewItem | None:
        """The image to show: the chosen one, else the one whose interview runs, else the newest."""
        if self.picked in self.items:
            self._shown = self.picked
        elif running := next((id for id, one in self.items.items() if one.state == "running"), None):
            self._shown = running
        if self._shown not in self.items:
            self._shown = next(reversed(self.items), None)
        return self.items[self._shown] if self._shown is not None else None

    @property
    def job(self) -> Job | None:
        """An active job of any image."""
        return busiest(one.job for one in self.items.values())

    def version(self) -> Hashable:
        """A value that changes with the state of any image and with the image to show."""
        shown = self.item
        found = bool(shown and shown.view.findings)  # boxes are drawn as soon as they are there
        return (shown.key if shown else "", found), tuple((one.key, one.state) for one in self.items.values())

    def pick(self, id: str | None) -> None:
        """Show that image; None: follow the interviews."""
        self.picked = id

    def put(self, upload: UploadedImage) -> None:
        """Add an image, and show it unless an interview runs; an image that is there keeps its interview."""
        if upload.id in self.items:
            self.items[upload.id].upload = upload
        else:
            self.items[upload.id] = InterviewItem(upload.info, upload)
        if self.job is None:
            self.picked, self._shown = None, upload.id

    def remove(self, item: InterviewItem) -> None:
        """Remove an image and stop its interview; the others continue."""
        item.removed = True
        item.stop()
        self.items.pop(item.info.sha256, None)

    def stop(self) -> None:
        """Stop all interviews, waiting ones first."""
        for item in reversed(list(self.items.values())):
            item.stop()

    def reopen(self, caption: Caption, upload: UploadedImage | None, me: Visitor) -> None:
        """Add a stored interview, to read and, with its image, to resume. Raises UsageError."""
        prompts = Prompts.load()
        if caption.options.get("prompts", prompts.sha256) != prompts.sha256:
            raise UsageError("this interview used your own prompts; resume it with `inquisight caption --resume`")
        kept = ("rounds", "history", "language", "audit", "threshold", "claims", "asking", "fallback", "min_rounds")
        known = {key: caption.options[key] for key in kept if key in caption.options}
        known["context"] = caption.told
        witnesses = tuple(caption.options.get("witnesses", ()))
        names = caption.vision.get("name", ""), caption.questioner.get("name", "")
        item = InterviewItem(caption.picture, upload, *names)
        item.live = _live(me, item, InterviewOptions(**known, witnesses=witnesses), caption.seed, caption)
        earlier = self.items.get(item.info.sha256)
        if earlier is not None and earlier.active:
            raise UsageError("an interview about this image is running; wait for it, or stop it")
        self.items[item.info.sha256] = item
        self.pick(item.info.sha256)


def page_state(me: Visitor) -> InterviewPageState:
    """The visitor's state of the page Interview."""
    return me.keep("interview", InterviewPageState)


def begin(me: Visitor, items: Sequence[InterviewItem], settings: InterviewSettings) -> None:
    """Start new interviews about `items`, one after the other. Raises UsageError."""
    options = settings.options()
    require(vision=[settings.vision], questioner=[settings.questioner])
    for item in items:
        if not item.active:
            item.vision, item.questioner = settings.vision, settings.questioner
            start(me, item, items, options, settings.seed, queue="interview")


def start(
    me: Visitor,
    item: InterviewItem,
    group: Sequence[InterviewItem],
    options: InterviewOptions,
    seed: int | None,
    *,
    queue: str,
) -> None:
    """Start a new interview. An error that others of `group` with the same model would meet stops them."""
    item.before, item.failed_model = item.live, None
    item.live = _live(me, item, options, seed)
    item.job = me.jobs.start(item.info.source, partial(drive, group, item), queue=queue)


def resume(me: Visitor, item: InterviewItem) -> None:
    """Resume an ended interview, or apply its pending requests; do nothing while it runs. Raises UsageError."""
    if item.live is not None and not item.active:
        item.failed_model = None
        item.job = me.jobs.start(item.info.source, partial(drive, [item], item))


def _live(
    me: Visitor, item: InterviewItem, options: InterviewOptions, seed: int | None, earlier: Caption | None = None
) -> LiveInterview:
    arguments = live_arguments(me, item.vision, item.questioner, seed, earlier)
    return LiveInterview(item.info, item.open, options=options, **arguments)


def drive(group: Sequence[InterviewItem], item: InterviewItem, job: Job) -> None:
    """Run an interview until it ends or `job` is stopped. Its view shows an error."""
    live = item.live
    if live is None or any(other.failed_model in (item.vision, item.questioner) for other in group):
        job.stop()
        return
    failure: InquisightError | None = None
    try:
        for event in live.run(lambda: job.stop_requested):
            job.doing = DOING.get(live.view.doing, job.doing)
            if isinstance(event, Failed):
                failure = event.error
    except InquisightError as error:
        failure = error
    if failure is not None and for_all(failure):
        item.failed_model = item.vision if isinstance(failure, BackendError) else item.questioner
        for other in group:
            if other is not item and item.failed_model in (other.vision, other.questioner):
                other.stop()
