"""A button that copies a text, and a box that takes images from the clipboard."""

from __future__ import annotations

import base64
import binascii

from core.errors import ImageError
from ui.component import component

_copy = component(
    "copy", '<button type="button"></button><span role="status" aria-live="polite"></span>', css="clipboard"
)
_paste = component(
    "paste",
    '<div class="box" tabindex="0" role="textbox" aria-multiline="false" '
    'aria-label="Paste an image here with Ctrl V or Command V">Press Ctrl+V (or ⌘V) to paste an image</div>'
    '<span role="status" aria-live="polite"></span>',
    css="clipboard",
)


def copy_button(text: str, label: str, *, key: str, quiet: bool = False) -> None:
    """A button that copies `text` to the clipboard; `quiet`: small and without a border."""
    _copy(data={"text": text, "label": label, "quiet": quiet}, key=key, width="content")


def paste_box(*, key: str, max_bytes: int) -> list[tuple[bytes, str]]:
    """A box that takes images by Ctrl+V; returns bytes and name of those just pasted. Raises ImageError.

    The browser scales an image of more than `max_bytes` down and sends it as a JPEG.
    """
    result = _paste(data={"most": max_bytes}, key=key, on_pasted_change=lambda: None)
    try:
        return [
            (base64.b64decode(str(one.get("data") or ""), validate=True), str(one.get("name") or "pasted.png"))
            for one in getattr(result, "pasted", None) or ()
        ]
    except (binascii.Error, ValueError, AttributeError) as error:
        raise ImageError("the pasted data is not readable; save it as a file and upload that") from error
