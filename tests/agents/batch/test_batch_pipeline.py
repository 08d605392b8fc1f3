"""Many interviews at once say what each would say alone, in full batches, with many calls under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.batch import pipeline
from agents.batch import vision_queue as seeing
from agents.batch.budget import Budget
from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, Ready, TooManyFailedError, interview_many
from agents.batch.vision_queue import Row, VisionQueue
from agents.interview.driver import caption_picture
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.llm.calls import metered
from agents.llm.usage import Meter
from core.errors import BackendError, QuestionerError
from core.images.picture import Picture
from core.net.remote import Pace
from core.vision import EncodedImage, VisualQuestion
from plugins.scripted import ScriptedQuestioner
from tests.agents.batch.making import HashedEye, counted, make_pictures, pictures, said
from tests.agents.fakes import ListQuestioner

PROMPTS = Prompts.load()
ROUNDS = InterviewOptions(rounds=5)
COUNT = 12


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    return pictures(make_pictures(tmp_path_factory.mktemp("pictures"), COUNT))


def how(**fields: Any) -> PipelineConfig:
    return PipelineConfig(ROUNDS, PROMPTS, **{"batch": 4, "concurrency": 4} | fields)


def tasks(some: list[Picture]) -> list[InterviewTask]:
    return [InterviewTask(number, picture) for number, picture in enumerate(some)]


def outcomes(given: Any, eye: Any, questioner: Any, how: PipelineConfig, **more: Any) -> dict[Any, Outcome]:
    found = list(interview_many(given, eye, questioner, how, **more))
    assert all(isinstance(one, Outcome) for one in found)
    assert len({one.tag for one in found}) == len(found), "each once"
    return {one.tag: one for one in found if isinstance(one, Outcome)}


@pytest.mark.parametrize("seed", [None, 7])
@pytest.mark.parametrize(
    "questioner",
    [
        ScriptedQuestioner(),
        ListQuestioner(questions=["What is it?", "What is it?", "Where is it?", "", "Who is it?"]),
    ],
    ids=["scripted", "repeats itself"],
)
def test_a_caption_is_the_one_that_the_picture_gets_alone(
    some: list[Picture], questioner: Any, seed: int | None
) -> None:
    together = outcomes(tasks(some), HashedEye(), questioner, how(seed=seed))
    for number, picture in enumerate(some):
        alone = caption_picture(picture, HashedEye(), questioner, ROUNDS, seed=seed)
        found = together[number].caption
        assert said(found) == said(alone)
        assert (found.plain, found.opening, found.summary) == (alone.plain, alone.opening, alone.summary)
        assert (found.status, found.ended_because, found.picture) == (alone.status, alone.ended_because, alone.picture)
        assert (found.run_key, found.seed, found.options) == (alone.run_key, alone.seed, alone.options)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 9), concurrency=st.integers(1, 9), eyes=st.integers(1, 3), order=st.permutations(range(COUNT))
)
def test_captions_do_not_depend_on_how_they_are_gathered(
    some: list[Picture], batch: int, concurrency: int, eyes: int, order: list[int]
) -> None:
    given_ = [InterviewTask(number, some[number]) for number in order]
    chosen = how(seed=3, batch=batch, concurrency=concurrency, vision_batches=eyes)
    found = outcomes(given_, HashedEye(), ScriptedQuestioner(), chosen)
    plain = outcomes(tasks(some), HashedEye(), ScriptedQuestioner(), how(seed=3, batch=1, concurrency=1))
    assert {tag: said(one.caption) for tag, one in found.items()} == {
        tag: said(one.caption) for tag, one in plain.items()
    }


def test_each_picture_is_looked_at_once_and_batches_are_kept_to_their_size(some: list[Picture]) -> None:
    eye = HashedEye()
    outcomes(tasks(some), eye, ScriptedQuestioner(), how())
    assert sum(eye.looked) == COUNT and max(eye.looked) <= 4 and max(eye.asked) <= 4


@pytest.mark.parametrize(("asked_for", "with_it"), [(None, 2), (1, 1), (3, 3)])
def test_an_eye_has_as_many_batches_as_it_does_best_with(
    some: list[Picture], asked_for: int | None, with_it: int
) -> None:
    class Two(HashedEye):
        concurrent_batches = 2

        def __init__(self) -> None:
            super().__init__()
            self.told: list[int] = []

        @contextmanager
        def batch_worker(self, workers: int) -> Iterator[None]:
            self.told.append(workers)
            yield

    eye = Two()
    found = outcomes(tasks(some), eye, ScriptedQuestioner(), how(vision_batches=asked_for))
    assert len(found) == COUNT and all(one.error is None for one in found.values())
    assert eye.told == [with_it] * with_it


def listened_to(eye: HashedEye, batch: int) -> tuple[VisionQueue, list[Any]]:
    """A worker, and who has been told something by it so far, in order."""
    heard: list[Any] = []
    return VisionQueue(eye, lambda who, seen: heard.append(who), batch=batch), heard


def wait_for(heard: list[Any], count: int) -> None:
    end = time.monotonic() + 60
    while len(heard) < count and time.monotonic() < end:
        time.sleep(0.01)
    assert len(heard) == count


def test_whatever_waits_while_the_eye_is_busy_becomes_full_batches() -> None:
    eye = HashedEye()
    eye.gate = threading.Event()
    worker, heard = listened_to(eye, 16)
    image = EncodedImage("ab", "1", None)
    for number in range(40):
        worker.ask(number, VisualQuestion(image, f"What is thing {number}?"), "asked")
    worker.ask("opening", VisualQuestion(image, "Describe."), "opening")
    eye.gate.set()
    wait_for(heard, 41)
    worker.close()
    first = eye.asked[0]  # what was there when the eye came for the first time
    assert eye.asked[1] == 16 or first == 16
    assert len(eye.asked) <= 5 and sum(eye.asked) == 41
    assert set(heard) == {*range(40), "opening"}


def test_of_full_batches_the_one_furthest_on_comes_first() -> None:
    busy = threading.Event()

    class Gate(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            busy.set()
            return super().wait(timeout)

    eye = HashedEye()
    eye.gate = Gate()
    worker, heard = listened_to(eye, 16)
    image = EncodedImage("ab", "1", None)
    worker.ask("first", VisualQuestion(image, "What is it?"), "plain")
    assert busy.wait(60)
    rows: list[tuple[Row, int]] = [("plain", 40), ("opening", 20), ("asked", 17)]
    for row, count in rows:
        for number in range(count):
            worker.ask(row, VisualQuestion(image, f"What is thing {number}?"), row)
    eye.gate.set()
    wait_for(heard, 78)
    worker.close()
    assert heard[0] == "first" and sum(eye.asked) == 78
    assert [set(heard[start : start + 16]) for start in (1, 17, 33, 49)] == [
        {"asked"},
        {"opening"},
        {"plain"},
        {"plain"},
    ]
    assert heard[65:] == ["plain"] * 8 + ["opening"] * 4 + ["asked"], "none is full: the longest"


def test_calls_of_the_questioner_overlap(some: list[Picture]) -> None:
    together = threading.Barrier(4, timeout=60)

    def question(messages: Any, kwargs: Any) -> str:
        together.wait()  # passes only when four calls are under way
        return "What is it?"

    options = InterviewOptions(rounds=2)
    questioner = ListQuestioner(questions=[question], summary="A thing.")
    found = outcomes(tasks(some), HashedEye(), questioner, PipelineConfig(options, PROMPTS, batch=4, concurrency=4))
    assert len(found) == COUNT and not any(one.error for one in found.values())


def test_no_more_interviews_are_open_than_there_is_room_for(some: list[Picture]) -> None:
    taken: list[int] = []
    chosen = how(batch=1, concurrency=1)
    finished = 0
    for _ in interview_many(counted(tasks(some), taken), HashedEye(), ScriptedQuestioner(), chosen):
        assert len(taken) - finished <= chosen.in_flight + 1
        finished += 1
    assert finished == COUNT > chosen.in_flight


def test_large_pictures_wait_for_room_in_memory(some: list[Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    size = some[0].width * some[0].height
    monkeypatch.setattr(pipeline, "PIXELS", size)
    monkeypatch.setattr(seeing, "PIXELS", size)
    held: list[int] = []
    take = Budget.take

    def watched(self: Any, size: int) -> bool:
        free = take(self, size)
        held.append(self._taken)
        return free

    monkeypatch.setattr(Budget, "take", watched)
    eye = HashedEye()
    assert len(outcomes(tasks(some), eye, ScriptedQuestioner(), how(batch=8))) == COUNT
    assert set(eye.looked) == {1} and max(held) <= 2 * size


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["look", None, "What colour"])
def test_a_picture_that_spoils_its_batch_fails_alone(some: list[Picture], where: str | None) -> None:
    bad = some[5].sha256
    eye = HashedEye()

    def spoil(sha256: str, question: str | None) -> BaseException | None:
        hit = sha256 == bad and (question == where or (where and question and question.startswith(where)))
        return ValueError("a tensor of a strange shape\nand more") if hit else None

    eye.spoil = spoil
    questioner = ListQuestioner(questions=["What colour is it?", "Where is it?"])
    found = outcomes(tasks(some), eye, questioner, how())
    assert [number for number, one in found.items() if one.error] == [5]
    assert isinstance(found[5].error, BackendError)
    assert "hashed failed: ValueError: a tensor of a strange shape" in str(found[5].error)
    assert found[5].caption.status == "failed"
    assert len(found[5].caption.dialogue.turns) == (1 if where == "What colour" else 0), "what was learned is kept"


def test_answers_that_a_server_gave_are_not_asked_for_again(some: list[Picture]) -> None:
    class PartlyError(BackendError):
        answers: list[str | None]

    class Server(HashedEye):
        def answer(self, questions: Any) -> list[str]:
            self.asked.append(len(questions))
            answers: list[str | None] = [self.say(one) for one in questions]
            if len(questions) > 1:
                answers[0] = None
                error = PartlyError("one of them was not answered")
                error.answers = answers
                raise error
            return [str(answers[0])]

    server = Server()
    found = outcomes(tasks(some), server, ScriptedQuestioner(), how(seed=3))
    plain = outcomes(tasks(some), HashedEye(), ScriptedQuestioner(), how(seed=3))
    assert {tag: said(one.caption) for tag, one in found.items()} == {
        tag: said(one.caption) for tag, one in plain.items()
    }
    answered = sum(len(one.caption.dialogue.turns) + 1 for one in found.values())
    assert sum(size - (size > 1) for size in server.asked) == answered, "each question is answered once"


def test_less_at_a_time_where_memory_runs_out(some: list[Picture]) -> None:
    class Small(HashedEye):
        def encode(self, pictures: Any) -> list[EncodedImage]:
            if len(pictures) > 2:
                raise RuntimeError("CUDA out of memory. Tried to allocate much")
            return super().encode(pictures)

    eye, heard = Small(), []
    worker = VisionQueue(eye, lambda who, seen: heard.append((who, seen.error)), batch=8, workers=0)
    for number, picture in enumerate(some):
        worker.encode(number, picture)
    while len(heard) < COUNT:
        worker._serve(*worker._take() or ("encode", []))
    assert heard == [(number, None) for number in range(COUNT)] and eye.looked == [2] * 6
    assert worker.batch == 2, "and it does not try more again"


def test_a_questioner_that_fails_once_spoils_one_picture(some: list[Picture]) -> None:
    calls = threading.Lock()
    state = {"left": 1}

    def question(messages: Any, kwargs: Any) -> str:
        with calls:
            state["left"] -= 1
            if state["left"] == 0:
                raise QuestionerError("the questioner withheld its reply.")
        return "What is it?"

    found = outcomes(tasks(some), HashedEye(), ListQuestioner(questions=[question]), how())
    [bad] = [one for one in found.values() if one.error]
    assert isinstance(bad.error, QuestionerError) and len(bad.caption.dialogue.turns) == 1
    again = [InterviewTask("again", some[bad.tag], bad.caption)]
    eye = HashedEye()
    resumed = outcomes(again, eye, ListQuestioner(questions=["What is it?"]), how())["again"]
    whole = caption_picture(some[bad.tag], HashedEye(), ListQuestioner(questions=["What is it?"]), ROUNDS)
    assert said(resumed.caption) == said(whole) and resumed.caption.summary == whole.summary
    assert sum(eye.asked) == len(whole.dialogue.turns) - 1, "what was answered before is not asked again"


def test_an_empty_summary_is_a_failure(some: list[Picture]) -> None:
    found = outcomes(tasks(some[:1]), HashedEye(), ListQuestioner(questions=["What is it?"], summary="  "), how())
    assert isinstance(found[0].error, QuestionerError) and found[0].caption.status == "failed"


class _KeyError(Exception):
    status_code = 401


def test_an_error_that_would_befall_all_ends_the_work_at_once(some: list[Picture]) -> None:
    def question(messages: Any, kwargs: Any) -> str:
        raise QuestionerError("the key is not accepted") from _KeyError()

    with pytest.raises(QuestionerError, match="key is not accepted"):
        outcomes(tasks(some), HashedEye(), ListQuestioner(questions=[question]), how())


def test_one_failure_after_the_other_ends_the_work(some: list[Picture]) -> None:
    eye = HashedEye()
    eye.spoil = lambda sha256, question: RuntimeError("the process has died")
    with pytest.raises(TooManyFailedError, match=r"3 pictures in a row failed, the last with: .*has died") as wrong:
        outcomes(tasks(some), eye, ScriptedQuestioner(), how(in_a_row=3))
    assert wrong.value.exit_code == BackendError.exit_code


def test_ctrl_c_in_a_model_ends_the_work(some: list[Picture]) -> None:
    with pytest.raises(KeyboardInterrupt):
        outcomes(tasks(some), HashedEye(), ListQuestioner(questions=[KeyboardInterrupt()]), how())


def test_a_source_that_breaks_is_heard_of(some: list[Picture]) -> None:
    def broken() -> Iterator[InterviewTask]:
        yield from tasks(some[:2])
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        outcomes(broken(), HashedEye(), ScriptedQuestioner(), how())


# --- ending early -------------------------------------------------------------------------------------------------


def test_stop_finishes_what_is_under_way_and_begins_nothing(some: list[Picture]) -> None:
    stop = threading.Event()
    taken: list[int] = []
    chosen = how(batch=1, concurrency=1)
    found = []
    for one in interview_many(counted(tasks(some), taken), HashedEye(), ScriptedQuestioner(), chosen, stop=stop):
        stop.set()
        found.append(one)
    assert len(found) == len(taken) < COUNT
    assert all(isinstance(one, Outcome) and one.caption.status == "complete" for one in found)


def test_closing_it_ends_its_threads(some: list[Picture]) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    work = interview_many(tasks(some), HashedEye(), ScriptedQuestioner(), how())
    next(work)
    work.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread.ident not in before:
            thread.join(30)
            assert not thread.is_alive(), thread.name


def test_what_needs_no_interview_comes_back_in_its_turn(some: list[Picture]) -> None:
    mixed = [Ready("first"), *tasks(some[:2]), Ready("last")]
    found = list(interview_many(mixed, HashedEye(), ScriptedQuestioner(), how()))
    assert {one.tag for one in found} == {"first", "last", 0, 1} and found[0].tag == "first"


# --- counting and pacing ------------------------------------------------------------------------------------------


def test_calls_and_tokens_are_counted_those_that_failed_too(some: list[Picture]) -> None:
    meter = Meter()
    questioner = metered(ScriptedQuestioner(), meter)
    found = outcomes(tasks(some), HashedEye(), questioner, how())
    asked = sum(turn.asked_by == "questioner" for one in found.values() for turn in one.caption.dialogue.turns)
    counts = meter.counts
    assert counts.calls >= asked + COUNT and counts.failed == counts.guessed == 0
    assert counts.input_tokens > counts.output_tokens > 0
    assert counts.cost(None, None) is None
    assert counts.cost(2.0, 4.0) == pytest.approx((2 * counts.input_tokens + 4 * counts.output_tokens) / 1e6)

    meter = Meter()
    broken = metered(ListQuestioner(questions=[QuestionerError("no")]), meter)
    outcomes(tasks(some[:3]), HashedEye(), broken, how())
    assert (meter.counts.calls, meter.counts.failed) == (3, 3)

    meter = Meter()
    uncounted = metered(ListQuestioner(questions=["What is it?"]), meter)
    outcomes(tasks(some[:1]), HashedEye(), uncounted, how())
    assert meter.counts.guessed == meter.counts.calls > 0 and meter.counts.input_tokens > 0


class CountedPace(Pace):
    """Lets everybody through, and counts them."""

    turns = 0

    def wait(self, stop: threading.Event | None = None) -> None:
        with self._lock:
            self.turns += 1


def test_one_pace_holds_for_all_callers_together(some: list[Picture]) -> None:
    meter, pace = Meter(), CountedPace()
    questioner = metered(ListQuestioner(questions=["What is it?"]), meter, pace=pace)
    outcomes(tasks(some), HashedEye(), questioner, how(concurrency=8))
    assert pace.turns == meter.counts.calls > 2 * COUNT
