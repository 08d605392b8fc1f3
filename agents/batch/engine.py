"""How a batch is worked on. `local` does it on this machine; `agents.batch.engines` names all.

An engine takes a `EngineConfig` and yields a result for each of its items, in any order. It may read pictures and hold
interviews wherever it likes: a worker elsewhere calls `local` too, with its own models and its share of the pictures.
Whoever runs the engine writes each result down before asking for the next, so once a `Captioned` has been
yielded `work.knows` says yes to that picture's bytes.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agents.batch.budget import Budget
from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, Ready, interview_many
from agents.llm.calls import metered
from agents.llm.usage import Meter
from core.datasets.pictures.sources import Item
from core.errors import BackendError, ImageError, RegistryError, printable
from core.images.picture import Picture
from core.net.remote import Pace
from core.records import Caption
from core.stopping import Halt

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agents.batch.cluster import Cluster
    from core.vision import VisionBackend

AHEAD: Final = 8  # pictures that are read before there is room for them
WAITING: Final = 10_000  # pictures that wait for another one with the same bytes to be captioned


@dataclass(frozen=True, slots=True)
class Captioned:
    """A finished caption."""

    item: Item
    caption: Caption


@dataclass(frozen=True, slots=True)
class Repeated:
    """The bytes of a picture whose caption is kept."""

    item: Item
    sha256: str


@dataclass(frozen=True, slots=True)
class GaveUp:
    """A picture that could not be captioned: `where` is "picture", "eye" or "questioner"."""

    item: Item
    where: str
    reason: str
    caption: Caption | None = None  # what had been learned


Result = Captioned | Repeated | GaveUp


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What an engine gets."""

    items: Callable[[], Iterator[Item | None]]  # to be captioned, in order, by one thread; None: no other one just now
    open: Callable[[Item], Picture]  # raises ImageError; from any thread
    models: Callable[[], tuple[VisionBackend, BaseChatModel]]  # loaded when first asked for
    config: PipelineConfig
    rate: float | None = None  # calls of the questioner per second
    pace: Pace | None = None  # in place of a rate, where others share it
    knows: Callable[[Item, str], bool] = lambda item, sha256: False  # whether it needs no caption of its own, since
    #                                          that of these bytes is kept (or somebody else's task); from any thread
    earlier: Callable[[str], Caption | None] = lambda key: None  # what an earlier run had learned of a picture
    meter: Meter = field(default_factory=Meter)
    stop: threading.Event = field(default_factory=threading.Event)  # begin no further picture
    halt: Halt | None = None  # set by an error that ends the work: no call begins then; None: one of the engine's
    away: Away | None = None  # for engines that work elsewhere


Described = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Away:
    """What an engine needs besides where the models are not loaded in this process."""

    cluster: Cluster
    count: int  # of `items`
    load: Callable[[], tuple[VisionBackend, BaseChatModel]]  # like `open`, it can be sent to another process
    described: Callable[[Described, Described], None]  # to be told what models say of themselves before their results
    #                                                    count; raises UsageError where the batch has others
    known: Callable[[], Iterator[bytes]]  # sha256 of the pictures whose captions are kept
    say: Callable[[str], None]  # what a person should know
    busy: Callable[[str], None]  # what is being waited for; "" when it is over


Engine = Callable[[EngineConfig], Generator[Result, None, None]]


def local(work: EngineConfig) -> Generator[Result, None, None]:
    """On this machine, in this process: one eye, many calls of the questioner at once."""
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
            for item in duplicates.done(outcome.caption.picture.sha256):
                if isinstance(first, GaveUp):
                    yield GaveUp(item, first.where, f"the same picture as {printable(first.item.key)}: {first.reason}")
                else:
                    yield Repeated(item, outcome.caption.picture.sha256)
    finally:
        duplicates.close()
        outcomes.close()


def result_of(outcome: Outcome) -> Captioned | GaveUp:
    """An outcome whose tag is an Item, as a result."""
    if outcome.error is None:
        return Captioned(outcome.tag, outcome.caption)
    where = "eye" if isinstance(outcome.error, BackendError | RegistryError) else "questioner"
    return GaveUp(outcome.tag, where, str(outcome.error), outcome.caption)


def _tasks(work: EngineConfig, duplicates: _Duplicates) -> Iterator[InterviewTask | Ready]:
    """Every picture that needs an interview, and what is known at once of the others."""
    for item, found in _opened(work):
        if isinstance(found, ImageError):
            reason = str(found).removeprefix(f"'{printable(item.key)}' ").rstrip(".")
            yield Ready(GaveUp(item, "picture", reason))
        elif duplicates.waits(item, found.sha256):
            continue
        elif work.knows(item, found.sha256):
            for one in (item, *duplicates.done(found.sha256)):
                yield Ready(Repeated(one, found.sha256))
        elif work.stop.is_set():
            return
        else:
            earlier = work.earlier(item.key)
            if earlier is not None and earlier.picture.sha256 != found.sha256:
                earlier = None
            yield InterviewTask(item, found, earlier)


def _opened(work: EngineConfig) -> Iterator[tuple[Item, Picture | ImageError]]:
    """The pictures in order, read and decoded a little ahead by a few threads."""

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
