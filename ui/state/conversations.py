"""A visitor's conversations about pictures, their branches, and the job that has a question answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from PIL import Image

from agents.chat.conversation import ChatOptions
from agents.chat.presets import Form, Tasks
from agents.chat.tree import ChatTree, check_pictures
from core.errors import InquisightError, UsageError
from core.images.picture import Picture
from core.settings import get_settings
from ui.state.jobs import Job
from ui.state.model_choice import require
from ui.state.models import eye
from ui.state.transcripts import saver

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.records import Chat as ChatRecord
    from core.records import PictureInfo
    from ui.state.pictures import Held
    from ui.state.session import Visitor

MOST: Final = 20  # conversations of one visitor that are at hand; all are in the store
DOING: Final = {"looking": "looking at the picture", "answering": "thinking"}


class LaterPicture(Picture):
    """A picture whose pixels are decoded when an eye looks at them, and not kept: large ones would fill the memory."""

    __slots__ = ("_info", "_open")
    _info: PictureInfo
    _open: Callable[[], Picture]

    def __init__(self, info: PictureInfo, open_it: Callable[[], Picture]) -> None:
        values = {"_info": info, "_open": open_it, "sha256": info.sha256, "source": info.source, "note": info.note}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def image(self) -> Image.Image:
        return self._open().image

    @property
    def width(self) -> int:
        return self._info.width

    @property
    def height(self) -> int:
        return self._info.height

    def __reduce__(self) -> tuple[object, ...]:  # for eyes in a process of their own
        return Picture, (self.image, self.sha256, self.source, self.note)


@dataclass
class ChatSettings:
    """Who answers, and how."""

    vision: str = field(default_factory=lambda: get_settings().vision)
    form: Form | None = None
    likeliest: bool = False
    """Always the likeliest word, without chance."""
    seed: int | None = field(default_factory=lambda: get_settings().seed)

    def options(self) -> ChatOptions:
        """For the conversation. Raises UsageError."""
        return ChatOptions(temperature=0.0 if self.likeliest else None, seed=self.seed, form=self.form)


@dataclass(eq=False)
class VisitorChat:
    """One of them, and the eye it is held with."""

    vision: str
    talk: ChatTree
    job: Job | None = None

    @property
    def active(self) -> bool:
        """Whether an answer is being given."""
        return self.job is not None and self.job.active

    @property
    def key(self) -> str:
        """Begins the names of the widgets that belong to it."""
        return f"{id(self.talk):x}"

    @property
    def title(self) -> str:
        """For a list."""
        return self.talk.first_question or "nothing asked yet"


class ChatPageState:
    """What one visitor has on the page Chat; it outlives a reload."""

    def __init__(self, me: Visitor) -> None:
        self._me = me
        self.setting = ChatSettings()
        self.uploads = 0
        self.tasks = Tasks.load()
        self.all: list[VisitorChat] = []
        self.chosen = 0
        self._wishes: list[Callable[[], None]] = []
        self.begin()

    @property
    def here(self) -> VisitorChat:
        """The chosen conversation."""
        return self.all[self.chosen]

    @property
    def fresh(self) -> bool:
        """Whether nothing was asked in it yet."""
        return not self.here.talk.view.path and not self.here.talk.busy

    def wish(self, act: Callable[..., None], *args: object, **more: object) -> None:
        """For `on_click`: to be done once the page has read its settings; kept until then, whatever comes between."""
        self._wishes.append(lambda: act(*args, **more))

    def wishes(self) -> list[Callable[[], None]]:
        """What is to be done; it is the caller's now."""
        found, self._wishes = self._wishes, []
        return found

    def put(self, held: Held) -> None:
        """A picture that comes up with the next question; the shelf keeps it."""
        self.here.talk.add(self.picture(held.info))

    def take_away(self, picture: Picture) -> None:
        """Take back a picture that has no question yet."""
        self.here.talk.remove(picture.sha256)
        self._let_go()

    def _let_go(self) -> None:
        """Free the pictures that no conversation has any more."""
        needed = {sha256 for one in self.all for sha256 in one.talk.all_pictures}
        for held in self._me.shelf.all():
            if held.id not in needed:
                self._me.shelf.remove(held.id, "chat")

    def picture(self, info: PictureInfo) -> Picture:
        """A picture of the visitor's shelf; looking at it raises UsageError where it is not there any more."""

        def open_it() -> Picture:
            held = self._me.shelf.get(info.sha256)
            if held is None:
                raise UsageError(f"add the picture {info.source} again to go on; it is not here any more")
            return held.open()

        return LaterPicture(info, open_it)

    def begin(self) -> None:
        """Another conversation: about the pictures that have no question yet, else about the same ones."""
        before = self.here.talk if self.all else None
        talk = ChatTree(self.setting.options(), self.tasks, saver(self._me))
        for picture in (before.waiting or before.pictures) if before is not None else ():
            talk.add(picture)
            if before is not None:
                before.remove(picture.sha256)
        if before is not None and self.fresh:
            self.all.remove(self.here)
        self._append(VisitorChat(self.setting.vision, talk))

    def open_again(self, record: ChatRecord) -> None:
        """A kept conversation, to be read and gone on with. Raises UsageError."""
        options = ChatOptions(form=self.setting.form)
        talk = ChatTree.opened(record, self.picture, options, tasks=self.tasks, save=saver(self._me))
        vision = record.vision.get("name") or self.setting.vision
        self._append(VisitorChat(vision, talk))
        self.setting.vision = vision

    def _append(self, one: VisitorChat) -> None:
        self.all.append(one)
        idle = [old for old in self.all[:-1] if not old.active]
        for old in idle[: max(0, len(self.all) - MOST)]:
            self.all.remove(old)
        self._let_go()
        self.chosen = len(self.all) - 1

    # --- questions ------------------------------------------------------------------------------------------------

    def ask(self, text: str = "", *, task: str | None = None) -> None:
        """Have a question answered; with another eye chosen, in a conversation of its own. Raises InquisightError."""
        pictures = self.here.talk.waiting if self.elsewhere and self.here.talk.waiting else self.here.talk.pictures
        check_pictures(self.setting.vision, pictures)
        if self.elsewhere:
            self.begin()
        one = self.here
        one.vision = self.setting.vision
        if self.fresh and self.setting.seed is not None:
            one.talk.seed = self.setting.seed
        self._drive(one, lambda: one.talk.ask(text, task=task))

    def again(self, number: int) -> None:
        """The question of a turn once more. Raises InquisightError."""
        one = self.here
        self._drive(one, lambda: one.talk.again(number))

    def edit(self, number: int, text: str) -> None:
        """Another question in the place of a turn. Raises InquisightError."""
        one = self.here
        self._drive(one, lambda: one.talk.edit(number, text))

    @property
    def elsewhere(self) -> bool:
        """Whether the next question begins another conversation, because another eye is chosen."""
        return not self.fresh and self.setting.vision != self.here.vision

    def _drive(self, one: VisitorChat, wish: Callable[[], None]) -> None:
        talk, spec = one.talk, one.vision
        if one.active:
            raise UsageError("an answer is being given; wait for it, or stop it")
        require(vision=[spec])
        talk.options = self.setting.options()
        wish()

        def halted() -> bool:
            growing = talk.view.growing
            if growing is not None and one.job is not None:
                one.job.doing = DOING.get(growing.doing, one.job.doing)
            return one.job is not None and one.job.halted

        def work(job: Job) -> None:
            one.job = job
            talk.run(lambda: eye(spec), halted)

        try:
            one.job = self._me.jobs.start("chat", one.title[:60], work)
        except InquisightError:
            talk.forget()
            raise


def desk_of(me: Visitor) -> ChatPageState:
    """The visitor's desk; the page History puts conversations on it with `open_again`."""
    return me.keep("chat", lambda: ChatPageState(me))
