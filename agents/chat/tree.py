"""A chat whose earlier questions can be edited or asked again; every branch is kept, and other threads can watch.

    talk = ChatTree()
    talk.add(open_picture("cat.jpg"))
    talk.ask("What is it?")                     # any thread requests
    talk.run(lambda: vision, halted)            # one thread answers
    talk.view                                   # any thread reads: a frozen state
    talk.edit(1, "What colour is it?")          # another branch from turn 1 on; the first one stays
    talk.run(lambda: vision, halted)
    talk.choose(1)                              # back to the first one

`agents.chat.conversation` holds the conversation; this adds the tree of turns and its state. The transcript store keeps
every branch as its own conversation.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from agents.chat.conversation import ChatOptions, Conversation, PastTurn, Question
from agents.chat.events import Asked, ChatAnswered, Event, Notice, Piece, Rewritten, Silenced, drive
from agents.chat.html_answer import Page, find_page
from agents.chat.presets import Tasks
from agents.interview.events import Waiting
from agents.interview.seeds import SEEDS, call_seed
from agents.live import Live
from core.errors import UsageError
from core.records import Chat as ChatRecord
from core.records import ChatTurn

if TYPE_CHECKING:
    from core.images.picture import Picture
    from core.records import PictureInfo
    from core.vision import EncodedImage, VisionBackend

_ATTEMPTS: Final = 64  # that are searched for the one of a saved answer
_WAIT: Final = "an answer is being given; wait for it, or stop it"


@dataclass(frozen=True, slots=True)
class Node:
    """One turn in the tree; `number` identifies it."""

    number: int
    parent: int | None
    past: PastTurn
    created: datetime  # of the stored conversation that it belongs to

    @property
    def turn(self) -> ChatTurn:
        """Question and answer."""
        return self.past.turn


@dataclass(frozen=True, slots=True)
class Growing:
    """An answer that is awaited."""

    question: str
    task: str | None = None
    pictures: tuple[PictureInfo, ...] = ()  # that come with it
    doing: str = ""  # "looking", "answering" or ""
    written: str = ""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TreeState:
    """The state of a conversation."""

    path: tuple[Node, ...] = ()
    """The turns of the chosen branch; while an answer grows, those before it."""
    growing: Growing | None = None
    error: str = ""
    """Why the last question has no answer."""
    unanswered: str = ""
    """The text of that question, to ask it again."""
    saved_as: str | None = None
    save_error: str = ""


@dataclass(frozen=True, slots=True)
class _Request:
    text: str
    task: str | None
    after: int | None
    pictures: tuple[Picture | EncodedImage, ...]
    again: int | None = None  # the node whose question is asked once more


@dataclass(eq=False)
class ChatTree(Live[TreeState]):
    """One conversation with its branches, answered by one thread at a time and controlled by others."""

    options: ChatOptions = field(default_factory=ChatOptions)
    """May change between two questions, except for its seed."""
    tasks: Tasks = field(default_factory=Tasks.load)
    save: Callable[[ChatRecord], str] | None = None
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    conversation: str = field(default_factory=lambda: secrets.token_hex(16))
    """In the record of each branch."""

    busy = _WAIT

    def __post_init__(self) -> None:
        self.seed = self.options.seed if self.options.seed is not None else secrets.randbelow(SEEDS)
        self._nodes: dict[int, Node] = {}
        self._children: dict[int | None, list[int]] = {None: []}
        self._last: dict[int | None, int] = {}  # the branch chosen last, below each turn
        self._waiting: tuple[Picture | EncodedImage, ...] = ()
        self._request: _Request | None = None
        self._base: ChatRecord | None = None
        self._begin(TreeState())

    @classmethod
    def opened(
        cls,
        record: ChatRecord,
        picture: Callable[[PictureInfo], Picture],
        options: ChatOptions | None = None,
        *,
        tasks: Tasks | None = None,
        save: Callable[[ChatRecord], str] | None = None,
    ) -> ChatTree:
        """A saved conversation, to continue. `picture` finds its pictures again. Raises UsageError."""
        if record.kind != "chat":
            raise UsageError("this was answered by an assistant with tools; it can be read, but not continued")
        talk = cls(
            replace(options or ChatOptions(), seed=record.seed),
            tasks or Tasks.load(),
            save,
            record.created,
            record.conversation or secrets.token_hex(16),
        )
        for number, turn in enumerate(record.turns, start=1):
            tokens = turn.options.get("max_new_tokens")
            question = Question(turn.question, turn.task, tokens if isinstance(tokens, int) else 300, turn.task is None)
            seeds = (call_seed(talk.seed, "chat", number, attempt) for attempt in range(_ATTEMPTS))
            drawn = turn.options.get("seed")
            attempt = next((place for place, seed in enumerate(seeds) if seed == drawn), 0)
            pictures = tuple(picture(info) for info in turn.pictures)
            talk._grow(talk._head, PastTurn(question, turn, pictures, attempt), record.created)
        talk._base = record
        talk._set(saved_as=record.id)
        return talk

    # --- reading --------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether an answer is requested or being given."""
        return self._request is not None

    @property
    def waiting(self) -> tuple[Picture | EncodedImage, ...]:
        """The pictures for the next question, without those of a question that is being answered."""
        request = self._request
        taken = {one.sha256 for one in request.pictures} if request and request.after == self._head else set()
        return tuple(one for one in self._waiting if one.sha256 not in taken)

    @property
    def pictures(self) -> tuple[Picture | EncodedImage, ...]:
        """All pictures of the chosen branch and of the next question."""
        return (*(one for node in self._path(self._head) for one in node.past.pictures), *self._waiting)

    @property
    def all_pictures(self) -> frozenset[str]:
        """The sha256 of each picture of any branch and of the next question."""
        used = (one.sha256 for node in self._nodes.values() for one in node.past.pictures)
        return frozenset((*used, *(one.sha256 for one in self._waiting)))

    @property
    def first_question(self) -> str:
        """The first question of the chosen branch; "" if there is none yet."""
        first = self._path(self._head)[:1]
        return first[0].turn.question if first else self._view.growing.question if self._view.growing else ""

    @property
    def record(self) -> ChatRecord | None:
        """The chosen branch as it is saved; None before the first answer."""
        path = self._path(self._head)
        if self._base is None or not path:
            return None
        turns = tuple(node.turn for node in path)
        return self._base.model_copy(update={"turns": turns, "created": path[-1].created})

    def siblings(self, node: Node) -> tuple[Node, ...]:
        """The versions of the turn at the place of `node`, oldest first, itself included."""
        return tuple(self._nodes[number] for number in self._children[node.parent])

    # --- requests, from any thread --------------------------------------------------------------------------------

    def add(self, picture: Picture | EncodedImage) -> None:
        """Add `picture` to the next question, unless it is in the conversation already."""
        with self._lock:
            if all(one.sha256 != picture.sha256 for one in self.pictures):
                self._waiting = (*self._waiting, picture)

    def remove(self, sha256: str) -> None:
        """Remove a picture that has no question yet."""
        with self._lock:
            self._waiting = tuple(one for one in self._waiting if one.sha256 != sha256)

    def ask(self, text: str = "", *, task: str | None = None) -> None:
        """Request an answer to a question after the last turn, or to a task with `text`. Raises UsageError."""
        self._check(text, task)
        if not self.pictures:
            raise UsageError("add a picture first; a conversation is about pictures")
        self._submit(_Request(text.strip(), task, self._head, self._waiting))

    def again(self, number: int) -> None:
        """Request another answer to the question of a turn, with another seed. Raises UsageError."""
        node = self._node(number)
        self._submit(_Request(node.turn.question, node.turn.task, node.parent, node.past.pictures, again=number))

    def edit(self, number: int, text: str) -> None:
        """Request an answer to another question in place of a turn, about the same pictures. Raises UsageError."""
        node = self._node(number)
        self._check(text, None)
        if text.strip() == node.turn.question:
            raise UsageError("this is the same question; change it, or ask it again")
        self._submit(_Request(text.strip(), None, node.parent, node.past.pictures))

    def choose(self, number: int) -> None:
        """Switch to the branch of that turn, at its last position. Raises UsageError."""
        with self._lock:
            self._go_to(self._node(number).number)
            self._set(error="", unanswered="")

    def forget(self) -> None:
        """Withdraw a request that nobody has begun to answer."""
        with self._lock:
            if not self.running:
                self._request = None
                self._set(growing=None)

    # --- answering ------------------------------------------------------------------------------------------------

    def run(self, vision: Callable[[], VisionBackend], halted: Callable[[], bool] = lambda: False) -> None:
        """Answer the pending request, if any. `halted` is checked between events.

        An answer that is halted stays as a stopped turn. Raises InquisightError, and KeyboardInterrupt if it is halted
        before the first word.
        """
        with self._driven():
            if self._request is not None:
                self._answer(self._request, vision(), halted)

    def _ended(self, error: str | None) -> None:
        with self._lock:
            request, self._request = self._request, None
            typed = request is not None and request.again is None and (error is not None or request.task is None)
            unanswered = request.text if request is not None and typed else ""
            self._set(growing=None, error=error or "", unanswered=unanswered)

    def _answer(self, request: _Request, vision: VisionBackend, halted: Callable[[], bool]) -> None:
        created = self._created_after(request.after)
        past = [node.past for node in self._path(request.after)]
        if request.again is not None:
            node = self._nodes[request.again]
            attempts = (one.past.attempt for one in self.siblings(node) if one.turn.question == node.turn.question)
            past.append(replace(node.past, attempt=max(attempts)))
        chat = Conversation(
            vision,
            request.pictures if request.again is None else (),
            replace(self.options, seed=self.seed),
            tasks=self.tasks,
            save=self.save,
            past=past,
            created=created,
            conversation=self.conversation,
        )

        def look(event: Event) -> None:
            self._note(event)
            if isinstance(event, ChatAnswered):
                self._answered(request, chat, created)
            elif halted() and not isinstance(event, Silenced):
                raise KeyboardInterrupt

        events = chat.retry() if request.again is not None else chat.ask(request.text, task=request.task)
        last = drive(events, look)
        if isinstance(last, Silenced):
            raise KeyboardInterrupt

    def _answered(self, request: _Request, chat: Conversation, created: datetime) -> None:
        with self._lock:
            self._grow(request.after, chat.past[-1], created)
            if request.again is None:
                taken = {one.sha256 for one in request.pictures}
                self._waiting = tuple(one for one in self._waiting if one.sha256 not in taken)
            self._base = chat.record
            self._request = None
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
        """A second turn at the same place begins another stored conversation, so that the first is not replaced."""
        if self._children[parent]:
            return datetime.now(UTC)
        return self.created if parent is None else self._nodes[parent].created

    def _grow(self, parent: int | None, past: PastTurn, created: datetime) -> None:
        with self._lock:
            number = len(self._nodes) + 1
            self._nodes[number] = Node(number, parent, past, created)
            self._children[number] = []
            self._children[parent].append(number)
            self._go_to(number)

    def _go_to(self, number: int) -> None:
        for node in self._path(number):
            self._last[node.parent] = node.number

    def _node(self, number: int) -> Node:
        if self.pending:
            raise UsageError(_WAIT)
        if number not in self._nodes:
            raise UsageError(f"there is no turn {number} in this conversation")
        return self._nodes[number]

    def _check(self, text: str, task: str | None) -> None:
        if task is not None:
            self.tasks.get(task)
        elif not text.strip():
            raise UsageError("write a question first")

    def _submit(self, request: _Request) -> None:
        with self._lock:
            if self.pending:
                raise UsageError(_WAIT)
            self._request = request
            infos = tuple(picture.info() for picture in request.pictures)
            self._set(growing=Growing(request.text, request.task, infos), error="", unanswered="")

    def _set(self, **changes: Any) -> None:
        with self._lock:
            end = self._request.after if self._request is not None else self._head
            super()._set(path=self._path(end), **changes)


def page_of(turn: ChatTurn, tasks: Tasks) -> Page | None:
    """The web page in an answer: any HTML if the task was to write some, else a whole page only."""
    requested = turn.task is not None and turn.task in tasks.task and tasks.task[turn.task].writes == "html"
    page = find_page(turn.answer)
    return page if page is not None and (page.whole or requested) else None


def check_pictures(vision: str, pictures: Sequence[object]) -> None:
    """Raise UsageError if the vision model takes fewer pictures in a conversation, as far as is known before loading.

    Raises RegistryError for an unknown name.
    """
    from core.registry import get_registry

    most = get_registry().find("vision backend", vision.partition(":")[0]).capabilities.get("max_images")
    if isinstance(most, int) and len(pictures) > most:
        takes = "one picture" if most == 1 else f"at most {most} pictures"
        raise UsageError(f"a conversation with {vision} can be about {takes}, and there are {len(pictures)}")
