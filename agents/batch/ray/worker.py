"""What runs on the machines of a cluster: `Interviewer` holds the models, `Coordinator` keeps what all of them share.

An interviewer is the local engine with an endless list of pictures: every call of it adds a few, and waits until these
are through, while others are under way. So its batches stay full from the first picture to the last, and a call that
is made again after a machine was lost gives everything that it owes.
"""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from socket import gethostname
from typing import TYPE_CHECKING, Any, Final, Literal

from agents.batch.cluster import ClusterError
from agents.batch.engine import Captioned, EngineConfig, GaveUp, Repeated, Result, local
from agents.batch.pipeline import PipelineConfig
from core.console.silence import hush_libraries
from core.datasets.pictures.listing import as_blob
from core.datasets.pictures.sources import Item
from core.errors import InquisightError, UsageError, printable
from core.images.picture import Picture
from core.net.remote import Pace
from core.records import Caption, TokenUsage
from core.settings import PREFIX, get_settings
from core.stopping import Halt

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.vision import VisionBackend

ROW: Final = "row"  # the only column of what goes to a worker and comes back: JSON, which holds any file name
AT_HOME: Final = (f"{PREFIX}HOME", f"{PREFIX}DATABASE")  # belong to a machine, and stay there
STARTS: Final = 5  # of one worker: Ray makes a lost one anew for ever, and a picture may be what kills it
Verdict = Literal["yours", "taken", "stop"]


class Coordinator:
    """Which pictures somebody is at, whose turn it is to call the questioner, and whether to begin any more.

    Its list is on disk, so that its memory stays flat.
    """

    def __init__(self, rate: float | None) -> None:
        self._taken = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._taken.execute("CREATE TABLE taken (sha256 BLOB PRIMARY KEY, key BLOB) WITHOUT ROWID")
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0
        self._begun = 0
        self._stopped = False
        self._halted: tuple[str, int] | None = None
        self._starts: Counter[str] = Counter()

    def arrive(self, worker: str) -> int:
        """How often this worker was started."""
        self._starts[worker] += 1
        return self._starts[worker]

    def know(self, digests: list[bytes]) -> None:
        """Pictures whose captions are kept."""
        self._taken.executemany("INSERT OR IGNORE INTO taken VALUES (?, NULL)", ((digest,) for digest in digests))

    def take(self, sha256: str, key: str) -> Verdict:
        """Whether the caller shall caption this picture. Asked again about the same one, it says the same again."""
        digest, name = bytes.fromhex(sha256), as_blob(key)
        row = self._taken.execute("SELECT key FROM taken WHERE sha256 = ?", (digest,)).fetchone()
        if row is not None:
            return "yours" if row[0] == name else "taken"
        if self._stopped:
            return "stop"
        self._taken.execute("INSERT INTO taken VALUES (?, ?)", (digest, name))
        self._begun += 1
        return "yours"

    def turn(self) -> float:
        """Seconds until the caller may call the questioner."""
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + self._gap
        return turn - now

    def halt(self, reason: str, exit_code: int) -> None:
        """Let no worker make another call; why, in one line, and the exit code that goes with it."""
        self._halted = self._halted or (reason, exit_code)

    def halted(self) -> tuple[str, int] | None:
        """What `halt` was told first; None while calls may be made."""
        return self._halted

    def stop(self) -> int:
        """Let no further picture be begun; how many were."""
        self._stopped = True
        return self._begun


class _SharedPace(Pace):
    """The rate limit of all workers together."""

    def __init__(self, desk: Any, get: Callable[[Any], Any]) -> None:
        super().__init__()
        self._desk, self._get = desk, get

    def wait(self, stop: threading.Event | None = None) -> None:
        seconds = self._get(self._desk.turn.remote())
        if seconds > 0:
            (stop or threading.Event()).wait(seconds)


class _SharedHalt(Halt):
    """One halt for all workers: set by one of them, it is set for each, before its next call."""

    def __init__(self, desk: Any, get: Callable[[Any], Any]) -> None:
        super().__init__()
        self._desk, self._get = desk, get

    def is_set(self) -> bool:
        """Also where another worker has set it; `reason` is that worker's error then."""
        if not super().is_set() and (told := self._get(self._desk.halted.remote())) is not None:
            error = ClusterError(told[0])
            error.exit_code = told[1]
            super().set(error)
        return super().is_set()

    def set(self, reason: BaseException | None = None) -> None:
        """Let no worker make another call."""
        super().set(reason)
        if reason is not None:
            self._get(self._desk.halt.remote(*_told(reason)))


