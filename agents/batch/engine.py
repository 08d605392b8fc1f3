"""Engines that caption the pictures of a batch: `local` in this process, `agents.batch.ray` on a cluster.

An engine takes an `EngineConfig` and yields a result for each of its items, in any order. The caller saves each result
before it asks for the next, so `EngineConfig.knows` is True for the bytes of each `Captioned` picture.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agents.batch.budget import Budget
from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, Ready, interview_many
from agents.interview.calls import Described, check_language
from agents.interview.protocol import InterviewOptions
from agents.llm.calls import metered
from agents.llm.usage import Meter
from agents.styles.owner import joined_context
from core.datasets.pictures.sources import Item
from core.errors import BackendError, ImageError, RegistryError, printable
from core.images.picture import Picture
from core.net.remote import Pace
from core.records import Caption
from core.registry import get_registry
from core.settings import Settings
from core.stopping import Halt

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.batch.cluster import Cluster
    from core.vision import VisionBackend

AHEAD: Final = 8  # pictures that are read before there is room for them
WAITING: Final = 10_000  # pictures that wait for the caption of a duplicate


@dataclass(frozen=True, slots=True)
class Captioned:
    """A finished caption."""

    item: Item
    caption: Caption


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A picture whose bytes have a caption already."""

    item: Item
    sha256: str


@dataclass(frozen=True, slots=True)
class CaptionFailed:
    """A picture without caption: `where` is "picture", "vision", "questioner" or "audit"."""

    item: Item
    where: str
    reason: str
    caption: Caption | None = None  # what was learned

    def of_duplicate(self, item: Item) -> CaptionFailed:
        """The failure of a picture with the same bytes."""
        return CaptionFailed(item, self.where, f"the same picture as {printable(self.item.key)}: {self.reason}")


Result = Captioned | Duplicate | CaptionFailed


