"""A visitor's interviews: the pictures of the page, the models that talk about them, and a job for each picture."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from agents.interview.events import Failed
from agents.interview.live import InterviewState, LiveInterview
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from core.errors import InquisightError, UsageError
from core.net.remote import for_all
from core.settings import get_settings
from ui.state.jobs import Job, queue_words
from ui.state.model_choice import require
from ui.state.models import eye, questioner
from ui.state.transcripts import saver
from ui.text import count

if TYPE_CHECKING:
    from core.images.picture import Picture
    from core.records import Caption, PictureInfo
    from ui.state.pictures import Held
    from ui.state.session import Visitor

MOST_ROUNDS: Final = 30
DOING: Final = {
    "looking": "looking at the picture",
    "asking": "thinking of a question",
    "answering": "looking for the answer",
    "summarising": "writing the description",
}


@dataclass
class InterviewSettings:
    """Who talks, and how."""

    vision: str = field(default_factory=lambda: get_settings().vision)
    questioner: str = field(default_factory=lambda: get_settings().questioner)
    rounds: int = field(default_factory=lambda: min(MOST_ROUNDS, get_settings().rounds))
    context: int = field(default_factory=lambda: get_settings().context)
    seed: int | None = field(default_factory=lambda: get_settings().seed)
    language: str = ""

    def options(self) -> InterviewOptions:
        """For the interview. Raises UsageError."""
        return InterviewOptions(rounds=self.rounds, context=self.context, language=self.language.strip() or None)


def state_of(view: InterviewState, job: Job | None) -> str:
    """One interview's state in a word: new, waiting, talking, stopped, failed or finished."""
    if job is not None and job.active:
        return "waiting" if job.state == "waiting" else "talking"
    if job is not None and job.state in ("stopped", "failed") and view.state in ("new", "running"):
        return job.state
    return {"complete": "finished", "running": "talking"}.get(view.state, view.state)


def progress_of(view: InterviewState, rounds: int) -> str:
    """How far an interview is: "question 3 of 8", "3 answers"; "" before the first question."""
    if view.state == "running" and (view.turns or view.asked):
        if view.doing == "summarising":
            return DOING["summarising"]
        own = sum(turn.asked_by == "person" for turn in view.turns) + (view.asked_by == "person")
        return f"question {min(len(view.turns) + 1, rounds + own)} of {rounds + own}"
    return count(len(view.turns), "answer") if view.turns else ""


@dataclass(eq=False)
class InterviewItem:
    """A picture on the page, and the interview about it with a job of its own."""

    info: PictureInfo
    held: Held | None
    steered: LiveInterview | None = None
    job: Job | None = None
    removed: bool = False
    before: LiveInterview | None = None
    """The interview that the present one replaces, there again where that is stopped before it began."""

    @property
    def key(self) -> str:
        """Begins the names of the widgets that belong to it."""
        return self.info.sha256[:12]

    @property
    def view(self) -> InterviewState:
        """How its interview stands."""
        return self.steered.view if self.steered else InterviewState()

    @property
    def active(self) -> bool:
        """Whether a job is at work on it, or will be."""
        return self.job is not None and self.job.active

    @property
    def state(self) -> str:
        """In a word, for the list of pictures; see `state_of`, and removed."""
        return "removed" if self.removed else state_of(self.view, self.job)

    @property
    def progress(self) -> str:
        """In a few words, for the list of pictures: its state, how far it is, how many come before it."""
        state, view = self.state, self.view
        if state == "waiting" and self.job is not None:
            return queue_words(self.job)
        if state == "new":
            return "not started"
        more = "loading" if state == "talking" and view.state != "running" else self._how_far()
        return f"{state}, {more}" if more else state

    def _how_far(self) -> str:
        return progress_of(self.view, self.steered.options.rounds) if self.steered is not None else ""

    @property
    def stem(self) -> str:
        """The beginning of the name of a download."""
        return self.held.stem if self.held else "interview"

    def open(self) -> Picture:
        """Its pixels. Raises UsageError where only the transcript is there."""
        if self.held is None:
            raise UsageError("add the same picture again first; it is not kept with the interview")
        return self.held.open()

    def stop(self) -> None:
        """Stop its interview alone, or take it out of the queue."""
        if self.job is not None and self.job.active:
            self.job.stop()
            if not self.job.active:
                self.steered, self.job = self.before, None


