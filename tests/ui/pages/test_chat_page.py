"""The page Chat: questions about pictures, answers that can be stopped, branches, tasks, web pages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from html import unescape
from typing import ClassVar

import pytest
from streamlit.testing.v1 import AppTest

from core.entries import Entry
from core.registry import get_registry
from core.settings import get_settings
from core.store.transcripts import TranscriptStore
from core.vision import Reply, VisualQuestion
from tests.agents.talking import Parrot, Starer
from tests.ui.app import LONG, assert_well, html_of, open_page, visitor_of, wait_for_jobs
from ui.state.chats import ChatPageState, page_state
from ui.widgets.web_frame import enclosed

Png = Callable[..., bytes]


class Talker(Parrot):
    """A fake eye: Parrot, which also talks for ever where it is asked to be endless, until it is stopped."""

    streams: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def _pieces(self, question: VisualQuestion) -> Iterator[str]:
        while "endless" in (question.question or ""):
            yield "and "
            self.begun.set()
            threading.Event().wait(0.005)
        yield from super()._pieces(question)


def register(monkeypatch: pytest.MonkeyPatch, eye: Parrot, name: str) -> None:
    capabilities = {"follows_instructions": eye.follows_instructions, "streams": True, "max_images": eye.max_images}
    entry = Entry("vision backend", name, lambda _=None: eye, "Says what it heard.", capabilities, "test", "test")
    monkeypatch.setitem(get_registry().vision_backends, name, entry)


@pytest.fixture(autouse=True)
def talker(monkeypatch: pytest.MonkeyPatch) -> Talker:
    """The eye that is chosen at first; another one, `starer`, takes one picture and follows no instructions."""
    made = Talker()
    register(monkeypatch, made, "parrot")
    register(monkeypatch, Starer(), "starer")
    monkeypatch.setenv("INQUISIGHT_VISION", "parrot")
    get_settings.cache_clear()
    return made


def desk(app: AppTest) -> ChatPageState:
    return page_state(visitor_of(app))


def upload(app: AppTest, *files: tuple[str, bytes]) -> None:
    app.file_uploader[0].set_value([(name, data, "image/png") for name, data in files]).run()
    assert_well(app)


def ask(app: AppTest, question: str) -> None:
    app.chat_input[0].set_value(question).run()
    assert_well(app)
    wait_for_jobs(app)


def press(app: AppTest, label: str) -> None:
    [button] = [one for one in app.button if one.label == label]
    button.click().run()
    assert_well(app)
    wait_for_jobs(app)


def opened(png: Png, *questions: str) -> AppTest:
    app = open_page("chat")
    upload(app, ("cat.png", png()))
    for question in questions:
        ask(app, question)
    return app


def said(app: AppTest) -> str:
    return unescape(html_of(app))


def labels(app: AppTest) -> list[str]:
    return [one.label for one in app.button]


@pytest.mark.slow
def test_without_a_picture_it_says_what_to_do() -> None:
    app = open_page("chat")
    assert app.title[0].value == "Chat"
    assert any("Add an image" in one.value for one in app.info)
    assert app.chat_input[0].disabled and app.button(key="chat-task-funny").disabled


def test_abilities_stand_beside_the_choice() -> None:
    app = open_page("chat")
    words = " ".join(one.value for one in app.caption)
    assert "holds a conversation" in words and "up to 4 images" in words


def test_a_question_and_the_next_one(png: Png, talker: Talker) -> None:
    app = opened(png, "What is it?", "And what else?")
    assert "What is it?" in said(app) and "heard: And what else?" in said(app)
    assert [question for question, _ in talker.asked[1].history] == ["What is it?"], "it remembers"
    [kept] = TranscriptStore().recent()
    assert kept.turns == 2 and kept.id in visitor_of(app).transcripts and kept.source == "cat.png"


@pytest.mark.slow
def test_several_pictures_also_in_the_middle(png: Png) -> None:
    app = open_page("chat")
    upload(app, ("a.png", png("red")), ("b.png", png("blue")))
    ask(app, "What differs?")
    assert "I see [a,b]" in said(app)
    upload(app, ("c.png", png("green")))
    ask(app, "And this?")
    assert "I see [a,b; c]" in said(app)


def test_a_picture_is_taken_away_before_it_is_asked_about(png: Png) -> None:
    app = open_page("chat")
    upload(app, ("a.png", png("red")), ("b.png", png("blue")))
    next(one for one in app.button if one.label.startswith("Remove ")).click().run()
    ask(app, "What is it?")
    assert "I see [b]" in said(app)


def test_stop_keeps_what_was_said(png: Png, talker: Talker) -> None:
    app = opened(png)
    app.chat_input[0].set_value("endless").run()
    assert talker.begun.wait(LONG)
    app.run()
    assert app.chat_input[0].disabled
    next(one for one in app.button if one.label == "Stop").click().run()
    wait_for_jobs(app)
    [node] = desk(app).chat.tree.view.path
    assert node.turn.status == "stopped" and node.turn.answer.startswith("and")
    assert ">stopped<" in html_of(app) and not app.chat_input[0].disabled


@pytest.mark.slow
def test_a_reload_in_the_middle_of_an_answer_loses_nothing(png: Png, talker: Talker) -> None:
    app = opened(png)
    app.chat_input[0].set_value("endless").run()
    assert talker.begun.wait(LONG)
    script = "import importlib; importlib.import_module('ui.pages.chat').page()"
    again = AppTest.from_string(script, default_timeout=LONG)
    again.session_state["inquisight.visitor"] = app.session_state["inquisight.visitor"]  # what the cookie does
    again.run()
    assert_well(again)
    assert "and and" in said(again) and "endless" in said(again)
    next(one for one in again.button if one.label == "Stop").click().run()
    wait_for_jobs(app)
    assert ">stopped<" in html_of(app)


@pytest.mark.slow
def test_an_answer_again_keeps_both(png: Png) -> None:
    app = opened(png, "What is it?")
    first = desk(app).chat.tree.view.path[0].turn.answer
    press(app, "Regenerate answer 1")
    second = desk(app).chat.tree.view.path[0].turn.answer
    assert first != second and "version 2 of 2" in said(app)
    press(app, "Previous version of 1")
    assert first in said(app) and "version 1 of 2" in said(app)
    assert len(TranscriptStore().recent()) == 2, "each version is kept"


@pytest.mark.slow
def test_again_and_again_is_never_the_same_attempt(png: Png) -> None:
    app = opened(png, "What is it?")
    press(app, "Regenerate answer 1")
    press(app, "Previous version of 1")
    press(app, "Regenerate answer 1")
    talk = desk(app).chat.tree
    answers = [node.turn.answer for node in talk.siblings(talk.view.path[0])]
    assert len(set(answers)) == 3


@pytest.mark.slow
def test_an_earlier_question_is_edited_and_the_old_branch_stays(png: Png, talker: Talker) -> None:
    app = opened(png, "What is it?", "How old is it?")
    app.button(key=next(one.key for one in app.button if one.label == "Edit question 1")).click().run()
    assert app.text_area[0].value == "What is it?"
    app.text_area[0].set_value("Where is it?")
    press(app, "Ask")
    assert [node.turn.question for node in desk(app).chat.tree.view.path] == ["Where is it?"]
    assert talker.asked[-1].history == (), "the eye does not know the other branch"
    assert not app.text_area, "the dialog is closed"
    press(app, "Previous version of 1")
    assert [node.turn.question for node in desk(app).chat.tree.view.path] == ["What is it?", "How old is it?"]
    ask(app, "Whose is it?")
    assert [kept.turns for kept in TranscriptStore().recent()] == [1, 3], "the newest branch first"


@pytest.mark.slow
def test_an_unchanged_question_is_a_sentence(png: Png) -> None:
    app = opened(png, "What is it?")
    app.button(key=next(one.key for one in app.button if one.label == "Edit question 1")).click().run()
    next(one for one in app.button if one.label == "Ask").click().run()
    assert_well(app)
    assert any("is the same question" in one.value for one in app.error)


def test_a_task_is_one_click(png: Png, talker: Talker) -> None:
    app = opened(png)
    press(app, "Why it is funny")
    assert "Why might people find this picture funny?" in (talker.asked[0].question or "")
    assert "Why it is funny" in said(app) and ">task<" in html_of(app)


@pytest.mark.slow
def test_a_web_page_is_shown_beside_its_code(png: Png) -> None:
    app = opened(png, "Make a page of the sketch")
    [code] = app.code
    assert code.value.startswith("<!DOCTYPE html>") and "<h1>Shop</h1>" in code.value
    assert "<h1>" not in html_of(app), "it is nowhere part of the dashboard"
    assert "Run its scripts" in [one.label for one in app.toggle]
    assert not next(one for one in app.toggle if one.label == "Run its scripts").value


def test_an_answer_without_a_page_is_a_sentence(png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Talker, "_pieces", lambda self, question: iter(["A shop."]))
    app = opened(png)
    press(app, "A web page from a sketch of it")
    assert not app.code and any("no HTML" in one.value for one in app.info)


def test_the_frame_of_a_web_page_lets_nothing_out() -> None:
    page = """<script>fetch("https://example.org")</script><p title='"'>Shop</p>"""
    quiet, lively = enclosed(page, "A page"), enclosed(page, "A page", scripts=True)
    for outer in (quiet, lively):
        policy = unescape(outer.partition('Content-Security-Policy" content="')[2].partition('"')[0])
        assert "default-src 'none'" in policy and "frame-src 'none'" in policy and "form-action 'none'" in policy
        assert "allow-same-origin" not in outer and "http:" not in policy and "https:" not in policy
        assert outer.count("<script>") == 0, "the page is inside the inner frame's attribute only"
        assert unescape(outer.partition('srcdoc="')[2].partition('"></iframe>')[0]).endswith(page)
    assert 'sandbox=""' in quiet and "script-src 'none'" in unescape(quiet)
    assert 'sandbox="allow-scripts"' in lively and "script-src 'none'" not in unescape(lively)


def test_what_a_model_says_is_shown_and_never_run(png: Png) -> None:
    app = opened(png, "<img src=x onerror=alert(1)> <b>bold</b>")
    assert "<img" not in html_of(app) and "<b>" not in html_of(app) and "&lt;img" in html_of(app)


def test_a_failing_eye_is_a_sentence_and_the_question_is_not_lost(png: Png) -> None:
    app = opened(png, "What is it?", "fail, please")
    assert any("lost its voice" in one.value for one in app.error)
    assert len(desk(app).chat.tree.view.path) == 1 and "Retry" in labels(app)


def test_a_bug_in_an_eye_is_a_sentence(png: Png) -> None:
    app = opened(png, "crash, please")
    [error] = app.error
    assert "Traceback" not in error.value and error.value.count("\n") == 0


def test_more_pictures_than_the_eye_takes_are_told_before_it_is_asked(png: Png) -> None:
    app = open_page("chat")
    upload(app, ("a.png", png("red")), ("b.png", png("blue")))
    next(one for one in app.selectbox if one.label == "Vision model").set_value("starer").run()
    assert_well(app)
    [warning] = app.warning
    assert "with starer can be about one picture" in warning.value and "--" not in warning.value
    assert app.chat_input[0].disabled


def test_another_eye_begins_another_conversation(png: Png) -> None:
    app = opened(png, "What is it?")
    next(one for one in app.selectbox if one.label == "Vision model").set_value("starer").run()
    assert any("starts a new conversation with starer" in one.value for one in app.info)
    ask(app, "And to you?")
    assert [one.vision for one in desk(app).all] == ["parrot", "starer"]
    assert [node.turn.question for node in desk(app).chat.tree.view.path] == ["And to you?"]
    picker = next(one for one in app.selectbox if one.label == "Conversation")
    picker.set_value(0).run()
    assert_well(app)
    assert "heard: What is it?" in said(app)


def test_a_new_conversation_is_about_the_same_picture(png: Png, talker: Talker) -> None:
    app = opened(png, "What is it?")
    press(app, "New conversation")
    ask(app, "And now?")
    assert talker.asked[-1].history == () and "I see [cat]" in said(app)
    assert len(desk(app).all) == 2 and talker.encoded == ["cat.png"], "looked at once"


@pytest.mark.slow
def test_two_visitors_never_meet(png: Png) -> None:
    one, other = opened(png, "What is it?"), open_page("chat")
    assert "What is it?" not in said(other) and not desk(other).chat.tree.pictures
    assert desk(one) is not desk(other)


def test_a_seed_that_is_none_is_a_sentence() -> None:
    app = open_page("chat")
    app.text_input(key="chat-seed").set_value("seven").run()
    assert any("seed must be a whole number" in one.value for one in app.error)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_answer(png: Png) -> None:
    answers = []
    for _ in range(2):
        app = opened(png)
        app.text_input(key="chat-seed").set_value("7").run()
        ask(app, "What is it?")
        answers.append(desk(app).chat.tree.view.path[0].turn.answer)
    assert answers[0] == answers[1]


def test_reasoning_that_shows_late_does_not_stay_on_the_page(
    talker: Talker, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the answer is written, after `Rewritten`, and when the turn is kept."""
    shown, go_on = threading.Event(), threading.Event()

    def pieces(question: VisualQuestion) -> Iterator[str | Reply]:
        yield "Secret: what "
        yield "do they mean? "
        shown.set()
        assert go_on.wait(LONG)
        yield Reply("It is a red block.", "stop")

    monkeypatch.setattr(talker, "pieces", pieces)
    app = open_page("chat")
    upload(app, ("red.png", png("red")))
    app.chat_input[0].set_value("What is it?").run()
    assert shown.wait(LONG)
    app.run()
    assert "Secret" in all_of(app), "it is shown as it comes, since nothing tells yet what it is"
    go_on.set()
    wait_for_jobs(app)
    assert "Secret" not in all_of(app) and "It is a red block." in all_of(app)
    app.run()
    assert "Secret" not in all_of(app)


def all_of(app: AppTest) -> str:
    """All text on the page."""
    return html_of(app) + "\n".join(str(one.value) for one in (*app.markdown, *app.caption, *app.text))