@dataclass(frozen=True, slots=True)
class ModelLoader:
    """Loads both models by name; can be sent to another process. Raises InquisightError."""

    vision: str
    questioner: str
    seed: int | None
    options: InterviewOptions
    settings: Settings

    def __call__(self) -> tuple[VisionBackend, BaseChatModel]:
        questioner = self.load_questioner()  # first: it is quick, and its name is more often wrong
        return get_registry().create_vision(self.vision), questioner

    def load_questioner(self) -> BaseChatModel:
        from agents.llm.questioners import load_questioner

        # The pipeline limits the rate itself, for questioners of plugins too.
        settings = self.settings.model_copy(update={"requests_per_second": None})
        questioner = load_questioner(self.questioner, settings, seed=self.seed)
        check_language(self.options, questioner)
        return questioner


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Input of an engine."""

    items: Callable[[], Iterator[Item | None]]  # in order, read by one thread; None: no further one at the moment
    open: Callable[[Item], Picture]  # raises ImageError; called by any thread
    models: Callable[[], tuple[VisionBackend, BaseChatModel]]  # loads them
    config: PipelineConfig
    context: Callable[[Item], str] = lambda item: ""  # what the owner tells of a picture, besides the options' context
    rate: float | None = None  # questioner calls per second
    pace: Pace | None = None  # replaces `rate` if workers share a limit
    # Whether these bytes have a caption or another worker captions them; called by any thread.
    knows: Callable[[Item, str], bool] = lambda item, sha256: False
    earlier: Callable[[str], Caption | None] = lambda key: None  # an unfinished caption of an earlier run
    meter: Meter = field(default_factory=Meter)
    stop: threading.Event = field(default_factory=threading.Event)  # begin no further picture
    halt: Halt | None = None  # set by an error that ends the work: no call begins any more
    remote: RemoteConfig | None = None  # for engines that load the models elsewhere


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """Further input of an engine that does not load the models in this process."""

    cluster: Cluster
    count: int  # of `items`
    load: ModelLoader
    described: Callable[[Described, Described], None]  # gets the models' descriptions; raises UsageError if they differ
    known: Callable[[], Iterator[bytes]]  # sha256 of all captioned pictures
    say: Callable[[str], None]  # prints a notice
    busy: Callable[[str], None]  # shows what is awaited; "" when it is over


Engine = Callable[[EngineConfig], Generator[Result, None, None]]


def local(work: EngineConfig) -> Generator[Result, None, None]:
    """Run in this process: one vision model, many concurrent questioner calls."""
    vision, questioner = work.models()
    metered(questioner, work.meter, rate=work.rate, pace=work.pace)
    duplicates = _Duplicates()
    outcomes = interview_many(_tasks(work, duplicates), vision, questioner, work.config, stop=work.stop, halt=work.halt)
    try:
        for outcome in outcomes:
            if isinstance(outcome, Ready):
                yield outcome.tag
                continue
            first = result_of(outcome)
            yield first
            if not shares(outcome.caption, work.config.options.context):
                continue
            sha256 = outcome.caption.picture.sha256
            for item in duplicates.done(sha256):
                yield first.of_duplicate(item) if isinstance(first, CaptionFailed) else Duplicate(item, sha256)
    finally:
        duplicates.close()
        outcomes.close()


def result_of(outcome: Outcome) -> Captioned | CaptionFailed:
    """The result of an outcome whose tag is an Item."""
    if outcome.error is None:
        return Captioned(outcome.tag, outcome.caption)
    where = "vision" if isinstance(outcome.error, BackendError | RegistryError) else "questioner"
    if outcome.caption.unaudited:
        where = "audit"
    return CaptionFailed(outcome.tag, where, str(outcome.error), outcome.caption)


def shares(caption: Caption, context: str) -> bool:
    """Whether a caption is also that of pictures with the same bytes: nothing was told of this one alone."""
    return bool(caption.options.get("context", "") == context)


def _tasks(work: EngineConfig, duplicates: _Duplicates) -> Iterator[InterviewTask | Ready]:
    """A task for every picture that needs an interview, and the results of the others."""
    for item, found in _opened(work):
        if isinstance(found, ImageError):
            reason = str(found).removeprefix(f"'{printable(item.key)}' ").rstrip(".")
            yield Ready(CaptionFailed(item, "picture", reason))
            continue
        try:
            context = joined_context([work.config.options.context, work.context(item)])
        except ImageError as error:
            yield Ready(CaptionFailed(item, "picture", str(error).rstrip(".")))
            continue
        alone = context != work.config.options.context  # what is told of it is not told of its duplicates
        if not alone and duplicates.waits(item, found.sha256):
            continue
        elif not alone and work.knows(item, found.sha256):
            for one in (item, *duplicates.done(found.sha256)):
                yield Ready(Duplicate(one, found.sha256))
        elif work.stop.is_set():
            return
        else:
            earlier = work.earlier(item.key)
            if earlier is not None and earlier.picture.sha256 != found.sha256:
                earlier = None
            yield InterviewTask(item, found, earlier, context)


def _opened(work: EngineConfig) -> Iterator[tuple[Item, Picture | ImageError]]:
    """The pictures in order, read and decoded ahead by a few threads."""

    def read(item: Item) -> tuple[Item, Picture | ImageError]:
        try:
            return item, work.open(item)
        except ImageError as error:
            return item, error

    ahead: deque[Future[tuple[Item, Picture | ImageError]]] = deque()
    readers = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="reader")
    try:
        for item in work.items():
            if item is not None:
                ahead.append(readers.submit(read, item))
            if len(ahead) >= AHEAD or (item is None and ahead):
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        readers.shutdown(wait=False, cancel_futures=True)


class _Duplicates:
    """Pictures with the same bytes as one under way; they wait for its caption."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Item]] = {}
        self._budget = Budget(WAITING)
        self.close = self._budget.close

    def waits(self, item: Item, sha256: str) -> bool:
        """Whether `item` waits for another picture. If not, later ones wait for it."""
        with self._lock:
            first = self._waiting.get(sha256)
            if first is None:
                self._waiting[sha256] = []
                return False
            first.append(item)
        self._budget.take()
        return True

    def done(self, sha256: str) -> list[Item]:
        """Remove and return the pictures that waited for this one."""
        with self._lock:
            items = self._waiting.pop(sha256, [])
        self._budget.give_back(len(items))
        return items
