"""Each picture, column and conversation has a job of its own: what is done to one touches no other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from core.entries import Entry
from core.errors import BackendError, UsageError
from core.registry import get_registry
from core.settings import get_settings
from tests.ui.gates import LONG, GatedVision, until
from ui.state import chats
from ui.state.comparison import ComparePageState
from ui.state.comparison import begin as begin_comparison
from ui.state.interviews import InterviewItem, InterviewPageState, InterviewSettings, begin, drive, page_state, resume
from ui.state.jobs import MAX_RUNNING, Job, Jobs, job_status
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
    desk = page_state(me)
    for colour in COLOURS[:number]:
        desk.put(me.images.add(png(colour), f"{colour}.png", "interview"))
    return desk, list(desk.items.values())


def begun(me: Visitor, png: Png, number: int = 3) -> tuple[InterviewPageState, list[InterviewItem]]:
    """The same with all interviews begun, the first one running."""
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

    first, second, third = (jobs.start(str(number), work(number), queue="q") for number in range(3))
    assert [job.state for job in (first, second, third)] == ["running", "waiting", "waiting"]
    assert [job.ahead for job in (first, second, third)] == [0, 1, 2]
    assert job_status(third) == "waiting, 2 ahead"
    second.stop()
    assert second.state == "stopped" and second.wait(0) and third.ahead == 1
    assert jobs.start("no queue", lambda job: None).wait(LONG), "who has no queue does not wait"
    end[0].set()
    until(lambda: third.state == "running")
    end[2].set()
    assert third.wait(LONG) and ran == [0, 2]


def test_a_queue_waits_for_room_and_is_not_refused() -> None:
    jobs, end = Jobs(), threading.Event()
    for _ in range(MAX_RUNNING):
        jobs.start("x", lambda job: end.wait(LONG) and None)
    waiting = jobs.start("x", lambda job: None, queue="q")
    assert waiting.state == "waiting" and waiting.ahead == 0 and job_status(waiting) == "waiting"
    end.set()
    assert waiting.wait(LONG) and waiting.state == "done"


# --- interviews ---------------------------------------------------------------------------------------------------


def test_removing_a_waiting_picture_touches_no_other(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk, items = begun(me, png, 4)
    first, second, third, fourth = items
    assert states(items) == ["running", "waiting", "waiting", "waiting"]
    talk = first.live
    desk.remove(second)
    assert states(items) == ["running", "removed", "waiting", "waiting"]
    assert first.live is talk and not (first.job and first.job.stop_requested), "the running one goes on"
    assert third.status == "waiting, 1 ahead" and fourth.status == "waiting, 2 ahead"
    gate.allow()
    ended(items)
    assert states(items) == ["finished", "removed", "finished", "finished"]
    assert second.view.turns == ()


def test_removing_the_picture_in_progress_lets_the_next_one_begin(gate: GatedVision, png: Png) -> None:
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
    assert states(items) == ["running", "waiting", "new"]
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
    new = InterviewItem(me.images.add(png("blue"), "blue.png").info, me.images.add(png("blue"), "blue.png"))
    begin(me, [new, done], InterviewSettings())
    assert done.state == "waiting"
    done.stop()
    assert done.state == "finished" and done.view.caption is caption


def test_adding_one_while_others_talk_lets_it_wait(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk, items = begun(me, png, 2)
    talks = [item.live for item in items]
    desk.put(me.images.add(png("white"), "white.png", "interview"))
    new = next(reversed(desk.items.values()))
    assert desk.item is items[0], "what is being talked about stays in view"
    begin(me, [new], InterviewSettings())
    assert [*states(items), new.state] == ["running", "waiting", "waiting"]
    assert [item.live for item in items] == talks
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
    resume(me, items[0])
    ended(items)
    assert states(items) == ["finished"] * 3


def test_a_picture_that_another_page_has_too_stays_there(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk, [item] = pictures(me, png, 1)
    chat = chats.page_state(me)
    chat.put(me.images.add(png(COLOURS[0]), "the same.png", "chat"))
    desk.remove(item)
    me.images.remove(item.info.sha256, "interview")
    assert chat.picture(item.info).image.size == (64, 48)
    chat.remove(chat.chat.tree.waiting[0])
    assert len(me.images) == 0, "nobody has it any more"


# --- compare and chat ---------------------------------------------------------------------------------------------


def test_columns_end_one_by_one_and_one_may_be_added(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    other = Entry("vision backend", "other", lambda _=None: GatedVision(), "", {}, "test", "test-package")
    get_registry().vision_backends["other"] = other
    try:
        held = me.images.add(png(), "a.png", "compare")
        desk = ComparePageState(me, held, chosen=["gated", "other"], other="scripted")
        begin_comparison(desk)
        gated, stopped = desk.columns
        stopped.stop()
        assert gated.job and not gated.job.stop_requested and gated.state == "running"
        desk.chosen = ["gated", "gated:2"]
        assert desk.missing == 1
        begin_comparison(desk)
        assert desk.columns[0] is gated and gated.job and not gated.job.stop_requested
        with pytest.raises(UsageError, match=r"a\.png is being compared"):
            desk.put(me.images.add(png("blue"), "b.png", "compare"))
        gate.allow()
        assert all(column.job and column.job.wait(LONG) for column in desk.columns)
        assert [column.state for column in desk.columns] == ["finished", "finished"]
        desk.remove(desk.columns[1])
        assert desk.columns == [gated] and gated.state == "finished"
    finally:
        del get_registry().vision_backends["other"]


def test_conversations_are_answered_each_by_itself(gate: GatedVision, png: Png) -> None:
    me = Visitor("me")
    desk = chats.page_state(me)
    desk.put(me.images.add(png(), "a.png", "chat"))
    desk.ask("What is it?")
    first = desk.chat
    desk.begin()
    desk.ask("What colour is it?")
    second = desk.chat
    assert first is not second and first.job and second.job
    second.job.stop()
    gate.allow()
    assert first.job.wait(LONG) and second.job.wait(LONG)
    assert len(first.tree.view.path) == 1 and first.job.state == "done"


def test_of_pictures_with_one_questioner_none_is_begun_after_its_key_was_refused() -> None:
    from functools import partial

    from agents.interview.live import LiveInterview
    from agents.interview.protocol import InterviewOptions
    from core.errors import QuestionerError
    from core.testing import make_picture
    from tests.agents.batch.making import HashedEye
    from tests.agents.fakes import ListQuestioner
    from ui.state.interviews import InterviewItem

    calls: list[str] = []

    class RefusedError(QuestionerError):
        for_all = True

    class Refused(ListQuestioner):
        def _generate(self, *args: object, **kwargs: object) -> object:
            calls.append("called")
            raise RefusedError("the key is not accepted.")

    jobs, items = Jobs(), []
    for number in range(3):
        picture = make_picture(64, 48, (number * 40, 10, 10))
        steered = LiveInterview(
            picture.info(),
            lambda picture=picture: picture,
            HashedEye,
            lambda: Refused(questions=["What is it?"]),
            InterviewOptions(rounds=2),
        )
        items.append(InterviewItem(picture.info(), None))
        items[-1].live = steered
    held = threading.Event()
    first = jobs.start("waits", lambda job: held.wait(60), queue="interview")
    for item in items:
        item.job = jobs.start("one", partial(drive, items, item), queue="interview")
    held.set()
    for job in (first, *(item.job for item in items)):
        assert job is not None and job.wait(60)
    assert calls == ["called"]
    assert items[0].live is not None and items[0].live.view.state == "failed"
    assert all(item.live is None for item in items[1:]), "those that waited are as they were before"
