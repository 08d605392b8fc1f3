"""Keywords in the IPTC block (IIM 4.2, dataset 2:25) of a JPEG or TIFF file, as Pillow reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import IptcImagePlugin, JpegImagePlugin, TiffImagePlugin

_KEYWORDS: Final = (2, 25)
_CHARSET: Final = (1, 90)
_UTF8: Final = b"\x1b%G"


def iptc_keywords(path: str | Path) -> list[str]:
    """The keywords, in order; none where the file has no such block, cannot be read or is damaged."""
    for plugin in (JpegImagePlugin.JpegImageFile, TiffImagePlugin.TiffImageFile):
        try:
            with open(path, "rb") as file, plugin(file) as image:  # reads the header alone
                found = IptcImagePlugin.getiptcinfo(image) or {}
        except Exception:  # noqa: BLE001 - Pillow's parsers fail in many ways at damaged files
            continue
        values = found.get(_KEYWORDS, [])
        charset = "utf-8" if found.get(_CHARSET) == _UTF8 else None
        return [_text(one, charset) for one in (values if isinstance(values, list) else [values])]
    return []


def _text(data: bytes, charset: str | None) -> str:
    """A value: UTF-8 where the block says so or where it fits, else Windows-1252, which old programs wrote."""
    if charset is not None:
        return data.decode(charset, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
