"""Step 3, first half: people review a sample and label the kinds of error in it.

The sample is drawn once, with a seed. Each label is a record appended to `labels.jsonl`, and so is each undo; the last
record of a reviewer about a text counts. A label belongs to the text it was given to: it is ignored while the text is a
different one, and counts again if the text comes back.
"""

from __future__ import annotations

import json
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from core.datasets.text_lines import split_lines
from core.errors import UsageError, printable, why
from core.files.journal import read_json, write_json, write_lines
from training.curation.folder import CurationFolder, digest
from training.curation.steps.generate import generated, known_pictures
from training.curation.steps.repair import edited, repaired
from training.curation.toml import Closed, TomlFile

Stage = Literal["repair", "rules"]
SIZE: Final = 500  # the paper's
SAMPLE: Final[dict[Stage, str]] = {"repair": "sample.json", "rules": "sample-after.json"}
RESERVED: Final = frozenset("bnpqsu")


class Kind(Closed):
    """One kind of error."""

    key: str = Field(pattern=r"^[a-z0-9]$")
    name: str = Field(min_length=1, max_length=40)
    says: str

    @field_validator("key")
    @classmethod
    def _free(cls, key: str) -> str:
        if key in RESERVED:
            raise ValueError(f"the key {key!r} is taken by the view (b, n, p, q, s, u)")
        return key


class Kinds(TomlFile):
    """The file `kinds.toml`."""

    default = "kinds"

    kind: tuple[Kind, ...] = Field(min_length=1)

    @field_validator("kind")
    @classmethod
    def _differ(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        for what in ("key", "name"):
            values = [getattr(one, what) for one in kinds]
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                raise ValueError(f"the {what} {twice[0]!r} is there twice")
        return kinds

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.kind)


@dataclass(frozen=True, slots=True)
class LabelItem:
    """One text to review."""

    id: str
    picture: str
    text: str

    @property
    def of(self) -> str:
        return digest(self.text)


@dataclass(frozen=True, slots=True)
class Label:
    """The label that one reviewer gave one text; no kinds means no error."""

    id: str
    reviewer: str
    of: str
    kinds: tuple[str, ...] = ()
    note: str = ""

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "at": datetime.now(UTC).isoformat(timespec="seconds")}


def texts_of(folder: CurationFolder, stage: Stage) -> dict[str, str]:
    """The current texts after that step, edits included, in the order of the pictures."""
    if stage == "rules":
        kept, by_hand = {str(one["id"]): one for one in folder.verified.read()}, edited(folder)
        ruled = {name: str(one.get("ruled", one["text"])) for name, one in kept.items()}
        return {name: str(by_hand[name]["text"]) if name in by_hand else text for name, text in ruled.items()}
    after = repaired(folder)
    found = {name: one for name in generated(folder) if (one := after.get(name)) and one["status"] == "repaired"}
    order = (entry.id for entry in known_pictures(folder))
    return {name: str(found[name]["text"]) for name in order if name in found}


def draw_sample(
    folder: CurationFolder, *, stage: Stage, size: int | None, seed: int | None, partly: bool = False
) -> list[LabelItem]:
    """The sample of this folder, drawn now if there is none yet; in random order.

    Raises UsageError if there are no texts, if not all are repaired yet (unless `partly`), or if the sample was drawn
    with another size or seed.
    """
    path = folder.path / SAMPLE[stage]
    texts = texts_of(folder, stage)
    if not texts:
        need = "`inquisight curate repair`" if stage == "repair" else "`inquisight curate rules`"
        raise UsageError(f"there are no texts to review in '{printable(folder.path)}' yet; run {need} first.")
    kept = read_json(path)
    if kept is None:
        open_ = sum(one["status"] == "ok" for one in generated(folder).values()) - len(repaired(folder))
        if stage == "repair" and open_ and not partly:
            raise UsageError(
                f"{open_} texts are not repaired yet, and a sample would leave them out; finish `inquisight curate "
                "repair` first, or add --partly."
            )
        wanted, chosen = size or SIZE, seed or 0
        names = random.Random(f"sample:{chosen}").sample(sorted(texts), min(wanted, len(texts)))
        kept = {"size": wanted, "seed": chosen, "ids": names}
        write_json(path, kept)
    for name, value in (("size", size), ("seed", seed)):
        if value is not None and value != kept[name]:
            option = "--sample" if name == "size" else "--seed"
            raise UsageError(
                f"the sample was drawn with {option} {kept[name]}, not {value}; leave it out, or add --again to set "
                "sample and labels aside."
            )
    paths = {entry.id: entry.path for entry in known_pictures(folder)}
    return [LabelItem(name, paths.get(name, ""), texts[name]) for name in kept["ids"] if name in texts]


# ---- labels --------------------------------------------------------------------------------------------------------


