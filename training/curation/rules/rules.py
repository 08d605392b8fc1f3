"""Step 3, second half: rules per kind of error fix a text or drop it, and every rule reports its hits.

The outcome is a function of the repaired texts, the rules and the labels: a second run writes the same files. Kept and
dropped texts together are all pictures of the curation, so nothing is lost.

A text that a person edited after the rules overrides all of them: no rule changes or drops it, counts it as a hit, or
drops it as a near-duplicate. Only labels of that very text drop it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from agents.text import text_metrics
from core.errors import UsageError, printable
from core.files.journal import Record, read_json, write_json, write_lines
from core.text import sentences
from training.curation.folder import CurationFolder, digest
from training.curation.review.labels import Label, Labels
from training.curation.rules import patterns
from training.curation.rules.similar import near_duplicates
from training.curation.steps.fixing import FIXERS
from training.curation.steps.generate import generated, known_pictures
from training.curation.steps.repair import edited, repaired
from training.curation.toml import Closed, TomlFile

EXAMPLES: Final = 5
SENTENCE: Final = "drop_sentence"


class Rule(Closed):
    """One rule: its condition and its action."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    says: str = ""
    kind: str | None = None
    pattern: str | None = None
    sign: str | None = None
    above: float | None = Field(default=None, allow_inf_nan=False)
    below: float | None = Field(default=None, allow_inf_nan=False)
    action: Literal["fix", "drop"]
    replace: str | None = None
    fix: str | None = Field(default=None, alias="with")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None and patterns.found_in(pattern, ""):
            raise ValueError("it matches an empty text")
        return pattern

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.pattern is None) == (self.sign is None):
            raise ValueError("needs either a pattern or a sign")
        if self.sign is not None and self.sign not in text_metrics.METRICS:
            raise ValueError(f"there is no sign {self.sign!r}: take {', '.join(text_metrics.METRICS)}")
        if (self.sign is None) != (self.above is None and self.below is None):
            raise ValueError("a sign needs above or below, and a pattern has neither")
        if self.action == "drop" and not (self.replace is None and self.fix is None):
            raise ValueError('replace and with belong to action = "fix"')
        if self.action == "fix":
            if (self.replace is None) == (self.fix is None):
                raise ValueError('action = "fix" needs either replace or with')
            if (self.replace is not None or self.fix == SENTENCE) and self.pattern is None:
                raise ValueError("replace and drop_sentence need a pattern")
            if self.fix is not None and self.fix not in (*FIXERS, SENTENCE):
                raise ValueError(f"there is no repair {self.fix!r}: take {', '.join((*FIXERS, SENTENCE))}")
            if self.replace is not None:
                patterns.check_replacement(self.pattern or "", self.replace)
        return self

    def holds(self, text: str) -> bool:
        """Whether the rule applies to `text`."""
        if self.pattern is not None:
            return patterns.found_in(self.pattern, text)
        value = text_metrics.METRICS[self.sign or ""][0](text)
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)

    def fixed(self, text: str) -> str:
        """`text` after the fix."""
        if self.replace is not None:
            return FIXERS["tidy"](patterns.replaced(self.pattern or "", self.replace, text))
        if self.fix == SENTENCE:
            kept = [one for one in sentences(text) if not patterns.found_in(self.pattern or "", one)]
            return " ".join(kept)
        return FIXERS[self.fix or "tidy"](text)


class NearDuplicates(Closed):
    similarity: float = Field(default=0.8, gt=0, allow_inf_nan=False)


class People(Closed):
    drop: tuple[str, ...] = ()


