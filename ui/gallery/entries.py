"""Pictures of the gallery, and which of them are shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from core.errors import UsageError

Show = Literal["all", "none", "captioned", "unsure", "edited", "failed", "missed"]
SHOWN: Final[dict[Show, str]] = {
    "all": "All pictures",
    "none": "No caption",
    "captioned": "With a caption",
    "unsure": "Unsure captions",
    "edited": "Edited",
    "failed": "Failed the check",
    "missed": "Could not be captioned",
}
Order = Literal["name", "changed", "length", "caption"]
ORDERS: Final[dict[Order, str]] = {
    "name": "Name",
    "changed": "Picture changed",
    "length": "Length of the caption",
    "caption": "Caption",
}


@dataclass(frozen=True, slots=True)
class Query:
    """Which pictures are shown, and in which order."""

    show: Show = "all"
    text: str = ""
    """What the caption or the name contains, in any case."""
    without: bool = False
    """Whether the caption and the name must not contain it."""
    order: Order = "name"
    down: bool = False

    @classmethod
    def read(cls, values: Any) -> Query:
        """The query in a request. Raises UsageError."""
        show, order = values.get("show") or "all", values.get("order") or "name"
        if show not in SHOWN or order not in ORDERS:
            raise UsageError("there is no such filter or order")
        text = str(values.get("text") or "")[:400]
        flags = (str(values.get(name) or "") in ("1", "true", "True") for name in ("without", "down"))
        without, down = flags
        return cls(show, text, without, order, down)


@dataclass(slots=True)
class Entry:
    """One picture."""

    number: int
    key: str
    size: int  # bytes
    changed: int  # nanoseconds
    text: str | None = None
    """Its caption; None if there is none."""
    problem: str = ""
    """Why its caption cannot be read."""
    gone: bool = False

    @property
    def caption(self) -> str:
        """Its caption, "" if there is none."""
        return self.text or ""

    @property
    def stamp(self) -> str:
        """Changes with the file."""
        return f"{self.changed:x}-{self.size:x}"


@dataclass(slots=True)
class Listing:
    """The pictures that a query finds."""

    version: int
    numbers: list[int]
    total: int
    counts: dict[Show, int] = field(default_factory=dict)
