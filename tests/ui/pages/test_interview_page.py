"""The page Interview: pictures in, a dialogue that grows, steered by the visitor, taken home."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import BackendError
from core.store.transcripts import TranscriptStore
from tests.agents.fakes import CountingVision
from tests.ui.app import LONG, assert_well, html_of, open_page, visitor_of, wait_for_jobs
from ui.state.interviews import InterviewPageState, page_state
from ui.views.sample_view import sample

pytestmark = pytest.mark.usefixtures("eye")
Png = Callable[..., bytes]


def desk(app: AppTest) -> InterviewPageState:
    return page_state(visitor_of(app))


def upload(app: AppTest, *files: tuple[str, bytes]) -> None:
    app.file_uploader[0].set_value([(name, data, "image/png") for name, data in files]).run()
    assert_well(app)


def start(app: AppTest) -> None:
    app.button(key="start").click().run()
    assert_well(app)
    wait_for_jobs(app)


def test_an_empty_desk_says_what_to_do() -> None:
    app = open_page("interview")
    assert "An example of a result" in html_of(app) and sample().summary[:40] in html_of(app)
    assert app.title[0].value == "Interview"
    assert any("Add an image" in one.value for one in app.info)
    assert app.button(key="start").disabled


@pytest.mark.slow
def test_from_upload_to_three_captions(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("orange.png", png()))
    start(app)
    page = html_of(app)
    for title in ("Caption", "Direct caption", "First answer"):
        assert title in page
    assert "a plain caption" in page and "the answer to Describe this picture in detail" in page
    [item] = desk(app).items.values()
    assert item.state == "finished" and item.view.id is not None
    assert TranscriptStore().get(item.view.id).picture.source == "orange.png"
    assert item.view.id in visitor_of(app).transcripts


def test_abilities_stand_beside_the_choice() -> None:
    app = open_page("interview")
    said = " ".join(one.value for one in app.caption)
    assert "answers short questions" in said and "one image" in said and "Answers at once." in said


@pytest.mark.slow
def test_several_pictures_are_interviewed_one_after_the_other(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("a.png", png("red")), ("b.png", png("blue")), ("c.png", png("green")))
    assert app.button(key="start").label == "Start 3 interviews"
    start(app)
    assert [item.state for item in desk(app).items.values()] == ["finished", "finished", "finished"]
    first = next(iter(desk(app).items.values()))
    app.button(key=f"show-{first.key}").click().run()
    assert desk(app).item is not None and desk(app).item.info.source == "a.png"


def test_a_file_that_is_no_picture_is_a_sentence_and_the_others_come(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("notes.png", b"these are notes"), ("b.png", png()))
    assert [item.info.source for item in desk(app).items.values()] == ["b.png"]
    [error] = app.error
    assert "notes.png" in error.value and "Traceback" not in error.value


@pytest.mark.slow
def test_an_unsure_answer_and_a_persons_question_are_marked(eye: CountingVision, png: Png) -> None:
    eye.answers["Describe this picture in detail."] = "There is a dog on a lawn."
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    [item] = desk(app).items.values()
    assert item.live is not None
    eye.answers["Is there a dog?"] = "No, there is no dog."
    eye.answers["Is it raining?"] = "I do not know."
    for question in ("Is there a dog?", "Is it raining?"):
        app.chat_input[0].set_value(question).run()
        wait_for_jobs(app)
    page = html_of(app)
    assert "unsure: not used" in page and "your question" in page


@pytest.mark.slow
def test_what_a_turn_added_is_marked_in_the_last_caption(eye: CountingVision, png: Png) -> None:
    eye.answers["Describe this picture in detail."] = "There is a cat."
    eye.answers["Is it night?"] = "Yes, a starry night."
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    app.chat_input[0].set_value("Is it night?").run()
    wait_for_jobs(app)
    page = html_of(app)
    assert "<mark" in page and "added by answer" in page


@pytest.mark.slow
def test_a_wrong_answer_is_put_right_and_asking_goes_on_from_there(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    [item] = desk(app).items.values()
    before = [turn.question for turn in item.view.turns]
    app.button(key=f"change-{item.key}-1").click().run()
    app.text_area[0].set_value("A zebra stands in a river.")
    next(button for button in app.button if button.label == "Save").click().run()
    wait_for_jobs(app)
    assert item.view.turns[0].answer == "A zebra stands in a river."
    assert [turn.question for turn in item.view.turns] != before, "the other questions are about the zebra now"
    assert "corrected by you" in html_of(app) and "zebra" in item.view.summary.lower()
    assert not app.text_area, "the dialog is closed"


@pytest.mark.slow
def test_a_question_that_is_none_is_a_sentence(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    app.chat_input[0].set_value("...").run()
    assert_well(app)
    assert [one.value for one in app.error] == ["Write a question first."]


@pytest.mark.slow
def test_a_failing_eye_is_a_sentence_and_what_was_said_stays(eye: CountingVision, png: Png) -> None:
    eye.answers["Describe this picture in detail."] = BackendError("the vision model of *this* test is closed")
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    assert any("is closed" in one.value for one in app.error)
    [item] = desk(app).items.values()
    assert item.state == "failed"
    del eye.answers["Describe this picture in detail."]
    app.button(key=f"resume-{item.key}").click().run()
    wait_for_jobs(app)
    assert item.state == "finished"


@pytest.mark.slow
def test_what_a_model_says_is_shown_and_never_run(eye: CountingVision, png: Png) -> None:
    eye.answers["Describe this picture in detail."] = "<script>alert(1)</script> <img src=x onerror=alert(2)> a cat"
    app = open_page("interview")
    upload(app, ("<b>x</b>.png", png()))
    start(app)
    page = html_of(app)
    assert "<script>" not in page and "<img" not in page and "&lt;script&gt;" in page


@pytest.mark.slow
def test_two_visitors_never_meet(png: Png) -> None:
    one, other = open_page("interview"), open_page("interview")
    upload(one, ("mine.png", png("red")))
    start(one)
    other.run()
    assert visitor_of(one) is not visitor_of(other)
    assert desk(other).items == {} and len(visitor_of(other).images) == 0
    assert "mine.png" not in " ".join(caption.value for caption in other.caption) + html_of(other)


@pytest.mark.slow
def test_it_is_all_there_after_a_reload(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    token = app.session_state["inquisight.visitor"]
    again = AppTest.from_string(
        "import importlib; importlib.import_module('ui.pages.interview').page()", default_timeout=LONG
    )
    again.session_state["inquisight.visitor"] = token  # what the cookie does for a browser
    again.run()
    assert_well(again)
    assert "from all certain answers" in html_of(again) and "a plain caption" in html_of(again)


def test_a_picture_is_taken_away_and_its_transcript_stays(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    [item] = desk(app).items.values()
    app.button(key="remove").click().run()
    assert desk(app).items == {} and len(visitor_of(app).images) == 0
    assert item.view.id is not None and TranscriptStore().get(item.view.id)


@pytest.mark.slow
def test_a_kept_interview_is_opened_again(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    [item] = desk(app).items.values()
    assert item.view.id is not None
    kept = TranscriptStore().get(item.view.id)
    other = open_page("interview")
    desk(other).reopen(kept, None, visitor_of(other))
    other.run()
    assert_well(other)
    assert kept.summary.split()[0] in html_of(other)
    assert any("not stored with this interview" in one.value for one in other.info)
    upload(other, ("a.png", png()))
    other.chat_input[0].set_value("Is it raining?").run()
    wait_for_jobs(other)
    assert desk(other).item is not None and desk(other).item.view.turns[-1].question == "Is it raining?"


def test_a_seed_that_is_none_is_a_sentence() -> None:
    app = open_page("interview")
    app.text_input(key="interview-seed").set_value("seven").run()
    assert any("seed must be a whole number" in one.value for one in app.error)


def test_an_example_is_one_click_away() -> None:
    app = open_page("interview")
    app.session_state["interview-way"] = "Example"
    app.run()
    app.button(key="interview-example-cat").click().run()
    assert [item.info.source for item in desk(app).items.values()] == ["cat.jpg"]


@pytest.mark.slow
def test_a_caption_is_edited_and_every_version_can_be_restored(png: Png) -> None:
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    [item] = desk(app).items.values()
    before = item.view.text
    app.button(key=f"edit-{item.key}").click().run()
    app.text_area[0].set_value("A zebra, **bold** & <b>striped</b>.")
    next(button for button in app.button if button.label == "Save").click().run()
    assert_well(app)
    assert not app.text_area, "the dialog is closed"
    page = html_of(app)
    assert "A zebra, **bold** &amp; &lt;b&gt;striped&lt;/b&gt;." in page and "edited by you" in page
    assert item.view.id is not None and TranscriptStore().get(item.view.id).text.startswith("A zebra")
    assert item.view.id in visitor_of(app).transcripts
    app.button(key=f"edit-{item.key}").click().run()
    next(button for button in app.button if button.label == "Restore version 1").click().run()
    assert_well(app)
    assert item.view.text == before and len(TranscriptStore().get(item.view.id).versions) == 2


@pytest.mark.slow
def test_unsure_answers_are_folded(eye: CountingVision, png: Png) -> None:
    eye.answers["Describe this picture in detail."] = "There is a cat."
    eye.answers["Is it night?"] = "I do not know."
    app = open_page("interview")
    upload(app, ("a.png", png()))
    start(app)
    app.chat_input[0].set_value("Is it night?").run()
    wait_for_jobs(app)
    folded = [one.label for one in app.expander]
    assert any("unsure answer" in label and "not used" in label for label in folded)
