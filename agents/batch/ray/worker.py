"""What runs on the machines of a cluster: `Interviewer` holds the models, `Coordinator` the state that all share.

An interviewer runs the local engine on an endless list of pictures. Every call adds a block and waits for its results
while other blocks are under way, so vision batches stay full. A call that Ray repeats after a machine was lost returns
all its results.
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
from agents.batch.engine import Captioned, CaptionFailed, Duplicate, EngineConfig, ModelLoader, Result, local
from agents.batch.pipeline import PipelineConfig
from agents.interview.calls import Described, describe_questioner
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

ROW: Final = "row"  # the only column of blocks, in both directions: JSON, which holds any file name
OF_MACHINE: Final = (f"{PREFIX}HOME", f"{PREFIX}DATABASE")  # variables that are not sent to other machines
STARTS: Final = 5  # of one worker: Ray restarts a lost one for ever, and a picture may be what kills it
Verdict = Literal["yours", "taken", "stop"]


class Coordinator:
    """Which worker captions which picture, the rate limit of all, and whether to go on.

    The pictures are on disk, so memory use stays constant.
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
        """How often this worker has started."""
        self._starts[worker] += 1
        return self._starts[worker]

    def know(self, digests: list[bytes]) -> None:
        """Add captioned pictures."""
        self._taken.executemany("INSERT OR IGNORE INTO taken VALUES (?, NULL)", ((digest,) for digest in digests))

    def take(self, sha256: str, key: str) -> Verdict:
        """Whether the caller captions this picture; the same answer if it is called again."""
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
        """Let no worker make another call; the reason in one line, and its exit code."""
        self._halted = self._halted or (reason, exit_code)

    def halted(self) -> tuple[str, int] | None:
        """The arguments of the first `halt`; None while calls may be made."""
        return self._halted

    def stop(self) -> int:
        """Begin no further picture; returns how many were begun."""
        self._stopped = True
        return self._begun


class _SharedPace(Pace):
    """The rate limit of all workers together."""

    def __init__(self, coordinator: Any, get: Callable[[Any], Any]) -> None:
        super().__init__()
        self._coordinator, self._get = coordinator, get

    def wait(self, stop: threading.Event | None = None) -> None:
        seconds = self._get(self._coordinator.turn.remote())
        if seconds > 0:
            (stop or threading.Event()).wait(seconds)


class _SharedHalt(Halt):
    """One halt for all workers: if one of them sets it, all see it before their next call."""

    def __init__(self, coordinator: Any, get: Callable[[Any], Any]) -> None:
        super().__init__()
        self._coordinator, self._get = coordinator, get

    def is_set(self) -> bool:
        """Whether any worker has set it; `reason` is that worker's error."""
        if not super().is_set() and (halted := self._get(self._coordinator.halted.remote())) is not None:
            error = ClusterError(halted[0])
            error.exit_code = halted[1]
            super().set(error)
        return super().is_set()

    def set(self, reason: BaseException | None = None) -> None:
        """Let no worker make another call."""
        super().set(reason)
        if reason is not None:
            self._get(self._coordinator.halt.remote(*_line_and_code(reason)))


def _line_and_code(error: BaseException) -> tuple[str, int]:
    """An error of a worker as one line, and its exit code."""
    line = printable(str(error).strip().partition("\n")[0] or "no details", None)
    if not isinstance(error, InquisightError):
        line = f"a worker on {gethostname()} failed: {type(error).__name__}: {line}"
    return line, int(getattr(error, "exit_code", 1))


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Input of every worker."""

    load: ModelLoader
    open: Callable[[Item], Picture]
    config: PipelineConfig
    paced: bool
    folder: str  # working folder of the command: paths are relative to it
    environment: Mapping[str, str]
    variables: tuple[str, ...] = ()  # keys and addresses of providers, which belong together
    context: Callable[[Item], str] = lambda item: ""  # what the owner tells of a picture

    def apply(self) -> None:
        """Give this process the command's settings and working folder. Raises UsageError.

        A key must not meet an address that only this machine has set, nor an address such a key.
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
    """Our variables and these, with their values on this machine."""
    return {name: os.environ[name] for name in (*sorted(_settings()), *variables) if name in os.environ}


def _settings() -> set[str]:
    """Names of our variables that are set here, without those of a machine."""
    return {name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in OF_MACHINE}


