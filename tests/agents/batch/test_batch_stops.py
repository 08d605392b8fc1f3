"""After an error that ends a batch, or an interrupt, no further paid call begins: counted at a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_openai")

from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, TooManyFailedError, interview_many
from agents.batch.vision_queue import VisionQueue
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.llm.calls import Callers, metered
from agents.llm.questioners import load_questioner
from agents.llm.usage import Meter
from core.errors import BackendError, InquisightError, QuestionerError
from core.images.picture import Picture
from core.settings import Settings
from core.stopping import CalledOff, Halt
from core.testing import make_picture
from core.vision import VisualQuestion
from plugins.openai_vision.backend import OpenAIBackend
from plugins.scripted import ScriptedQuestioner
from tests.agents.batch.making import HashedEye, make_pictures, pictures
from tests.servers.gate import Gate, Request, known_by_the_client, threads_end

COUNT = 40
AT_ONCE = 2


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    return pictures(make_pictures(tmp_path_factory.mktemp("pictures"), COUNT))


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)


def asks(gate: Gate, retries: int = 0) -> Any:
    return load_questioner("openai:any", Settings(base_url=gate.address, api_key="sk-1234567", max_retries=retries))


def sees(gate: Gate, workers: int = AT_ONCE, retries: int = 0) -> OpenAIBackend:
    settings = Settings(vision_base_url=gate.address, vision_api_key="sk-1234567", max_retries=retries)
    return OpenAIBackend(f"any?workers={workers}", settings=settings)


def batch(some: list[Picture], eye: Any, questioner: Any, *, rounds: int = 1, **more: Any) -> Iterator[Any]:
    """A batch with as many calls of the questioner waiting as there are pictures; one round: the summary alone."""
    how = PipelineConfig(InterviewOptions(rounds=rounds), Prompts.load(), **{"batch": 8, "concurrency": AT_ONCE} | more)
    return interview_many((InterviewTask(n, one) for n, one in enumerate(some)), eye, questioner, how)


def summarise(request: Request) -> None:
    """Say what the note of the opening question says."""
    request.say(str(request.body["messages"][-1]["content"]).partition("in detail. ")[2].splitlines()[0])


def ended(found: Iterator[Any]) -> tuple[list[Outcome], InquisightError]:
    """What came before the error, and the error."""
    outcomes: list[Outcome] = []
    with pytest.raises(InquisightError) as raised:
        outcomes.extend(found)
    threads_end("questioner-", "eye-", "remote-")
    return outcomes, raised.value


@pytest.mark.parametrize(("status", "code", "said"), [(401, None, "key"), (429, "insufficient_quota", "quota")])
def test_after_a_fatal_error_no_call_of_the_questioner_begins(
    some: list[Picture], status: int, code: str | None, said: str
) -> None:
    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        request.fail(status, code)

    with Gate(answer) as gate:
        outcomes, error = ended(batch(some, HashedEye(), asks(gate, retries=3)))
        assert said in str(error) and isinstance(error, QuestionerError) and not outcomes
        assert gate.count == AT_ONCE


def test_what_calls_under_way_complete_is_kept(some: list[Picture], monkeypatch: pytest.MonkeyPatch) -> None:
    """One call is refused; the other one, under way at that time, brings a summary a moment later."""
    known = known_by_the_client(monkeypatch)

    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        if request.number == 1:
            request.fail(401)
        else:
            assert known.wait(120)
            summarise(request)

    with Gate(answer) as gate:
        outcomes, error = ended(batch(some, HashedEye(), asks(gate)))
        assert [one.caption.summary for one in outcomes] == [one.caption.opening for one in outcomes] and outcomes
        assert all(one.error is None and one.caption.status == "complete" for one in outcomes)
        assert "key" in str(error) and gate.count == AT_ONCE


def test_a_call_that_waits_for_its_next_try_does_not_try_again(some: list[Picture]) -> None:
    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        if request.number == 1:
            request.fail(503, retry_after="50")
        else:
            request.wait_until_answered(1)
            request.fail(401)

    with Gate(answer) as gate:
        _, error = ended(batch(some, HashedEye(), asks(gate, retries=3)))
        assert "key" in str(error) and gate.count == AT_ONCE


def test_a_call_that_waits_for_its_turn_does_not_begin(some: list[Picture]) -> None:
    with Gate(lambda request: request.fail(401)) as gate:
        questioner = metered(asks(gate), Meter(), rate=0.02)  # the second call's turn comes after 50 s
        _, error = ended(batch(some, HashedEye(), questioner))
        assert "key" in str(error) and gate.count == 1


def test_interrupted_nothing_that_waits_begins(some: list[Picture]) -> None:
    """What a second Ctrl-C does: the batch is left while calls are under way."""

    def answer(request: Request) -> None:
        request.hold()
        summarise(request)

    with Gate(answer) as gate:
        found = batch(some, HashedEye(), asks(gate))
        waits = threading.Thread(target=lambda: next(found, None), daemon=True)
        waits.start()
        with gate.changed:
            assert gate.changed.wait_for(lambda: gate.count == AT_ONCE, 120)
        gate.release()  # one outcome at least comes, then the batch is left
        waits.join(120)
        found.close()  # type: ignore[attr-defined]
        under_way = gate.count
        threads_end("questioner-", "eye-", "remote-")
        assert gate.count <= under_way + AT_ONCE < COUNT


def test_closed_callers_begin_nothing_that_waits() -> None:
    begun: list[int] = []
    told: list[tuple[int, Any]] = []
    first, go = threading.Event(), threading.Event()

    def call(number: int) -> str:
        begun.append(number)
        first.set()
        assert go.wait(120)
        return "said"

    callers = Callers(lambda who, said, seconds: told.append((who, said)), 1)
    for number in range(COUNT):
        callers.put(number, lambda number=number: call(number))  # type: ignore[misc]
    assert first.wait(120)
    callers.close()
    go.set()
    threads_end("questioner-")
    assert begun == [0] and told[0] == (0, "said")
    assert all(isinstance(said, CalledOff) for _, said in told[1:])


@pytest.mark.parametrize("status", [401, 404])
def test_after_a_fatal_error_of_the_vision_model_no_request_begins_on_either_side(
    some: list[Picture], status: int
) -> None:
    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        request.fail(status)

    with Gate(answer) as gate, Gate(lambda request: request.say("What is it?")) as other:
        _, error = ended(batch(some, sees(gate), asks(other), rounds=3))
        assert isinstance(error, BackendError)
        assert gate.count == AT_ONCE and other.count == 0


def test_a_batch_under_way_on_the_vision_server_is_not_gone_on_with() -> None:
    """Eight questions are one batch, two at a time: when all work ends, the other six are not sent."""

    def answer(request: Request) -> None:
        request.hold()
        request.say("It is a red thing.")

    with Gate(answer) as gate:
        vision, halt, told = sees(gate), Halt(), []
        [image] = vision.encode([make_picture()])
        gathered = [VisualQuestion(image, f"What is thing {number}?") for number in range(8)]
        eye = VisionQueue(vision, lambda who, seen: told.append((who, seen)), batch=8, halt=halt)
        with eye._changed:  # so that all eight are in one batch
            for number, question in enumerate(gathered):
                eye.ask(number, question, "asked")
        with gate.changed:
            assert gate.changed.wait_for(lambda: gate.count == AT_ONCE, 120)
        halt.set(QuestionerError("the key is refused."))
        gate.release()
        eye.close(120)
        threads_end("eye-", "remote-")
        assert gate.count == AT_ONCE and len(told) == 8


def test_answers_that_came_with_a_fatal_error_are_told_and_nothing_is_asked_again() -> None:
    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        if request.number == 1:
            request.say("It is a red thing.")
        else:
            request.wait_until_answered(1)
            request.fail(401)

    with Gate(answer) as gate:
        vision, told = sees(gate), {}
        [image] = vision.encode([make_picture()])
        eye = VisionQueue(vision, told.__setitem__, batch=2)
        with eye._changed:
            for number in range(2):
                eye.ask(number, VisualQuestion(image, f"What is thing {number}?"), "asked")
        while len(told) < 2:
            threading.Event().wait(0.01)
        eye.close(120)
        assert gate.count == AT_ONCE
        assert sorted(seen.result.text if seen.result else type(seen.error).__name__ for seen in told.values()) == [
            "It is a red thing.",
            "SomeFailedError",
        ]


def test_too_many_failures_in_a_row_end_it_without_another_call(some: list[Picture]) -> None:
    def answer(request: Request) -> None:
        request.fail(400)

    with Gate(answer) as gate:
        _, error = ended(batch(some, HashedEye(), asks(gate), in_a_row=5))
        assert isinstance(error, TooManyFailedError)
        assert gate.count <= 5 + AT_ONCE + 1


def test_a_halt_from_outside_ends_the_work(some: list[Picture]) -> None:
    """As another machine of a cluster sets it: its error is the one that is raised."""
    halt = Halt()

    class Halting(ScriptedQuestioner):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            halt.set(QuestionerError("the key was refused elsewhere."))
            return super()._generate(*args, **kwargs)

    how = PipelineConfig(InterviewOptions(rounds=2), Prompts.load(), batch=8, concurrency=1)
    found = interview_many(
        (InterviewTask(n, one) for n, one in enumerate(some)), HashedEye(), Halting(), how, halt=halt
    )
    with pytest.raises(QuestionerError, match="refused elsewhere"):
        list(found)


def test_a_command_that_met_a_bad_key_keeps_what_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agents.cli.main import run
    from core.settings import get_settings

    make_pictures(tmp_path / "photos", COUNT)
    known = known_by_the_client(monkeypatch)

    def answer(request: Request) -> None:
        request.wait_for(AT_ONCE)
        if request.number == 2:
            assert known.wait(120)
            summarise(request)
        else:
            request.fail(401)

    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    with Gate(answer) as gate:
        monkeypatch.setenv("INQUISIGHT_BASE_URL", gate.address)
        monkeypatch.setenv("INQUISIGHT_API_KEY", "sk-1234567")
        get_settings.cache_clear()
        try:
            words = ["batch", str(tmp_path / "photos"), "--out", str(tmp_path / "out.jsonl"), "--rounds", "1"]
            code = run([*words, "--questioner", "openai:any", "--concurrency", str(AT_ONCE)])
        finally:
            get_settings.cache_clear()
        threads_end("questioner-", "eye-", "remote-")
        assert code != 0 and gate.count == AT_ONCE
        assert "1 caption is kept, the same command goes on" in capsys.readouterr().err
        assert len((tmp_path / "out.jsonl").read_text("utf-8").splitlines()) == 1


class Remote:
    """Stands for an actor of Ray, which is not here: its methods are called by `.remote`, in this process."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.actor, name)
        return type("Method", (), {"remote": staticmethod(method)})


def test_an_error_that_ends_the_work_of_one_worker_ends_that_of_all(some: list[Picture]) -> None:
    from agents.batch.ray.worker import Coordinator, _SharedHalt

    desk = Remote(Coordinator(None))
    one, other = (_SharedHalt(desk, lambda value: value) for _ in range(2))
    waiting = Halt(other)
    assert not waiting.is_set()
    refused = QuestionerError("the key is not accepted.")
    refused.exit_code = 5
    one.set(refused)
    one.set(BackendError("a later one"))
    assert waiting.is_set() and one.reason is refused
    assert isinstance(other.reason, InquisightError)
    assert (str(other.reason), other.reason.exit_code) == ("the key is not accepted.", 5)

    calls: list[int] = []

    class Counting(ScriptedQuestioner):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return super()._generate(*args, **kwargs)

    how = PipelineConfig(InterviewOptions(rounds=2), Prompts.load(), batch=8, concurrency=2)
    found = interview_many(
        (InterviewTask(n, one) for n, one in enumerate(some)), HashedEye(), Counting(), how, halt=other
    )
    with pytest.raises(InquisightError, match="not accepted"):
        list(found)
    assert not calls
