"""Interviews about videos: stopped, resumed, corrected, and opened from the history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

pytest.importorskip("av", reason="videos are an optional part")

from agents.video.live import LiveVideo, VideoParameters
from core.errors import BackendError, UsageError
from core.store.transcripts import TranscriptStore
from core.video.clip import open_video
from plugins.scripted import ScriptedQuestioner
from tests.agents.video.clips import DrawnEye
from tests.ui.app import LONG, assert_well, html_of, open_page, visitor_of, wait_for_jobs
from tests.ui.pages.video.helpers import choose_frame, item_of, start, strip_of, upload
from ui.state.jobs import Job
from ui.state.videos import begin, page_state


def test_a_question_of_ones_own_about_a_frame(drawn: DrawnEye, clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3, rounds=1)
    assert item.view.summary and not app.text_input(key="video-language").value
    before, encoded = item.view, len(drawn.encoded)
    choose_frame(app, 1)
    key = f"video-question-{item.key}-1"
    app.text_input(key=key).set_value("Is there a ball?")
    app.button[[one.label for one in app.button].index("Ask")].click().run()
    assert_well(app)
    wait_for_jobs(app)
    assert item.view.state == "complete" and item.view.turns[:1] == before.turns
    [own] = item.view.turns[1:]
    assert (own.question, own.asked_by) == ("Frame 1: Is there a ball?", "person") and own.answer
    assert len(drawn.encoded) == encoded, "the dashboard knows the frame already"
    assert "your question" in html_of(app) and item.view.summary in html_of(app)
    assert item.view.id is not None and TranscriptStore().get(item.view.id).dialogue.turns == item.view.turns

    app.text_input(key=key).set_value("  ")
    app.button[[one.label for one in app.button].index("Ask")].click().run()
    assert any("Write a question first" in one.value for one in app.error) and item.view.state == "complete"


def test_what_is_known_of_the_video_is_used_until_the_next_one(drawn: DrawnEye, clip: bytes, scenes: bytes) -> None:
    app = open_page("video")
    assert not app.text_area
    upload(app, clip)
    key = f"video-told-{item_of(app).key}"
    app.text_area(key=key).set_value("Our cat Luna, in Cairo")
    item = start(app, frames=2, rounds=1)
    caption = item.view.caption
    assert caption is not None and caption.told == "Our cat Luna, in Cairo."
    assert "Luna" in html_of(app)
    state = page_state(visitor_of(app))
    state.reopen(caption, visitor_of(app))
    assert state.settings.parameters().context == caption.told, "the same video again"
    upload(app, scenes, "scenes.mp4")
    assert app.text_area(key=f"video-told-{item_of(app).key}").value == ""
    assert not state.settings.parameters().context


@pytest.mark.slow
def test_an_answer_put_right_is_told_anew(scenes: bytes) -> None:
    app = open_page("video")
    upload(app, scenes)
    item = start(app, scenes=2, frames=2, rounds=1)
    assert "apple" in item.view.summary.lower()
    app.button(key=f"video-change-{item.key}-1").click().run()
    assert_well(app)
    field = app.text_area(key=f"video-answer-{item.key}-1")
    assert "apple" in field.value
    field.set_value("there is a green pear.")
    app.button[[one.label for one in app.button].index("Save")].click().run()
    assert_well(app)
    wait_for_jobs(app)
    page = html_of(app)
    assert item.view.state == "complete" and "pear" in item.view.summary and "apple" not in item.view.summary.lower()
    assert "corrected by you" in page and "Scene 1" in page and item.view.summary in page
    assert [turn.question.startswith("Scene") for turn in item.view.turns] == [False, True, False, True]
    assert not [one for one in app.text_area if one.key.startswith("video-answer")], "the dialog is closed"


@pytest.mark.slow
def test_a_kept_interview_can_be_asked_once_its_video_is_there(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3, rounds=1)
    kept = TranscriptStore().get(item.view.id or "")
    other = open_page("video")
    me = visitor_of(other)
    page_state(me).reopen(kept, me)
    other.run()
    keys = [one.key for one in other.button]
    assert not any("change" in (key or "") for key in keys), "not stored with this interview it can only be read"
    upload(other, clip)
    choose_frame(other, 1)
    mine = item_of(other)
    other.text_input(key=f"video-question-{mine.key}-1").set_value("Is there a ball?")
    other.button[[one.label for one in other.button].index("Ask")].click().run()
    wait_for_jobs(other)
    assert_well(other)
    assert [turn.asked_by for turn in mine.view.turns] == ["opening", "person"] and mine.view.state == "complete"


@pytest.mark.slow
def test_a_failing_eye_is_a_sentence_and_it_goes_on(
    drawn: DrawnEye, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(questions: Any) -> list[str]:
        raise BackendError("the vision model of *this* test is closed")

    monkeypatch.setattr(drawn, "answer", closed)
    app = open_page("video")
    upload(app, clip)
    item = start(app)
    assert item.view.state == "failed" and any("is closed" in one.value for one in app.error)
    monkeypatch.undo()
    app.button(key=f"resume-{item.key}").click().run()
    wait_for_jobs(app)
    assert item.view.state == "complete"


def test_stop_keeps_every_answer_and_it_goes_on(drawn: DrawnEye, clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip)
    saved: list[Any] = []
    with open_video(tmp_path / "clip.mp4") as video:
        info = video.info()
    watched = LiveVideo(
        info,
        lambda: open_video(tmp_path / "clip.mp4"),
        lambda: drawn,
        ScriptedQuestioner,
        VideoParameters(frames=4),
        save=lambda caption: saved.append(caption) or "id",  # type: ignore[func-returns-value]
    )
    list(watched.run(lambda: len(watched.view.turns) >= 3))
    assert watched.view.state == "stopped" and saved[-1].status == "stopped"
    before, encoded = watched.view.turns, len(drawn.encoded)
    assert len(before) == 3
    list(watched.run())
    assert watched.view.state == "complete" and watched.view.turns[:3] == before
    assert encoded == 4, "each frame is looked at once"
    kept = LiveVideo(
        info, lambda: open_video(tmp_path / "clip.mp4"), lambda: drawn, ScriptedQuestioner, earlier=saved[2]
    )
    assert kept.view.times == watched.view.times and len(kept.view.turns) == len(saved[2].dialogue.turns)

    encoded = len(drawn.encoded)
    watched.ask(3, "Is there a ball?")
    watched.ask(2, "Is there a ball?")  # in its place
    running = watched.run()
    next(running)
    with pytest.raises(UsageError, match="is going on"):
        watched.correct(0, "a pear.")
    list(running)
    assert watched.view.state == "complete" and watched.view.turns[-1].question == "Frame 2: Is there a ball?"
    assert len(drawn.encoded) == encoded + 1, "of the frames, the one that the question is about"
    for index, answer, wrong in (
        (0, "", "write the right"),
        (0, watched.view.turns[0].answer, "already"),
        (99, "a", "100"),
    ):
        with pytest.raises(UsageError, match=wrong):
            watched.correct(index, answer)
    assert watched.view.state == "complete"


def test_the_stop_button_is_there_while_they_talk(drawn: DrawnEye, clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    me, item = visitor_of(app), item_of(app)
    begin(me, item, page_state(me).settings)
    assert item.job is not None
    item.job.stop()
    wait_for_jobs(app)
    assert item.view.state == "stopped"
    assert any("Stopped after" in one.value for one in app.info)
    item.job = Job("as if it were running", state="running")
    app.run()
    assert not app.button(key=f"video-stop-{item.key}").disabled
    app.button(key=f"video-stop-{item.key}").click().run()
    assert item.job.stop_requested


@pytest.mark.slow
def test_it_is_all_there_after_a_reload(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3)
    again = AppTest.from_string(
        "import importlib; importlib.import_module('ui.pages.video').page()", default_timeout=LONG
    )
    again.session_state["inquisight.visitor"] = app.session_state["inquisight.visitor"]  # as the cookie does
    again.run()
    assert_well(again)
    assert item.view.summary in html_of(again) and len(strip_of(again)["frames"]) == 3


@pytest.mark.slow
def test_history_opens_it_and_it_goes_on_here(clip: bytes) -> None:
    app = open_page("video")
    upload(app, clip)
    item = start(app, frames=3)
    kept = TranscriptStore().get(item.view.id or "")
    other = open_page("history")
    other.button(key=f"history-open-{kept.id[:16]}").click().run()
    assert_well(other)
    page = html_of(other)
    assert kept.summary in page and "frame 1, 0:00.0" in page and "Direct caption" not in page
    third = open_page("video")
    me = visitor_of(third)
    page_state(me).reopen(kept, me)
    third.run()
    assert_well(third)
    assert kept.summary in html_of(third) and any("not stored with this interview" in one.value for one in third.info)
    assert all(not frame["picture"] for frame in strip_of(third)["frames"])
    upload(third, clip)
    assert all(frame["picture"] for frame in strip_of(third)["frames"]), "the frames are found again in the file"
