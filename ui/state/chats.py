"""A visitor's conversations about images, with their branches, and the jobs that answer questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from PIL import Image

from agents.chat.conversation import ChatOptions
from agents.chat.presets import Form, Tasks
from agents.chat.tree import ChatTree, TreeState, check_pictures
from core.errors import InquisightError, UsageError
from core.images.picture import Picture
from core.settings import get_settings
from ui.state.items import LiveItem
from ui.state.jobs import Job
from ui.state.model_choice import require
from ui.state.models import models
from ui.state.transcripts import saver

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.records import Chat as ChatRecord
    from core.records import PictureInfo
    from core.vision import EncodedImage
    from ui.state.images import UploadedImage
    from ui.state.session import Visitor

MAX_CHATS: Final = 20  # conversations of one visitor in memory; all are in the store
DOING: Final = {"looking": "encoding the image", "answering": "writing the answer"}


class LazyPicture(Picture):
    """A picture that is decoded on each access and keeps no pixels, to save memory."""

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

    def __reduce__(self) -> tuple[object, ...]:  # for vision models in another process
        return Picture, (self.image, self.sha256, self.source, self.note)


@dataclass
class ChatSettings:
    """The model and options of the next question."""

    vision: str = field(default_factory=lambda: get_settings().vision)
    form: Form | None = None
    greedy: bool = False
    seed: int | None = field(default_factory=lambda: get_settings().seed)

    def options(self) -> ChatOptions:
        """The options of the conversation. Raises UsageError."""
        return ChatOptions(temperature=0.0 if self.greedy else None, seed=self.seed, form=self.form)


@dataclass(eq=False)
class VisitorChat(LiveItem):
    """One conversation, the vision model that answers, and the job of the current question."""

    vision: str
    tree: ChatTree
    job: Job | None = None

    @property
    def view(self) -> TreeState:
        """The state of the conversation."""
        return self.tree.view

    @property
    def key(self) -> str:
        """The start of its widget keys."""
        return f"{id(self.tree):x}"

    @property
    def title(self) -> str:
        """Its first question, for lists."""
        return self.tree.first_question or "New conversation"


class ChatPageState:
    """The state of the page Chat for one visitor; it survives a reload."""

    def __init__(self, me: Visitor) -> None:
        self._me = me
        self.settings = ChatSettings()
        self.tasks = Tasks.load()
        self.all: list[VisitorChat] = []
        self.chosen = 0
        self.begin()

    @property
    def chat(self) -> VisitorChat:
        """The chosen conversation."""
        return self.all[self.chosen]

    @property
    def fresh(self) -> bool:
        """Whether the chosen conversation has no question yet."""
        return not self.chat.tree.view.path and not self.chat.tree.pending

    @property
    def changes_model(self) -> bool:
        """Whether the next question starts another conversation because another vision model is chosen."""
        return not self.fresh and self.settings.vision != self.chat.vision

    @property
    def next_pictures(self) -> tuple[Picture | EncodedImage, ...]:
        """The images that the next question is about."""
        tree = self.chat.tree
        return (tree.waiting or tree.pictures) if self.changes_model else tree.pictures

    def put(self, upload: UploadedImage) -> None:
        """Add an image to the next question."""
        self.chat.tree.add(self.picture(upload.info))

    def remove(self, picture: Picture | EncodedImage) -> None:
        """Remove an image that has no question yet."""
        self.chat.tree.remove(picture.sha256)
        self._free_images()

    def _free_images(self) -> None:
        """Free the images that no conversation contains any more."""
        used = {sha256 for chat in self.all for sha256 in chat.tree.all_pictures}
        for image in self._me.images.all():
            if image.id not in used:
                self._me.images.remove(image.id, "chat")

    def picture(self, info: PictureInfo) -> Picture:
        """An uploaded image; decoding it raises UsageError if the visitor has removed it."""

        def open_it() -> Picture:
            upload = self._me.images.get(info.sha256)
            if upload is None:
                raise UsageError(f"add the image {info.source} again to continue; it is no longer here")
            return upload.open()

        return LazyPicture(info, open_it)

    def begin(self) -> None:
        """Start another conversation about the images without a question, else about the same images."""
        before = self.chat.tree if self.all else None
        tree = ChatTree(self.settings.options(), self.tasks, saver(self._me))
        if before is not None:
            for picture in before.waiting or before.pictures:
                tree.add(picture)
                before.remove(picture.sha256)
            if self.fresh:
                self.all.remove(self.chat)
        self._append(VisitorChat(self.settings.vision, tree))

    def reopen(self, record: ChatRecord) -> None:
        """Add a stored conversation, to read and to continue. Raises UsageError."""
        options = ChatOptions(form=self.settings.form)
        tree = ChatTree.opened(record, self.picture, options, tasks=self.tasks, save=saver(self._me))
        self.settings.vision = record.vision.get("name") or self.settings.vision
        self._append(VisitorChat(self.settings.vision, tree))

    def _append(self, chat: VisitorChat) -> None:
        self.all.append(chat)
        idle = [old for old in self.all[:-1] if not old.active]
        for old in idle[: max(0, len(self.all) - MAX_CHATS)]:
            self.all.remove(old)
        self._free_images()
        self.chosen = len(self.all) - 1

    def ask(self, text: str = "", *, task: str | None = None) -> None:
        """Ask a question; with another vision model chosen, in a new conversation. Raises InquisightError."""
        check_pictures(self.settings.vision, self.next_pictures)
        if self.changes_model:
            self.begin()
        chat = self.chat
        chat.vision = self.settings.vision
        if self.fresh and self.settings.seed is not None:
            chat.tree.seed = self.settings.seed
        self._answer(lambda: chat.tree.ask(text, task=task))

    def regenerate(self, number: int) -> None:
        """Answer the question of a turn again. Raises InquisightError."""
        self._answer(lambda: self.chat.tree.again(number))

    def edit(self, number: int, text: str) -> None:
        """Replace the question of a turn. Raises InquisightError."""
        self._answer(lambda: self.chat.tree.edit(number, text))

    def _answer(self, ask: Callable[[], None]) -> None:
        chat = self.chat
        tree, spec = chat.tree, chat.vision
        if chat.active:
            raise UsageError("a question is being answered; wait for the answer, or stop it")
        require(vision=[spec])
        tree.options = self.settings.options()
        ask()

        def work(job: Job) -> None:
            def stop_requested() -> bool:
                if (growing := tree.view.growing) is not None:
                    job.doing = DOING.get(growing.doing, job.doing)
                return job.stop_requested

            tree.run(lambda: models().vision(spec), stop_requested)

        try:
            chat.job = self._me.jobs.start(chat.title[:60], work)
        except InquisightError:
            tree.forget()
            raise


def page_state(me: Visitor) -> ChatPageState:
    """The visitor's state of the page Chat."""
    return me.keep("chat", lambda: ChatPageState(me))
