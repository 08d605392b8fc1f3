"""Models are loaded once, for all visitors, and serve them in the order in which they come.

`eye(spec)` and `questioner(spec)` give what the drivers of `agents` take. An eye's calls from many visitors stand in
one line: those that wait next to each other are answered together, in one batch, and a job that waits knows how many
are before it (`Job.place`). Every call queues anew, so a visitor with fifty questions does not keep the others out.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import streamlit as st

from core.console.silence import hush_libraries
from core.errors import UsageError, printable
from core.images.picture import Picture
from core.registry import get_registry
from core.settings import get_settings
from core.vision import EncodedImage, Reply, VisionBackend, VisualQuestion
from ui.state.jobs import Halted, current_job
from ui.state.model_choice import check_choice
from ui.state.options import get_options

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

TOGETHER: Final = 16  # questions that are answered in one batch
REMEMBERED: Final = 48  # encoded pictures that an eye keeps
_LOOK: Final = 0.25  # seconds after which somebody who waits looks whether they are to stop
_QUESTIONERS: Final = 64

Kind = Literal["encode", "answer", "alone"]


@dataclass(eq=False, slots=True)
class _Ticket:
    kind: Kind
    what: Sequence[Any]
    done: bool = False
    result: list[Any] = field(default_factory=list)
    error: BaseException | None = None


class Line:
    """First come, first served; neighbours with the same wish are served together.

    Whoever stands in front does the work for the group behind them, so the line needs no thread of its own.
    """

    def __init__(self, *, together: int = TOGETHER) -> None:
        self.together = together
        self._condition = threading.Condition()
        self._waiting: deque[_Ticket] = deque()
        self._busy = 0  # how many are being served

    @property
    def length(self) -> int:
        """How many wait or are being served."""
        with self._condition:
            return len(self._waiting) + self._busy

    def serve(self, kind: Kind, what: Sequence[Any], work: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """`work(what)`, perhaps together with what others want. Raises what `work` raises, and Halted."""
        ticket = _Ticket(kind, what)
        with self._condition:
            self._waiting.append(ticket)
        group = self._wait(ticket)
        if group is None:
            return self._result(ticket)
        try:
            self._work(group, work)
        finally:
            self._leave()
        return self._result(ticket)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for one's turn and have the model to oneself. Raises Halted."""
        ticket = _Ticket("alone", ())
        with self._condition:
            self._waiting.append(ticket)
        self._wait(ticket)
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def if_idle(self) -> Iterator[bool]:
        """Have the model to oneself where nobody waits for it or uses it; True then."""
        with self._condition:
            idle = not self._busy and not self._waiting
            self._busy = 1 if idle else self._busy
        try:
            yield idle
        finally:
            if idle:
                self._leave()

    def _leave(self) -> None:
        with self._condition:
            self._busy = 0
            self._condition.notify_all()

    def _wait(self, ticket: _Ticket) -> list[_Ticket] | None:
        """Those to be served now, oneself first; None where somebody else did it."""
        job = current_job()
        with self._condition:
            try:
                while not ticket.done and (self._busy or self._waiting[0] is not ticket):
                    if job is not None:
                        job.place = self._before(ticket)
                        if job.halted and ticket in self._waiting:
                            raise Halted
                    self._condition.wait(_LOOK)
            except BaseException:
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
                self._condition.notify_all()
                raise
            finally:
                if job is not None:
                    job.place = 0
            if ticket.done:
                return None
            group = self._group()
            self._busy = len(group)
            return group

    def _before(self, ticket: _Ticket) -> int:
        if ticket not in self._waiting:
            return 0  # being served
        return self._busy + self._waiting.index(ticket)

    def _group(self) -> list[_Ticket]:
        group = [self._waiting.popleft()]
        if group[0].kind == "alone":
            return group
        room = self.together - len(group[0].what)
        while self._waiting and self._waiting[0].kind == group[0].kind and len(self._waiting[0].what) <= room:
            room -= len(self._waiting[0].what)
            group.append(self._waiting.popleft())
        return group

    def _work(self, group: list[_Ticket], work: Callable[[list[Any]], list[Any]]) -> None:
        try:
            everything = work([one for ticket in group for one in ticket.what])
            if len(everything) != sum(len(ticket.what) for ticket in group):
                raise RuntimeError("the model gave another number of answers than it was asked questions")
            for ticket in group:
                ticket.result, everything = everything[: len(ticket.what)], everything[len(ticket.what) :]
        except BaseException as error:  # noqa: BLE001 - it belongs to those who asked, one of whom is us
            if len(group) == 1 or not isinstance(error, Exception):
                for ticket in group:
                    ticket.error = error
            else:  # one bad question is no fault of the others
                for ticket in group:
                    self._work([ticket], work)
                return
        with self._condition:
            for ticket in group:
                ticket.done = True
            self._condition.notify_all()

    def _result(self, ticket: _Ticket) -> list[Any]:
        if ticket.error is not None:
            raise ticket.error
        return ticket.result