def _told(error: BaseException) -> tuple[str, int]:
    """An error of a worker as one line, and its exit code."""
    line = printable(str(error).strip().partition("\n")[0] or "no details", None)
    if not isinstance(error, InquisightError):
        line = f"a worker on {gethostname()} failed: {type(error).__name__}: {line}"
    return line, int(getattr(error, "exit_code", 1))


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What every worker gets, once."""

    load: Callable[[], tuple[VisionBackend, BaseChatModel]]
    open: Callable[[Item], Picture]
    config: PipelineConfig
    paced: bool
    folder: str  # where the command runs: paths are relative to it
    environment: Mapping[str, str]
    variables: tuple[str, ...] = ()  # keys and addresses of providers, which belong together

    def settle(self) -> None:
        """Make this process stand where the command stands. Raises UsageError.

        A key must not meet an address that this machine alone has set, nor an address a key.
        """
        for name in {*_settings(), *self.variables} - self.environment.keys():
            os.environ.pop(name, None)
        os.environ.update(self.environment)
        get_settings.cache_clear()
        hush_libraries()
        try:
            os.chdir(self.folder)
        except OSError:
            raise UsageError(
                f"the folder '{printable(self.folder)}' is not there on {gethostname()}; pictures must lie under "
                "the same path on every machine of the cluster"
            ) from None


def environment(variables: Iterable[str]) -> dict[str, str]:
    """Our own variables and these, as they are set here: the same command, the same settings."""
    return {name: os.environ[name] for name in (*sorted(_settings()), *variables) if name in os.environ}


def _settings() -> set[str]:
    """Names of our own variables that are set here, without those that belong to a machine."""
    return {name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in AT_HOME}


@dataclass(slots=True, eq=False)
class _Call:
    left: int
    rows: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class Interviewer:
    """An actor of the pool. `__call__` takes a block of pictures, from several threads at once."""

    def __init__(self, job: WorkerConfig, desk: Any) -> None:
        import ray

        self._desk, self._get = desk, ray.get
        self._name = ray.get_runtime_context().get_actor_id()  # stays the same when it is started again
        self._lock = threading.Lock()
        self._calls: dict[int, _Call] = {}
        self._earlier: dict[str, Caption] = {}
        self._waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._over = False
        self._error: BaseException | None = None
        self._described: list[dict[str, str]] = []
        try:
            if self._get(desk.arrive.remote(self._name)) > STARTS:
                raise ClusterError(
                    f"a worker on {gethostname()} died {STARTS} times; the usual reason is memory: try a smaller "
                    "--batch, or fewer --workers on a machine"
                )
            job.settle()
            models = job.load()
            self._work = self._made(job, models)
        except BaseException as error:  # noqa: BLE001 - told by the first call, or Ray would start this again and again
            self._over, self._error = True, error
            return
        threading.Thread(target=self._run, daemon=True, name="interviews").start()

    def _made(self, job: WorkerConfig, models: tuple[VisionBackend, BaseChatModel]) -> EngineConfig:
        from agents.interview.calls import describe_questioner

        self._described = [models[0].describe(), describe_questioner(models[1])]
        return EngineConfig(
            items=self._items,
            open=job.open,
            models=lambda: models,
            config=job.config,
            pace=_SharedPace(self._desk, self._get) if job.paced else None,
            knows=self._knows,
            earlier=lambda key: self._earlier.pop(key, None),
            stop=self._stop,
            halt=_SharedHalt(self._desk, self._get),
        )

    # --- a block of pictures --------------------------------------------------------------------------------------

    def __call__(self, block: Mapping[str, Any]) -> dict[str, list[str]]:
        """Rows of results for rows of pictures, and one row about this worker. Never raises: an error is a row too."""
        rows = [json.loads(row) for row in block[ROW]]
        call = _Call(len(rows))
        with self._lock:
            over = self._over
            if not over:
                for *item, earlier in rows:
                    one = Item(*item)
                    self._calls[one.n] = call
                    if earlier is not None:
                        self._earlier[one.key] = Caption.model_validate(earlier)
                    self._waiting.put(one)
        if rows and not over:
            call.over.wait()
        return {ROW: [*call.rows, self._about()]}

    def _about(self) -> str:
        about: dict[str, Any] = {"kind": "worker", "name": self._name, "described": self._described, "error": None}
        if self._described:
            about["counts"] = self._work.meter.take().model_dump()
        if self._error is not None:
            about["error"], about["exit_code"] = _told(self._error)
        return json.dumps(about)

    # --- its thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for result in local(self._work):
                self._give(result)
        except BaseException as caught:  # noqa: BLE001 - goes back with every call from now on
            error = caught
        with self._lock:
            self._over, self._error = True, error
            calls = set(self._calls.values())
            self._calls.clear()
        for call in calls:
            call.over.set()

    def _give(self, result: Result) -> None:
        with self._lock:
            call = self._calls.pop(result.item.n)
            call.rows.append(as_row(result))
            call.left -= 1
        if call.left == 0:
            call.over.set()

    def _items(self) -> Iterator[Item | None]:
        while not self._stop.is_set():
            try:
                yield self._waiting.get(timeout=0.05)
            except queue.Empty:
                yield None

    def _knows(self, item: Item, sha256: str) -> bool:
        verdict = self._get(self._desk.take.remote(sha256, item.key))
        if verdict == "stop":
            self._stop.set()
        return bool(verdict == "taken")


# --- rows -------------------------------------------------------------------------------------------------------------


def item_row(item: Item, earlier: Caption | None) -> str:
    """A picture on its way to a worker."""
    return json.dumps([*item, earlier.model_dump(mode="json") if earlier else None])


def as_row(result: Result) -> str:
    """A result on its way back."""
    match result:
        case Captioned(item, caption):
            value: dict[str, Any] = {"kind": "done", "caption": caption.model_dump(mode="json")}
        case Repeated(item, sha256):
            value = {"kind": "same", "sha256": sha256}
        case GaveUp(item, where, reason, caption):
            kept = caption.model_dump(mode="json") if caption is not None else None
            value = {"kind": "failed", "where": where, "reason": reason, "caption": kept}
    return json.dumps(value | {"item": list(item)})


def from_row(value: Mapping[str, Any]) -> Result:
    """What `as_row` wrote, parsed."""
    item = Item(*value["item"])
    match value["kind"]:
        case "done":
            return Captioned(item, Caption.model_validate(value["caption"]))
        case "same":
            return Repeated(item, value["sha256"])
        case _:
            kept = value["caption"]
            return GaveUp(item, value["where"], value["reason"], Caption.model_validate(kept) if kept else None)


def counts_of(value: Mapping[str, Any]) -> TokenUsage:
    """The counts in a row about a worker."""
    return TokenUsage(**value["counts"])
