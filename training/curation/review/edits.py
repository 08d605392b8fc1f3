"""Edit a text by hand: one more record in `repaired.jsonl`, so that earlier texts are kept.

An edit before the rules replaces the repaired text, and the rules apply to it as to any other. An edit after them
replaces their result and overrides them: see `rules`. It belongs to one repaired text: if that changes later, the later
change counts; if it comes back, so does the edit.
"""

from __future__ import annotations

from collections.abc import Callable
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
    text = " ".join(text.split())
    if not text:
        raise UsageError("an empty text cannot be kept; label it instead, and a rule drops it.")
    if text == item.text:
        raise UsageError("the text is unchanged.")
    last, before = _check(folder, item, stage), edited(folder).get(item.id)
    if stage == "repair":
        folder.repaired.append(_record(last, item, by, of=last["of"], status="repaired", text=text))
        new = replace(item, text=text)
        return new, lambda: edit(folder, new, item.text, by, stage)
    folder.repaired.append(_record(last, item, by, of=digest(str(last["text"])), status=EDITED, text=text))
    new = replace(item, text=text)

    def undo() -> LabelItem:
        _check(folder, new, stage)
        gone = _record(last, new, by, of=digest(str(last["text"])), status=EDITED, text=item.text)
        folder.repaired.append({**before, "at": gone["at"]} if before else {**gone, "undone": True})
        return item

    return new, undo


def _check(folder: CurationFolder, item: LabelItem, stage: Stage) -> Record:
    """The record of the repaired text. Raises UsageError if `item` is out of date."""
    name = printable(item.id, 60)
    last = repaired(folder).get(item.id)
    if last is None or last["status"] != "repaired":
        raise UsageError(f"'{name}' has no repaired text to change.")
    now = str(last["text"]) if stage == "repair" else texts_of(folder, stage).get(item.id)
    if now is None:
        raise UsageError(f"the rules keep no text of '{name}' any more; reload the sample.")
    if now != item.text:
        raise UsageError(f"somebody else has changed the text of '{name}' since you saw it; reload it.")
    return last


def _record(last: Record, item: LabelItem, by: str, **fields: Any) -> Record:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"id": item.id, "round": last.get("round", 0), **fields, "by": by, "before": item.text, "at": now}
