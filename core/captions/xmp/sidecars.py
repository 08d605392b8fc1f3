"""The caption of a picture in its XMP sidecar: which properties hold it, and how a sidecar is written.

| property | value |
|---|---|
| dc:description | the caption, for each language |
| tiff:ImageDescription | the same; Immich and older programs read it |
| Iptc4xmpCore:AltTextAccessibility | alt text |
| dc:subject, digiKam:TagsList | keywords |
| photoshop:CaptionWriter | the models that wrote the caption |
| xmp:CreatorTool | the program, unless another one is named already |
| xmp:MetadataDate | when the caption was written |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from core.captions.forms import delete, read_bytes, write_caption_file
from core.captions.xmp.document import LARGEST, NAMESPACES, Xmp

DESCRIPTION: Final = "dc:description"
SAME: Final = "tiff:ImageDescription"
ALT_TEXT: Final = "Iptc4xmpCore:AltTextAccessibility"
KEYWORDS: Final = "dc:subject"
TAGS: Final = "digiKam:TagsList"
WRITER: Final = "photoshop:CaptionWriter"
TOOL: Final = "xmp:CreatorTool"
DATE: Final = "xmp:MetadataDate"
_OURS: Final = frozenset(
    f"{{{NAMESPACES[prefix]}}}{name}"
    for prefix, _, name in (one.partition(":") for one in (DESCRIPTION, SAME, WRITER, TOOL, DATE))
)


@dataclass(frozen=True, slots=True)
class CaptionFields:
    """What is written about a picture; fields that are None or empty leave the sidecar as it is."""

    description: str | None = None
    language: str = ""
    """Of description and alt text, such as "de"; empty: not known."""
    alt_text: str | None = None
    keywords: tuple[str, ...] = ()
    writer: str = ""
    """Who wrote the description: the models."""
    tool: str = ""
    """Program and version."""
    date: datetime | None = None

    def apply(self, xmp: Xmp) -> None:
        """Set the fields in a document."""
        if self.description is not None:
            xmp.set_text(DESCRIPTION, self.description, self.language)
            xmp.set_text(SAME, self.description, self.language)
            if self.writer:
                xmp.set_simple(WRITER, self.writer)
        if self.alt_text is not None:
            xmp.set_text(ALT_TEXT, self.alt_text, self.language)
        xmp.add_items(KEYWORDS, self.keywords, "Bag")
        xmp.add_items(TAGS, self.keywords, "Seq")
        if self.tool and not xmp.simple(TOOL):
            xmp.set_simple(TOOL, self.tool)
        if self.date is not None:
            xmp.set_simple(DATE, self.date.isoformat(timespec="seconds"))


def read_xmp(path: Path) -> Xmp | None:
    """The sidecar at `path`, None if there is none. Raises CaptionError."""
    data = read_bytes(path, LARGEST)
    return None if data is None else Xmp.parse(data, path)


def caption_of(xmp: Xmp) -> str | None:
    """The caption in a sidecar."""
    text = xmp.text(DESCRIPTION)
    return xmp.text(SAME) if text is None else text


def write_fields(path: Path, fields: CaptionFields, *, sync: bool = True) -> None:
    """Set fields in the sidecar at `path`, which is made if missing. A damaged one is not replaced: CaptionError."""
    xmp = read_xmp(path) or Xmp.new()
    fields.apply(xmp)
    _write(path, xmp, sync)


def write_caption(path: Path, text: str | None, date: datetime | None = None, *, sync: bool = True) -> None:
    """Set or, with None, remove the caption; a sidecar that holds nothing else is then deleted. Raises CaptionError."""
    xmp = read_xmp(path)
    if text is not None:
        xmp = xmp or Xmp.new()
        CaptionFields(text, date=date).apply(xmp)
    elif xmp is None:
        return
    else:
        for name in (DESCRIPTION, SAME):
            xmp.set_text(name, None)
        if xmp.names() <= _OURS:
            delete(path)
            return
        if date is not None:
            xmp.set_simple(DATE, date.isoformat(timespec="seconds"))
    _write(path, xmp, sync)


def _write(path: Path, xmp: Xmp, sync: bool) -> None:
    write_caption_file(path, xmp.to_bytes(), sync=sync)
