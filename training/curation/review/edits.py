"""Edit a text by hand: one more record in `repaired.jsonl`, so that earlier texts are kept.

An edit before the rules replaces the repaired text, and the rules apply to it as to any other. An edit after them
replaces their result and overrides them: see `rules`. It belongs to one repaired text: if that changes later, the later
change counts; if it comes back, so does the edit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from core.errors import UsageError, printable
from core.files.journal import Record
from training.curation.folder import CurationFolder, digest
from training.curation.review.labels import LabelItem, Stage, texts_of
from training.curation.steps.repair import EDITED, edited, repaired


def edit(folder: CurationFolder, item: LabelItem, text: str, by: str, stage: Stage = "repair") -> LabelItem:
    """Replace the text of `item`; returns the new item.

    Labels belong to a text, so those of the old one no longer count. Raises UsageError if `text` is empty or the same,
    or if somebody else has changed it since.
    """
    return change(folder, item, text, by, stage)[0]


def change(
    folder: CurationFolder, item: LabelItem, text: str, by: str, stage: Stage = "repair"
) -> tuple[LabelItem, Callable[[], LabelItem]]:
    """The same, with a function that undoes it and restores the text before, whoever wrote it."""
    [new], undo = change_all(folder, [(item, text)], by, stage)
    return new, lambda: undo()[0]


def change_all(
    folder: CurationFolder, changes: Sequence[tuple[LabelItem, str]], by: str, stage: Stage = "repair"
) -> tuple[list[LabelItem], Callable[[], list[LabelItem]]]:
    """Replace several texts; returns the new items, and a function that undoes all of it. Errors as in `edit`.

    Nothing is written unless every text can be replaced.
    """
    items = [item for item, _ in changes]
    texts = [" ".join(text.split()) for _, text in changes]
    for item, text in zip(items, texts, strict=True):
        if not text:
            raise UsageError("an empty text cannot be kept; label it instead, and a rule drops it.")
        if text == item.text:
            raise UsageError("the text is unchanged.")
    lasts, before = _check(folder, items, stage), edited(folder)
    new = [replace(item, text=text) for item, text in zip(items, texts, strict=True)]
    for last, item, text in zip(lasts, items, texts, strict=True):
        if stage == "repair":
            record = _record(last, item, by, of=last["of"], status="repaired", text=text)
        else:
            record = _record(last, item, by, of=digest(str(last["text"])), status=EDITED, text=text)
        folder.repaired.append(record)
    if stage == "repair":
        back = [(one, item.text) for one, item in zip(new, items, strict=True)]
        return new, lambda: change_all(folder, back, by, stage)[0]

    def undo() -> list[LabelItem]:
        for last, one, item in zip(_check(folder, new, stage), new, items, strict=True):
            gone = _record(last, one, by, of=digest(str(last["text"])), status=EDITED, text=item.text)
            earlier = before.get(item.id)
            folder.repaired.append({**earlier, "at": gone["at"]} if earlier else {**gone, "undone": True})
        return items

    return new, undo


def _check(folder: CurationFolder, items: Sequence[LabelItem], stage: Stage) -> list[Record]:
    """The records of the repaired texts. Raises UsageError if an item is out of date."""
    after = repaired(folder)
    current = texts_of(folder, stage) if stage == "rules" else {}
    found = []
    for item in items:
        name, last = printable(item.id, 60), after.get(item.id)
        if last is None or last["status"] != "repaired":
            raise UsageError(f"'{name}' has no repaired text to change.")
        now = str(last["text"]) if stage == "repair" else current.get(item.id)
        if now is None:
            raise UsageError(f"the rules keep no text of '{name}' any more; reload the sample.")
        if now != item.text:
            raise UsageError(f"somebody else has changed the text of '{name}' since you saw it; reload it.")
        found.append(last)
    return found


def _record(last: Record, item: LabelItem, by: str, **fields: Any) -> Record:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"id": item.id, "round": last.get("round", 0), **fields, "by": by, "before": item.text, "at": now}