class InterviewPageState:
    """What one visitor has on the page Interview; it outlives a reload."""

    def __init__(self) -> None:
        self.items: dict[str, InterviewItem] = {}
        self.setting = InterviewSettings()
        self.picked: str | None = None
        """The picture that the visitor chose to see; None: the one that is being talked about."""
        self.uploads = 0
        self._shown: str | None = None

    @property
    def item(self) -> InterviewItem | None:
        """The picture to show: the chosen one, else the one that is being talked about, else the newest."""
        if self.picked in self.items:
            self._shown = self.picked
        elif talking := next((id for id, one in self.items.items() if one.state == "talking"), None):
            self._shown = talking
        if self._shown not in self.items:
            self._shown = next(reversed(self.items), None)
        return self.items[self._shown] if self._shown is not None else None

    @property
    def job(self) -> Job | None:
        """A job that works, or else one that waits."""
        jobs = [one.job for one in self.items.values() if one.job is not None and one.job.active]
        return next((job for job in jobs if job.state != "waiting"), jobs[0] if jobs else None)

    def sign(self) -> Hashable:
        """Another value whenever a picture is in another state, or another one is to be shown."""
        shown = self.item
        return shown.key if shown else "", tuple((one.key, one.state) for one in self.items.values())

    def pick(self, id: str | None) -> None:
        """Show that picture from now on; None: follow the interviews."""
        self.picked = id

    def put(self, held: Held) -> None:
        """A new picture; one that is there already keeps its interview. What is being talked about stays in view."""
        if held.id in self.items:
            self.items[held.id].held = held
        else:
            self.items[held.id] = InterviewItem(held.info, held)
        if self.job is None:
            self.picked, self._shown = None, held.id

    def remove(self, item: InterviewItem) -> None:
        """Take a picture away, and stop its interview; the others go on."""
        item.removed = True
        item.stop()
        self.items.pop(item.info.sha256, None)

    def stop(self) -> None:
        """Stop all interviews, those that wait first."""
        for item in reversed(list(self.items.values())):
            item.stop()

    def open_again(self, caption: Caption, held: Held | None, me: Visitor) -> None:
        """A kept interview, to be read and gone on with; without its picture it can only be read. Raises UsageError."""
        prompts = Prompts.load()
        if caption.options.get("prompts", prompts.sha256) != prompts.sha256:
            raise UsageError(
                "this interview was begun with prompts of your own; go on with `inquisight caption --resume`"
            )
        known = {key: caption.options[key] for key in ("rounds", "context", "language") if key in caption.options}
        item = InterviewItem(caption.picture, held)
        names = caption.vision.get("name", ""), caption.questioner.get("name", "")
        item.steered = _steered(me, item, *names, InterviewOptions(**known), caption.seed, caption)
        earlier = self.items.get(item.info.sha256)
        if earlier is not None and earlier.active:
            raise UsageError("this picture is being talked about; wait for the end, or stop it")
        self.items[item.info.sha256] = item
        self.pick(item.info.sha256)


def desk_of(me: Visitor) -> InterviewPageState:
    """The visitor's desk; the page History puts interviews on it with `open_again`."""
    return me.keep("interview", InterviewPageState)


def begin(me: Visitor, items: list[InterviewItem], setting: InterviewSettings) -> None:
    """Interview `items` anew, one after the other, each in a job of its own. Raises UsageError."""
    options = setting.options()
    require(vision=[setting.vision], questioner=[setting.questioner])
    for item in items:
        if not item.active:
            item.before = item.steered
            item.steered = _steered(me, item, setting.vision, setting.questioner, options, setting.seed)
            work = partial(_drive, items, item, item.steered)
            item.job = me.jobs.start("interview", item.info.source, work, queue="interview")


def go_on(me: Visitor, item: InterviewItem) -> None:
    """Take up an interview that has stopped, or see to what was wished; nothing while it is going on. UsageError."""
    if item.steered is not None and not item.active:
        item.job = me.jobs.start("interview", item.info.source, partial(_drive, [item], item, item.steered))


def _steered(
    me: Visitor,
    item: InterviewItem,
    sees: str,
    asks: str,
    options: InterviewOptions,
    seed: int | None,
    earlier: Caption | None = None,
) -> LiveInterview:
    return LiveInterview(
        item.info,
        item.open,
        lambda: eye(sees),
        lambda: questioner(asks, seed),
        options,
        seed=seed,
        save=saver(me),
        earlier=earlier,
    )


def _drive(items: list[InterviewItem], item: InterviewItem, steered: LiveInterview, job: Job) -> None:
    """Hold one interview of several with the same models; an error that the others would meet stops those."""
    if drive(steered, job) is not None:
        for other in items:
            if other is not item:
                other.stop()


def drive(steered: LiveInterview, job: Job) -> InquisightError | None:
    """Let two models talk until they are done or the job is stopped. What fails stands in the interview's own view.

    Returns the error that any other interview with the same model would meet as well.
    """
    failure: InquisightError | None = None
    try:
        for event in steered.run(lambda: job.halted):
            job.doing = DOING.get(steered.view.doing, job.doing)
            if isinstance(event, Failed):
                failure = event.error
    except InquisightError as error:
        failure = error
    return failure if failure is not None and for_all(failure) else None
