"""An image with the boxes of what witnesses found in it, which the visitor can switch off."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import streamlit as st
from PIL import Image

from ui.state.images import jpeg
from ui.text import escape, sentence

if TYPE_CHECKING:
    from core.findings import Findings
    from ui.state.images import UploadedImage

SHOWN: Final = 800  # pixels of the longer side; columns are half as wide
TEXT: Final = 20


def draw_image(upload: UploadedImage, alt: str, found: tuple[Findings, ...], key: str, width: str | int) -> None:
    """The image and, if something was found, a switch for the boxes. Their words are in the dialogue."""
    shown = upload.preview
    place = st.empty()
    if any(one.things or any(line.certain for line in one.lines) for one in found):
        about = "Boxes of the witnesses, with how sure they are: things in colour, writing in black"
        if st.toggle("Show what was found", True, key=f"found-{key}", help=about):
            shown = boxed(upload.preview, found)
    place.image(shown, alt=alt, width=width)  # type: ignore[arg-type]


@lru_cache(maxsize=32)
def boxed(preview: bytes, found: tuple[Findings, ...]) -> bytes:
    """The JPEG with boxes of things and of certain lines of writing, as a JPEG."""
    from agents.witnesses.sheet import draw_findings

    found = tuple(one.model_copy(update={"lines": tuple(line for line in one.lines if line.certain)}) for one in found)
    with Image.open(io.BytesIO(preview)) as image:
        return jpeg(draw_findings(image.convert("RGB"), found, longest=SHOWN, text=TEXT))


def draw_problems(problems: tuple[str, ...]) -> None:
    """Which witnesses did not take part, and why."""
    for problem in problems:
        st.html(f'<p class="iq-note">Without a witness: {escape(sentence(problem))}</p>')
