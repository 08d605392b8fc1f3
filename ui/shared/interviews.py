"""A visitor's interviews: which pictures lie on the desk, who talks about them, and the job that lets them talk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agents.interview import InterviewOptions
from agents.prompts import Prompts
from agents.steering import Steered, View
from core.errors import InquisightError, UsageError
from core.settings import get_settings
from ui.shared.jobs import Job
from ui.shared.kept import saver
from ui.shared.models import eye, questioner
from ui.shared.words import count

if TYPE_CHECKING:
    from core.images import Picture
    from core.records import Caption, PictureInfo
    from ui.shared.pictures import Held
    from ui.shared.session import Visitor

MOST_ROUNDS: Final = 30
DOING: Final = {
    "looking": "looking at the picture",
    "asking": "thinking of a question",
    "answering": "looking for the answer",
    "summarising": "writing the description",
}


@dataclass
class Setting:
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


@dataclass
class Item:
    """A picture on the desk, and the interview about it."""

    info: PictureInfo
    held: Held | None
    steered: Steered | None = None
    job: Job | None = None

    @property
    def key(self) -> str:
        """Begins the names of the widgets that belong to it."""
        return self.info.sha256[:12]

    @property
    def view(self) -> View:
        """How its interview stands."""
        return self.steered.view if self.steered else View()

    @property
    def active(self) -> bool:
        """Whether a job is at work on it, or will be."""
        return self.job is not None and self.job.active

    @property
    def state(self) -> str:
        """In a word, for the list of pictures."""
        if self.active and self.view.state in ("new", "running"):
            return "talking" if self.view.state == "running" else "waiting"
        return {"complete": "done"}.get(self.view.state, self.view.state)

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
        """Ask for an end."""
        if self.job is not None:
            self.job.stop()


class Desk:
    """What one visitor has on the page Interview; it outlives a reload."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.setting = Setting()
        self.chosen: str | None = None
        self.uploads = 0

    @property
    def item(self) -> Item | None:
        """The chosen picture, the newest where none is chosen."""
        if not self.items:
            return None
        if self.chosen not in self.items:
            self.chosen = next(reversed(self.items))
        return self.items[self.chosen or ""]

    def put(self, held: Held) -> None:
        """A new picture; one that is there already keeps its interview."""
        if held.id in self.items:
            self.items[held.id].held = held
        else:
            self.items[held.id] = Item(held.info, held)
        self.chosen = held.id

    def remove(self, item: Item) -> None:
        """Take a picture away."""
        item.stop()
        self.items.pop(item.info.sha256, None)

    def open_again(self, caption: Caption, held: Held | None, me: Visitor) -> None:
        """A kept interview, to be read and gone on with; without its picture it can only be read. Raises UsageError."""
        prompts = Prompts.load()
        if caption.options.get("prompts", prompts.sha256) != prompts.sha256:
            raise UsageError(
                "this interview was begun with prompts of your own; go on with `inquisight caption --resume`"
            )
        known = {key: caption.options[key] for key in ("rounds", "context", "language") if key in caption.options}
        item = Item(caption.picture, held)
        names = caption.vision.get("name", ""), caption.questioner.get("name", "")
        item.steered = _steered(me, item, *names, InterviewOptions(**known), caption.seed, caption)
        self.items[item.info.sha256] = item
        self.chosen = item.info.sha256


def desk_of(me: Visitor) -> Desk:
    """The visitor's desk; the page History puts interviews on it with `open_again`."""
    return me.keep("interview", Desk)


def begin(me: Visitor, items: list[Item], setting: Setting) -> Job:
    """Interview `items` anew, one after the other. Raises UsageError."""
    options, before = setting.options(), [item.steered for item in items]
    for item in items:
        item.steered = _steered(me, item, setting.vision, setting.questioner, options, setting.seed)
    try:
        return _drive(me, items)
    except InquisightError:
        for item, steered in zip(items, before, strict=True):
            item.steered = steered
        raise


def go_on(me: Visitor, item: Item) -> None:
    """Take up an interview that has stopped, or see to what was wished; nothing while it is going on. UsageError."""
    if item.steered is not None and not item.active:
        _drive(me, [item])


def _steered(
    me: Visitor,
    item: Item,
    sees: str,
    asks: str,
    options: InterviewOptions,
    seed: int | None,
    earlier: Caption | None = None,
) -> Steered:
    return Steered(
        item.info,
        item.open,
        lambda: eye(sees),
        lambda: questioner(asks, seed),
        options,
        seed=seed,
        save=saver(me),
        earlier=earlier,
    )


def _drive(me: Visitor, items: list[Item]) -> Job:
    def work(job: Job) -> None:
        for number, item in enumerate(items):
            job.check()
            job.tell("", number, len(items))
            if item.steered is not None:
                drive(item.steered, job)
        job.tell("", len(items), len(items))

    job = me.jobs.start("interview", count(len(items), "picture"), work)
    for item in items:
        item.job = job
    return job


def drive(steered: Steered, job: Job) -> None:
    """Let two models talk until they are done or the job is stopped. What fails stands in the interview's own view."""
    try:
        for _ in steered.run(lambda: job.halted):
            job.doing = DOING.get(steered.view.doing, job.doing)
    except InquisightError:
        return
