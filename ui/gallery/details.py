"""What the full view shows of one picture beside its caption: the dialogue, what was found, the checked claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ui.gallery.captions import RUN
from ui.gallery.runs.journal import record_of

if TYPE_CHECKING:
    from core.captions.records import CaptionVersion
    from core.records import Caption
    from ui.gallery.entries import Entry
    from ui.gallery.folder import GalleryFolder


def details(folder: GalleryFolder, entry: Entry) -> dict[str, Any]:
    """As JSON; places are shares of width and height."""
    facts = folder.facts_of(entry)
    value: dict[str, Any] = {
        "number": entry.number,
        "name": entry.key,
        "caption": entry.caption,
        "bytes": entry.size,
        "error": facts.error,
    }
    caption = record_of(folder.data / "runs", facts)
    return value | _described(caption) if caption is not None else value


def versions(folder: GalleryFolder, entry: Entry) -> list[dict[str, Any]]:
    """The texts that its caption has had, newest first, as JSON; the number 0 is the text before the first change."""
    found = folder.versions(entry)
    texts = [
        {"version": one.id, "when": one.change.created.isoformat(), "what": _what(one), "text": one.after}
        for place, one in enumerate(found)
        if not place or one.change.id != found[place - 1].change.id  # one change of two files
    ]
    if found and found[-1].before is not None:
        texts.append({"version": 0, "when": None, "what": "before the first change", "text": found[-1].before})
    return texts


def _what(version: CaptionVersion) -> str:
    label = version.change.label
    return "the models" if label.startswith(RUN) else label


def _described(caption: Caption) -> dict[str, Any]:
    picture = caption.picture
    boxes = []
    for found in caption.findings:
        width, height = found.width or picture.width, found.height or picture.height
        named = [("thing", one.name, one.score, one.box) for one in found.things]
        named += [("line", one.text, one.score, one.box) for one in found.lines if one.certain]
        for kind, name, score, box in named:
            place = [box.left / width, box.top / height, box.right / width, box.bottom / height]
            boxes.append({"words": f"{name} {score:.2f}", "kind": kind, "place": place})
    return {
        "width": picture.width,
        "height": picture.height,
        "made": caption.chosen,
        "summary": caption.summary,
        "models": ", ".join(filter(None, (caption.vision.get("name", ""), caption.questioner.get("name", "")))),
        "dialogue": [
            {"question": turn.question, "answer": turn.answer, "unsure": turn.certainty == "unsure",
             "by": turn.asked_by, "answered_by": turn.answered_by}
            for turn in caption.dialogue.turns
        ],
        "boxes": boxes,
        "claims": [
            {"text": claim.text, "verdict": claim.verdict or "not asked", "score": claim.score,
             "question": claim.question, "start": claim.start, "end": claim.end}
            for claim in caption.claims
        ],
        "unaudited": caption.unaudited,
        "problems": list(caption.problems),
    }  # fmt: skip
