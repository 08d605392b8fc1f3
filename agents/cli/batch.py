"""`inquisight batch`: list the pictures, caption those without caption, write the outputs."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agents.batch.engine import Captioned, CaptionFailed, Duplicate, EngineConfig, RemoteConfig, Result, shares
from agents.batch.estimate import estimate
from agents.batch.ledger import DONE, DUPLICATE, FINISHED, GAVE_UP, PENDING, Ledger
from agents.batch.outputs import failures_of, make_folders
from agents.batch.plan import BatchConfig, SettingsGuard, find_engine, locked, make_plan
from agents.batch.progress import Display, Tally, shown
from agents.batch.request import BatchRequest
from agents.batch.writers import Writer, say
from agents.cli.errors import EXIT_INTERRUPTED
from agents.cli.models import load_vision
from agents.cli.render.audit import counts_line
from agents.interview.calls import Described, describe_questioner
from agents.interview.restyle import restyle_many
from agents.llm.calls import may_overlap, metered
from agents.styles.writing import missing_styles
from core.console.silence import hush_libraries
from core.console.status import Status
from core.datasets.left_out import REPEATED, LeftOut
from core.datasets.pictures.inputs import open_item
from core.datasets.pictures.listing import Listing
from core.errors import InquisightError, printable
from core.text import duration

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.vision import VisionBackend

EXIT_SOME_FAILED: Final = 1
ENOUGH: Final = 20  # captions after which a weak questioner is reported
MOST_REASONS: Final = 5  # failures of witnesses that are printed; all are counted


def run_batch(request: BatchRequest) -> int:
    """Work on the batch until it is done or interrupted; returns the exit code. Raises InquisightError."""
    plan = make_plan(request)
    guard = SettingsGuard(plan)
    guard.check(plan.facts({}, {}), certain=False)
    hush_libraries()
    if request.dry_run:
        return _dry_run(plan)
    with locked(plan.folder), closing(Ledger(plan.folder)) as ledger, Writer(plan, ledger) as writer:
        return _Batch(plan, guard, ledger, writer).run()


def _dry_run(plan: BatchConfig) -> int:
    request = plan.request
    with ExitStack() as stack:
        if plan.folder.is_dir():
            stack.enter_context(locked(plan.folder))
            folder = plan.folder
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inquisight-")))
        ledger = stack.enter_context(closing(Ledger(folder)))
        listing, left_out = _listed(plan, ledger), LeftOut()
        condition = GAVE_UP if request.failed else PENDING
        stack.enter_context(Writer(plan, ledger)).skip_captioned(listing, condition, left_out)
        left_out.update(_left_out(plan))
        found = estimate(
            listed=listing.count(plan.scope),
            repeated_names=listing.repeated,
            captioned=listing.count(plan.scope, FINISHED),
            failed=listing.count(plan.scope, GAVE_UP),
            to_do=listing.count(plan.scope, condition),
            config=plan.config,
            rate=plan.rate,
            price_in=request.price_in,
            price_out=request.price_out,
            runs=ledger.notes("run"),
            left_out=left_out,
        )
    print(json.dumps(found.as_json()) if request.json else "\n".join(found.lines()))
    return 0


def _listed(plan: BatchConfig, ledger: Ledger) -> Listing:
    """Every picture of the inputs. Raises UsageError or ImageError."""
    listing = ledger.listing()
    status = Status()
    last = 0.0
    try:
        for count in listing.add(plan.sources):
            if time.monotonic() - last > 0.2:
                last = time.monotonic()
                status.show(f"looking for pictures: {count:,}")
    finally:
        status.clear()
    for problem in plan.problems:
        say(problem)
    return listing


def _left_out(plan: BatchConfig, listing: Listing | None = None) -> LeftOut:
    """What the inputs hold and is not read; with the listing, also pictures named more than once."""
    left_out = LeftOut()
    for source in plan.sources:
        left_out.update(source.left_out)
    if listing is not None:
        left_out.add(REPEATED, listing.first_repeated, listing.repeated)
    return left_out


def _weak(tally: Tally) -> str:
    """The warning about a questioner that fails more than one picture in five."""
    of = f"{tally.unasked:,} of {tally.captioned:,} {'picture' if tally.captioned == 1 else 'pictures'}"
    return f"the questioner had no usable question in {of}; take another --questioner, or --asking guided"


class _Batch:
    def __init__(self, plan: BatchConfig, guard: SettingsGuard, ledger: Ledger, writer: Writer) -> None:
        self.plan, self.guard, self.ledger, self.writer = plan, guard, ledger, writer
        self.request = plan.request
        self.skipped = LeftOut()  # pictures with a caption, by --existing skip
        self.reasons: set[str] = set()  # why witnesses failed
        self.warned = False  # about the questioner
        self.stop = threading.Event()  # set by the first Ctrl-C

    def run(self) -> int:
        plan, ledger = self.plan, self.ledger
        make_folders(plan.outputs)
        listing = _listed(plan, ledger)
        condition = GAVE_UP if self.request.failed else PENDING
        self.writer.skip_captioned(listing, condition, self.skipped)
        if left_out := self._left_out(listing):
            say(str(left_out))
        ledger.renumber()
        to_do = listing.count(plan.scope, condition)
        total = listing.count(plan.scope)
        tally = Tally(total, total - to_do, price_in=self.request.price_in, price_out=self.request.price_out)
        self.writer.check_beside(listing, condition)
        self.writer.catch_up_beside()
        error: InquisightError | None = None
        if to_do:
            try:
                self._caption(partial(listing.items, plan.scope, condition), to_do, tally)
            except InquisightError as caught:
                if not tally.settled:  # nothing was done, so there is nothing to write
                    raise
                error = caught
        elif self.guard.saved is not None:
            self.guard.write(self.guard.saved["facts"])  # an output may have been added
        if error is None and not self.stop.is_set():
            try:
                self._write_styles(tally)
            except InquisightError as caught:
                error = caught
        self.writer.write_outputs(listing)
        if error is None:
            return self._finish(tally, listing)
        done = sum(count for state, count in ledger.tally().items() if state in (DONE, DUPLICATE))
        kept = f"{done:,} {'caption is' if done == 1 else 'captions are'} kept, the same command goes on"
        failure = InquisightError(f"{str(error).rstrip('. ')}; {kept}")
        failure.exit_code = error.exit_code
        raise failure from error

    # --- captioning -----------------------------------------------------------------------------------------------

    def _caption(self, items: Any, count: int, tally: Tally) -> None:
        plan, ledger = self.plan, self.ledger
        with ExitStack() as stack:
            stack.callback(self._note, tally)
            display = stack.enter_context(shown(tally))
            if names := plan.config.options.witnesses:
                display.line(f"witnesses: {', '.join(names)}")
            stack.enter_context(self._interruptible(display))
            loaded = stack.enter_context(ExitStack())  # closed after the engine

            def models() -> tuple[VisionBackend, BaseChatModel]:
                questioner = plan.loader.load_questioner()
                vision = loaded.enter_context(closing(load_vision(plan.loader.vision)))
                self._check_models(vision.describe(), describe_questioner(questioner))
                return vision, questioner

            remote = None
            if plan.cluster is not None:
                check = self._check_models
                remote = RemoteConfig(plan.cluster, count, plan.loader, check, ledger.known, display.line, display.wait)
            work = EngineConfig(
                items=items,
                open=partial(open_item, plan.sources, max_pixels=plan.settings.max_pixels),
                models=models,
                config=plan.config,
                context=plan.context,
                rate=plan.rate,
                knows=lambda item, sha256: ledger.knows(sha256),
                earlier=ledger.partial if self.request.failed else lambda key: None,
                meter=tally.meter,
                stop=self.stop,
                remote=remote,
            )
            for result in stack.enter_context(closing(find_engine(self.request.engine)(work))):
                self._save(result, tally)
                self._report_witnesses(result, tally, display)
                self._report_questioner(tally, display)
                display.update()

    def _write_styles(self, tally: Tally) -> None:
        """Write the styles that captions of earlier runs lack. Raises InquisightError."""
        plan, ledger, styles = self.plan, self.ledger, self.plan.config.styles
        if styles is None or not styles.styles:
            return
        known = plan.config.prompts.styles
        left = ((row, row.caption) for row in ledger.captions() if missing_styles(styles, known, row.caption.styles))
        if (first := next(left, None)) is None:
            return
        questioner = plan.loader.load_questioner()
        metered(questioner, tally.meter, rate=plan.rate)
        concurrency = self.request.concurrency if may_overlap(questioner) else 1
        status, count = Status(), 0
        try:
            for row, caption in restyle_many(
                chain([first], left), styles, plan.config.prompts, questioner, concurrency=concurrency
            ):
                ledger.styled(row._replace(caption=caption))
                for key in ledger.twins(row.key) if self.writer.saver is not None else ():
                    self.writer.beside(key, caption)
                count += 1
                status.show(f"writing styles: {count:,}")
        finally:
            status.clear()
            ledger.commit()
            if count:
                say(f"styles of {count:,} {'caption' if count == 1 else 'captions'} of earlier runs written")

    def _check_models(self, vision: Described, questioner: Described) -> None:
        """Compare the models with those that began the batch. Raises UsageError or StoreError."""
        facts = self.plan.facts(vision, questioner)
        self.guard.check(facts, certain=True)
        self.guard.write(facts)

    def _save(self, result: Result, tally: Tally) -> None:
        ledger = self.ledger
        match result:
            case Captioned(item, caption):
                ledger.done(item, caption, alone=not shares(caption, self.plan.config.options.context))
                tally.count(caption)
                self.writer.beside(item.key, caption)
            case Duplicate(item, digest):
                ledger.duplicate(item, digest)
                tally.repeated += 1
                if self.writer.saver is not None:
                    self.writer.beside(item.key, ledger.caption(item.key))
            case CaptionFailed(item, where, reason, caption):
                ledger.failed(item, where, reason, caption)
                tally.failed += 1

    def _report_questioner(self, tally: Tally, display: Display) -> None:
        """Warn once, as soon as the questioner is known to be weak."""
        if not self.warned and tally.captioned >= ENOUGH and tally.weak:
            self.warned = True
            display.line(_weak(tally))

    def _report_witnesses(self, result: Result, tally: Tally, display: Display) -> None:
        """Count the captions that lack a witness, and say each reason once."""
        if isinstance(result, Captioned) and result.caption.problems:
            tally.unexamined += 1
            for problem in result.caption.problems:
                if problem not in self.reasons and len(self.reasons) < MOST_REASONS:
                    self.reasons.add(problem)
                    display.line(f"{printable(result.item.key)}: {printable(problem, 500)}; captioned without it")

    def _note(self, tally: Tally) -> None:
        """Save the figures of this run for estimates."""
        if tally.settled:
            self.ledger.note("run", **tally.facts())
        self.ledger.commit()

    @contextmanager
    def _interruptible(self, display: Display) -> Iterator[None]:
        """The first Ctrl-C finishes what is under way, the second ends the command."""

        def interrupt(number: int, frame: Any) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            self.stop.set()
            display.line(
                "finishing the interviews under way; Ctrl-C again leaves at once, nothing that is done is lost"
            )

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    # --- the end --------------------------------------------------------------------------------------------------

    def _finish(self, tally: Tally, listing: Listing) -> int:
        plan, scope = self.plan, self.plan.scope
        counts = tally.meter.counts
        for problem in plan.problems:  # printed before the first picture too, maybe hours ago
            say(problem)
        if tally.weak:
            say(_weak(tally))
        left_out = self._left_out(listing)
        if self.writer.unsaved:
            many = self.writer.unsaved
            say(
                f"{many:,} {'caption was' if many == 1 else 'captions were'} not saved everywhere; the outputs have "
                f"them all. First: {self.writer.first_unsaved}"
            )
        facts = {
            "pictures": tally.total,
            "captioned": listing.count(scope, f"i.state = {DONE}"),
            "truncated": listing.count(scope, f"i.state = {DONE} AND i.truncated"),
            "repeated": listing.count(scope, f"i.state = {DUPLICATE}"),
            "failed": listing.count(scope, GAVE_UP),
            "left": listing.count(scope, PENDING),
            "this_run": {
                **tally.facts(),
                "failed_calls": counts.failed,
                "guessed_calls": counts.guessed,
                "cost": tally.cost(counts),
                "workers": len(tally.meter.workers),
            },
            "damaged": plan.problems,
            "left_out": left_out.as_json(),
            "unsaved": self.writer.unsaved,
            "outputs": [str(path) for path in plan.outputs],
        }
        print(json.dumps(facts) if self.request.json else "\n".join(self._summary(facts, tally, left_out)))
        if self.stop.is_set():
            return EXIT_INTERRUPTED
        bad = facts["failed"] or plan.problems or left_out.faults or self.writer.unsaved
        return EXIT_SOME_FAILED if bad else 0

    def _left_out(self, listing: Listing) -> LeftOut:
        left_out = _left_out(self.plan, listing)
        left_out.update(self.skipped)
        return left_out

    def _summary(self, facts: dict[str, Any], tally: Tally, left_out: LeftOut) -> list[str]:
        parts = [f"{facts['captioned']:,} captioned"]
        if facts["truncated"]:
            parts.append(f"{facts['truncated']:,} of them truncated")
        if facts["repeated"]:
            parts.append(f"{facts['repeated']:,} repeated")
        if facts["failed"]:
            where = printable(failures_of(self.plan.outputs[0]))
            parts.append(f"{facts['failed']:,} failed (see {where}; --failed tries them again)")
        if facts["left"]:
            how = "the same command without --failed" if self.request.failed else "the same command"
            parts.append(f"{facts['left']:,} left, {how} goes on")
        pictures = facts["pictures"]
        lines = [f"{pictures:,} {'picture' if pictures == 1 else 'pictures'}: {', '.join(parts)}"]
        if left_out:
            lines.append(str(left_out))
        if tally.settled:
            speed = tally.settled / max(tally.seconds, 1e-9)
            rest = [part for part in tally.words()[1:] if not part.endswith((" failed", " repeated"))]
            lines.append(f"this run: {', '.join([duration(tally.seconds), f'{speed:.2f} pictures/s', *rest])}")
        if tally.refused:
            counts = f"{tally.proposed:,} proposed, {tally.refused:,} refused, {tally.by_rules:,} asked by the rules"
            lines.append(f"questions of this run: {counts}")
        if tally.removed or tally.summaries_by_rules:
            counts = f"{tally.written:,} sentences written, {tally.removed:,} taken out"
            lines.append(f"descriptions of this run: {counts}, {tally.summaries_by_rules:,} written by the rules")
        if tally.claims:
            lines.append(f"audit of this run: {tally.claims:,} claims, {tally.claims_false:,} not supported")
        if tally.claims_read.sentences:
            lines.append(counts_line(tally.claims_read))
        return [*lines, *(printable(path) for path in self.plan.outputs)]
