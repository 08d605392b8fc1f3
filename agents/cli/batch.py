"""What `inquisight batch` does: list the pictures, caption those that have no caption yet, write the outputs."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from agents.batch.engine import Away, Captioned, Described, EngineConfig, GaveUp, Repeated, Result
from agents.batch.engines import find_engine
from agents.batch.estimate import estimate
from agents.batch.ledger import DONE, FINISHED, GAVE_UP, PENDING, SAME, Ledger
from agents.batch.loading import Loader
from agents.batch.outputs import failures_of, make_room
from agents.batch.plan import BatchConfig, Guard, at_work, make_plan
from agents.batch.progress import Display, Tally, shown
from agents.batch.request import BatchRequest
from agents.batch.writers import Writer, say
from agents.cli.errors import EXIT_INTERRUPTED
from agents.interview.calls import describe_questioner
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


def run_batch(request: BatchRequest) -> int:
    """Work on the batch until it is done or interrupted; gives back the exit code. Raises InquisightError."""
    plan = make_plan(request)
    guard = Guard(plan)
    guard.check(plan.facts({}, {}), certain=False)
    hush_libraries()
    if request.dry_run:
        return _dry_run(plan)
    with at_work(plan.folder):
        ledger = Ledger(plan.folder)
        try:
            return _Batch(plan, guard, ledger).run()
        finally:
            ledger.close()


def _dry_run(plan: BatchConfig) -> int:
    request = plan.request
    with ExitStack() as stack:
        if plan.folder.is_dir():
            stack.enter_context(at_work(plan.folder))
            folder = plan.folder
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inquisight-")))
        ledger = Ledger(folder)
        stack.callback(ledger.close)
        listing = _listed(plan, ledger)
        found = estimate(
            listed=listing.count(plan.scope),
            repeated_names=listing.repeated,
            captioned=listing.count(plan.scope, FINISHED),
            failed=listing.count(plan.scope, GAVE_UP),
            to_do=listing.count(plan.scope, GAVE_UP if request.failed else PENDING),
            config=plan.config,
            rate=plan.rate,
            price_in=request.price_in,
            price_out=request.price_out,
            runs=ledger.notes("run"),
            left_out=_left_out(plan),
        )
    print(json.dumps(found.as_json()) if request.json else "\n".join(found.lines()))
    return 0


def _listed(plan: BatchConfig, ledger: Ledger) -> Listing:
    """Every picture that was named. Raises UsageError or ImageError."""
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
    for source in plan.sources:
        for problem in source.problems:
            say(problem)
    return listing


def _left_out(plan: BatchConfig, listing: Listing | None = None) -> LeftOut:
    """What the sources hold and do not give; with the listing, also what was named more than once."""
    left_out = LeftOut()
    for source in plan.sources:
        left_out.update(source.left_out)
    if listing is not None:
        left_out.add(REPEATED, listing.first_repeated, listing.repeated)
    return left_out


@dataclass(slots=True)
class _Models:
    """Both models, loaded when an engine asks for them, and held against what the batch was begun with."""

    plan: BatchConfig
    guard: Guard
    vision: VisionBackend | None = None

    @property
    def loader(self) -> Loader:
        plan = self.plan
        return Loader(plan.vision, plan.questioner, plan.config.seed, plan.config.options, plan.settings)

    def get(self) -> tuple[VisionBackend, BaseChatModel]:
        loader = self.loader
        questioner = loader.load_questioner()
        status = Status()
        status.show(f"loading {printable(loader.vision)}")
        try:
            self.vision = loader.load_vision()
        finally:
            status.clear()
        self.check(self.vision.describe(), describe_questioner(questioner))
        return self.vision, questioner

    def check(self, vision: Described, questioner: Described) -> None:
        """What models say of themselves, before anything of theirs is kept. Raises UsageError or StoreError."""
        facts = self.plan.facts(vision, questioner)
        self.guard.check(facts, certain=True)
        self.guard.write(facts)

    def close(self) -> None:
        if self.vision is not None:
            self.vision.close()


class _Batch:
    def __init__(self, plan: BatchConfig, guard: Guard, ledger: Ledger) -> None:
        self.plan, self.guard, self.ledger = plan, guard, ledger
        self.request = plan.request
        self.writer = Writer(plan, ledger)
        self.stop = threading.Event()  # set by the first Ctrl-C

    def run(self) -> int:
        plan, ledger = self.plan, self.ledger
        make_room(plan.outputs)
        listing = _listed(plan, ledger)
        if left_out := _left_out(plan, listing):
            say(str(left_out))
        ledger.renumber()
        condition = GAVE_UP if self.request.failed else PENDING
        to_do = listing.count(plan.scope, condition)
        total = listing.count(plan.scope)
        tally = Tally(total, total - to_do, price_in=self.request.price_in, price_out=self.request.price_out)
        if self.request.save_beside:
            self.writer.check_beside(listing, condition)
            self.writer.catch_up_beside()
        error: InquisightError | None = None
        if to_do:
            items = partial(listing.items, plan.scope, condition)
            try:
                self._work(items, to_do, tally)
            except InquisightError as caught:
                if not tally.settled:  # nothing has happened, so there is nothing to write or to tell
                    raise
                error = caught
        elif self.guard.kept is not None:
            self.guard.write(self.guard.kept["facts"])  # an output may have been added
        self.writer.write_outputs(listing)
        if error is not None:
            told = InquisightError(f"{str(error).rstrip('. ')}; {self._kept()}")
            told.exit_code = error.exit_code
            raise told from error
        return self._finish(tally, listing)

    # --- captioning -----------------------------------------------------------------------------------------------

    def _work(self, items: Any, count: int, tally: Tally) -> None:
        plan = self.plan
        models = _Models(plan, self.guard)
        try:
            with shown(tally) as display, self._interruptible(display):
                away = None
                if plan.cluster is not None:
                    away = Away(
                        plan.cluster, count, models.loader, models.check, self.ledger.known, display.line, display.wait
                    )
                results = find_engine(self.request.engine)(self._asked(items, models, tally, away))
                with closing(results):
                    for result in results:
                        self._keep(result, tally)
                        display.update()
        finally:
            self._note(tally)
            models.close()

    def _asked(self, items: Any, models: _Models, tally: Tally, away: Away | None) -> EngineConfig:
        plan, ledger = self.plan, self.ledger
        return EngineConfig(
            items=items,
            open=partial(open_item, plan.sources, max_pixels=plan.settings.max_pixels),
            models=models.get,
            config=plan.config,
            rate=plan.rate,
            knows=lambda item, sha256: ledger.knows(sha256),
            earlier=ledger.partial if self.request.failed else lambda key: None,
            meter=tally.meter,
            stop=self.stop,
            away=away,
        )

    def _keep(self, result: Result, tally: Tally) -> None:
        ledger, item = self.ledger, result.item
        match result:
            case Captioned(item, caption):
                ledger.done(item, caption)
                tally.captioned += 1
                self.writer.beside(item.key, caption.text)
            case Repeated(item, digest):
                ledger.same(item, digest)
                tally.repeated += 1
                if self.request.save_beside:
                    self.writer.beside(item.key, ledger.caption(item.key).text)
            case GaveUp(item, where, reason, caption):
                ledger.failed(item, where, reason, caption)
                tally.failed += 1

    def _note(self, tally: Tally) -> None:
        """What this run took, for estimates."""
        counts = tally.meter.counts
        if tally.settled:
            self.ledger.note(
                "run",
                captioned=tally.captioned,
                repeated=tally.repeated,
                failed=tally.failed,
                seconds=round(tally.seconds, 3),
                calls=counts.calls,
                input_tokens=counts.input_tokens,
                output_tokens=counts.output_tokens,
            )
        self.ledger.commit()

    @contextmanager
    def _interruptible(self, display: Display) -> Iterator[None]:
        """The first Ctrl-C finishes what is under way, the second one leaves at once."""

        def asked(number: int, frame: Any) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            self.stop.set()
            display.line(
                "finishing the interviews under way; Ctrl-C again leaves at once, nothing that is done is lost"
            )

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, asked)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    # --- the end --------------------------------------------------------------------------------------------------

    def _kept(self) -> str:
        done = sum(count for state, count in self.ledger.tally().items() if state in (DONE, SAME))
        return f"{done:,} {'caption is' if done == 1 else 'captions are'} kept, the same command goes on"

    def _finish(self, tally: Tally, listing: Listing) -> int:
        plan, scope = self.plan, self.plan.scope
        counts = tally.meter.counts
        damaged = [problem for source in plan.sources for problem in source.problems]
        for problem in damaged:  # said before the first picture too, maybe hours ago
            say(problem)
        left_out = _left_out(plan, listing)
        facts = {
            "pictures": tally.total,
            "captioned": listing.count(scope, f"i.state = {DONE}"),
            "truncated": listing.count(scope, f"i.state = {DONE} AND i.truncated"),
            "repeated": listing.count(scope, f"i.state = {SAME}"),
            "failed": listing.count(scope, GAVE_UP),
            "left": listing.count(scope, PENDING),
            "this_run": {
                "captioned": tally.captioned,
                "repeated": tally.repeated,
                "failed": tally.failed,
                "seconds": round(tally.seconds, 3),
                "calls": counts.calls,
                "failed_calls": counts.failed,
                "input_tokens": counts.input_tokens,
                "output_tokens": counts.output_tokens,
                "guessed_calls": counts.guessed,
                "cost": tally.cost(counts),
                "workers": len(tally.meter.workers),
            },
            "damaged": damaged,
            "left_out": left_out.as_json(),
            "outputs": [str(path) for path in plan.outputs],
        }
        if self.request.json:
            print(json.dumps(facts))
        else:
            print("\n".join(self._summary(facts, tally, left_out)))
        if self.stop.is_set():
            return EXIT_INTERRUPTED
        return EXIT_SOME_FAILED if facts["failed"] or damaged or left_out.faults else 0

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
            words = [f"{duration(tally.seconds)}, {speed:.2f} pictures/s", *rest]
            lines.append(f"this run: {', '.join(words)}")
        return [*lines, *(printable(path) for path in self.plan.outputs)]
