"""`inquisight data check`: options checked first, progress on standard error, the report on standard output."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, get_args

from core.datasets.samples.sample import DataError
from core.datasets.samples.spec import DataSpec, Kind
from core.errors import UsageError, printable
from core.settings import get_settings
from training.data.check import CheckOptions, CheckProgress, check
from training.data.findings import Report
from training.data.report import check_histogram, check_report, print_report, write_histogram, write_report

KINDS: Final = ("auto", *get_args(Kind))
EXIT_INTERRUPTED: Final = 130
LINE_EVERY: Final = 30.0  # seconds, where standard error is no terminal


@dataclass(frozen=True, slots=True)
class DataCheckRequest:
    """What the command line said."""

    paths: tuple[str, ...]
    kind: str = "auto"
    text_column: str | None = None
    picture_column: str | None = None
    tokenizer: Path | None = None
    longest: int | None = None
    sample: int | None = None
    seed: int = 0
    max_broken: float = 0.05
    report: Path | None = None
    histogram: Path | None = None
    threads: int = 4
    json: bool = False


def run_data_check(request: DataCheckRequest) -> int:
    """Look, print, write; gives back the exit code. Raises UsageError or DataError, one line."""
    specs = _specs(request)
    for path, look in ((request.report, check_report), (request.histogram, check_histogram)):
        if path is not None:
            look(path)
    count_tokens = _tokenizer(request.tokenizer) if request.tokenizer else None
    with _stoppable() as stop:
        options = CheckOptions(
            sample=request.sample,
            seed=request.seed,
            longest=request.longest,
            count_tokens=count_tokens,
            max_share=request.max_broken,
            threads=request.threads,
            max_pixels=get_settings().max_pixels,
            stop=stop,
        )
        report = _watched(specs, options)
        stopped = stop.is_set()
    _show(report, request)
    return EXIT_INTERRUPTED if stopped else DataError.exit_code if report.stops else 0


def _specs(request: DataCheckRequest) -> list[DataSpec]:
    if not request.paths:
        raise UsageError("name what to look at: `inquisight data check PATH`, a folder, a table or shards.")
    if request.kind not in KINDS:
        raise UsageError(f"--kind is {printable(request.kind, 40)!r}: take {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    for name, value, least in (
        ("--sample", request.sample, 1),
        ("--longest", request.longest, 1),
        ("--threads", request.threads, 1),
        ("--seed", request.seed, 0),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name} must be {least} or more, not {value}.")
    if not 0 <= request.max_broken <= 1:
        raise UsageError(f"--max-broken is a share from 0 to 1, not {request.max_broken}.")
    if "" in request.paths:
        raise UsageError("one of the paths is empty; check the command.")
    columns = {"text_column": request.text_column or None, "picture_column": request.picture_column or None}
    return [DataSpec.model_validate({"path": path, "kind": request.kind, **columns}) for path in request.paths]


def _tokenizer(directory: Path) -> Callable[[str], int]:
    """How many tokens a text has, without begin and end marks. Raises UsageError."""
    if not directory.is_dir():
        raise UsageError(f"--tokenizer {printable(directory)} is no folder: name a model's directory.")
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception:  # noqa: BLE001 - a file of a foreign model can fail in any way
        raise UsageError(f"--tokenizer {printable(directory)} holds no tokenizer that can be opened.") from None
    tokenizer.model_max_length = sys.maxsize  # or it warns of every long text
    return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids)


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """The first Ctrl-C ends the looking and reports what was seen, a second one ends the program."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _watched(specs: list[DataSpec], options: CheckOptions) -> Report:
    """The report, with progress on standard error meanwhile."""
    events = check(specs, options)
    if not sys.stderr.isatty():
        said = time.monotonic()
        for event in events:
            if isinstance(event, Report):
                return event
            if time.monotonic() - said > LINE_EVERY:
                said = time.monotonic()
                print(_words(event, options), file=sys.stderr, flush=True)
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), TextColumn("{task.description}", markup=False), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        path = ""
        for event in events:
            if isinstance(event, Report):
                return event
            if event.path != path:
                path = event.path
                bar.reset(task)
            total = event.total if options.sample is None else min(options.sample, event.total or options.sample)
            bar.update(task, completed=event.here, total=total, description=_words(event, options))
    raise AssertionError("the last event is the report")


def _words(at: CheckProgress, options: CheckOptions) -> str:
    total = "" if at.total is None or options.sample else f" of {at.total:,}"
    return f"{printable(at.path, 60)}: {at.here:,}{total} samples, {at.broken:,} broken"


def _show(report: Report, request: DataCheckRequest) -> None:
    if request.json:
        print(report.model_dump_json(indent=2))
    else:
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
        print_report(report, console)
    written = write_report(report, request.report) if request.report else []
    if request.histogram and report.histogram:
        written.append(write_histogram(report, request.histogram))
    for path in written:
        print(f"written: {printable(path)}", file=sys.stderr)
