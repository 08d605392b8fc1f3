"""A vision model that many threads call at once: their requests are gathered into batches.

    vision = queued(get_registry().create_vision("pocket"), batch=32)
    vision.ask("photo.jpg", "What is this?")     # from any number of threads

An image is encoded once for as long as it is among the last ones, also if several threads send it at the same moment.
A thread whose halt is set (`core.stopping.halting`) leaves the queue with CalledOff.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from typing import Any, Final, cast

from agents.batch.vision_queue import Row, VisionQueue, VisionResult
from agents.langchain.encode import KnownImages
from core.errors import BackendError
from core.images.picture import Picture
from core.stopping import CalledOff, current_halt
from core.vision import EncodedImage, Reply, VisionBackend, VisualQuestion

LONG: Final = 100  # max_new_tokens of answers that wait in the row of long ones
_LOOK: Final = 0.5  # seconds between two checks of a thread's halt
_CAPABILITIES: Final = (
    "follows_instructions",
    "streams",
    "max_images",
    "scores",
    "reports_tokens",
    "interleaves",
    "languages",
)

Seen = Callable[[str, int], None]
"""Receives ("encode" or "answer", number of requests) of each batch."""


class _Sender:
    """One request: its result, and where the pieces of a streamed answer go."""

    def __init__(self, pieces: queue.SimpleQueue[Any] | None = None) -> None:
        self.result: Future[Any] = Future()
        self.pieces = pieces

    def receive(self, result: VisionResult) -> None:
        if not self.result.set_running_or_notify_cancel():
            return  # whoever sent it has left
        if result.error is not None:
            self.result.set_exception(result.error)
        else:
            self.result.set_result(result.result)
        if self.pieces is not None:
            self.pieces.put(None)


class _Queue(VisionQueue):
    """Streams an answer that is alone in its batch, and counts batches."""

    def __init__(self, vision: VisionBackend, seen: Seen, **options: Any) -> None:
        self.seen = seen
        super().__init__(vision, lambda sender, result: sender.receive(result), final=False, **options)

    def _results(self, row: Row, what: list[Any]) -> Sequence[Any]:
        if row != "call":
            self.seen("encode" if row == "encode" else "answer", len(what))
        return super()._results(row, what)

    def _serve(self, row: Row, some: list[Any]) -> None:
        sender = some[0].sender
        if len(some) > 1 or sender.pieces is None:
            super()._serve(row, some)
            return
        try:
            self.seen("answer", 1)
            for piece in self.vision.pieces(some[0].what):
                if sender.result.cancelled():
                    return
                if isinstance(piece, Reply):
                    sender.receive(VisionResult(piece))
                    return
                sender.pieces.put(piece)
            raise BackendError(f"{self.vision.name} ended its answer without a reply.")
        except BaseException as error:  # noqa: BLE001 - passed on to the sender
            sender.receive(VisionResult(None, error))


class QueuedVision(VisionBackend):
    """`inner`, called by any number of threads. Make one with `queued`."""

    inner: VisionBackend

    def __init__(self, inner: VisionBackend, *, batch: int, images: int, seen: Seen) -> None:
        self.inner = inner
        self.known = KnownImages(images)
        workers = inner.concurrent_batches
        self._queue = _Queue(inner, seen, batch=batch, workers=workers)
        self._encoding: dict[str, _Sender] = {}
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)  # such as count_tokens

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def revision(self) -> str:
        return self.inner.revision

    def describe(self) -> dict[str, str]:
        return self.inner.describe()

    @property
    def waiting(self) -> int:
        """Number of requests that no batch has taken yet."""
        return self._queue.waiting

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        found: dict[str, EncodedImage] = {}
        senders: dict[str, _Sender] = {}
        for picture in pictures:
            name = picture.sha256
            with self._lock:
                if (image := self.known.get(self.revision, name)) is not None:
                    found[name] = image
                    continue
                sender = self._encoding.get(name)
                if sender is None:
                    sender = self._encoding[name] = _Sender()
                    sender.result.add_done_callback(lambda _, name=name: self._encoded(name))  # type: ignore[misc]
                    self._queue.encode(sender, picture)
            senders[name] = sender
        self._wait(list(senders.values()), withdraw=False)  # others may wait for the same picture
        for name, sender in senders.items():
            found[name] = sender.result.result()
        return [found[picture.sha256] for picture in pictures]

    def _encoded(self, name: str) -> None:
        with self._lock:
            sender = self._encoding.pop(name)
            if sender.result.exception() is None:
                self.known.add(self.revision, name, sender.result.result())

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [reply.text for reply in self.replies(questions)]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        senders = [_Sender() for _ in questions]
        for sender, question in zip(senders, questions, strict=True):
            self._queue.ask(sender, question, _row(question))
        self._wait(senders)
        return [sender.result.result() for sender in senders]

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        return (piece for piece in self.pieces(question) if isinstance(piece, str))

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        """In pieces if the request is alone, otherwise in one, since a batch answers as a whole."""
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        sender = _Sender(pieces)
        self._queue.ask(sender, question, _row(question))
        streamed = False
        try:
            while True:
                try:
                    piece = pieces.get(timeout=_LOOK)
                except queue.Empty:
                    _check_halt()
                    continue
                if piece is None:
                    break
                streamed = True
                yield piece
            reply = sender.result.result()
            if not streamed and reply.text:
                yield reply.text
            yield reply
        finally:
            sender.result.cancel()
            self._queue.withdraw(sender)

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        sender = _Sender()
        self._queue.call(sender, lambda: self.inner.score(questions, choices))
        self._wait([sender])
        return cast("list[tuple[float, ...]]", sender.result.result())

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        return self.inner.together(images)

    def close(self) -> None:
        self._queue.close()
        self.inner.close()

    def _wait(self, senders: Sequence[_Sender], *, withdraw: bool = True) -> None:
        futures = [sender.result for sender in senders]
        while wait(futures, timeout=_LOOK).not_done:
            try:
                _check_halt()
            except CalledOff:
                for sender in senders if withdraw else ():
                    self._queue.withdraw(sender)
                raise


def queued(inner: VisionBackend, *, batch: int = 32, images: int = 64, seen: Seen = lambda what, count: None) -> Any:
    """`inner` behind a queue, with its capabilities. `images` encoded ones are kept."""
    own = {name: getattr(inner, name) for name in _CAPABILITIES}
    return type("QueuedVision", (QueuedVision,), own)(inner, batch=batch, images=images, seen=seen)


def _check_halt() -> None:
    if (halt := current_halt()) is not None and halt.is_set():
        raise CalledOff


def _row(question: VisualQuestion) -> Row:
    """The row of requests that take about as long: a batch takes as long as its longest answer."""
    if question.question is None:
        return "plain"
    return "opening" if question.options.max_new_tokens > LONG else "asked"
