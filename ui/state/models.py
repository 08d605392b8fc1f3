"""Models are loaded once for all visitors and serve requests in order of arrival.

`models().vision(spec)` and `models().questioner(spec)` return what the drivers in `agents` take. Requests to a vision
model wait in one queue: neighbouring ones are answered in one batch, and a waiting job knows how many requests are
ahead (`Job.place`). Every request queues separately, so a visitor with fifty questions does not block the others.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import streamlit as st

from core.console.silence import hush_libraries
from core.errors import UsageError, printable
from core.images.picture import Picture
from core.registry import get_registry
from core.scoring import check_choices
from core.settings import get_settings
from core.vision import EncodedImage, Reply, VisionBackend, VisualQuestion
from ui.state.jobs import current_job
from ui.state.model_choice import check_choice
from ui.state.options import get_options

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

BATCH: Final = 16  # questions answered together
MAX_ENCODED: Final = 48  # encoded images that a vision model keeps
MAX_QUESTIONERS: Final = 64
_POLL: Final = 0.25  # seconds between two checks of a waiting job for Stop

Kind = Literal["encode", "answer", "score", "exclusive"]


@dataclass(eq=False, slots=True)
class _Request:
    kind: Kind
    items: Sequence[Any]
    results: Future[list[Any]] = field(default_factory=Future)


class RequestQueue:
    """First come, first served; neighbouring requests of one kind are served in one batch.

    The thread of the first request does the work for its batch, so the queue needs no thread.
    """

    def __init__(self, *, batch: int = BATCH) -> None:
        self.batch = batch
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._busy = 0  # requests being served

    @property
    def length(self) -> int:
        """Number of requests that wait or are being served."""
        return len(self._waiting) + self._busy

    def serve(self, kind: Kind, items: Sequence[Any], work: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """`work(items)`, perhaps in one batch with others. Raises what `work` raises, and KeyboardInterrupt on Stop."""
        request = _Request(kind, items)
        if group := self._wait(request):
            try:
                self._work(group, work)
            finally:
                self._release()
        return request.results.result()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Wait for one's turn and use the model alone. Raises KeyboardInterrupt on Stop."""
        self._wait(_Request("exclusive", ()))
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def if_idle(self) -> Iterator[bool]:
        """Use the model alone if no request waits or runs; yields whether that is so."""
        with self._changed:
            idle = not self.length
            self._busy = 1 if idle else self._busy
        try:
            yield idle
        finally:
            if idle:
                self._release()

    def _release(self) -> None:
        with self._changed:
            self._busy = 0
            self._changed.notify_all()

    def _wait(self, request: _Request) -> list[_Request]:
        """The batch to serve, this request first; empty if another thread has served it."""
        job = current_job()
        with self._changed:
            self._waiting.append(request)
            try:
                while not request.results.done() and (self._busy or self._waiting[0] is not request):
                    if job is not None and request in self._waiting:
                        job.place = self._busy + self._waiting.index(request)
                        job.check()
                    self._changed.wait(_POLL)
            except BaseException:
                if request in self._waiting:
                    self._waiting.remove(request)
                self._changed.notify_all()
                raise
            finally:
                if job is not None:
                    job.place = 0
            group = [] if request.results.done() else self._next_batch()
            self._busy = self._busy or len(group)
            return group

    def _next_batch(self) -> list[_Request]:
        group = [self._waiting.popleft()]
        free = self.batch - len(group[0].items)
        while self._waiting and self._waiting[0].kind == group[0].kind != "exclusive":
            free -= len(self._waiting[0].items)
            if free < 0:
                break
            group.append(self._waiting.popleft())
        return group

    def _work(self, group: list[_Request], work: Callable[[list[Any]], list[Any]]) -> None:
        items = [item for request in group for item in request.items]
        try:
            results = work(items)
            if len(results) != len(items):
                raise RuntimeError(f"the model gave {len(results)} results for {len(items)} requests")
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of each request
            if len(group) > 1 and isinstance(error, Exception):  # one bad request must not fail the others
                for request in group:
                    self._work([request], work)
            else:
                for request in group:
                    request.results.set_exception(error)
            return
        rest = iter(results)
        for request in group:
            request.results.set_result(list(islice(rest, len(request.items))))