@dataclass(slots=True, eq=False)
class _Call:
    left: int
    rows: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class Interviewer:
    """An actor of the pool. `__call__` takes a block of pictures, from several threads at once."""

    def __init__(self, config: WorkerConfig, coordinator: Any) -> None:
        import ray

        self._coordinator, self._get = coordinator, ray.get
        self._name = ray.get_runtime_context().get_actor_id()  # stays the same after a restart
        self._lock = threading.Lock()
        self._calls: dict[int, _Call] = {}
        self._earlier: dict[str, Caption] = {}
        self._waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._over = False
        self._error: BaseException | None = None
        self._described: list[Described] = []
        try:
            if self._get(coordinator.arrive.remote(self._name)) > STARTS:
                raise ClusterError(
                    f"a worker on {gethostname()} died {STARTS} times; the usual reason is memory: try a smaller "
                    "--batch, or fewer --workers on a machine"
                )
            config.apply()
            models = config.load()
            self._described = [models[0].describe(), describe_questioner(models[1])]
            self._work = self._engine_config(config, models)
        except BaseException as error:  # noqa: BLE001 - returned by the first call; else Ray would restart the actor
            self._over, self._error = True, error
            return
        threading.Thread(target=self._run, daemon=True, name="interviews").start()

    def _engine_config(self, config: WorkerConfig, models: tuple[VisionBackend, BaseChatModel]) -> EngineConfig:
        return EngineConfig(
            items=self._items,
            open=config.open,
            context=config.context,
            models=lambda: models,
            config=config.config,
            pace=_SharedPace(self._coordinator, self._get) if config.paced else None,
            knows=self._knows,
            earlier=lambda key: self._earlier.pop(key, None),
            stop=self._stop,
            halt=_SharedHalt(self._coordinator, self._get),
        )

    def __call__(self, block: Mapping[str, Any]) -> dict[str, list[str]]:
        """Rows of pictures -> rows of results and one row about this worker. An error is a row too; never raises."""
        rows = [json.loads(row) for row in block[ROW]]
        call = _Call(len(rows))
        with self._lock:
            over = self._over
            if not over:
                for *fields, earlier in rows:
                    item = Item(*fields)
                    self._calls[item.n] = call
                    if earlier is not None:
                        self._earlier[item.key] = Caption.model_validate(earlier)
                    self._waiting.put(item)
        if rows and not over:
            call.over.wait()
        return {ROW: [*call.rows, self._about()]}

    def _about(self) -> str:
        about: dict[str, Any] = {"kind": "worker", "name": self._name, "described": self._described, "error": None}
        if self._described:
            about["counts"] = self._work.meter.take().model_dump()
        if self._error is not None:
            about["error"], about["exit_code"] = _line_and_code(self._error)
        return json.dumps(about)

    # --- its thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for result in local(self._work):
                self._give(result)
        except BaseException as caught:  # noqa: BLE001 - every later call returns it
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
        verdict = self._get(self._coordinator.take.remote(sha256, item.key))
        if verdict == "stop":
            self._stop.set()
        return bool(verdict == "taken")


# --- rows -------------------------------------------------------------------------------------------------------------


def item_row(item: Item, earlier: Caption | None) -> str:
    """A picture for a worker."""
    return json.dumps([*item, earlier.model_dump(mode="json") if earlier else None])


def as_row(result: Result) -> str:
    """A result from a worker."""
    match result:
        case Captioned(item, caption):
            value: dict[str, Any] = {"kind": "done", "caption": caption.model_dump(mode="json")}
        case Duplicate(item, sha256):
            value = {"kind": "same", "sha256": sha256}
        case CaptionFailed(item, where, reason, partial):
            left = partial.model_dump(mode="json") if partial is not None else None
            value = {"kind": "failed", "where": where, "reason": reason, "caption": left}
    return json.dumps(value | {"item": list(item)})


def from_row(value: Mapping[str, Any]) -> Result:
    """The result that `as_row` wrote."""
    item = Item(*value["item"])
    if value["kind"] == "same":
        return Duplicate(item, value["sha256"])
    caption = Caption.model_validate(value["caption"]) if value["caption"] else None
    if value["kind"] == "failed":
        return CaptionFailed(item, value["where"], value["reason"], caption)
    assert caption is not None
    return Captioned(item, caption)


def counts_of(value: Mapping[str, Any]) -> TokenUsage:
    """The counts in a row about a worker."""
    return TokenUsage(**value["counts"])
