"""Looks at a data set as a training run would, and says what is wrong before a day is lost.

    for event in check([DataSpec(path="shards")], CheckOptions()):
        ...            # CheckProgress, at last a Report

Every picture is decoded. Memory holds counts; what has to be remembered of each sample lies in a temporary file.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal

import numpy as np

from core.datasets.left_out import LeftOut
from core.datasets.samples.kinds import open_source
from core.datasets.samples.sample import MAX_SHARE, BrokenSample, Sample
from core.datasets.samples.sources import Load, SampleSource, all_left_out, attempt, loaded
from core.datasets.samples.spec import DataSpec
from core.errors import InquisightError, printable
from core.images.picture import MAX_PIXELS
from training.data.findings import DataFinding, Report, SourceReport, Spread
from training.data.languages import Languages
from training.data.ledger import DuplicateLedger

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
    """How to look."""

    sample: int | None = None  # look at so many samples only, from all parts
    seed: int = 0
    longest: int | None = None
    count_tokens: Callable[[str], int] | None = None  # None: words
    max_share: float = MAX_SHARE
    size: int = 224  # what the vision model takes
    threads: int = 4
    max_pixels: int = MAX_PIXELS
    stop: threading.Event | None = None  # set: end soon, and report what was seen


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """How far it is."""

    here: int  # samples of this path that were looked at
    broken: int  # of all paths
    total: int | None  # of this path, where known
    path: str


@dataclass(slots=True)
class _Tally:
    """What is counted on the way."""

    ledger: DuplicateLedger
    languages: Languages
    lengths: Counter[int] = field(default_factory=Counter)
    widths: Counter[int] = field(default_factory=Counter)
    heights: Counter[int] = field(default_factory=Counter)
    kilobytes: Counter[int] = field(default_factory=Counter)
    signs: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    good: int = 0
    broken: int = 0

    def example(self, what: str, text: str) -> None:
        kept = self.examples.setdefault(what, [])
        if len(kept) < EXAMPLES:
            kept.append(printable(text, 160))


def check(specs: Sequence[DataSpec], options: CheckOptions) -> Iterator[CheckProgress | Report]:
    """Look at every sample of every path; the last event is the Report, also when `options.stop` is set."""
    started = time.monotonic()
    unit: Literal["tokens", "words"] = "tokens" if options.count_tokens else "words"
    longest = options.longest or LONGEST[unit]
    reports: list[SourceReport] = []
    findings: list[DataFinding] = []
    complete = options.sample is None
    with DuplicateLedger() as ledger:
        tally = _Tally(ledger, Languages())
        for spec in specs:
            before, broken = tally.good + tally.broken, tally.broken
            kind, parts, known, left_out = None, 0, None, LeftOut()
            try:
                source = open_source(spec)
                source.survey()
                kind, parts, known = source.kind, source.parts, source.count()
                for _ in _look(source, tally, options, longest):
                    yield CheckProgress(tally.good + tally.broken - before, tally.broken, known, spec.path)
                left_out = all_left_out([source])
            except InquisightError as error:
                findings.append(DataFinding(level="stops", text=str(error)))
                complete = False
            looked = tally.good + tally.broken - before
            report = SourceReport(
                path=spec.path, kind=kind, parts=parts, samples=known, looked_at=looked, broken=tally.broken - broken,
                left_out=left_out.as_json(),
            )  # fmt: skip
            reports.append(report)
            if left_out:
                text = f"{printable(spec.path)} holds what is not read: {left_out}"
                findings.append(DataFinding(level="warning", text=text))
            if options.stop is not None and options.stop.is_set():
                complete = False
                findings.append(DataFinding(level="note", text="it was interrupted: the figures are of what was seen."))
                break
            findings += _of_source(report, options)
        extra_pictures, same_pictures = ledger.repeated_pictures(EXAMPLES)
        extra_captions, same_captions = ledger.repeated_captions(EXAMPLES)
    findings += _of_all(tally, options, unit, longest)
    for extra, same, what in (
        (extra_pictures, same_pictures, "pictures"),
        (extra_captions, same_captions, "captions"),
    ):
        if extra:
            shown = tuple(f"{times} times: {printable(name, 120)}" for name, times in same)
            share = extra / max(tally.good, 1)
            level: Literal["warning", "note"] = "warning" if share > 0.01 else "note"
            text = f"{what} that were there before: {extra:,} ({share:.1%})"
            findings.append(DataFinding(level=level, text=text, examples=shown))
    yield Report(
        sources=tuple(reports),
        complete=complete,
        looked_at=tally.good + tally.broken,
        broken=tally.broken,
        findings=tuple(sorted(findings, key=lambda one: ("stops", "warning", "note").index(one.level))),
        unit=unit,
        lengths=Spread.of(tally.lengths),
        histogram=dict(sorted(tally.lengths.items())),
        longest=longest,
        widths=Spread.of(tally.widths),
        heights=Spread.of(tally.heights),
        file_kilobytes=Spread.of(tally.kilobytes),
        languages=dict(tally.languages.counts.most_common()) if tally.languages.available else None,
        repeated_pictures=extra_pictures,
        repeated_captions=extra_captions,
        seconds=round(time.monotonic() - started, 1),
    )


def _look(source: SampleSource, tally: _Tally, options: CheckOptions, longest: int) -> Iterator[None]:
    """Decode in threads, count here; yields after each sample."""

    def open_it(load: Load) -> Sample | BrokenSample:
        return attempt(lambda: load().decoded(options.max_pixels))

    with ThreadPoolExecutor(options.threads, thread_name_prefix="check") as pool:
        waiting: deque[Future[Sample | BrokenSample]] = deque()
        try:
            for load in _chosen(source, options):
                if options.stop is not None and options.stop.is_set():
                    return
                waiting.append(pool.submit(open_it, load))
                if len(waiting) >= 4 * options.threads:
                    _count(waiting.popleft().result(), tally, options, longest)
                    yield
            while waiting:
                _count(waiting.popleft().result(), tally, options, longest)
                yield
        finally:
            pool.shutdown(cancel_futures=True)


def _chosen(source: SampleSource, options: CheckOptions) -> Iterator[Load]:
    """All samples in order; or so many, a share of each part, parts in a random order."""

    def load_of(part: int, most: int | None) -> Iterator[Load]:
        for place in islice(source.read(part), most):
            yield loaded(place.load) if source.eager else place.load

    if options.sample is None:
        for part in range(source.parts):
            yield from load_of(part, None)
        return
    order = np.random.default_rng(options.seed).permutation(source.parts)
    left = options.sample
    each = max(1, -(-left // max(len(order), 1)))
    for part in order:
        for load in load_of(int(part), min(each, left)):
            yield load
            left -= 1
        if left <= 0:
            return


def _count(result: Sample | BrokenSample, tally: _Tally, options: CheckOptions, longest: int) -> None:
    if isinstance(result, BrokenSample):
        tally.broken += 1
        tally.signs[result.fault] += 1
        tally.example(result.fault, f"{result.key}: {result.reason}")
        return
    tally.good += 1
    picture = result.open()
    tally.ledger.picture(picture.sha256, f"{result.source}: {result.key}")
    tally.ledger.caption(result.text)
    tally.languages.add(result.text)
    length = options.count_tokens(result.text) if options.count_tokens else len(result.text.split())
    tally.lengths[length] += 1
    tally.widths[picture.width] += 1
    tally.heights[picture.height] += 1
    tally.kilobytes[-(-len(result.picture) // 1024)] += 1
    if length > longest:
        tally.example("overlong", f"{result.key}: {length} ({result.text[:80]})")
    short, long = sorted((picture.width, picture.height))
    if long > NARROW * short:
        tally.signs["narrow"] += 1
        tally.example("narrow", f"{result.key}: {picture.width} x {picture.height}")
    if short < options.size:
        tally.signs["small"] += 1
        tally.example("small", f"{result.key}: {picture.width} x {picture.height}")
    if picture.note:
        tally.signs["odd"] += 1
        tally.example("odd", f"{result.key}: {picture.note}")


def _of_source(report: SourceReport, options: CheckOptions) -> list[DataFinding]:
    """What would stop a run on this path alone."""
    where = printable(report.path)
    if report.kind is None:
        return []
    if not report.looked_at - report.broken:
        return [DataFinding(level="stops", text=f"{where} has not one sample that can be used.")]
    share = report.broken / report.looked_at
    if share > options.max_share:
        text = f"{share:.1%} of the samples of {where} are broken; a run stops above {options.max_share:.1%}."
        return [DataFinding(level="stops", text=text)]
    return []


def _of_all(tally: _Tally, options: CheckOptions, unit: str, longest: int) -> Iterator[DataFinding]:
    total = max(tally.good + tally.broken, 1)
    notes = {
        "small": f"pictures smaller than {options.size} pixels, which would be enlarged",
        "narrow": f"pictures more than {NARROW} times as long as wide, which would be squeezed",
        "odd": "pictures with several frames or another oddity",
    }
    for sign, times in tally.signs.most_common():
        examples = tuple(tally.examples[sign])
        text = f"{notes.get(sign) or _FAULTS[sign]}: {times:,} ({times / total:.1%})"
        yield DataFinding(level="note" if sign in notes else "warning", text=text, examples=examples)
    if over := sum(times for length, times in tally.lengths.items() if length > longest):
        text = f"captions longer than {longest} {unit}, which would be cut: {over:,} ({over / total:.1%})"
        yield DataFinding(level="warning", text=text, examples=tuple(tally.examples["overlong"]))
    languages = tally.languages
    if not languages.available:
        yield DataFinding(level="note", text="languages were not looked at: pip install 'inquisight[train]'.")
        return
    named = {name: times for name, times in languages.counts.items() if name != "?"}
    if len(named) > 1:
        main = max(named, key=named.__getitem__)
        others = {name: times for name, times in named.items() if name != main}
        share = sum(others.values()) / max(languages.counts.total(), 1)
        text = f"most captions are in '{main}', but {share:.1%} seem to be in another language"
        top = sorted(others, key=others.__getitem__, reverse=True)[:EXAMPLES]
        shown = tuple(f"{name} ({others[name]:,}): {printable(languages.examples[name], 100)}" for name in top)
        yield DataFinding(level="warning" if share > 0.05 else "note", text=text, examples=shown)