class Rules(TomlFile):
    """The file `rules.toml`."""

    default = "rules"

    rule: tuple[Rule, ...] = ()
    near_duplicates: NearDuplicates = NearDuplicates()
    people: People = People()

    @field_validator("rule")
    @classmethod
    def _differ(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.name for rule in rules]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"two rules are called {twice[0]!r}")
        return rules

    def without(self, names: Collection[str]) -> Rules:
        """A copy without the rules of these names."""
        return self.model_copy(update={"rule": tuple(rule for rule in self.rule if rule.name not in names)})

    def to_toml(self) -> str:
        """The content of a file that `load` reads."""
        tables: list[tuple[str, Closed]] = [("[[rule]]", rule) for rule in self.rule]
        tables += [("[near_duplicates]", self.near_duplicates), ("[people]", self.people)]
        parts = []
        for head, table in tables:
            values = table.model_dump(mode="json", by_alias=True, exclude_none=True)
            parts.append("\n".join([head, *(f"{key} = {_toml(value)}" for key, value in values.items())]))
        return "\n\n".join(parts) + "\n"


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """Result of the rules for one text."""

    text: str
    hits: tuple[tuple[str, str, str], ...] = ()  # rule, text before, text after
    dropped: Rule | None = None


def apply(text: str, rules: Rules) -> RuleOutcome:
    """Apply the rules in order; the first that drops ends it. A fix that changes nothing is not a hit."""
    hits: list[tuple[str, str, str]] = []
    for rule in rules.rule:
        if not rule.holds(text):
            continue
        if rule.action == "drop":
            return RuleOutcome(text, (*hits, (rule.name, text, "")), rule)
        fixed = rule.fixed(text)
        if fixed != text:
            hits.append((rule.name, text, fixed))
            text = fixed
    return RuleOutcome(text, tuple(hits))


# ---- a whole curation ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Verdict:
    """Kept and dropped texts with reasons, and the hits of each rule."""

    kept: list[Record] = field(default_factory=list)
    dropped: list[Record] = field(default_factory=list)
    hits: dict[str, list[Record]] = field(default_factory=dict)  # rule -> {"id", "before", "after"}


def judge(folder: CurationFolder, rules: Rules, *, partly: bool = False) -> Verdict:
    """Apply the rules to every repaired text, in the order of the pictures.

    Raises UsageError if texts are not repaired yet, unless `partly`, which skips them.
    """
    first, second, by_hand = generated(folder), repaired(folder), edited(folder)
    verdict = Verdict(hits={rule.name: [] for rule in rules.rule})
    labels_of = _labels_by_text(folder)
    entries = known_pictures(folder)
    missing: list[str] = []
    standing: dict[str, Record] = {}

    def drop(name: str, stage: str, reason: str, text: str, hits: Sequence[str] = ()) -> None:
        verdict.dropped.append({"id": name, "stage": stage, "reason": reason, "text": text, "rules": list(hits)})

    for name in (entry.id for entry in entries):
        made, mended = first.get(name), second.get(name)
        if made is not None and made["status"] != "ok":
            drop(name, "generate", made["reason"], str(made.get("text", "")))
            continue
        if made is None or mended is None:
            missing.append(name)
            continue
        if mended["status"] != "repaired":
            drop(name, "repair", mended["reason"], str(made["text"]))
            continue
        before = str(mended["text"])
        outcome = apply(before, rules)
        hand = by_hand.get(name)
        ruled = {"ruled": outcome.text} if hand else {}  # restored if the edit is undone
        if hand:
            outcome = RuleOutcome(str(hand["text"]))
        hits = [rule for rule, _, _ in outcome.hits]
        for rule, old, new in outcome.hits:
            verdict.hits[rule].append({"id": name, "before": old, "after": new})
        if outcome.dropped is not None:
            drop(name, "rules", f"{outcome.dropped.name}: {outcome.dropped.says}".rstrip(": "), before, hits)
            continue
        # a rule cannot make an invention true, so labels of the text before it count; a person can
        digests = {digest(outcome.text)} if hand else {digest(outcome.text), digest(before)}
        labels = [label for one in sorted(digests) for label in labels_of.get((name, one), ())]
        bad = next((label for label in labels if set(label.kinds) & set(rules.people.drop)), None)
        if bad:
            kinds = ", ".join(kind for kind in bad.kinds if kind in rules.people.drop)
            drop(
                name,
                "people",
                f"{bad.reviewer} says: {kinds}{f' ({bad.note})' if bad.note else ''}",
                outcome.text,
                hits,
            )
            continue
        standing[name] = {"id": name, "text": outcome.text, "rules": hits, "of": digest(before), **ruled}
    if missing and not partly:
        raise UsageError(
            f"{len(missing)} pictures have no repaired text yet (the first: {printable(missing[0], 60)}); finish "
            "`inquisight curate generate` and `repair` first, or add --partly to leave them out."
        )
    # texts that people wrote come first: the others are compared with them
    texts = {name: str(standing[name]["text"]) for name in sorted(standing, key=lambda name: name not in by_hand)}
    limit = rules.near_duplicates.similarity
    for name, (other, likeness) in (near_duplicates(texts, limit) if limit <= 1 else {}).items():
        if name not in by_hand:
            record = standing.pop(name)
            drop(
                name,
                "similar",
                f"{likeness:.2f} like the text of {other}, which is kept",
                record["text"],
                record["rules"],
            )
    verdict.kept = list(standing.values())
    order = {entry.id: place for place, entry in enumerate(entries)}
    verdict.dropped.sort(key=lambda record: order[record["id"]])
    return verdict


