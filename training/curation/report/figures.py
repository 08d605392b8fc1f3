"""Figures of a curation: for `curate status`, the report and its plots."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from agents.text import text_metrics
from core.errors import printable
from core.files.journal import read_json
from core.records import TokenUsage
from training.curation.folder import LEFT_OUT, CurationFolder
from training.curation.review.labels import SAMPLE, Agreement, Label, LabelItem, Labels, Stage, agreement, texts_of
from training.curation.rules.rules import is_stale, last_verdict
from training.curation.steps.generate import generated, known_pictures
from training.curation.steps.repair import Prices, account, repaired


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """Hits of a kind's rules among the labelled texts, compared with the labels."""

    kind: str
    labelled: int  # texts with a label of this kind, by any reviewer
    found: int  # of these, hit by one of its rules
    alarms: int  # hit by a rule and reviewed, but not labelled with this kind


@dataclass(frozen=True, slots=True)
class LabelledSample:
    """The labels of one sample."""

    size: int
    labelled: dict[str, int]  # reviewer -> texts
    faulty: int  # texts with any error, by any reviewer
    seen: int  # texts with a label
    kinds: dict[str, int]  # kind -> texts
    agreements: list[Agreement]


@dataclass(slots=True)
class Figures:
    """All figures of a curation."""

    pictures: int = 0
    left_out: dict[str, Any] = field(default_factory=dict)  # of their sources: "count", "reasons", and both in a "line"
    generated: int = 0
    ungenerated: dict[str, int] = field(default_factory=dict)  # reason -> pictures
    continued: int = 0
    truncated: dict[str, int] = field(default_factory=dict)  # step -> texts that were cut at the limit of tokens
    repaired: int = 0
    unrepaired: dict[str, int] = field(default_factory=dict)
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: float = 0.0
    sample: LabelledSample | None = None
    sample_after: LabelledSample | None = None
    verdict: dict[str, Any] | None = None
    stale: bool = False
    dropped: dict[str, int] = field(default_factory=dict)  # step and rule -> texts
    matches: list[RuleMatch] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)  # "generated", "repaired", "kept"

    def mean_metrics(self) -> dict[str, dict[str, float]]:
        """Mean of each metric per step."""
        measured = {step: [text_metrics.measure(text) for text in texts] for step, texts in self.texts.items()}
        return {
            step: {name: fmean(one[name] for one in values) for name in text_metrics.METRICS if values}
            for step, values in measured.items()
        }

    def failures(self) -> dict[str, text_metrics.FailureRate]:
        """Failure rate per step."""
        return {step: text_metrics.failure_rate(texts) for step, texts in self.texts.items()}


def count(folder: CurationFolder) -> Figures:
    """Count everything in `folder`. Raises StoreError if a file is damaged."""
    first, second = generated(folder), repaired(folder)
    good = [one for one in first.values() if one["status"] == "ok"]
    mended = [one for one in second.values() if one["status"] == "repaired"]
    found = Figures(len(known_pictures(folder)), read_json(folder.path / LEFT_OUT) or {})
    found.generated = len(good)
    found.continued = sum(len(one["parts"]) > 1 for one in good)
    found.ungenerated = _reasons(one["reason"] for one in first.values() if one["status"] != "ok")
    found.repaired = len(mended)
    found.unrepaired = _reasons(one["reason"] for one in second.values() if one["status"] != "repaired")
    kinds = {"generated": good, "repaired": mended}
    found.truncated = {step: sum(bool(one.get("truncated")) for one in records) for step, records in kinds.items()}
    found.usage = account(folder)
    found.cost = Prices.of(folder).cost(found.usage)
    found.texts = {
        "generated": [str(one["text"]) for one in good],
        "repaired": [str(one["text"]) for one in mended],
    }
    labels = Labels(folder)
    found.sample = _sample(folder, labels, "repair")
    found.sample_after = _sample(folder, labels, "rules")
    found.verdict = last_verdict(folder)
    if found.verdict is not None:
        found.stale = is_stale(folder, found.verdict)
        found.texts["kept"] = list(texts_of(folder, "rules").values())
        dropped = folder.dropped.read()
        found.dropped = dict(Counter(_why(one) for one in dropped).most_common())
        found.matches = _matches(folder, labels, found.verdict)
    return found


def items_of(folder: CurationFolder, stage: Stage) -> list[LabelItem]:
    """The sample with its current texts; empty if none was drawn."""
    kept = read_json(folder.path / SAMPLE[stage])
    if kept is None:
        return []
    texts = texts_of(folder, stage)
    return [LabelItem(name, "", texts[name]) for name in kept["ids"] if name in texts]


def _sample(folder: CurationFolder, labels: Labels, stage: Stage) -> LabelledSample | None:
    items = items_of(folder, stage)
    if not items:
        return None
    by = labels.of(items)
    kinds = _by_kind(by)
    counts = {kind: len(ids) for kind, ids in sorted(kinds.items(), key=lambda pair: (-len(pair[1]), pair[0]))}
    faulty: set[str] = set().union(*kinds.values())
    labelled = {reviewer: len(given) for reviewer, given in sorted(by.items())}
    return LabelledSample(len(items), labelled, len(faulty), len(_seen(by)), counts, agreement(by, list(counts)))


def _matches(folder: CurationFolder, labels: Labels, verdict: dict[str, Any]) -> list[RuleMatch]:
    by = labels.of(items_of(folder, "repair"))
    seen, labelled = _seen(by), _by_kind(by)
    hits: dict[str, set[str]] = {}
    for rule in verdict["rules"]:
        if rule["kind"]:
            hits.setdefault(rule["kind"], set()).update(rule["ids"])
    return [
        RuleMatch(kind, len(mine), len(mine & ruled), len(ruled & seen - mine))
        for kind in sorted(labelled.keys() | hits.keys())
        if (mine := labelled.get(kind, set())) | (ruled := hits.get(kind, set())) & seen
    ]


def _seen(by: Mapping[str, Mapping[str, Label]]) -> set[str]:
    return {name for given in by.values() for name in given}


def _by_kind(by: Mapping[str, Mapping[str, Label]]) -> dict[str, set[str]]:
    """kind -> names of the texts that any reviewer gave it."""
    kinds: dict[str, set[str]] = {}
    for given in by.values():
        for label in given.values():
            for kind in label.kinds:
                kinds.setdefault(kind, set()).add(label.id)
    return kinds


def _reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Reasons without quoted parts and numbers, most frequent first."""
    plain = [re.sub(r"'[^']*'|“[^“”]*”|\d+", "…", str(reason).split(": ")[0].rstrip(". ")) for reason in reasons]
    return dict(Counter(printable(one, 100) for one in plain).most_common())


def _why(record: dict[str, Any]) -> str:
    stage = str(record["stage"])
    return f"{stage}: {str(record['reason']).split(': ')[0]}" if stage == "rules" else stage
