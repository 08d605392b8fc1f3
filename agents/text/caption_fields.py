"""What is written about a picture besides its description: language, alt text, keywords, who wrote it, when."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import Any, Final

from core.captions.saving import SaveTargets, save_targets
from core.captions.xmp.sidecars import CaptionFields
from core.datasets.left_out import Reason
from core.records import Caption

CAPTIONED: Final = Reason("with a caption already", "with captions already")
"""Pictures that --existing skip leaves out."""
ALT: Final = "alt"  # names of styles
TAGS: Final = "tags"
_CODE: Final = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_CODES: Final = {"english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt",
    "dutch": "nl", "polish": "pl", "russian": "ru", "chinese": "zh", "japanese": "ja", "korean": "ko"}  # fmt: skip


def fields_of(caption: Caption, styles: Collection[str] = ()) -> CaptionFields:
    """The fields of a caption's XMP sidecar. `styles`: names of those that were asked for.

    Alt text and tags have fields of their own; another style that was asked for first is the description.
    """
    written = {one.style: one for one in caption.styles if one.style in styles}
    first = next(iter(written.values()), None)
    alt, tags = written.get(ALT), written.get(TAGS)
    return CaptionFields(
        description=caption.text if first is None or first.style == ALT or first.tags else first.text,
        alt_text=None if alt is None else alt.text,
        keywords=() if tags is None else tags.tags,
        language=language_code(caption.options.get("language")),
        writer=written_by(caption),
        tool=program(),
        date=caption.created,
    )


def targets_of(request: Any) -> SaveTargets:
    """Where the options of a command save captions. Raises UsageError."""
    return save_targets(
        **{name: getattr(request, name) for name in ("xmp", "xmp_name", "existing", "overwrite")},
        txt=request.save_beside,
        metadata=request.write_metadata,
    )


def language_code(name: object) -> str:
    """The code of a `--language`, "en" for none; empty if the name is not known."""
    given = str(name or "en").strip()
    return given if _CODE.fullmatch(given) else _CODES.get(given.lower(), "")


def written_by(caption: Caption) -> str:
    """The models that wrote a caption, in one line."""
    models = [f"{role} {described['name']}" for role, described in (
        ("vision model", caption.vision), ("questioner", caption.questioner)) if described.get("name")]  # fmt: skip
    return f"Inquisight ({', '.join(models)})" if models else "Inquisight"


@cache
def program() -> str:
    """Name and version."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"Inquisight {version('inquisight')}"
    except PackageNotFoundError:
        return "Inquisight"
