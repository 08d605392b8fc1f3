"""The list of images on the page Interview: it follows the running interview, and each row is independent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core.entries import Entry
from core.registry import get_registry
from core.settings import get_settings
from tests.ui.app import assert_well, html_of, open_page, visitor_of, wait_for_jobs
from tests.ui.gates import GatedVision, until
from ui.state.interviews import InterviewItem, InterviewPageState, page_state

Png = Callable[..., bytes]
COLOURS = ("red", "green", "blue", "orange", "white")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[GatedVision]:
    """The vision model `gated`, set as the default; what still waits at the end is let through."""
    made = GatedVision()
    entry = Entry("vision backend", "gated", lambda _=None: made, "Answers when it may.", {}, "test", "test-package")
    monkeypatch.setitem(get_registry().vision_backends, "gated", entry)
    monkeypatch.setenv("INQUISIGHT_VISION", "gated")
    monkeypatch.setenv("INQUISIGHT_ROUNDS", "3")
    get_settings.cache_clear()
    yield made
    made.allow()


def states(items: list[InterviewItem]) -> list[str]:
    return [item.state for item in items]


def opened(png: Png, number: int) -> tuple[AppTest, InterviewPageState]:
    app = open_page("interview")
    files = [(f"{colour}.png", png(colour), "image/png") for colour in COLOURS[:number]]
    app.file_uploader[0].set_value(files).run()
    app.button(key="start").click().run()
    assert_well(app)
    return app, page_state(visitor_of(app))


def test_the_page_follows_the_one_that_talks_unless_another_was_chosen(gate: GatedVision, png: Png) -> None:
    app, desk = opened(png, 3)
    first, second, third = desk.items.values()
    until(lambda: gate.wanted >= 1)
    app.run()
    assert "<b>red.png</b>" in html_of(app) and "Image 1 of 3" in html_of(app)
    page = html_of(app)
    assert "waiting, 1 ahead" in page and "waiting, 2 ahead" in page
    gate.allow(4)  # the plain caption and three answers
    until(lambda: first.state == "finished" and second.state == "running")
    app.run()
    assert "<b>green.png</b>" in html_of(app) and "finished, 3 answers" in html_of(app)
    app.button(key=f"show-{third.key}").click().run()
    assert "<b>blue.png</b>" in html_of(app) and "Waiting, 1 ahead" in html_of(app)
    gate.allow(2)
    until(lambda: len(second.view.turns) == 1)
    app.run()
    assert "<b>blue.png</b>" in html_of(app), "the visitor's choice holds"
    assert "running, question 2 of 3" in html_of(app), "the others' progress is shown all the same"
    app.button(key="follow").click().run()
    assert "<b>green.png</b>" in html_of(app)
    gate.allow()
    wait_for_jobs(app)


def test_a_waiting_picture_is_removed_by_its_own_button(gate: GatedVision, png: Png) -> None:
    app, desk = opened(png, 3)
    first, second, third = desk.items.values()
    until(lambda: gate.wanted >= 1)
    app.run()
    names = [one.label for one in app.button if one.label.startswith("Remove")]
    assert names == ["Remove red.png", "Remove green.png", "Remove blue.png"]
    app.button(key=f"remove-{second.key}").click().run()
    assert_well(app)
    assert states([first, second, third]) == ["running", "removed", "waiting"]
    gate.allow()
    wait_for_jobs(app)
    assert states([first, third]) == ["finished", "finished"]
