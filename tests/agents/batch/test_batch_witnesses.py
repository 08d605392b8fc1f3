"""Witnesses in a batch: pictures are examined several at a time, findings are kept, failures are counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, interview_many
from agents.batch.witness_queue import MOST, WitnessQueue
from agents.interview.driver import caption_picture
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.witnesses.examination import NO_PIXELS, Examined
from core.errors import UsageError
from core.findings import Findings
from core.images.picture import Picture
from core.settings import get_settings
from core.stopping import CalledOff, Halt
from core.testing import FakeWitness, make_line, make_picture, make_thing
from plugins.scripted import ScriptedQuestioner
from tests.agents.batch.making import HashedEye, batch, lines, make_pictures, pictures, register
from tests.fakes import register_witness

OUT = Path("captions.jsonl")
OPTIONS = InterviewOptions(rounds=3, witnesses=("fake",))


def outcomes(tasks: Sequence[InterviewTask], fake: FakeWitness, vision: HashedEye | None = None) -> list[Outcome]:
    config = PipelineConfig(OPTIONS, Prompts.load(), seed=1, batch=4, concurrency=2, find_witness=lambda name: fake)
    found = interview_many(tasks, vision or HashedEye(), ScriptedQuestioner(), config)
    return sorted((one for one in found if isinstance(one, Outcome)), key=lambda one: str(one.tag))


def test_each_caption_is_that_of_one_picture_alone(tmp_path: Path) -> None:
    some = pictures(make_pictures(tmp_path, 10))
    fake = FakeWitness(things=[make_thing("dog")], lines=[make_line("EXIT")])
    found = outcomes([InterviewTask(number, one) for number, one in enumerate(some)], fake)
    assert sorted(sha256 for call in fake.examined for sha256 in call) == sorted(one.sha256 for one in some)
    for outcome in found:
        alone = caption_picture(
            some[outcome.tag], HashedEye(), ScriptedQuestioner(), OPTIONS, seed=1, find_witness=lambda name: fake
        )
        mine = outcome.caption
        assert mine.findings == alone.findings and mine.summary == alone.summary and mine.options == alone.options
        assert [(one.question, one.answer, one.answered_by) for one in mine.dialogue.turns] == [
            (one.question, one.answer, one.answered_by) for one in alone.dialogue.turns
        ]
        assert "witnesses" in mine.seconds


def test_a_resumed_interview_and_an_encoded_image_are_not_examined(tmp_path: Path) -> None:
    [one, other] = pictures(make_pictures(tmp_path, 2))
    fake, vision = FakeWitness(things=[make_thing("dog")]), HashedEye()
    [whole] = outcomes([InterviewTask("a", one)], fake)
    begun = whole.caption.model_copy(update={"status": "failed", "summary": ""})
    tasks = [InterviewTask("again", one, begun), InterviewTask("encoded", vision.encode([other])[0])]
    again, encoded = outcomes(tasks, fake, vision)
    assert again.caption.findings == whole.caption.findings and again.caption.summary == whole.caption.summary
    assert encoded.caption.problems == (NO_PIXELS,) and encoded.caption.status == "complete"
    assert len(fake.examined) == 1


def test_the_queue_examines_several_pictures_at_once_until_it_is_halted() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Semaphore(0)
    received: list[tuple[str, Examined | CalledOff]] = []

    class Slow(FakeWitness):
        def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
            begun.set()
            assert go_on.wait(20)
            return super().examine(pictures)

    def receive(sender: str, result: Examined | CalledOff) -> None:
        received.append((sender, result))
        done.release()

    fake, halt = Slow(), Halt()
    waiting = WitnessQueue(["fake"], receive, lambda name: fake, halt)
    waiting.put("first", make_picture())
    assert begun.wait(20)
    for number in range(MOST + 2):
        waiting.put(str(number), make_picture())
    go_on.set()
    for _ in range(MOST + 3):
        assert done.acquire(timeout=20)
    assert [len(call) for call in fake.examined] == [1, MOST, 2]
    halt.set()
    waiting.put("late", make_picture())
    assert done.acquire(timeout=20)
    waiting.close()
    assert isinstance(received[-1][1], CalledOff) and received[0][0] == "first"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, with pictures and the vision model `hashed`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("INQUISIGHT_WITNESS")
    get_settings.cache_clear()
    make_pictures(tmp_path / "photos", 4)
    register(monkeypatch, HashedEye())
    yield tmp_path
    get_settings.cache_clear()


def test_findings_are_written_and_the_choice_belongs_to_the_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register_witness(monkeypatch, FakeWitness(things=[make_thing("dog")], lines=[make_line("EXIT")]))
    assert batch("photos", out=OUT, more=(Path("captions.parquet"),)) == 0
    assert capsys.readouterr().err.count("inquisight: witnesses: fake\n") == 1
    [first, *_] = found = lines(OUT)
    assert len(found) == 4 and all(line["problems"] == [] for line in found)
    assert first["findings"][0]["things"][0]["name"] == "dog" and first["findings"][0]["lines"][0]["text"] == "EXIT"
    assert [turn["answered_by"] for turn in first["dialogue"]][:4] == ["", "fake", "fake", ""]
    import pyarrow.parquet

    [row, *_] = pyarrow.parquet.read_table("captions.parquet").to_pylist()
    assert row["findings"][0]["things"][0]["box"]["right"] == 10 and row["dialogue"][1]["answered_by"] == "fake"
    with pytest.raises(UsageError, match="was begun with witnesses fake, not with"):
        batch("photos", out=OUT, witness="none")
    assert batch("photos", out=Path("other.jsonl"), witness="none") == 0
    with pytest.raises(UsageError, match="not with witnesses fake"):
        batch("photos", out=Path("other.jsonl"))


def test_a_witness_that_fails_is_said_once_and_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register_witness(monkeypatch, FakeWitness(fails=True))
    assert batch("photos", out=OUT, json=True) == 0
    printed = capsys.readouterr()
    assert printed.err.count("the witness 'fake' failed: out of order; captioned without it") == 1
    facts = json.loads(printed.out)
    assert facts["captioned"] == 4 and facts["this_run"]["unexamined"] == 4
    assert {tuple(line["problems"]) for line in lines(OUT)} == {("the witness 'fake' failed: out of order",)}


def test_an_estimate_names_the_witnesses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register_witness(monkeypatch, FakeWitness())
    assert batch("photos", out=OUT, dry_run=True, json=True) == 0
    with_witness = json.loads(capsys.readouterr().out)
    assert batch("photos", out=OUT, dry_run=True, json=True, witness="none") == 0
    without = json.loads(capsys.readouterr().out)
    assert (with_witness["witnesses"], without["witnesses"]) == (["fake"], [])
    assert with_witness["calls"] == without["calls"] and with_witness["input_tokens"] > without["input_tokens"]
    assert batch("photos", out=OUT, dry_run=True) == 0
    assert "\nwitnesses: fake\n" in capsys.readouterr().out
