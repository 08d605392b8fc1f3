"""Step 2: a language model repairs each text; what it spoils, refuses or cannot be reached for is set aside.

After Zhu et al. 2023, section 3.2. A repaired text is one record in `repaired.jsonl`, a failure too: it keeps every
reply with the reason why it was not taken, and what it cost. The same command leaves failures alone; `failed_only`
tries them again and nothing else. Where call after call fails because the model cannot be reached, the run stops, and
the texts it was stopped at count as not tried.
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
from training.curation.text_metrics import words_of
from training.curation.toml import Closed

COUNTED: Final = {"calls", "guessed", "input_tokens", "output_tokens"}  # of a record, from `TokenUsage`
RULES: Final = "rules"  # the repairer that is no model: `fixing.repair`
STREAK: Final = 10  # calls that fail in a row, for reasons outside the texts, until a run stops
PRICES: Final = "prices.json"
EDITED: Final = "edited"  # status of a record that a person wrote after the rules; see `edits`


class RepairSettings(Closed):
    """Everything that decides what a text becomes."""

    repairer: str = Field(min_length=1)
    """A registered questioner, "provider:model", or "rules" for what can be done by counting."""
    prompts: str
    """Fingerprint of the prompts and limits."""
    temperature: float = Field(default=0.0, ge=0, le=2, allow_inf_nan=False)
    tries: int = Field(default=2, ge=1, le=10)
    """How often a text is sent before its failure counts."""
    seed: int = Field(default=42, ge=0, lt=2**32)


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, in any currency."""

    input: float = 0.0
    output: float = 0.0

    def cost(self, usage: TokenUsage) -> float:
        return (usage.input_tokens * self.input + usage.output_tokens * self.output) / 1e6

    def note(self, folder: CurationFolder) -> None:
        """Keep them for `curate status` and the report."""
        write_json(folder.path / PRICES, {"input": self.input, "output": self.output})

    @classmethod
    def of(cls, folder: CurationFolder) -> Prices:
        found = read_json(folder.path / PRICES) or {}
        return cls(float(found.get("input", 0)), float(found.get("output", 0)))


@dataclass(frozen=True, slots=True)
class RepairConfig:
    """How a run works; none of it changes what a text becomes."""

    concurrency: int = 4
    failed_only: bool = False
    limit: int | None = None  # texts in this run
    prices: Prices = field(default_factory=Prices)
    max_cost: float | None = None  # of all runs together
    streak: int = STREAK
    waiting: Callable[[int], None] = lambda under_way: None  # told how many calls are waited for before the run ends


def prompts_digest(repair: Repair) -> str:
    """The same for the same prompts and limits, whatever their file is called."""
    return digest(repair.model_dump(mode="json"))


def repaired(folder: CurationFolder) -> dict[str, Record]:
    """What became of each text: the last record that is about the text as it is now, postponed ones left out."""
    texts = {name: str(one.get("text", "")) for name, one in generated(folder).items() if one.get("status") == "ok"}
    found: dict[str, Record] = {}
    for record in folder.repaired.read():
        name = str(record["id"])
        if record["status"] not in ("postponed", EDITED) and name in texts and record.get("of") == digest(texts[name]):
            found[name] = record
    return found


def edited(folder: CurationFolder) -> dict[str, Record]:
    """Texts that a person put right after the rules: the last such record that is about the repaired text as it is now.

    One that was undone is not among them; one whose repaired text was changed since does again where that comes back.
    """
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
    """Everything that was asked of a provider, in all runs, for texts that were taken and for those that were not."""
    return sum(map(_usage, folder.repaired.read()), TokenUsage())


def _usage(record: Record) -> TokenUsage:
    return TokenUsage(**{name: int(record.get(name) or 0) for name in COUNTED})


def repair(
    folder: CurationFolder, settings: RepairSettings, files: Repair, mender: Mender | None, how: RepairConfig
) -> Iterator[Advance]:
    """Repair the texts that are not repaired yet. `mender` is None for the repairer "rules".

    Raises QuestionerError where the model cannot be used, and UsageError where --max-cost is reached; what was done
    until then is kept.
    """
    folder.begin("repair", settings.model_dump(mode="json"))
    done = repaired(folder)
    texts = [(name, str(one["text"])) for name, one in generated(folder).items() if one.get("status") == "ok"]
    if how.failed_only:
        todo = [one for one in texts if done.get(one[0], {}).get("status") == "failed"]
    else:
        todo = [one for one in texts if one[0] not in done]
    todo = todo[: how.limit]
    rounds = {name: int(record.get("round", 0)) + 1 for name, record in done.items()}
    jobs = [RepairJob(name, text, rounds.get(name, 0)) for name, text in todo]
    total, count = (len(jobs), 0) if how.failed_only else (len(texts), len(done))
    run = _Run(folder, settings, files, mender, how)
    for record in run.results(jobs):
        count += 1
        cost = how.prices.cost(run.spent)
        note = f"cost {cost:.2f}" if cost else ""
        yield Advance(min(count, total), total, record["id"], record.get("reason", ""), note)


