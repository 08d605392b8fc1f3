"""A chat whose earlier questions can be asked otherwise or again, with every branch kept; watched from other threads.

    talk = BranchedChat()
    talk.add(open_picture("cat.jpg"))
    talk.ask("What is it?")                     # any thread wishes
    talk.run(lambda: vision, halted)            # one thread has it answered
    talk.view                                   # any thread looks: a frozen picture of how it stands
    talk.edit(1, "What colour is it?")          # another branch from turn 1 on; the first one stays
    talk.run(lambda: vision, halted)
    talk.choose(1)                              # back to the first one

The conversation itself is `agents.chatting`; this adds the tree of turns and a view. In the transcript store every
branch that was begun is a conversation of its own.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from agents.chat_events import Answered, Asked, Event, Notice, Piece, Rewritten, Silenced, Waiting, drive
from agents.chatting import Chat, ChatOptions, Question, Spoken
from agents.seeds import SEEDS, call_seed
from agents.tasks import Tasks
from agents.webpage import Page, find_page
from core.entries import one_line
from core.errors import InquisightError, UsageError
from core.records import Chat as ChatRecord
from core.records import ChatTurn

if TYPE_CHECKING:
    from core.images import Picture
    from core.records import PictureInfo
    from core.vision import EncodedImage, VisionBackend

_ATTEMPTS: Final = 64  # that are looked through to find which one a kept answer was


@dataclass(frozen=True, slots=True)
class Node:
    """One turn in the tree; `number` names it."""

    number: int
    parent: int | None
    spoken: Spoken
    created: datetime  # of the conversation that it belongs to in the store

    @property
    def turn(self) -> ChatTurn:
        """What was said."""
        return self.spoken.turn


@dataclass(frozen=True, slots=True)
class Growing:
    """An answer that is waited for."""

    question: str
    task: str | None = None
    pictures: tuple[PictureInfo, ...] = ()  # that come up with it
    doing: str = ""  # "looking", "answering" or ""
    written: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """How a conversation stands."""

    path: tuple[Node, ...] = ()
    """The turns of the chosen branch; while an answer grows, those before it."""
    growing: Growing | None = None
    error: str = ""
    """Why the last question has no answer."""
    unanswered: str = ""
    """The words of that question, to be put again."""
    saved_as: str | None = None
    save_error: str = ""


@dataclass(frozen=True, slots=True)
class _Wish:
    text: str
    task: str | None
    after: int | None
    pictures: tuple[Picture | EncodedImage, ...]
    again: int | None = None  # the node whose question is asked once more


@dataclass(eq=False)
class BranchedChat:
    """One conversation with its branches, answered by one thread at a time and steered by others."""

    options: ChatOptions = field(default_factory=ChatOptions)
    """May be changed between two questions, except for its seed."""
    tasks: Tasks = field(default_factory=Tasks.load)
    save: Callable[[ChatRecord], str] | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.seed = self.options.seed if self.options.seed is not None else secrets.randbelow(SEEDS)
        self._nodes: dict[int, Node] = {}
        self._children: dict[int | None, list[int]] = {None: []}
        self._last: dict[int | None, int] = {}  # the branch that was looked at last, below each turn
        self._waiting: tuple[Picture | EncodedImage, ...] = ()
        self._wish: _Wish | None = None
        self._base: ChatRecord | None = None
        self._lock = threading.RLock()
        self._driving = threading.Lock()
        self._view = View()

    @classmethod
    def opened(
        cls,
        record: ChatRecord,
        picture: Callable[[PictureInfo], Picture],
        options: ChatOptions | None = None,
        *,
        tasks: Tasks | None = None,
        save: Callable[[ChatRecord], str] | None = None,
    ) -> BranchedChat:
        """A kept conversation, to go on with. `picture` finds its pictures again. Raises UsageError."""
        if record.kind != "chat":
            raise UsageError("this was answered by an assistant with tools; it can be read, but not gone on with")
        given = replace(options or ChatOptions(), seed=record.seed)
        talk = cls(given, tasks or Tasks.load(), save, record.created)
        for number, turn in enumerate(record.turns, start=1):
            tokens = turn.options.get("max_new_tokens")
            question = Question(turn.question, turn.task, tokens if isinstance(tokens, int) else 300, turn.task is None)
            attempt = _attempt(talk.seed, number, turn.options.get("seed"))
            pictures = tuple(picture(info) for info in turn.pictures)
            talk._grow(talk._head, Spoken(question, turn, pictures, attempt), record.created)
        talk._base = record
        talk._set(saved_as=record.id)
        return talk

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """How it stands now."""
        return self._view

    @property
    def busy(self) -> bool:
        """Whether an answer is wished for or being given."""
        return self._wish is not None

    @property
    def waiting(self) -> tuple[Picture | EncodedImage, ...]:
        """The pictures that come up with the next question; those of a question that is being answered are no more."""
        wish = self._wish
        taken = {one.sha256 for one in wish.pictures} if wish is not None and wish.after == self._head else set()
        return tuple(one for one in self._waiting if one.sha256 not in taken)

    @property
    def pictures(self) -> tuple[Picture | EncodedImage, ...]:
        """All pictures of the chosen branch and of the next question."""
        return (*(one for node in self._path(self._head) for one in node.spoken.pictures), *self._waiting)

    @property
    def all_pictures(self) -> frozenset[str]:
        """The sha256 of each picture of any branch and of the next question."""
        used = (one.sha256 for node in self._nodes.values() for one in node.spoken.pictures)
        return frozenset((*used, *(one.sha256 for one in self._waiting)))

    @property
    def first_question(self) -> str:
        """What it is about; "" before the first question."""
        first = self._path(self._head)[:1]
        return first[0].turn.question if first else self._view.growing.question if self._view.growing else ""

    @property
    def record(self) -> ChatRecord | None:
        """The chosen branch as it is kept; None before the first answer."""
        path = self._path(self._head)
        if self._base is None or not path:
            return None
        turns = tuple(node.turn for node in path)
        return self._base.model_copy(update={"turns": turns, "created": path[-1].created})

    def siblings(self, node: Node) -> tuple[Node, ...]:
        """The turns that were tried at the place of `node`, oldest first, itself included."""
        return tuple(self._nodes[number] for number in self._children[node.parent])

    # --- wishes, from any thread ----------------------------------------------------------------------------------

    def add(self, picture: Picture | EncodedImage) -> None:
        """`picture` comes up with the next question; one that is in the conversation already is not added again."""
        with self._lock:
            if all(one.sha256 != picture.sha256 for one in self.pictures):
                self._waiting = (*self._waiting, picture)

    def remove(self, sha256: str) -> None:
        """Take back a picture that has no question yet."""
        with self._lock:
            self._waiting = tuple(one for one in self._waiting if one.sha256 != sha256)

    def ask(self, text: str = "", *, task: str | None = None) -> None:
        """A question after the last turn, or a task with `text` after its prompt. Raises UsageError."""
        self._check(text, task)
        if not self.pictures:
            raise UsageError("add a picture first; a conversation is about pictures")
        self._wished(_Wish(text.strip(), task, self._head, self._waiting))

    def again(self, number: int) -> None:
        """The question of a turn once more, with another seed. Raises UsageError."""
        node = self._node(number)
        self._wished(_Wish(node.turn.question, node.turn.task, node.parent, node.spoken.pictures, again=number))

    def edit(self, number: int, text: str) -> None:
        """Another question in the place of a turn, about the same pictures. Raises UsageError."""
        node = self._node(number)
        self._check(text, None)
        if text.strip() == node.turn.question:
            raise UsageError("this is the question that stands there already; change it, or ask it again")
        self._wished(_Wish(text.strip(), None, node.parent, node.spoken.pictures))

    def choose(self, number: int) -> None:
        """Go over to the branch of that turn, to where it was left. Raises UsageError."""
        with self._lock:
            self._go_to(self._node(number).number)
            self._set(error="", unanswered="")

    def forget(self) -> None:
        """Take back the wish that nothing has been done about."""
        with self._lock:
            if not self._driving.locked():
                self._wish = None
                self._set(growing=None)

    # --- answering ------------------------------------------------------------------------------------------------

    def run(self, vision: Callable[[], VisionBackend], halted: Callable[[], bool] = lambda: False) -> None:
        """Have the wished question answered; nothing where there is none. `halted` is asked between events.

        What had been said when it was halted stays, as a stopped turn. Raises InquisightError, KeyboardInterrupt where
        it was halted before the first word.
        """
        if not self._driving.acquire(blocking=False):
            raise UsageError("an answer is being given already; wait for it, or stop it")
        wish = self._wish
        try:
            if wish is not None:
                self._answer(wish, vision(), halted)
        except KeyboardInterrupt:
            self._set(unanswered=wish.text if wish is not None and wish.again is None and wish.task is None else "")
            raise
        except Exception as error:
            said = str(error) if isinstance(error, InquisightError) else one_line(error)
            self._set(error=said, unanswered=wish.text if wish is not None and wish.again is None else "")
            raise
        finally:
            with self._lock:
                self._wish = None
                self._driving.release()
                self._set(growing=None)

    def _answer(self, wish: _Wish, vision: VisionBackend, halted: Callable[[], bool]) -> None:
        created = self._created_after(wish.after)
        before = [node.spoken for node in self._path(wish.after)]
        again = self._nodes[wish.again] if wish.again is not None else None
        if again is not None:
            tried = [one.spoken for one in self.siblings(again) if one.turn.question == again.turn.question]
            before.append(replace(again.spoken, attempt=max(one.attempt for one in tried)))
        chat = Chat(
            vision,
            wish.pictures if again is None else (),
            replace(self.options, seed=self.seed),
            tasks=self.tasks,
            save=self.save,
            spoken=before,
            created=created,
        )

        def look(event: Event) -> None:
            self._note(event)
            if isinstance(event, Answered):
                self._answered(wish, chat, created)
            elif halted() and not isinstance(event, Silenced):
                raise KeyboardInterrupt

        events = chat.retry() if again is not None else chat.ask(wish.text, task=wish.task)
        last = drive(events, look)
        if isinstance(last, Silenced):
            raise KeyboardInterrupt

    def _answered(self, wish: _Wish, chat: Chat, created: datetime) -> None:
        with self._lock:
            self._grow(wish.after, chat.spoken[-1], created)
            if wish.again is None:
                taken = {one.sha256 for one in wish.pictures}
                self._waiting = tuple(one for one in self._waiting if one.sha256 not in taken)
            self._base = chat.record
            self._wish = None
            self._set(growing=None, saved_as=chat.saved_as, save_error=str(chat.save_error or ""))

    def _note(self, event: Event) -> None:
        growing = self._view.growing
        if growing is None:
            return
        match event:
            case Asked():
                self._set(growing=replace(growing, question=event.prompt, task=event.task))
            case Waiting():
                self._set(growing=replace(growing, doing=event.doing))
            case Piece():
                self._set(growing=replace(growing, written=growing.written + event.text))
            case Rewritten():
                self._set(growing=replace(growing, written=event.text))
            case Notice():
                self._set(growing=replace(growing, notices=(*growing.notices, event.text)))

    # --- the tree -------------------------------------------------------------------------------------------------

    @property
    def _head(self) -> int | None:
        """The last turn of the chosen branch."""
        here: int | None = None
        while self._children[here]:
            here = self._last.get(here, self._children[here][-1])
        return here

    def _path(self, number: int | None) -> tuple[Node, ...]:
        path: list[Node] = []
        while number is not None:
            path.append(self._nodes[number])
            number = path[-1].parent
        return tuple(reversed(path))

    def _created_after(self, parent: int | None) -> datetime:
        """A second turn in the same place begins a conversation of its own, so that the first is not replaced."""
        if self._children[parent]:
            return datetime.now(UTC)
        return self.created if parent is None else self._nodes[parent].created

    def _grow(self, parent: int | None, spoken: Spoken, created: datetime) -> None:
        with self._lock:
            number = len(self._nodes) + 1
            self._nodes[number] = Node(number, parent, spoken, created)
            self._children[number] = []
            self._children[parent].append(number)
            self._go_to(number)

    def _go_to(self, number: int) -> None:
        for node in self._path(number):
            self._last[node.parent] = node.number

    def _node(self, number: int) -> Node:
        if self.busy:
            raise UsageError("an answer is being given; wait for it, or stop it")
        if number not in self._nodes:
            raise UsageError(f"there is no turn {number} in this conversation")
        return self._nodes[number]

    def _check(self, text: str, task: str | None) -> None:
        if task is not None:
            self.tasks.get(task)
        elif not text.strip():
            raise UsageError("write a question first")

    def _wished(self, wish: _Wish) -> None:
        with self._lock:
            if self.busy:
                raise UsageError("an answer is being given; wait for it, or stop it")
            self._wish = wish
            infos = tuple(picture.info() for picture in wish.pictures)
            self._set(growing=Growing(wish.text, wish.task, infos), error="", unanswered="")

    def _set(self, **changes: object) -> None:
        with self._lock:
            until = self._wish.after if self._wish is not None else self._head
            self._view = replace(self._view, path=self._path(until), **changes)  # type: ignore[arg-type]


def page_of(turn: ChatTurn, tasks: Tasks) -> Page | None:
    """The web page in an answer: any HTML where the task was to write some, else a whole page only."""
    wanted = turn.task is not None and turn.task in tasks.task and tasks.task[turn.task].writes == "html"
    page = find_page(turn.answer)
    return page if page is not None and (page.whole or wanted) else None


def most_pictures(vision: str) -> int | None:
    """How many pictures the eye of that name takes in one conversation; None where it does not say before it is loaded.

    Raises RegistryError for an unknown name.
    """
    from core.registry import get_registry

    most = get_registry().find("vision backend", vision.partition(":")[0]).capabilities.get("max_images")
    return most if isinstance(most, int) else None


def check_pictures(vision: str, pictures: Sequence[object]) -> None:
    """Raise UsageError where the eye of that name takes fewer."""
    most = most_pictures(vision)
    if most is not None and len(pictures) > most:
        takes = "one picture" if most == 1 else f"at most {most} pictures"
        raise UsageError(f"a conversation with {vision} can be about {takes}, and there are {len(pictures)}")


def _attempt(seed: int, number: int, drawn: object) -> int:
    """Which attempt a kept answer was: the one whose seed it was drawn with."""
    return next((one for one in range(_ATTEMPTS) if call_seed(seed, "chat", number, one) == drawn), 0)
