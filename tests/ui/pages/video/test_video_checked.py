"""The check of a video's caption on the page Video: chosen, failed, repeated, shown; and how it asks."""

from __future__ import annotations

import pytest

pytest.importorskip("av", reason="videos are an optional part")

from core.errors import BackendError
from tests.agents.video.clips import DrawnEye
from tests.ui.app import html_of, open_page, visitor_of, wait_for_jobs
from tests.ui.pages.video.helpers import item_of, start, upload
from ui.state.videos import page_state


def test_the_caption_is_checked_and_the_settings_are_kept(
    drawn: DrawnEye, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BackendError("no scores today.")

    app = open_page("video")
    upload(app, clip)
    app.selectbox(key="video-audit").set_value("drop")
    app.selectbox(key="video-fallback").set_value("none")
    with monkeypatch.context() as patch:
        patch.setattr(type(drawn), "score", fail, raising=False)
        item = start(app, frames=2, rounds=2, **{"min-rounds": 1})
    caption = item.view.caption
    assert caption is not None and caption.status == "complete" and caption.unaudited
    assert "The claims of the caption were not checked: No scores today." in html_of(app)
    next(one for one in app.button if one.label == "Check the caption").click().run()
    wait_for_jobs(app)
    again = item.view.caption
    assert again is not None and again.finished and again.claims and again.dialogue == caption.dialogue
    assert "Checked claims" in html_of(app) and item.view.text in html_of(app)
    assert {key: again.options[key] for key in ("audit", "fallback", "min_rounds")} == {
        "audit": "drop", "fallback": "none", "min_rounds": 1
    }  # fmt: skip
    page_state(visitor_of(app)).reopen(again, visitor_of(app))
    live = item_of(app).live
    assert live is not None and live._interview is not None
    kept = live._interview.options
    assert (kept.audit, kept.fallback, kept.min_rounds) == ("drop", "none", 1)
