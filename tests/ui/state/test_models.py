"""Models shared by all visitors: batches, queue, loading and unloading."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest

from core.entries import Entry
from core.errors import BackendError, InquisightError, UsageError
from core.registry import get_registry
from core.vision import EncodedImage, GenerationOptions, VisionBackend, VisualQuestion
from tests.agents.fakes import CountingVision, picture
from tests.fakes import FakeVision
from tests.ui.gates import until
from ui.state.jobs import Job, Jobs, job_status
from ui.state.models import Models, RequestQueue
from ui.state.options import get_options

LONG = 20.0  # seconds a test waits for what takes none


class Gate(FakeVision):
    """A vision model that answers when the test lets it, and notes what it was asked together."""

    label: ClassVar[str] = "gate"

    streams: ClassVar[bool] = True
    scores: ClassVar[bool] = True

    def __init__(self) -> None:
        self.open = threading.Event()
        self.asked = threading.Event()
        self.batches: list[list[str]] = []
        self.closed = 0

    def answer(self, questions: Sequence[VisualQuestion]) -> list[str]:
        self.batches.append([str(one.question) for one in questions])
        self.asked.set()
        assert self.open.wait(LONG)
        if any(one.question == "bad" for one in questions):
            raise BackendError("a bad question")
        return [f"{one.image.sha256[:6]} {one.question}" for one in questions]

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        return [
            tuple(-float(len(f"{question.question}{choice}")) for choice in each)
            for question, each in zip(questions, choices, strict=True)
        ]

    def stream(self, question: VisualQuestion) -> Iterator[str]:
        yield from self.answer([question])[0].split()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> dict[str, Gate]:
    """Eyes `gate:NAME`, by name; each loading makes a new one."""
    made: dict[str, Gate] = {}

    def make(name: str | None = None) -> Gate:
        made[name or ""] = Gate()
        return made[name or ""]

    entry = Entry("vision backend", "gate", make, "", {}, "test", "test")
    monkeypatch.setitem(get_registry().vision_backends, "gate", entry)
    return made


def question(words: str, colour: str = "orange") -> VisualQuestion:
    return VisualQuestion(EncodedImage(picture(colour).sha256, "1", None), words, options=GenerationOptions(9))


def ask_in_thread(room: Models, words: str, jobs: Jobs) -> tuple[Job, list[str]]:
    said: list[str] = []

    def work(job: Job) -> None:
        said.extend(room.vision("gate").answer([question(words)]))

    return jobs.start(words, work), said


def test_those_who_wait_are_answered_together_and_each_gets_the_own_answer(gates: dict[str, Gate]) -> None:
    room, jobs = Models(2), [Jobs() for _ in range(6)]
    room.vision("gate")
    first = ask_in_thread(room, "question 0", jobs[0])
    assert gates[""].asked.wait(LONG)
    others = [ask_in_thread(room, f"question {number}", jobs[number]) for number in range(1, 6)]
    line = room.vision("gate").queue
    until(lambda: line.length == 6)
    until(lambda: sorted(job.place for job, _ in others) == [1, 2, 3, 4, 5])
    assert "ahead of yours" in job_status(max((job for job, _ in others), key=lambda job: job.place))
    gates[""].open.set()
    for number, (job, said) in enumerate([first, *others]):
        assert job.wait(LONG) and job.state == "done"
        assert said == [f"{picture().sha256[:6]} question {number}"]
    assert [len(batch) for batch in gates[""].batches] == [1, 5]


def test_one_bad_question_is_no_fault_of_its_neighbours(gates: dict[str, Gate]) -> None:
    room, jobs = Models(2), Jobs()
    room.vision("gate")
    ask_in_thread(room, "first", jobs)
    assert gates[""].asked.wait(LONG)
    asked = [ask_in_thread(room, words, jobs) for words in ("good", "bad", "fine")]
    until(lambda: room.vision("gate").queue.length == 4)
    gates[""].open.set()
    assert all(job.wait(LONG) for job, _ in asked)
    assert [job.state for job, _ in asked] == ["done", "failed", "done"]
    assert asked[1][0].error == "A bad question."


def test_the_scores_are_those_of_the_model(gates: dict[str, Gate]) -> None:
    vision = Models(2).vision("gate").load()
    assert vision.scores
    assert vision.score([question("a"), question("bc")], [("yes", "no"), ("no",)]) == [(-4.0, -3.0), (-4.0,)]
    assert vision.score([], []) == []
    with pytest.raises(UsageError):
        vision.score([question("a")], [])


def test_who_waits_can_stop_without_waiting(gates: dict[str, Gate]) -> None:
    room, jobs = Models(2), Jobs()
    room.vision("gate")
    ask_in_thread(room, "first", jobs)
    assert gates[""].asked.wait(LONG)
    job, said = ask_in_thread(room, "second", jobs)
    until(lambda: job.place == 1)
    job.stop()
    assert job.wait(LONG) and job.state == "stopped" and said == []
    gates[""].open.set()
    until(lambda: room.vision("gate").queue.length == 0)
    assert gates[""].batches == [["first"]]


def test_a_stream_has_the_model_to_itself(gates: dict[str, Gate]) -> None:
    room = Models(2)
    eye = room.vision("gate")
    gates[""].open.set()
    pieces = eye.stream(question("a b"))
    assert next(pieces) and eye.queue.length == 1
    pieces.close()
    assert eye.queue.length == 0
    assert "".join(eye.stream(question("a b"))).endswith("ab")


def test_a_model_is_loaded_once_and_the_oldest_idle_one_makes_room(gates: dict[str, Gate]) -> None:
    room = Models(2)
    eyes = [room.vision("gate:a"), room.vision("gate:b")]
    first = gates["a"]
    assert room.vision("gate:a") is eyes[0] and gates["a"] is first
    room.vision("gate:c")
    assert first.closed == 1 and set(room.loaded()) == {"gate:b", "gate:c"}
    gates_open = [gate.open.set() for gate in gates.values()]
    assert len(gates_open) == 3
    eyes[0].encode([picture()])
    assert "gate:a" in room.loaded() and gates["a"] is not first, "it comes back when it is used"


def test_abilities_are_those_of_the_eye_itself(gates: dict[str, Gate]) -> None:
    eye = Models(2).vision("gate")
    assert eye.streams is True and eye.follows_instructions is False and eye.name == "gate" and eye.revision == "1"
    assert VisionBackend.streams is False, "the class is not changed for everybody"


def test_a_name_that_means_nothing_is_told_and_not_kept() -> None:
    room = Models(2)
    with pytest.raises(InquisightError, match="no vision backend"):
        room.vision("nobody")
    with pytest.raises(InquisightError, match="no vision backend"):
        room.vision("nobody")


def test_the_owners_list_is_all_there_is(gates: dict[str, Gate], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_UI_VISION", "gate:a")
    monkeypatch.setenv("INQUISIGHT_UI_QUESTIONER", "scripted")
    get_options.cache_clear()
    room = Models(2)
    assert room.vision("gate:a").name == "gate"
    with pytest.raises(UsageError, match="not offered"):
        room.vision("gate:b")
    with pytest.raises(UsageError, match="not offered"):
        room.questioner("openai:gpt-4o-mini")
    assert room.questioner("scripted") is room.questioner("scripted")


def test_a_picture_is_looked_at_once_for_everybody(eye: CountingVision) -> None:
    shared = Models(2).vision("counting")
    shared.encode([picture(), picture("blue")])
    shared.encode([picture("blue"), picture()])
    assert eye.encoded == 2
    assert [one.sha256 for one in shared.encode([picture("blue"), picture()])] == [
        picture("blue").sha256,
        picture().sha256,
    ]


def test_a_wrong_number_of_answers_is_noticed() -> None:
    line = RequestQueue()
    with pytest.raises(RuntimeError, match="1 results for 2"):
        line.serve("answer", ["a", "b"], lambda batch: ["only one"])
    assert line.serve("answer", ["a"], lambda batch: ["one"]) == ["one"]
