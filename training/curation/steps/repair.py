"""Step 2: a language model repairs each text; failed texts are recorded with their reason.

After Zhu et al. 2023, section 3.2. Each attempt is one record in `repaired.jsonl`: it keeps every reply with the reason
for its rejection, and its cost. The same command skips failures; `failed_only` retries only those. If call after call
fails because the model cannot be reached, the run stops, and the texts of these calls count as not tried.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import Field

from agents.llm.mender import Mender
from agents.text.languages import guess_language
from agents.text.text_metrics import words_of
from core.errors import QuestionerError, UsageError, printable
from core.files.journal import Record, read_json, write_json
from core.net.remote import for_all
from core.records import TokenUsage
from core.stopping import CalledOff, Halt, current_halt, halting
from core.text import whole_sentences
from training.curation.folder import CurationFolder, digest
from training.curation.steps import fixing
from training.curation.steps.checking import Repair, question, read_reply
from training.curation.steps.generate import generated
from training.curation.steps.progress import Advance
from training.curation.toml import Closed

COUNTED: Final = {"calls", "guessed", "input_tokens", "output_tokens"}  # fields of a record, see `TokenUsage`
RULES: Final = "rules"  # the repairer without a model: `fixing.repair`
STREAK: Final = 10  # failed calls in a row, for reasons outside the texts, that stop a run
PRICES: Final = "prices.json"
EDITED: Final = "edited"  # status of a text that a person edited after the rules; see `edits`


class RepairSettings(Closed):
    """All settings that affect the repaired texts."""

    repairer: str = Field(min_length=1)
    """A registered questioner, "provider:model", or "rules" for no model."""
    prompts: str
    """Fingerprint of the prompts and limits."""
    temperature: float = Field(default=0.0, ge=0, le=2, allow_inf_nan=False)
    tries: int = Field(default=2, ge=1, le=10)
    """Attempts per text."""
    seed: int = Field(default=42, ge=0, lt=2**32)


@dataclass(frozen=True, slots=True)
class Prices:
    """Price of a million tokens, in any currency."""

    input: float = 0.0
    output: float = 0.0

    def cost(self, usage: TokenUsage) -> float:
        return (usage.input_tokens * self.input + usage.output_tokens * self.output) / 1e6

    def note(self, folder: CurationFolder) -> None:
        """Write the prices for `curate status` and the report."""
        write_json(folder.path / PRICES, {"input": self.input, "output": self.output})

    @classmethod
    def of(cls, folder: CurationFolder) -> Prices:
        found = read_json(folder.path / PRICES) or {}
        return cls(float(found.get("input", 0)), float(found.get("output", 0)))


@dataclass(frozen=True, slots=True)
class RepairConfig:
    """Options of a run that do not affect the texts."""

    concurrency: int = 4
    failed_only: bool = False
    limit: int | None = None  # texts in this run
    prices: Prices = field(default_factory=Prices)
    max_cost: float | None = None  # of all runs together
    streak: int = STREAK
    waiting: Callable[[int], None] = lambda pending: None  # called with the number of pending calls when a run ends


def prompts_digest(repair: Repair) -> str:
    """Digest of the prompts and limits."""
    return digest(repair.model_dump(mode="json"))


def repaired(folder: CurationFolder) -> dict[str, Record]:
    """The last record of each current text, except postponed ones."""
    texts = {name: str(one.get("text", "")) for name, one in generated(folder).items() if one.get("status") == "ok"}
    found: dict[str, Record] = {}
    for record in folder.repaired.read():
        name = str(record["id"])
        if record["status"] not in ("postponed", EDITED) and name in texts and record.get("of") == digest(texts[name]):
            found[name] = record
    return found


def edited(folder: CurationFolder) -> dict[str, Record]:
    """Texts that a person edited after the rules: the last such record of each current repaired text, unless undone."""
    found: dict[tuple[str, str], Record] = {}
    for record in folder.repaired.read():
        if record["status"] == EDITED:
            found[str(record["id"]), str(record.get("of"))] = record
    return {
        name: hand
        for name, one in repaired(folder).items()
        if (hand := found.get((name, digest(str(one.get("text", "")))))) and not hand.get("undone")
    }


def account(folder: CurationFolder) -> TokenUsage:
    """The usage of all runs, including rejected replies."""
    return sum(map(_usage, folder.repaired.read()), TokenUsage())


def _usage(record: Record) -> TokenUsage:
    return TokenUsage(**{name: int(record.get(name) or 0) for name in COUNTED})


def repair(
    folder: CurationFolder, settings: RepairSettings, files: Repair, mender: Mender | None, config: RepairConfig
) -> Iterator[Advance]:
    """Repair the texts that are not repaired yet. `mender` is None for the repairer "rules".

    Raises QuestionerError if the model cannot be used, and UsageError at --max-cost; finished texts are kept.
    """
    folder.begin("repair", settings.model_dump(mode="json"))
    done = repaired(folder)
    texts = [(name, str(one["text"])) for name, one in generated(folder).items() if one.get("status") == "ok"]
    if config.failed_only:
        todo = [one for one in texts if done.get(one[0], {}).get("status") == "failed"]
    else:
        todo = [one for one in texts if one[0] not in done]
    todo = todo[: config.limit]
    rounds = {name: int(record.get("round", 0)) + 1 for name, record in done.items()}
    jobs = [RepairJob(name, text, rounds.get(name, 0)) for name, text in todo]
    total, count = (len(jobs), 0) if config.failed_only else (len(texts), len(done))
    run = _Run(folder, settings, files, mender, config)
    for record in run.results(jobs):
        count += 1
        cost = config.prices.cost(run.spent)
        note = f"cost {cost:.2f}" if cost else ""
        yield Advance(min(count, total), total, record["id"], record.get("reason", ""), note)


@dataclass(frozen=True, slots=True)
class RepairJob:
    """One text to repair; `round` counts its earlier failures."""

    id: str
    text: str
    round: int


@dataclass(slots=True)
class _Run:
    """One run: worker threads that call the model, and one writer."""

    folder: CurationFolder
    settings: RepairSettings
    files: Repair
    mender: Mender | None
    config: RepairConfig
    spent: TokenUsage = field(default_factory=TokenUsage)
    halt: Halt = field(default_factory=lambda: Halt(current_halt()))
    # Results that are not written yet: an interrupt may come between any two lines of the writer.
    unwritten: dict[str, Record] = field(default_factory=dict)

    def results(self, jobs: Sequence[RepairJob]) -> Iterator[Record]:
        """Yield each record once it is on disk."""
        orders: queue.SimpleQueue[RepairJob | None] = queue.SimpleQueue()
        ready: queue.SimpleQueue[Record | BaseException] = queue.SimpleQueue()
        # daemons: a second Ctrl-C exits at once
        threads = [
            threading.Thread(target=self._serve, args=(orders, ready), daemon=True)
            for _ in range(min(self.config.concurrency, len(jobs)))
        ]
        guess_language("")  # load the detector before the threads check replies
        for thread in threads:
            thread.start()
        waiting, pending = list(reversed(jobs)), 0
        held: list[Record] = []  # outages, until it is clear whether the model is down
        reached = False
        called_off: CalledOff | None = None
        self.spent = account(self.folder)
        try:
            while waiting or pending:
                while waiting and pending < self.config.concurrency and not self._too_dear():
                    orders.put(waiting.pop())
                    pending += 1
                if not pending:
                    break
                record = ready.get()
                pending -= 1
                if isinstance(record, CalledOff):
                    called_off = record
                    break
                if isinstance(record, BaseException):
                    raise record
                self.spent += _usage(record)
                if record["status"] == "outage":
                    held.append(record)
                    if len(held) >= self.config.streak or self.halt.reason is not None:
                        break
                    continue
                reached = True
                for one in [*held, record]:
                    yield self._keep(one)
                held = []
            if held and reached and len(held) < self.config.streak and self.halt.reason is None:
                for one in held:
                    yield self._keep(one)
                held = []
        finally:
            self.halt.set()
            for _ in range(self.config.concurrency):
                orders.put(None)
            if pending:
                self.config.waiting(pending)
            for thread in threads:
                thread.join()
            held = self._keep_the_rest()
            self.spent = account(self.folder)
        if held:
            raise QuestionerError(
                f"{held[-1]['reason'].rstrip('. ')}; stopped after {_calls(len(held))} in a row had failed; nothing is "
                "lost, the same command resumes."
            )
        if called_off is not None:
            raise called_off
        if waiting:
            cost = self.config.prices.cost(self.spent)
            raise UsageError(
                f"stopped with {len(waiting)} texts to go: {cost:.2f} are spent, and --max-cost is "
                f"{self.config.max_cost:.2f}; raise it to continue."
            )

    def _too_dear(self) -> bool:
        """Whether the cost limit is reached; then no further call or attempt begins."""
        if self.config.max_cost is None or self.config.prices.cost(self.spent) < self.config.max_cost:
            return False
        self.halt.set()
        return True

    def _keep(self, record: Record) -> Record:
        if record["status"] == "outage":
            record = {**record, "status": "failed"}
        self.folder.repaired.append(record)
        self.unwritten.pop(record["id"], None)
        return record

    def _keep_the_rest(self) -> list[Record]:
        """Write the remaining paid results; outages are written as postponed and returned."""
        rest = list(self.unwritten.values())
        there = [one for one in self.folder.repaired.read() if one["id"] in self.unwritten] if rest else []
        rest = [one for one in rest if one not in there and {**one, "status": "failed"} not in there]
        held = [one for one in rest if one["status"] == "outage"]
        for one in rest:
            if one["status"] != "outage":
                self._keep(one)
        self.folder.repaired.append(*({**one, "status": "postponed"} for one in held))
        return held

    def _serve(
        self, orders: queue.SimpleQueue[RepairJob | None], ready: queue.SimpleQueue[Record | BaseException]
    ) -> None:
        while (job := orders.get()) is not None:
            try:
                if self.halt.is_set():
                    raise CalledOff
                with halting(self.halt):
                    record = self._work(job)
                self.unwritten[job.id] = record
                ready.put(record)
            except BaseException as error:  # noqa: BLE001 - raised again by the writer
                ready.put(error)

    def _work(self, job: RepairJob) -> Record:
        """Send one text, up to `tries` times; returns its record."""
        started = time.monotonic()
        head = {"id": job.id, "of": digest(job.text), "round": job.round}
        if self.mender is None:
            return {**head, **self._by_rules(job.text)}
        usage = TokenUsage()
        attempts: list[dict[str, str]] = []
        outcome: dict[str, Any] = {}
        for attempt in range(self.settings.tries):
            if attempt and self.halt.is_set():
                break  # write the paid attempts
            seed = _seed(self.settings.seed, job, attempt)
            asked = question(job.text, self.files, seed)
            room = 4 * len(words_of(job.text)) + 100
            reply = self.mender(asked.brief, asked.request, seed=seed, max_tokens=room)
            usage += reply.usage
            if reply.error is not None:
                if for_all(reply.error):
                    self.halt.set(reply.error)  # before another thread begins a text
                problem = str(reply.error)
                outcome = {"status": "outage" if reply.is_outage else "failed", "reason": problem}
                attempts.append({"problem": problem})
                if reply.is_outage:
                    break
                continue
            said = whole_sentences(reply.text) if reply.truncated else reply.text
            text, problem = read_reply(said, job.text, self.files, asked.mark)
            if not problem:
                outcome = {"status": "repaired", "text": text, "truncated": reply.truncated}
                break
            attempts.append({"problem": problem, "reply": reply.text})
            outcome = {"status": "failed", "reason": problem}
        seconds = round(time.monotonic() - started, 3)
        return {**head, **outcome, "attempts": attempts, **usage.model_dump(include=COUNTED), "seconds": seconds}

    def _by_rules(self, text: str) -> dict[str, Any]:
        fixed = fixing.repair(text)
        if len(words_of(fixed)) < self.files.check.min_words:
            reason = f"only {len(words_of(fixed))} words are left: “{printable(fixed, 60)}”"
            return {"status": "failed", "reason": reason, "attempts": [{"problem": reason, "reply": fixed}]}
        return {"status": "repaired", "text": fixed}


def _seed(seed: int, job: RepairJob, attempt: int) -> int:
    """A different seed for each text, round and attempt; below 2**31, which all providers accept."""
    name = f"{seed}:{job.id}:{job.round}:{attempt}".encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") >> 1


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