class Labels:
    """All labels of a folder, read once and updated with each append."""

    def __init__(self, folder: CurationFolder) -> None:
        self._journal = folder.labels
        self._found: dict[tuple[str, str, str], Label] = {}
        for record in self._journal.read():
            try:
                label = Label(record["id"], record["reviewer"], record["of"], tuple(record["kinds"]), record["note"])
            except (KeyError, TypeError):
                raise UsageError(
                    f"'{printable(folder.labels.path)}' has a record that is not a label: {record}."
                ) from None
            self._take(label, undone=bool(record.get("undone")))

    def _take(self, label: Label, *, undone: bool) -> None:
        key = (label.reviewer, label.id, label.of)
        if undone:
            self._found.pop(key, None)
        else:
            self._found[key] = label

    def add(self, label: Label) -> None:
        """Add a label; it replaces an earlier one of this reviewer."""
        self._journal.append(label.record())
        self._take(label, undone=False)

    def undo(self, label: Label) -> None:
        """Withdraw a label; the file keeps both records."""
        self._journal.append({**label.record(), "undone": True})
        self._take(label, undone=True)

    def get(self, reviewer: str, item: LabelItem) -> Label | None:
        return self._found.get((reviewer, item.id, item.of))

    def all(self) -> list[Label]:
        """Every valid label, of current and earlier texts."""
        return list(self._found.values())

    def of(self, items: Iterable[LabelItem]) -> dict[str, dict[str, Label]]:
        """reviewer -> id -> label, for the current texts of `items`."""
        wanted = {(item.id, item.of) for item in items}
        result: dict[str, dict[str, Label]] = {}
        for (reviewer, name, of), label in self._found.items():
            if (name, of) in wanted:
                result.setdefault(reviewer, {})[name] = label
        return result


def check_reviewer(name: str) -> str:
    """A reviewer's name without surrounding spaces. Raises UsageError."""
    name = name.strip()
    if not name or len(name) > 40 or name != printable(name):
        raise UsageError(f"--reviewer is '{printable(name, 60)}': a name of 1 to 40 printable characters is needed.")
    return name


# ---- a file instead of the view ------------------------------------------------------------------------------------


def write_sheet(path: Path, items: Sequence[LabelItem], labels: Labels, reviewer: str) -> None:
    """One JSON object per text with `kinds` to fill in: null means not reviewed, [] means no error."""
    rows = []
    for item in items:
        label = labels.get(reviewer, item)
        filled = {"kinds": list(label.kinds) if label else None, "note": label.note if label else ""}
        rows.append({**asdict(item), **filled})
    write_lines(path, rows)


def read_sheet(path: Path, items: Sequence[LabelItem], labels: Labels, reviewer: str, kinds: Kinds) -> int:
    """Import the labels of a completed sheet; returns the number of new ones. Raises UsageError naming the line."""
    shown = f"the sheet '{printable(path)}'"
    known = {item.id: item for item in items}
    found: list[Label] = []
    try:
        lines = split_lines(path.read_text("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {why(error)}.") from None
    except ValueError:
        raise UsageError(f"{shown} cannot be read: it is not UTF-8 text.") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"line {number} of {shown}"
        try:
            row = json.loads(line)
            name, said, note = str(row["id"]), row["kinds"], str(row.get("note") or "")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(f'{where} is not {{"id": ..., "kinds": [...]}}.') from None
        if said is None:
            continue
        if not isinstance(said, list) or not all(isinstance(one, str) for one in said):
            raise UsageError(f"{where}: kinds must be a list of names, or null if nobody reviewed it.")
        if name not in known:
            raise UsageError(f"{where}: '{printable(name, 60)}' is not in this sample.")
        if row.get("text", known[name].text) != known[name].text:
            raise UsageError(f"{where}: the text of '{printable(name, 60)}' has changed since; write a new sheet.")
        for one in said:
            if one not in kinds.names:
                names = ", ".join(kinds.names)
                raise UsageError(f"{where}: there is no kind of error '{printable(one, 40)}': take {names}.")
        found.append(Label(name, reviewer, known[name].of, tuple(one for one in kinds.names if one in said), note))
    new = [label for label in found if labels.get(reviewer, known[label.id]) != label]
    for label in new:
        labels.add(label)
    return len(new)


# ---- agreement -----------------------------------------------------------------------------------------------------


def cohens_kappa(one: Sequence[Hashable], other: Sequence[Hashable]) -> float | None:
    """Agreement of two people beyond chance (Cohen 1960, doi:10.1177/001316446002000104); None if undefined.

    1 is full agreement, 0 is chance. It is undefined without items, and if both give every item the same label.
    """
    if not one:
        return None
    observed = sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
    values = set(one) | set(other)
    chance = sum(one.count(value) * other.count(value) for value in values) / len(one) ** 2
    return None if chance == 1 else (observed - chance) / (1 - chance)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two reviewers on the texts that both labelled."""

    reviewers: tuple[str, str]
    texts: int
    equal: int  # texts with exactly the same kinds
    faulty: float | None  # kappa of "has any error"
    kinds: dict[str, float | None]  # kappa per kind


def agreement(labels: Mapping[str, Mapping[str, Label]], kinds: Sequence[str]) -> list[Agreement]:
    """The agreement of each pair of reviewers with texts in common."""
    found = []
    for one, other in combinations(sorted(labels), 2):
        both = [name for name in labels[one] if name in labels[other]]
        left, right = ([set(labels[reviewer][name].kinds) for name in both] for reviewer in (one, other))
        if both:
            equal = sum(a == b for a, b in zip(left, right, strict=True))
            faulty = cohens_kappa([bool(a) for a in left], [bool(b) for b in right])
            per_kind = {kind: cohens_kappa([kind in a for a in left], [kind in b for b in right]) for kind in kinds}
            found.append(Agreement((one, other), len(both), equal, faulty, per_kind))
    return found
