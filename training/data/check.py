"""Check a data set as a training run would read it, and report what is wrong before a day is lost.

    for event in check([DataSpec(path="shards")], CheckOptions()):
        ...            # CheckProgress, at last a Report

Every picture is decoded. Memory holds counts; what must be known of each sample is in a temporary file.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np

from agents.text.languages import Languages
from core.datasets.left_out import LeftOut
from core.datasets.samples.kinds import open_source
from core.datasets.samples.sample import MAX_SHARE, BrokenSample, Sample
from core.datasets.samples.sources import Load, SampleSource, all_left_out, attempt
from core.datasets.samples.spec import DataSpec
from core.errors import InquisightError, printable
from core.images.picture import MAX_PIXELS
from training.data.findings import DataFinding, Level, Report, SourceReport, Spread
from training.data.ledger import DuplicateLedger
from training.terminal import prefetched

LONGEST: Final = {"tokens": 160, "words": 120}  # stage 2 of the original cuts at 160 tokens, stage 1 at 32
EXAMPLES: Final = 5
NARROW: Final = 4  # longer side by shorter one; the transform squeezes pictures into a square
_FAULTS: Final[dict[str, str]] = {
    "broken picture": "pictures that cannot be opened",
    "missing picture": "pictures that are missing",
    "picture on the web": "pictures that are web addresses",
    "missing caption": "pictures without a caption",
    "empty caption": "empty captions",
    "unreadable caption": "captions that cannot be read",
    "damaged shard": "shards that are cut short or damaged, where all that follows is lost",
    "broken row": "rows of a table that cannot be read",
}


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How to check."""

    sample: int | None = None  # check only so many samples, from all parts
    seed: int = 0
    longest: int | None = None
    count_tokens: Callable[[str], int] | None = None  # None: words
    max_share: float = MAX_SHARE
    size: int = 224  # input size of the vision model
    threads: int = 4
    max_pixels: int = MAX_PIXELS
    stop: threading.Event | None = None  # set: end soon, and report the results so far

    @property
    def stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """How far the check is."""

    here: int  # samples of this path that were checked
    broken: int  # of all paths
    total: int | None  # of this path, if known
    path: str


@dataclass(slots=True)
class _Tally:
    """Counts over all samples."""

    options: CheckOptions
    ledger: DuplicateLedger
    languages: Languages = field(default_factory=Languages)
    lengths: Counter[int] = field(default_factory=Counter)
    widths: Counter[int] = field(default_factory=Counter)
    heights: Counter[int] = field(default_factory=Counter)
    kilobytes: Counter[int] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    good: int = 0
    broken: int = 0

    @property
    def total(self) -> int:
        return self.good + self.broken

    @property
    def unit(self) -> str:
        return "tokens" if self.options.count_tokens else "words"

    @property
    def longest(self) -> int:
        return self.options.longest or LONGEST[self.unit]

    def note(self, what: str, text: str) -> None:
        self.found[what] += 1
        kept = self.examples.setdefault(what, [])
        if len(kept) < EXAMPLES:
            kept.append(printable(text, 160))


def check(specs: Sequence[DataSpec], options: CheckOptions) -> Iterator[CheckProgress | Report]:
    """Check every sample of every path; the last event is the Report, also if `options.stop` is set."""
    started = time.monotonic()
    reports: list[SourceReport] = []
    findings: list[DataFinding] = []
    complete = options.sample is None
    with DuplicateLedger() as ledger:
        tally = _Tally(options, ledger)
        for spec in specs:
            before, broken = tally.total, tally.broken
            kind, parts, known, left_out = None, 0, None, LeftOut()
            try:
                source = open_source(spec)
                source.survey()
                kind, parts, known = source.kind, source.parts, source.count()
                for _ in _read(source, tally):
                    yield CheckProgress(tally.total - before, tally.broken, known, spec.path)
                left_out = all_left_out([source])
            except InquisightError as error:
                findings.append(DataFinding(level="stops", text=str(error)))
                complete = False
            report = SourceReport(
                path=spec.path, kind=kind, parts=parts, samples=known, looked_at=tally.total - before,
                broken=tally.broken - broken, left_out=left_out.as_json(),
            )  # fmt: skip
            reports.append(report)
            if left_out:
                text = f"{printable(spec.path)} holds what is not read: {left_out}"
                findings.append(DataFinding(level="warning", text=text))
            if options.stopped:
                complete = False
                findings.append(DataFinding(level="note", text="it was interrupted: these are the results so far."))
                break
            findings += _of_source(report, options)
        repeated = {table: ledger.repeated(table, EXAMPLES) for table in ("pictures", "captions")}
    findings += _of_all(tally)
    for what, (extra, same) in repeated.items():
        if extra:
            shown = tuple(f"{times} times: {printable(name, 120)}" for name, times in same)
            share = extra / max(tally.good, 1)
            text = f"{what} that were there before: {extra:,} ({share:.1%})"
            findings.append(DataFinding(level="warning" if share > 0.01 else "note", text=text, examples=shown))
    yield Report(
        sources=tuple(reports),
        complete=complete,
        looked_at=tally.total,
        broken=tally.broken,
        findings=tuple(sorted(findings, key=lambda one: ("stops", "warning", "note").index(one.level))),
        unit=tally.unit,
        lengths=Spread.of(tally.lengths),
        histogram=dict(sorted(tally.lengths.items())),
        longest=tally.longest,
        widths=Spread.of(tally.widths),
        heights=Spread.of(tally.heights),
        file_kilobytes=Spread.of(tally.kilobytes),
        languages=dict(tally.languages.counts.most_common()) if tally.languages.available else None,
        repeated_pictures=repeated["pictures"][0],
        repeated_captions=repeated["captions"][0],
        seconds=round(time.monotonic() - started, 1),
    )


