"""What a caption folder tells: pictures with captions, versions, changes; and the query that selects pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from core.captions.forms import Form
from core.datasets.left_out import LeftOut
from core.errors import UsageError, printable

Sort = Literal["path", "changed", "length", "longest"]
SORTS: Final = ("path", "changed", "length", "longest")
FOUND: Final = "found"  # the kind of changes by other programs


@dataclass(frozen=True, slots=True)
class Place:
    """One place where the caption of a picture stands."""

    form: Form
    file: str
    """Relative to the folder."""
    text: str | None
    problem: str = ""
    """Why it cannot be read, one line."""


@dataclass(frozen=True, slots=True)
class PictureCaption:
    """A picture of the folder with its caption."""

    path: str
    """Relative to the folder, with slashes; the name of the picture in every method."""
    text: str | None
    """The caption: of the first place that has one, in the order of `Form`. None: no caption."""
    places: tuple[Place, ...] = ()
    edited: bool = False
    """The caption differs from the one that was found or generated."""
    unsure: bool = False
    """The caption rests on little: it says so, or fewer than half of the answers of its interview are certain."""
    failed_audit: bool = False
    """An audit found a claim that is not supported."""
    changed: datetime | None = None
    """When the caption was last changed here or found changed, in UTC."""

    @property
    def problem(self) -> str:
        """Why a caption of this picture cannot be read; empty if all can."""
        return next((place.problem for place in self.places if place.problem), "")


@dataclass(frozen=True, slots=True)
class CaptionQuery:
    """Conditions on pictures; empty fields match all."""

    contains: str = ""
    """Text in the caption; upper and lower case count as equal."""
    captioned: bool | None = None
    """Whether there is a caption that is not empty."""
    edited: bool | None = None
    unsure: bool | None = None
    failed_audit: bool | None = None
    problem: bool | None = None
    """Whether a caption file cannot be read."""
    below: str = ""
    """Only pictures in this subfolder, such as "2024/march"."""
    name: str = ""
    """Text in the path of the picture."""
    paths: frozenset[str] | None = None
    """Only these pictures; None: all."""
    sort: Sort = "path"

    def __post_init__(self) -> None:
        if self.sort not in SORTS:
            raise UsageError(f"'{printable(self.sort, 40)}' is no order of captions; take {', '.join(SORTS)}")


@dataclass(frozen=True, slots=True)
class CaptionChange:
    """A change of one caption or of many; what it did can be undone as a whole."""

    id: int
    created: datetime
    kind: str
    """"edit", "undo", "redo", or "found" for changes by other programs."""
    label: str
    """The change in words: "replace 'cat' by 'dog'"."""
    captions: int
    """Number of captions that it changed."""
    skipped: int = 0
    """Captions left alone, since another program changed them in between."""
    undone: bool = False
    undoes: int | None = None
    """Of an undo or redo: the id of the change that it took back or made again."""


@dataclass(frozen=True, slots=True)
class CaptionVersion:
    """One earlier or current text of a caption."""

    id: int
    change: CaptionChange
    form: Form
    file: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Previewed:
    """What an edit would do to one caption."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What an edit would do: the first captions that it changes, and how many it changes in all."""

    shown: tuple[Previewed, ...]
    total: int
    of: int
    """Number of captions that were looked at."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a look at the disk found."""

    pictures: int
    captioned: int
    changed: int
    """Captions that other programs wrote, changed or deleted since the last time."""
    problems: tuple[str, ...] = ()
    """The first captions that cannot be read, one line each."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """Files that are not read as pictures."""
