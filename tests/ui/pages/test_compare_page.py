"""The page Compare: one picture, an interview per model, side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from agents.interview.live import LiveInterview
from agents.interview.protocol import InterviewOptions
from core.entries import Entry
from core.errors import BackendError, QuestionerError
from core.registry import get_registry
from core.testing import make_picture
from plugins.scripted import ScriptedQuestioner
from tests.agents.batch.making import HashedEye
from tests.agents.fakes import CountingVision, ListQuestioner
from tests.ui.app import assert_well, html_of, open_page, visitor_of, wait_for_jobs
from ui.state.comparison import Column, ComparePageState, page_state
from ui.state.interviews import drive
from ui.state.jobs import Job

Png = Callable[..., bytes]


@pytest.fixture(autouse=True)
def two_eyes(eye: CountingVision, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second eye that sees something else."""
    entry = Entry(
        "vision backend", "other", lambda _: CountingVision({None: "something else"}), "Sees otherwise.", {}, "t", "t"
    )
    monkeypatch.setitem(get_registry().vision_backends, "other", entry)

    def fails(_: str | None = None) -> CountingVision:
        raise BackendError("the model is closed today")

    broken = Entry("vision backend", "broken", fails, "Never loads.", {}, "t", "t")
    monkeypatch.setitem(get_registry().vision_backends, "broken", broken)


def desk(app: AppTest) -> ComparePageState:
    return page_state(visitor_of(app))


def ready(png: Png) -> AppTest:
    app = open_page("compare")
    app.file_uploader[0].set_value([("a.png", png(), "image/png")]).run()
    assert_well(app)
    return app


@pytest.mark.slow
def test_two_eyes_side_by_side(png: Png) -> None:
    app = ready(png)
    app.multiselect(key="compare-vision").set_value(["counting", "other"]).run()
    app.button(key="compare-start").click().run()
    wait_for_jobs(app)
    assert [column.vision for column in desk(app).columns] == ["counting", "other"]
    assert all(column.live.view.state == "complete" for column in desk(app).columns)
    page = html_of(app)
    assert "a plain caption" in page and "something else" in page
    assert [one.value for one in app.subheader] == ["counting", "other"]


@pytest.mark.slow
def test_a_model_that_fails_leaves_the_others_alone(png: Png) -> None:
    app = ready(png)
    app.multiselect(key="compare-vision").set_value(["counting", "broken"]).run()
    app.button(key="compare-start").click().run()
    wait_for_jobs(app)
    assert [column.live.view.state for column in desk(app).columns] == ["complete", "failed"]
    assert any("is closed today" in one.value for one in app.error)


def test_without_a_picture_there_is_nothing_to_compare() -> None:
    app = open_page("compare")
    assert app.button(key="compare-start").disabled and any("Add an image" in one.value for one in app.info)


def test_another_picture_begins_anew(png: Png) -> None:
    app = ready(png)
    app.button(key="compare-start").click().run()
    wait_for_jobs(app)
    assert desk(app).columns
    app.file_uploader[0].set_value([("b.png", png("blue"), "image/png")]).run()
    assert desk(app).columns == [] and desk(app).upload is not None and desk(app).upload.label == "b.png"


def test_the_figures_count_unsure_answers(eye: CountingVision, png: Png) -> None:
    eye.answers["Describe this picture in detail."] = "I do not know."
    app = ready(png)
    app.button(key="compare-start").click().run()
    wait_for_jobs(app)
    assert "1 unsure" in html_of(app)


def test_a_model_that_no_interview_can_use_is_not_called_by_the_other_columns() -> None:
    calls: list[str] = []

    class RefusedError(QuestionerError):
        for_all = True

    class Refused(ListQuestioner):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            calls.append("called")
            raise RefusedError("the key is not accepted.")

    picture = make_picture()
    columns = []
    for asks in ("openai:one", "openai:one", "scripted"):
        asked = Refused(questions=["What is it?"]) if asks == "openai:one" else ScriptedQuestioner()
        live = LiveInterview(
            picture.info(), lambda: picture, HashedEye, lambda asked=asked: asked, InterviewOptions(rounds=2)
        )
        columns.append(Column(picture.info(), None, "pocket", asks, live, rounds=2))
    jobs = [Job(column.questioner, partial(drive, columns, column)) for column in columns]
    for job in jobs:
        job.run()
    assert calls == ["called"]
    assert [column.live.view.state for column in columns] == ["failed", "new", "complete"]
    assert [job.state for job in jobs] == ["done", "stopped", "done"]