class SharedVisionModel(VisionBackend):
    """One vision model for all visitors; it may be unloaded while idle, and the next request loads it again."""

    def __init__(self, spec: str, models: Models) -> None:
        self.spec = spec
        self.queue = RequestQueue()
        self.used = time.monotonic()
        self._models = models
        self._inner: VisionBackend | None = None
        self._encoded: OrderedDict[str, EncodedImage] = OrderedDict()
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
        """Whether it is in memory."""
        return self._inner is not None

    def load(self) -> SharedVisionModel:
        """Load it unless it is loaded; concurrent calls load it once. Raises InquisightError."""
        if self._inner is None:
            with self.queue.exclusive():
                self._loaded()
        return self

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        with self._lock:
            known = {one.sha256: self._encoded.get(one.sha256) for one in pictures}
        new = list({one.sha256: one for one in pictures if known[one.sha256] is None}.values())
        made = self.queue.serve("encode", new, lambda batch: self._loaded().encode(batch)) if new else []
        with self._lock:
            for one in made:
                self._encoded[one.sha256] = known[one.sha256] = one
            while len(self._encoded) > MAX_ENCODED:
                self._encoded.popitem(last=False)
        return [cast(EncodedImage, known[one.sha256]) for one in pictures]

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        return [reply.text for reply in self.replies(questions)]

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        if not questions:
            return []
        return self.queue.serve("answer", questions, lambda batch: self._loaded().replies(batch))

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        check_choices(questions, choices)
        asked = list(zip(questions, choices, strict=True))
        return self.queue.serve("score", asked, self._scores) if asked else []

    def _scores(self, asked: Sequence[tuple[VisualQuestion, Sequence[str]]]) -> list[tuple[float, ...]]:
        return self._loaded().score([question for question, _ in asked], [choices for _, choices in asked])

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from (piece for piece in self.pieces(question) if isinstance(piece, str))

    def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
        job = current_job()
        with self.queue.exclusive():
            pieces = self._loaded().pieces(question)
            try:
                for piece in pieces:
                    yield piece
                    if job is not None:
                        job.check()
            finally:
                if (close := getattr(pieces, "close", None)) is not None:
                    close()

    def together(self, images: Sequence[EncodedImage]) -> EncodedImage:
        with self.queue.exclusive():
            return self._loaded().together(images)

    def describe(self) -> dict[str, str]:
        return dict(self._description)

    def unload_if_idle(self) -> bool:
        """Free its memory unless it is in use. Encoded images stay valid, since the revision stays."""
        with self.queue.if_idle() as idle:
            if idle and self._inner is not None:
                self._inner.close()
                self._inner = None
                return True
        return False

    def close(self) -> None:
        """Do nothing: other visitors use it."""

    def _loaded(self) -> VisionBackend:
        """The loaded model; only for the thread that is being served."""
        self.used = time.monotonic()
        if self._inner is None:
            if (job := current_job()) is not None:
                job.doing = f"loading {printable(self.spec, 80)}"
            self._models.unload_others(self)
            hush_libraries()
            inner = get_registry().create_vision(self.spec)
            if inner.revision != self._revision:
                self._encoded.clear()
            self._inner, self._name, self._revision = inner, inner.name, inner.revision
            self._description = inner.describe()
            for capability in ("follows_instructions", "streams", "max_images", "interleaves", "languages", "scores"):
                setattr(self, capability, getattr(inner, capability))
        return self._inner


class _OneAtATime:
    """A language model in this process behind a lock: its generation state does not allow two calls at once."""

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
    """All models of this server, at most `most` vision models in memory."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._visions: dict[str, SharedVisionModel] = {}
        self._questioners: OrderedDict[tuple[str, int | None], BaseChatModel] = OrderedDict()
        self._loading = threading.Lock()

    def vision(self, spec: str) -> SharedVisionModel:
        """The vision model of that name, loaded. Raises InquisightError."""
        check_choice("vision", spec)
        with self._lock:
            model = self._visions.setdefault(spec, SharedVisionModel(spec, self))
        try:
            return model.load()
        except BaseException:
            with self._lock:
                if not model.revision and not model.queue.length:  # never loaded, such as a mistyped name
                    self._visions.pop(spec, None)
            raise

    def questioner(self, spec: str, seed: int | None = None) -> BaseChatModel:
        """The language model of that name. Raises InquisightError."""
        check_choice("questioner", spec)
        with self._loading:
            model = self._questioners.get((spec, seed))
            if model is None:
                from agents.llm.questioners import load_questioner

                hush_libraries()
                model = load_questioner(spec, get_settings(), seed=seed)
                if spec.startswith("huggingface:"):
                    model = cast("BaseChatModel", _OneAtATime(model))
                self._questioners[spec, seed] = model
                while len(self._questioners) > MAX_QUESTIONERS:
                    self._questioners.popitem(last=False)
            return model

    def forget(self, spec: str) -> None:
        """Make a model anew at its next use, since its key has changed; one in use is kept until it is idle."""
        with self._loading:
            for name, seed in [key for key in self._questioners if key[0] == spec]:
                del self._questioners[name, seed]
        with self._lock:
            model = self._visions.get(spec)
        if model is not None and (not model.loaded or model.unload_if_idle()):
            with self._lock:
                self._visions.pop(spec, None)

    def unload_others(self, new: SharedVisionModel) -> None:
        """Unload the least recently used vision models until `new` may be loaded. Raises UsageError."""
        others = sorted((one for one in self.loaded().values() if one is not new), key=lambda one: one.used)
        while len(others) >= self.most:
            if not any(one.unload_if_idle() for one in others):
                raise UsageError(
                    f"{len(others)} other models are loaded and in use, which is the maximum; try again in a while"
                )
            others = [one for one in others if one.loaded]

    def loaded(self) -> dict[str, SharedVisionModel]:
        """The vision models in memory, by name."""
        with self._lock:
            return {spec: one for spec, one in self._visions.items() if one.loaded}


@st.cache_resource(show_spinner=False)
def models() -> Models:
    """The models of this server."""
    return Models(get_options().models)