def write_verdict(folder: CurationFolder, rules: Rules, verdict: Verdict) -> None:
    """Write the outcome. `rules.json` comes last with the digests of the other two, to detect an incomplete set."""
    write_lines(folder.verified.path, verdict.kept)
    write_lines(folder.dropped.path, verdict.dropped)
    total = len(verdict.kept) + sum(record["stage"] != "generate" for record in verdict.dropped)
    table = [
        {
            **rule.model_dump(include={"name", "kind", "action", "says"}),
            "hits": len(hits),
            "share": round(len(hits) / total, 4) if total else 0.0,
            "ids": [hit["id"] for hit in hits],
            "examples": hits[:EXAMPLES],
        }
        for rule in rules.rule
        if (hits := verdict.hits[rule.name]) is not None
    ]
    outcome = {
        "schema": 1,
        "settings": {"rules": digest(rules.model_dump(mode="json"))},
        "of": inputs_digest(folder),
        "files": {path.name: _sha256(path) for path in (folder.verified.path, folder.dropped.path)},
        "kept": len(verdict.kept),
        "dropped": len(verdict.dropped),
        "rules": table,
    }
    write_json(folder.path / "rules.json", outcome)


def last_verdict(folder: CurationFolder) -> Record | None:
    """`rules.json`, or None if the rules did not run to their end."""
    outcome = read_json(folder.path / "rules.json")
    if outcome is None:
        return None
    files = outcome.get("files", {})
    whole = all(_sha256(folder.path / name) == value for name, value in files.items())
    return outcome if files and whole else None


def is_stale(folder: CurationFolder, outcome: Record) -> bool:
    """Whether texts or labels changed since the rules ran."""
    return bool(outcome.get("of") != inputs_digest(folder))


def inputs_digest(folder: CurationFolder) -> str:
    """Digest of all texts and labels, independent of the order in which they were written."""
    made = {name: [one["status"], one.get("text", "")] for name, one in generated(folder).items()}
    mended = {name: [one["status"], one.get("text", "")] for name, one in repaired(folder).items()}
    by_hand = {name: one["text"] for name, one in edited(folder).items()}
    said = {
        f"{name}:{of}": sorted([label.reviewer, *label.kinds] for label in labels)
        for (name, of), labels in _labels_by_text(folder).items()
    }
    return digest([made, mended, said, *([by_hand] if by_hand else [])])


def _labels_by_text(folder: CurationFolder) -> Mapping[tuple[str, str], list[Label]]:
    found: dict[tuple[str, str], list[Label]] = {}
    for label in Labels(folder).all():
        found.setdefault((label.id, label.of), []).append(label)
    return found


def _toml(value: Any) -> str:
    """TOML's strings, numbers and lists are JSON's."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
