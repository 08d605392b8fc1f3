"""Requests of running interviews to the vision model, gathered into full batches and served in threads.

Encoding, plain captions, opening answers, short answers and audits wait in separate rows, because a batch takes as long
as its longest answer. A free worker takes a full batch of the row that is furthest on in an interview, so the
questioner stays busy and interviews do not all reach it together. If no row is full, it takes the longest row without
waiting.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from agents.audit.auditor import THRESHOLD
from agents.llm.calls import ends_all
from core.errors import BackendError
from core.images.picture import Picture
from core.stopping import CalledOff, Halt, halting
from core.vision import Reply, VisionBackend, VisualQuestion

if TYPE_CHECKING:
    from agents.audit.auditor import PictureClaims

Row = Literal["encode", "plain", "opening", "asked", "audit", "call"]
ROWS: Final[tuple[Row, ...]] = get_args(Row)  # in the order of an interview; "call", which has no place in it, last
INTERVIEW_ROWS: Final = len(ROWS) - 1
Receive = Callable[[Any, "VisionResult"], None]
PIXELS: Final = 64_000_000  # of the decoded pictures in one batch: 192 MB


@dataclass(frozen=True, slots=True)
class VisionResult:
    """Result of one request: an encoded picture, a reply, judged claims, what a call returned, or an error.

    `seconds`: its share of those of the batch.
    """

    result: Any = None
    error: BaseException | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class _Request:
    sender: Any  # returned with the result
    what: Any  # a Picture, a VisualQuestion, PictureClaims or a callable


class VisionQueue:
    """Takes requests from any thread; a worker thread calls `receive(sender, VisionResult)` for each.

    Once `halt` is set no batch begins, and no further request of a batch on a server. An error that every request would
    meet sets it if it is `final`; otherwise such an error only fails the requests of its batch.
    """

    def __init__(
        self,
        vision: VisionBackend,
        receive: Receive,
        *,
        batch: int = 32,
        workers: int = 1,
        halt: Halt | None = None,
        threshold: float = THRESHOLD,
        final: bool = True,
    ) -> None:
        """`threshold`: of audits."""
        self._final = final
        self.vision, self.batch, self.threshold = vision, batch, threshold
        self._receive = receive
        self._halt = halt or Halt()
        self._over = Halt(self._halt)
        self._rows: dict[Row, deque[_Request]] = {row: deque() for row in ROWS}
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, daemon=True, name=f"vision-{number}") for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def encode(self, sender: Any, picture: Picture) -> None:
        """Encode a picture."""
        self._add("encode", _Request(sender, picture))

    def ask(self, sender: Any, question: VisualQuestion, row: Row) -> None:
        """Answer a question."""
        self._add(row, _Request(sender, question))

    def audit(self, sender: Any, claims: PictureClaims) -> None:
        """Judge the claims of a caption."""
        self._add("audit", _Request(sender, claims))

    def call(self, sender: Any, work: Callable[[], Any]) -> None:
        """Call `work`, which uses the model in another way, in a worker."""
        self._add("call", _Request(sender, work))

    def withdraw(self, sender: Any) -> None:
        """Forget the waiting requests of a sender; those under way are finished."""
        with self._changed:
            for row, waiting in self._rows.items():
                self._rows[row] = deque(request for request in waiting if request.sender is not sender)

    @property
    def waiting(self) -> int:
        """Number of requests that no batch has taken yet."""
        with self._changed:
            return sum(map(len, self._rows.values()))

    def close(self, seconds: float = 10.0) -> None:
        """End the work; wait that long for a batch under way."""
        self._over.set()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(seconds)

    def _add(self, row: Row, request: _Request) -> None:
        with self._changed:
            self._rows[row].append(request)
            self._changed.notify()

    def _work(self) -> None:
        with self.vision.batch_worker(len(self._threads)), halting(self._over):
            while (taken := self._take()) is not None:
                self._serve(*taken)

    def _take(self) -> tuple[Row, list[_Request]] | None:
        with self._changed:
            while not self._closed:
                full = [row for row in reversed(ROWS) if len(self._rows[row]) >= self.batch]
                row = full[0] if full else max(ROWS, key=lambda name: len(self._rows[name]))
                waiting = self._rows[row]
                if waiting:
                    return row, self._first(row, waiting)
                self._changed.wait()
        return None

    def _first(self, row: Row, waiting: deque[_Request]) -> list[_Request]:
        """At most a batch; fewer if the pictures are large."""
        some: list[_Request] = []
        pixels = 0
        while waiting and len(some) < self.batch:
            if row == "encode":
                pixels += waiting[0].what.width * waiting[0].what.height
                if some and pixels > PIXELS:
                    break
            some.append(waiting.popleft())
        return some

    def _serve(self, row: Row, some: list[_Request]) -> None:
        what = [request.what for request in some]
        start = time.perf_counter()
        try:
            if self._over.is_set():
                raise CalledOff
            results = self._results(row, what)
            if len(results) != len(some):
                raise BackendError(f"{self.vision.name} gave {len(results)} results for {len(some)} requests.")
        except BaseException as error:  # noqa: BLE001 - passed on to the senders
            self._serve_apart(row, some, error)
            return
        share = (time.perf_counter() - start) / len(some)
        for request, result in zip(some, results, strict=True):
            self._receive(request.sender, VisionResult(result, None, share))

    def _results(self, row: Row, what: list[Any]) -> Sequence[Any]:
        if row == "call":
            return [work() for work in what]
        if row == "audit":
            from agents.audit.auditor import audit_claims

            return audit_claims(self.vision, what, threshold=self.threshold)
        return self.vision.encode(what) if row == "encode" else self.vision.replies(what)

    def _serve_apart(self, row: Row, some: list[_Request], error: BaseException) -> None:
        """Keep what was answered and serve the rest in halves, so one bad request fails alone."""
        if self._final and ends_all(error):
            self._halt.set(error)  # before another thread begins anything
        answers = _answered(error) if row not in ("encode", "audit", "call") else []
        if len(answers) != len(some):
            answers = [None] * len(some)
        for request, answer in zip(some, answers, strict=True):
            if answer is not None:
                self._receive(request.sender, VisionResult(answer))
        left = [request for request, answer in zip(some, answers, strict=True) if answer is None]
        if len(some) == 1 or not isinstance(error, Exception) or ends_all(error):
            for request in left:
                self._receive(request.sender, VisionResult(None, error))
            return
        if "out of memory" in f"{type(error).__name__} {error}".lower().replace("outofmemory", "out of memory"):
            self.batch = max(1, len(some) // 2)
        if len(left) < len(some):
            for request in left:
                self._serve(row, [request])
            return
        middle = len(some) // 2
        self._serve(row, some[:middle])
        self._serve(row, some[middle:])


def _answered(error: BaseException) -> list[Reply | None]:
    """The replies that a backend's error carries: its `replies`, or the texts of its `answers`."""
    replies = getattr(error, "replies", None)
    if isinstance(replies, list):
        return replies
    texts = getattr(error, "answers", None)
    return [None if text is None else Reply(text) for text in texts] if isinstance(texts, list) else []
