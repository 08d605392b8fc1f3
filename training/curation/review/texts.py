"""All texts of a curation: search them, and replace words in many of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from core.captions.edits import Replace
from training.curation.folder import CurationFolder
from training.curation.review.labels import LabelItem, Stage, texts_of
from training.curation.steps.generate import known_pictures


def find_texts(folder: CurationFolder, stage: Stage, words: str = "") -> list[LabelItem]:
    """The current texts that contain every one of `words`, in the order of the images; upper and lower case alike."""
    pictures = {one.id: one.path for one in known_pictures(folder)}
    wanted = words.casefold().split()
    return [
        LabelItem(id, pictures.get(id, ""), text)
        for id, text in texts_of(folder, stage).items()
        if all(word in text.casefold() for word in wanted)
    ]


def preview(items: Sequence[LabelItem], replacement: Replace) -> list[tuple[LabelItem, str]]:
    """The items that the replacement changes, with their new texts. Raises UsageError for a bad or slow pattern."""
    change = replacement.check()
    pairs = ((item, " ".join(change(item.text).split())) for item in items)
    return [(item, text) for item, text in pairs if text and text != item.text]
