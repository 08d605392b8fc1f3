"""A text that a person has put right: one more record in `repaired.jsonl`, so that nothing before it is lost.

An edit before the rules takes the place of the repaired text, and the rules go over it like over any other. An edit
after them takes the place of what they made, and wins over them: see `rules`. It is about one repaired text: where
that is changed later, the later change counts, and where it comes back, the edit does again.
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
    """Put `text` in place of `item`'s, and give back the item as it is now.

    Labels belong to a text: those of the old one count no more, and do again where it comes back. Raises UsageError
    where there is nothing to keep, nothing changed, or where somebody else has changed the text since.
    """
    return change(folder, item, text, by, stage)[0]


def change(
    folder: CurationFolder, item: LabelItem, text: str, by: str, stage: Stage = "repair"
) -> tuple[LabelItem, Callable[[], LabelItem]]:
    """The same, and how to take it back: a text that was there before by anybody's hand is in force again."""
    text = " ".join(text.split())
    if not text:
        raise UsageError("an empty text cannot be kept; label it instead, and a rule drops it.")
    if text == item.text:
        raise UsageError("the text is as it was.")
    last, before = _check(folder, item, stage), edited(folder).get(item.id)
    if stage == "repair":
        folder.repaired.append(_record(last, item, by, of=last["of"], status="repaired", text=text))
        new = replace(item, text=text)
        return new, lambda: edit(folder, new, item.text, by, stage)
    folder.repaired.append(_record(last, item, by, of=digest(str(last["text"])), status=EDITED, text=text))
    new = replace(item, text=text)

    def take_back() -> LabelItem:
        _check(folder, new, stage)
        gone = _record(last, new, by, of=digest(str(last["text"])), status=EDITED, text=item.text)
        folder.repaired.append({**before, "at": gone["at"]} if before else {**gone, "undone": True})
        return item

    return new, take_back


def _check(folder: CurationFolder, item: LabelItem, stage: Stage) -> Record:
    """The record of the repaired text. Raises UsageError where `item` is not what is there."""
    name = printable(item.id, 60)
    last = repaired(folder).get(item.id)
    if last is None or last["status"] != "repaired":
        raise UsageError(f"'{name}' has no repaired text that could be changed.")
    now = str(last["text"]) if stage == "repair" else texts_of(folder, stage).get(item.id)
    if now is None:
        raise UsageError(f"the rules keep no text of '{name}' any more; look at the sample again.")
    if now != item.text:
        raise UsageError(f"somebody else has changed the text of '{name}' since you saw it; look at it again.")
    return last


def _record(last: Record, item: LabelItem, by: str, **fields: Any) -> Record:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"id": item.id, "round": last.get("round", 0), **fields, "by": by, "before": item.text, "at": now}
