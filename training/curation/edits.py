"""A text that a person has put right: one more record in `repaired.jsonl`, so that nothing before it is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from core.errors import UsageError, printable
from training.curation.folder import Folder
from training.curation.labels import Item
from training.curation.repair import repaired


def edit(folder: Folder, item: Item, text: str, by: str) -> Item:
    """Put `text` in place of `item`'s, and give back the item as it is now.

    Labels belong to a text: those of the old one count no more, and do again where it comes back. Raises UsageError
    where there is nothing to keep, nothing changed, or where somebody else has changed the text since.
    """
    text = " ".join(text.split())
    name = printable(item.id, 60)
    if not text:
        raise UsageError("an empty text cannot be kept; label it instead, and a rule drops it.")
    if text == item.text:
        raise UsageError("the text is as it was.")
    last = repaired(folder).get(item.id)
    if last is None or last["status"] != "repaired":
        raise UsageError(f"'{name}' has no repaired text that could be changed.")
    if last["text"] != item.text:
        raise UsageError(f"somebody else has changed the text of '{name}' since you saw it; look at it again.")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {"id": item.id, "of": last["of"], "round": last.get("round", 0), "status": "repaired", "text": text}
    folder.repaired.append({**record, "by": by, "before": item.text, "at": now})
    return replace(item, text=text)
