"""What tests of the page Video do again and again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.ui.app import assert_well, visitor_of, wait_for_jobs
from ui.state.video_store import video_store
from ui.state.videos import VideoItem, page_state


def upload(app: AppTest, data: bytes, name: str = "clip.mp4") -> None:
    app.file_uploader[0].set_value((name, data, "video/mp4")).run()
    assert_well(app)


def item_of(app: AppTest) -> VideoItem:
    item = page_state(visitor_of(app)).item
    assert item is not None
    return item


def start(app: AppTest, **settings: Any) -> VideoItem:
    for name, value in settings.items():
        app.number_input(key=f"video-{name}").set_value(value)
    app.button(key="video-start").click().run()
    assert_well(app)
    wait_for_jobs(app)
    return item_of(app)


def files_there() -> list[Path]:
    return [one for one in video_store().folder.iterdir() if one.name != "claim"]


def strip_of(app: AppTest) -> dict[str, Any]:
    """What the timeline shows."""
    found = [one for one in app.get("bidi_component") if one.proto.component_name.endswith("inquisight_filmstrip")]
    return json.loads(found[0].proto.json) if found else {}


def choose_frame(app: AppTest, question: int) -> None:
    app.button(key=f"video-jump-{item_of(app).key}-{question}").click().run()
