"""How the language model asks: settings of the pages Interview and Video."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ui.app import assert_well, open_page, visitor_of
from tests.ui.pages.test_interview_page import desk, start, upload

pytestmark = pytest.mark.usefixtures("eye")
Png = Callable[..., bytes]


def test_what_is_chosen_decides_how_it_asks(png: Png) -> None:
    app = open_page("interview")
    box = app.selectbox(key="interview-asking")
    assert (box.label, box.value) == ("How the language model asks", "free")
    assert box.options == ["Freely", "Choosing from proposed questions"]
    box.set_value("guided")
    box = app.selectbox(key="interview-fallback")
    assert (box.label, box.options, box.value) == (
        "Fallback", ["The built-in rules", "Nobody, and asking ends"], "scripted"
    )  # fmt: skip
    box.set_value("none")
    least = app.number_input(key="interview-min-rounds")
    assert (least.label, least.value, least.placeholder) == ("Minimum questions", None, "half of the questions")
    least.set_value(3).run()
    upload(app, ("orange.png", png("orange", (300, 200))))
    start(app)
    [item] = desk(app).items.values()
    caption = item.view.caption
    assert caption is not None
    assert {key: caption.options[key] for key in ("asking", "fallback", "min_rounds")} == {
        "asking": "guided", "fallback": "none", "min_rounds": 3
    }  # fmt: skip
    desk(app).reopen(caption, item.upload, visitor_of(app))
    [item] = desk(app).items.values()
    assert item.live is not None
    assert (item.live.options.fallback, item.live.options.min_rounds) == ("none", 3)


@pytest.mark.parametrize("page", ["interview", "video"])
def test_a_minimum_above_the_number_of_questions_is_a_sentence(page: str) -> None:
    app = open_page(page)
    app.number_input(key=f"{page}-rounds").set_value(4)
    app.number_input(key=f"{page}-min-rounds").set_value(5).run()
    assert_well(app)
    assert [one.value for one in app.error] == ["The minimum is more than the 4 questions of the interview."]
    app.number_input(key=f"{page}-min-rounds").set_value(4).run()
    assert not app.error
