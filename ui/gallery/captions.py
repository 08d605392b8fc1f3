"""The captions of a gallery's folder: `core.captions` with the changes that the page offers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.captions.edits import Change, Edit, Prefix, Replace, Suffix, Tags, Trim
from core.errors import UsageError

RUN: Final = "captions of run "  # the label of changes that a run has made; Undo passes over them


@dataclass(frozen=True, slots=True)
class Several(Edit):
    """Edits one after another, as one change."""

    edits: tuple[Edit, ...]

    @property
    def label(self) -> str:
        return ", ".join(edit.label for edit in self.edits)

    def check(self) -> Change:
        changes = [edit.check() for edit in self.edits]

        def change(text: str) -> str:
            for one in changes:
                text = one(text)
            return text

        return change


def edit_of(body: Mapping[str, Any]) -> Edit:
    """The edit that a form of the page describes. Raises UsageError."""

    def text(name: str) -> str:
        value = body.get(name, "")
        if not isinstance(value, str):
            raise UsageError("the request is not complete")
        return value

    match body.get("kind"):
        case "replace":
            return Replace(
                text("find"),
                text("replacement"),
                regex=bool(body.get("regex")),
                ignore_case=not body.get("case"),
                whole_words=bool(body.get("words")),
            )
        case "prefix":
            return _prefix(text("prefix"), text("suffix"), remove=bool(body.get("remove")))
        case "tags":
            return Tags(add=_tags(text("add")), remove=_tags(text("take")))
        case "trim":
            return Trim()
    raise UsageError("there is no such change")


def _prefix(prefix: str, suffix: str, *, remove: bool) -> Edit:
    edits: list[Edit] = []
    if prefix:
        edits.append(Replace(rf"\A{re.escape(prefix)}", "", regex=True) if remove else Prefix(prefix))
    if suffix:
        edits.append(Replace(rf"{re.escape(suffix)}\Z", "", regex=True) if remove else Suffix(suffix))
    if not edits:
        raise UsageError("write a prefix or a suffix, with the comma and the blank between it and the caption")
    return edits[0] if len(edits) == 1 else Several(tuple(edits))


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())
