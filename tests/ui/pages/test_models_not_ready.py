"""Models that cannot work as offered are shown as such, and cannot be started, neither by a page nor behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.errors import UsageError
from core.settings import get_settings
from tests.ui.app import assert_well, html_of, open_page, wait_for_jobs
from ui.state import chats
from ui.state.comparison import ComparePageState
from ui.state.comparison import begin as begin_comparison
from ui.state.interviews import InterviewSettings, begin, page_state
from ui.state.model_choice import blocked, offered, require
from ui.state.options import get_options
from ui.state.session import Visitor

pytestmark = pytest.mark.usefixtures("eye")
Png = Callable[..., bytes]
UNREADY = ("blip2", "lavis", "minigpt4", "openai", "trained", "transformers")


def with_a_picture(page: str, png: Png) -> AppTest:
    app = open_page(page)
    app.file_uploader[0].set_value([("a.png", png(), "image/png")]).run()
    assert_well(app)
    return app


def test_the_list_says_who_is_not_ready_and_has_them_last() -> None:
    choices = offered("vision")
    assert {choice.spec for choice in choices if not choice.ready} == set(UNREADY)
    assert [choice.ready for choice in choices] == sorted((choice.ready for choice in choices), reverse=True)
    box = open_page("interview").selectbox(key="interview-vision")
    assert "minigpt4 (not ready)" in box.options and "pocket" in box.options and "counting" in box.options


@pytest.mark.parametrize("spec", ["minigpt4", "transformers", "openai:gpt-4o-mini", "minigpt4:/nowhere", "nobody"])
def test_the_interview_cannot_be_started_and_says_why(spec: str, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_VISION", spec)
    get_settings.cache_clear()
    app = with_a_picture("interview", png)
    assert app.button(key="start").disabled
    [warning] = app.warning
    assert warning.value
    assert any(one.value.startswith(":material/block:") for one in app.caption), "the reason stands by the button too"
    app.selectbox(key="interview-vision").set_value("counting").run()
    assert not app.button(key="start").disabled and not app.warning


def test_without_a_key_nothing_is_asked(png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_QUESTIONER", "openai:gpt-4o-mini")
    get_settings.cache_clear()
    app = with_a_picture("interview", png)
    assert app.button(key="start").disabled and "OPENAI\\_API\\_KEY" in app.warning[0].value
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    st.cache_data.clear()
    app.run()
    assert not app.button(key="start").disabled and not app.warning


def test_what_is_missing_is_refused_behind_the_page_too(png: Png) -> None:
    me = Visitor("me")
    desk = page_state(me)
    desk.put(me.images.add(png(), "a.png", "interview"))
    item = desk.item
    assert item is not None
    for setting in (InterviewSettings("minigpt4", "scripted"), InterviewSettings("counting", "openai:gpt-4o-mini")):
        with pytest.raises(UsageError):
            begin(me, [item], setting)
        assert item.live is None and item.state == "new" and me.jobs.all() == []
    comparison = ComparePageState(me, desk.item and desk.item.upload, chosen=["counting", "minigpt4"], other="scripted")
    with pytest.raises(UsageError, match="minigpt4"):
        begin_comparison(comparison)
    chat = chats.page_state(me)
    chat.put(me.images.add(png(), "a.png", "chat"))
    chat.settings.vision = "transformers"
    with pytest.raises(UsageError, match="transformers"):
        chat.ask("What is it?")
    assert me.jobs.all() == [] and not chat.chat.tree.pending


def test_all_that_can_be_selected_can_be_compared(png: Png) -> None:
    app = with_a_picture("compare", png)
    box = app.multiselect(key="compare-vision")
    assert not set(box.options) & set(UNREADY) and {"counting", "pocket"} <= set(box.options)
    assert any("Not ready" in one.value and "minigpt4" in one.value for one in app.caption)
    app.multiselect(key="compare-vision").set_value(["counting", "minigpt4:/nowhere"]).run()
    assert app.button(key="compare-start").disabled
    assert any("/nowhere" in one.value for one in app.caption)
    app.multiselect(key="compare-vision").set_value(["counting"]).run()
    app.button(key="compare-start").click().run()
    wait_for_jobs(app)
    assert "a plain caption" in html_of(app)


@pytest.mark.parametrize(("page", "key"), [("video", "video-start"), ("curate", "make-begin")])
def test_other_pages_say_it_too(page: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = open_page(page)
    box = next(one for one in app.selectbox if one.label == "Vision model")
    box.set_value("minigpt4").run()
    assert_well(app)
    assert app.button(key=key).disabled and app.warning
    assert any(one.value.startswith(":material/block:") for one in app.caption)


def test_chat_does_not_ask_a_model_that_is_not_ready(png: Png) -> None:
    app = with_a_picture("chat", png)
    assert not app.chat_input[0].disabled
    next(one for one in app.selectbox if one.label == "Vision model").set_value("minigpt4").run()
    assert_well(app)
    assert app.chat_input[0].disabled and app.warning


def test_the_plugins_page_shows_the_same_states() -> None:
    app = open_page("plugins")
    page = html_of(app)
    assert page.count(">not ready<") >= len(UNREADY) and "ready</span> as <code>pocket</code>" in page
    for word in ("minigpt4:DIRECTORY", "inquisight convert minigpt4", "OPENAI_API_KEY"):
        assert word in page
    app.text_input(key="weights-minigpt4").set_value("/nowhere").run()
    assert_well(app)
    assert "/nowhere" in html_of(app)


def test_nothing_is_looked_at_that_may_not_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INQUISIGHT_UI_HOST", "0.0.0.0")
    get_options.cache_clear()
    monkeypatch.chdir(tmp_path)  # short names: long ones are shortened in messages
    (tmp_path / "there").mkdir()
    there, nowhere = "minigpt4:./there", "minigpt4:./nowhere"
    said = [blocked(vision=[spec]).replace(spec, "") for spec in (there, nowhere)]
    assert said[0] == said[1] and "is not offered here" in said[0], "who may not name it learns nothing of the disk"
    with pytest.raises(UsageError, match="not offered"):
        require(vision=[there])