@dataclass(frozen=True, slots=True)
class RepairJob:
    """One text to repair; the round counts how often it failed before."""

    id: str
    text: str
    round: int


@dataclass(slots=True)
class _Run:
    """One run: threads that ask, and the one that writes."""

    folder: CurationFolder
    settings: RepairSettings
    files: Repair
    mender: Mender | None
    how: RepairConfig
    spent: TokenUsage = field(default_factory=TokenUsage)
    halt: Halt = field(default_factory=lambda: Halt(current_halt()))
    # What threads brought and nobody has written yet: an interrupt may come between any two lines of the writer.
    unwritten: dict[str, Record] = field(default_factory=dict)

    def results(self, jobs: Sequence[RepairJob]) -> Iterator[Record]:
        """Each record when it is on the disk."""
        orders: queue.SimpleQueue[RepairJob | None] = queue.SimpleQueue()
        ready: queue.SimpleQueue[Record | BaseException] = queue.SimpleQueue()
        # daemons: a second Ctrl-C leaves at once, whatever they wait for
        threads = [
            threading.Thread(target=self._serve, args=(orders, ready), daemon=True)
            for _ in range(min(self.how.concurrency, len(jobs)))
        ]
        for thread in threads:
            thread.start()
        waiting, under_way = list(reversed(jobs)), 0
        held: list[Record] = []  # outages, until it shows whether the model is gone or only missed some
        reached = False
        called_off: CalledOff | None = None
        self.spent = account(self.folder)
        try:
            while waiting or under_way:
                while waiting and under_way < self.how.concurrency and not self._too_dear():
                    orders.put(waiting.pop())
                    under_way += 1
                if not under_way:
                    break
                record = ready.get()
                under_way -= 1
                if isinstance(record, CalledOff):
                    called_off = record
                    break
                if isinstance(record, BaseException):
                    raise record
                self.spent += _usage(record)
                if record["status"] == "outage":
                    held.append(record)
                    if len(held) >= self.how.streak or self.halt.reason is not None:
                        break
                    continue
                reached = True
                for one in [*held, record]:
                    yield self._keep(one)
                held = []
            if held and reached and len(held) < self.how.streak and self.halt.reason is None:
                for one in held:
                    yield self._keep(one)
                held = []
        finally:
            self.halt.set()
            for _ in range(self.how.concurrency):
                orders.put(None)
            if under_way:
                self.how.waiting(under_way)
            for thread in threads:
                thread.join()
            held = self._keep_the_rest()
            self.spent = account(self.folder)
        if held:
            raise QuestionerError(
                f"{held[-1]['reason'].rstrip('. ')}; stopped after {_calls(len(held))} in a row had failed; nothing is "
                "lost, the same command goes on."
            )
        if called_off is not None:
            raise called_off
        if waiting:
            cost = self.how.prices.cost(self.spent)
            raise UsageError(
                f"stopped with {len(waiting)} texts to go: {cost:.2f} are spent, and --max-cost is "
                f"{self.how.max_cost:.2f}; raise it to go on."
            )

    def _too_dear(self) -> bool:
        """Whether the limit on cost is reached; no call begins any more then, nor a further try of one under way."""
        if self.how.max_cost is None or self.how.prices.cost(self.spent) < self.how.max_cost:
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
        """Write what was asked and paid for and is not written yet; outages, which are returned, as postponed."""
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
            except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits for it
                ready.put(error)

    def _work(self, job: RepairJob) -> Record:
        """Send one text, as often as the settings say; the record of what came of it."""
        started = time.monotonic()
        head = {"id": job.id, "of": digest(job.text), "round": job.round}
        if self.mender is None:
            return {**head, **self._by_rules(job.text)}
        usage = TokenUsage()
        attempts: list[dict[str, str]] = []
        outcome: dict[str, Any] = {}
        for attempt in range(self.settings.tries):
            if attempt and self.halt.is_set():
                break  # what was paid for is written down
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
    """Another one for every text, round and attempt; below 2**31, which all providers take."""
    name = f"{seed}:{job.id}:{job.round}:{attempt}".encode("utf-8", "backslashreplace")
    return int.from_bytes(hashlib.sha256(name).digest()[:4], "big") >> 1


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"
