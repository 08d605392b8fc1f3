"""Each picture, column and conversation has a job of its own: what is done to one touches no other."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core.entries import Entry
from core.errors import BackendError, UsageError
from core.registry import get_registry
from core.settings import get_settings
from tests.ui.gates import LONG, GatedVision, until
from tests.ui.pages import assert_well, html_of, open_page, visitor_of, wait_for_jobs
from ui.pages.compare import ComparePageState as CompareDesk
from ui.pages.compare import begin as begin_comparison
from ui.state import conversations
from ui.state.interviews import InterviewItem, InterviewPageState, InterviewSettings, begin, desk_of, go_on
from ui.state.jobs import AT_ONCE, Job, Jobs, queue_words
from ui.state.session import Visitor

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


def pictures(me: Visitor, png: Png, number: int) -> tuple[InterviewPageState, list[InterviewItem]]:
    """So many pictures on the page Interview, none of them begun."""
    desk = desk_of(me)
    for colour in COLOURS[:number]:
        desk.put(me.shelf.add(png(colour), f"{colour}.png", "interview"))
    return desk, list(desk.items.values())


def begun(me: Visitor, png: Png, number: int = 3) -> tuple[InterviewPageState, list[InterviewItem]]:
    """The same with all interviews begun, the first one talking."""
    desk, items = pictures(me, png, number)
    begin(me, items, InterviewSettings())
    until(lambda: items[0].view.state == "running")
    return desk, items


def states(items: list[InterviewItem]) -> list[str]:
    return [item.state for item in items]


def ended(items: list[InterviewItem]) -> None:
    for item in items:
        assert item.job is None or item.job.wait(LONG)


# --- jobs ---------------------------------------------------------------------------------------------------------


def test_jobs_of_a_queue_run_one_after_another_and_know_their_place() -> None:
    jobs, end = Jobs(), [threading.Event() for _ in range(3)]
    ran: list[int] = []

    def work(number: int) -> Callable[[Job], None]:
        return lambda job: ran.append(number) or end[number].wait(LONG) and None  # type: ignore[func-returns-value]

    first, second, third = (jobs.start("x", str(number), work(number), queue="q") for number in range(3))
    assert [job.state for job in (first, second, third)] == ["running", "waiting", "waiting"]
    assert [job.ahead for job in (first, second, third)] == [0, 1, 2]
    assert queue_words(third) == "waiting, 2 before it"
    second.stop()
    assert second.state == "stopped" and second.wait(0) and third.ahead == 1
    assert jobs.start("x", "no queue", lambda job: None).wait(LONG), "who has no queue does not wait"
    end[0].set()
    until(lambda: third.state == "running")
    end[2].set()
    assert third.wait(LONG) and ran == [0, 2]


def test_a_queue_waits_for_room_and_is_not_refused() -> None:
    jobs, end = Jobs(), threading.Event()
    for _ in range(AT_ONCE):
        jobs.start("x", "x", lambda job: end.wait(LONG) and None)
    waiting = jobs.start("x", "x", lambda job: None, queue="q")
    assert waiting.state == "waiting" and waiting.ahead == 0 and queue_words(waiting) == "waiting"
    end.set()
    assert waiting.wait(LONG) and waiting.state == "done"


# --- interviews ---------------------------------------------------------------------------------------------------


def test_removing_a_waiting_picture_touches_no_other(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk, items = begun(me, png, 4)
    first, second, third, fourth = items
    assert states(items) == ["talking", "waiting", "waiting", "waiting"]
    talk = first.steered
    desk.remove(second)
    assert states(items) == ["talking", "removed", "waiting", "waiting"]
    assert first.steered is talk and not (first.job and first.job.halted), "the talking one goes on"
    assert third.progress == "waiting, 1 before it" and fourth.progress == "waiting, 2 before it"
    gate.allow()
    ended(items)
    assert states(items) == ["finished", "removed", "finished", "finished"]
    assert second.view.turns == ()


def test_removing_the_talking_picture_lets_the_next_one_begin(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk, items = begun(me, png)
    desk.remove(items[0])
    gate.allow()
    ended(items)
    assert states(items) == ["removed", "finished", "finished"]


def test_stopping_one_stops_that_one(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    _, items = begun(me, png)
    items[2].stop()  # it waits: it is as if it had not been started
    assert states(items) == ["talking", "waiting", "new"]
    items[0].stop()
    gate.allow()
    ended(items)
    assert states(items) == ["stopped", "finished", "new"]
    begin(me, [items[2]], InterviewSettings())
    ended(items)
    assert states(items) == ["stopped", "finished", "finished"]


def test_what_is_started_again_and_stopped_in_the_queue_is_as_it_was(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    gate.allow(4)
    _, items = begun(me, png, 1)
    ended(items)
    [done] = items
    caption = done.view.caption
    assert caption is not None
    new = InterviewItem(me.shelf.add(png("blue"), "blue.png").info, me.shelf.add(png("blue"), "blue.png"))
    begin(me, [new, done], InterviewSettings())
    assert done.state == "waiting"
    done.stop()
    assert done.state == "finished" and done.view.caption is caption


def test_adding_one_while_others_talk_lets_it_wait(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk, items = begun(me, png, 2)
    talks = [item.steered for item in items]
    desk.put(me.shelf.add(png("white"), "white.png", "interview"))
    new = next(reversed(desk.items.values()))
    assert desk.item is items[0], "what is being talked about stays in view"
    begin(me, [new], InterviewSettings())
    assert [*states(items), new.state] == ["talking", "waiting", "waiting"]
    assert [item.steered for item in items] == talks
    gate.allow()
    ended([*items, new])
    assert [*states(items), new.state] == ["finished"] * 3


def test_one_that_fails_ends_alone(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    gate.answers["Describe this picture in detail."] = BackendError("the model is away")
    _, items = begun(me, png)
    gate.allow(2)  # the plain caption of the first, and its question, which fails
    until(lambda: items[0].state == "failed")
    del gate.answers["Describe this picture in detail."]
    gate.allow()
    ended(items)
    assert states(items) == ["failed", "finished", "finished"]
    go_on(me, items[0])
    ended(items)
    assert states(items) == ["finished"] * 3


def test_a_picture_that_another_page_has_too_stays_there(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk, [item] = pictures(me, png, 1)
    chat = conversations.desk_of(me)
    chat.put(me.shelf.add(png(COLOURS[0]), "the same.png", "chat"))
    desk.remove(item)
    me.shelf.remove(item.info.sha256, "interview")
    assert chat.picture(item.info).image.size == (64, 48)
    chat.take_away(chat.here.talk.waiting[0])
    assert len(me.shelf) == 0, "nobody has it any more"


# --- the page -----------------------------------------------------------------------------------------------------


def opened(png: Png, number: int) -> tuple[AppTest, InterviewPageState]:
    app = open_page("interview")
    files = [(f"{colour}.png", png(colour), "image/png") for colour in COLOURS[:number]]
    app.file_uploader[0].set_value(files).run()
    app.button(key="start").click().run()
    assert_well(app)
    return app, desk_of(visitor_of(app))


def test_the_page_follows_the_one_that_talks_unless_another_was_chosen(gate: GatedVision, png: Png) -> None:
    app, desk = opened(png, 3)
    first, second, third = desk.items.values()
    until(lambda: gate.wanted >= 1)
    app.run()
    assert "<b>red.png</b>" in html_of(app) and "Picture 1 of 3" in html_of(app)
    page = html_of(app)
    assert "waiting, 1 before it" in page and "waiting, 2 before it" in page
    gate.allow(4)  # the plain caption and three answers
    until(lambda: first.state == "finished" and second.state == "talking")
    app.run()
    assert "<b>green.png</b>" in html_of(app) and "finished, 3 answers" in html_of(app)
    app.button(key=f"show-{third.key}").click().run()
    assert "<b>blue.png</b>" in html_of(app) and "Waiting, 1 before it" in html_of(app)
    gate.allow(2)
    until(lambda: len(second.view.turns) == 1)
    app.run()
    assert "<b>blue.png</b>" in html_of(app), "the visitor's choice holds"
    assert "talking, question 2 of 3" in html_of(app), "the others' progress is shown all the same"
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
    assert states([first, second, third]) == ["talking", "removed", "waiting"]
    gate.allow()
    wait_for_jobs(app)
    assert states([first, third]) == ["finished", "finished"]


# --- compare and chat ---------------------------------------------------------------------------------------------


def test_columns_end_one_by_one_and_one_may_be_added(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    other = Entry("vision backend", "other", lambda _=None: GatedVision(), "", {}, "test", "test-package")
    get_registry().vision_backends["other"] = other
    try:
        held = me.shelf.add(png(), "a.png", "compare")
        desk = CompareDesk(me.shelf, held, chosen=["gated", "other"], other="scripted")
        begin_comparison(me, desk)
        gated, stopped = desk.columns
        stopped.stop()
        assert gated.job and not gated.job.halted and gated.state == "talking"
        desk.chosen = ["gated", "gated:2"]
        assert desk.missing == 1
        begin_comparison(me, desk)
        assert desk.columns[0] is gated and gated.job and not gated.job.halted
        with pytest.raises(UsageError, match=r"a\.png is being compared"):
            desk.put(me.shelf.add(png("blue"), "b.png", "compare"))
        gate.allow()
        assert all(column.job and column.job.wait(LONG) for column in desk.columns)
        assert [column.state for column in desk.columns] == ["finished", "finished"]
        desk.remove(desk.columns[1])
        assert desk.columns == [gated] and gated.state == "finished"
    finally:
        del get_registry().vision_backends["other"]


def test_conversations_are_answered_each_by_itself(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk = conversations.desk_of(me)
    desk.put(me.shelf.add(png(), "a.png", "chat"))
    desk.ask("What is it?")
    first = desk.here
    desk.begin()
    desk.ask("What colour is it?")
    second = desk.here
    assert first is not second and first.job and second.job
    second.job.stop()
    gate.allow()
    assert first.job.wait(LONG) and second.job.wait(LONG)
    assert len(first.talk.view.path) == 1 and first.job.state == "done"


# --- imports ------------------------------------------------------------------------------------------------------

_PATH = """
import sys
from streamlit.runtime.scriptrunner.exec_code import modified_sys_path
from streamlit.web import bootstrap
import ui.server.app as app

bootstrap._fix_sys_path(app.__file__)
sys.modules.pop("ui.server.app")
import ui.server.app
before = list(sys.path)
with modified_sys_path(app.__file__):  # what each run of a page and of a part of it does
    assert sys.path == before, "a thread that imports something would miss an entry"
assert sys.path == before
import plugins
assert plugins.__file__.endswith("plugins/__init__.py"), "the page of that name hides no package"
"""


def test_no_run_of_a_page_changes_where_modules_are_found() -> None:
    done = subprocess.run([sys.executable, "-c", _PATH], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