def _read(source: SampleSource, tally: _Tally) -> Iterator[None]:
    """Decode in threads, count here; yields after each sample."""
    options = tally.options

    def open_it(load: Load) -> Sample | BrokenSample:
        found = load()
        return attempt(found.decoded, options.max_pixels) if isinstance(found, Sample) else found

    with ThreadPoolExecutor(options.threads, thread_name_prefix="check") as pool:
        for _, result in prefetched(pool, open_it, _chosen(source, options), 4 * options.threads):
            if options.stopped:
                return
            _count(result, tally)
            yield


def _chosen(source: SampleSource, options: CheckOptions) -> Iterator[Load]:
    """Yield all samples in order, or `options.sample` of them: a share of each part, parts in random order."""
    parts: Iterable[int] = range(source.parts)
    left = each = options.sample
    if left is not None:
        parts = np.random.default_rng(options.seed).permutation(source.parts)
        each = max(1, -(-left // max(source.parts, 1)))
    for part in parts:
        for place in islice(source.read(int(part)), each if left is None else min(each or 0, left)):
            yield source.loading(place)
            if left is not None:
                left -= 1


def _count(result: Sample | BrokenSample, tally: _Tally) -> None:
    if isinstance(result, BrokenSample):
        tally.broken += 1
        tally.note(result.fault, f"{result.key}: {result.reason}")
        return
    tally.good += 1
    options, picture = tally.options, result.open()
    tally.ledger.add_picture(picture.sha256, f"{result.source}: {result.key}")
    tally.ledger.add_caption(result.text)
    tally.languages.add(result.text)
    length = options.count_tokens(result.text) if options.count_tokens else len(result.text.split())
    tally.lengths[length] += 1
    tally.widths[picture.width] += 1
    tally.heights[picture.height] += 1
    tally.kilobytes[-(-len(result.picture) // 1024)] += 1
    short, long = sorted((picture.width, picture.height))
    size = f"{result.key}: {picture.width} x {picture.height}"
    if length > tally.longest:
        tally.note("overlong", f"{result.key}: {length} ({result.text[:80]})")
    if long > NARROW * short:
        tally.note("narrow", size)
    if short < options.size:
        tally.note("small", size)
    if picture.note:
        tally.note("odd", f"{result.key}: {picture.note}")


def _of_source(report: SourceReport, options: CheckOptions) -> Iterator[DataFinding]:
    """Yield what would stop a run on this path alone."""
    where = printable(report.path)
    if report.kind is None:
        return
    share = report.broken / report.looked_at if report.looked_at else 1.0
    if share == 1.0:
        yield DataFinding(level="stops", text=f"{where} has not one sample that can be used.")
    elif share > options.max_share:
        text = f"{share:.1%} of the samples of {where} are broken; a run stops above {options.max_share:.1%}."
        yield DataFinding(level="stops", text=text)


def _of_all(tally: _Tally) -> Iterator[DataFinding]:
    """Yield what was found in the samples of all paths."""
    total = max(tally.total, 1)
    notes = {
        "small": f"pictures smaller than {tally.options.size} pixels, which would be enlarged",
        "narrow": f"pictures more than {NARROW} times as long as wide, which would be squeezed",
        "odd": "pictures with several frames or another oddity",
    }
    warnings = {**_FAULTS, "overlong": f"captions longer than {tally.longest} {tally.unit}, which would be cut"}
    for what, times in tally.found.most_common():
        text = f"{notes.get(what) or warnings[what]}: {times:,} ({times / total:.1%})"
        level: Level = "note" if what in notes else "warning"
        yield DataFinding(level=level, text=text, examples=tuple(tally.examples[what]))
    languages = tally.languages
    if not languages.available:
        yield DataFinding(level="note", text="languages were not detected: pip install 'inquisight[train]'.")
        return
    named = Counter({name: times for name, times in languages.counts.items() if name != "?"})
    if len(named) > 1:
        (main, times), *others = named.most_common()
        share = (named.total() - times) / max(languages.counts.total(), 1)
        text = f"most captions are in '{main}', but {share:.1%} seem to be in another language"
        shown = tuple(f"{name} ({n:,}): {printable(languages.examples[name], 100)}" for name, n in others[:EXAMPLES])
        yield DataFinding(level="warning" if share > 0.05 else "note", text=text, examples=shown)