class SharedEye(VisionBackend):
    """One eye for all visitors. It may be unloaded while nobody uses it, and is loaded again when somebody does."""

    def __init__(self, spec: str, room: Models) -> None:
        self.spec = spec
        self.line = Line()
        self.used = time.monotonic()
        self._room = room
        self._inner: VisionBackend | None = None
        self._known: OrderedDict[str, EncodedImage] = OrderedDict()
        self._lock = threading.Lock()
        self._name, self._revision, self._description = spec, "", {"name": spec}

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        return self._revision

    @property
    def loaded(self) -> bool:
        """Whether it is in memory now."""
        return self._inner is not None

    def load(self) -> SharedEye:
        """Load it if need be; several visitors wait for one loading. Raises InquisightError."""
        if self._inner is None:
            with self.line.alone():
                self._there()
        return self

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        with self._lock:
            known = {one.sha256: self._known.get(one.sha256) for one in pictures}
        new = list({one.sha256: one for one in pictures if known[one.sha256] is None}.values())
        made = self.line.serve("encode", new, lambda batch: self._there().encode(batch)) if new else []
        with self._lock:
            for one in made:
                self._known[one.sha256] = known[one.sha256] = one
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return [cast(EncodedImage, known[one.sha256]) for one in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [reply.text for reply in self.replies(questions)]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        if not questions:
            return []
        return self.line.serve("answer", questions, lambda batch: self._there().replies(batch))

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from (piece for piece in self.pieces(question) if isinstance(piece, str))

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        job = current_job()
        with self.line.alone():
            pieces = self._there().pieces(question)
            try:
                for piece in pieces:
                    yield piece
                    if job is not None:
                        job.check()
            finally:
                close: Callable[[], None] | None = getattr(pieces, "close", None)
                if close is not None:
                    close()

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        with self.line.alone():
            return self._there().together(images)

    def describe(self) -> dict[str, str]:
        return dict(self._description)

    def unload_if_idle(self) -> bool:
        """Free its memory unless it is in use; encoded pictures stay, since the revision stays."""
        with self.line.if_idle() as idle:
            if idle and self._inner is not None:
                self._inner.close()
                self._inner = None
                return True
        return False

    def close(self) -> None:
        """Nothing: it belongs to everybody."""

    def _there(self) -> VisionBackend:
        """The loaded eye. Only whoever is being served calls it."""
        self.used = time.monotonic()
        if self._inner is None:
            job = current_job()
            if job is not None:
                job.tell(f"loading {printable(self.spec, 80)}")
            self._room.make_room(self)
            hush_libraries()
            self._adopt(get_registry().create_vision(self.spec))
        assert self._inner is not None
        return self._inner

    def _adopt(self, inner: VisionBackend) -> None:
        if inner.revision != self._revision:
            self._known.clear()
        self._inner, self._name, self._revision = inner, inner.name, inner.revision
        self._description = inner.describe()
        for ability in ("follows_instructions", "streams", "max_images", "interleaves", "languages"):
            setattr(self, ability, getattr(inner, ability))


class _OneAtATime:
    """A questioner that computes in this process, behind a lock: its generation state is not made for two at once."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def invoke(self, *arguments: Any, **more: Any) -> Any:
        with self._lock:
            return self._model.invoke(*arguments, **more)

    def stream(self, *arguments: Any, **more: Any) -> Iterator[Any]:
        with self._lock:
            yield from self._model.stream(*arguments, **more)


class Models:
    """Everything that is loaded on this server."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._eyes: dict[str, SharedEye] = {}
        self._questioners: OrderedDict[tuple[str, int | None], BaseChatModel] = OrderedDict()
        self._asking = threading.Lock()

    def eye(self, spec: str) -> SharedEye:
        """The eye of that name, loaded. Raises InquisightError."""
        check_choice("eye", spec)
        with self._lock:
            one = self._eyes.get(spec)
            if one is None:
                one = self._eyes[spec] = SharedEye(spec, self)
        try:
            return one.load()
        except BaseException:
            with self._lock:
                if not one.revision and not one.line.length:  # it never worked: a name typed by mistake is not kept
                    self._eyes.pop(spec, None)
            raise

    def questioner(self, spec: str, seed: int | None = None) -> BaseChatModel:
        """The questioner of that name. Raises InquisightError."""
        check_choice("questioner", spec)
        with self._asking:
            found = self._questioners.get((spec, seed))
            if found is None:
                from agents.llm.questioners import load_questioner

                hush_libraries()
                found = load_questioner(spec, get_settings(), seed=seed)
                if spec.startswith("huggingface:"):
                    found = cast("BaseChatModel", _OneAtATime(found))
                self._questioners[spec, seed] = found
                while len(self._questioners) > _QUESTIONERS:
                    self._questioners.popitem(last=False)
            return found

    def make_room(self, for_whom: SharedEye) -> None:
        """Unload the eyes that were not used for longest until one more may be loaded. Raises UsageError."""
        with self._lock:
            loaded = sorted(
                (one for one in self._eyes.values() if one.loaded and one is not for_whom), key=lambda one: one.used
            )
        while len(loaded) >= self.most:
            if not any(one.unload_if_idle() for one in loaded):
                raise UsageError(
                    f"{len(loaded)} other models are loaded and at work, which is the most here; try again in a while"
                )
            loaded = [one for one in loaded if one.loaded]

    def loaded(self) -> dict[str, SharedEye]:
        """The eyes in memory, by name."""
        with self._lock:
            return {spec: one for spec, one in self._eyes.items() if one.loaded}


@st.cache_resource(show_spinner=False)
def models() -> Models:
    """Those of this server."""
    return Models(get_options().models)


def eye(spec: str) -> SharedEye:
    """The eye of that name, loaded once for all visitors. Raises InquisightError."""
    return models().eye(spec)


def questioner(spec: str, seed: int | None = None) -> BaseChatModel:
    """The questioner of that name, made once for all visitors. Raises InquisightError."""
    return models().questioner(spec, seed)
