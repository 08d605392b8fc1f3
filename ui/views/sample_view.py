"""A finished interview for visitors who have not added an image yet."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import streamlit as st

from agents.interview.live import view_of
from core.records import Caption
from ui.component import ASSETS
from ui.controls import note
from ui.views.interview_view import captions_html, turns_html

SAMPLE: Final = ASSETS / "sample.json"  # `make readme` writes it and the image
IMAGE: Final = ASSETS / "sample.jpg"


@lru_cache(maxsize=1)
def sample() -> Caption:
    """The stored interview."""
    return Caption.from_json(SAMPLE.read_bytes())


def draw_sample() -> None:
    """What to do first and, below it, how a finished interview looks."""
    note("Add an image to begin, or choose an example.", "add_photo_alternate")
    caption = sample()
    with st.container(border=True, key="sample"):
        st.html("<p><b>An example of a result</b></p>")
        image, text = st.columns([1, 2])
        image.image(str(IMAGE), alt=caption.text, width="stretch")
        text.html(captions_html(view_of(caption)))
        certain = [turn for turn in caption.dialogue.turns if turn.certainty == "sure"]
        with st.expander(f"The {len(certain)} answers behind it"):
            for turn in turns_html(certain):
                st.html(turn)
