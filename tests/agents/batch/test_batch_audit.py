"""The audit in a batch: claims of many captions are judged together, and each caption is that of one picture alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from agents.batch.outputs import failures_of
from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, interview_many
from agents.interview.driver import caption_picture
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from core.errors import BackendError
from core.vision import VisualQuestion
from plugins.scripted import ScriptedQuestioner
from tests.agents.batch.making import HashedEye, batch, lines, make_pictures, pictures, register

OPTIONS = InterviewOptions(rounds=3, audit="drop", threshold=0.9)
OUT = Path("captions.jsonl")


class Doubter(HashedEye):
    """Scores every answer alike, so that nothing is certain; counts its calls, and may fail."""

    fails = False
    scored: list[int]

    def __init__(self) -> None:
        super().__init__()
        self.scored = []

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        if self.fails:
            raise BackendError("the scores cannot be read.")
        self.scored.append(len(questions))
        return [tuple(0.0 for _ in some) for some in choices]


def outcomes(tasks: Sequence[InterviewTask], vision: Doubter) -> list[Outcome]:
    config = PipelineConfig(OPTIONS, Prompts.load(), seed=1, batch=4, concurrency=2)
    found = interview_many(tasks, vision, ScriptedQuestioner(), config)
    return sorted((one for one in found if isinstance(one, Outcome)), key=lambda one: str(one.tag))


def test_each_audited_caption_is_that_of_one_picture_alone(tmp_path: Path) -> None:
    some, vision = pictures(make_pictures(tmp_path, 8)), Doubter()
    found = outcomes([InterviewTask(number, one) for number, one in enumerate(some)], vision)
    assert len(found) == 8 and any(one.caption.claims for one in found)
    for outcome in found:
        alone = caption_picture(some[outcome.tag], Doubter(), ScriptedQuestioner(), OPTIONS, seed=1)
        assert outcome.caption.claims == alone.claims and outcome.caption.audited == alone.audited
        assert outcome.caption.options == alone.options and outcome.caption.options["audit"] == "drop"
        assert all(claim.verdict == "unsupported" and claim.score == 0.5 for claim in outcome.caption.claims)


def test_an_audit_that_fails_is_resumed_alone(tmp_path: Path) -> None:
    vision, [picture] = Doubter(), pictures(make_pictures(tmp_path, 1))
    vision.fails = True
    [found] = outcomes([InterviewTask(0, picture)], vision)
    assert (found.caption.status, found.caption.unaudited) == ("complete", "the scores cannot be read.")
    assert "the scores cannot be read" in str(found.error)
    vision.fails, vision.asked = False, []
    [again] = outcomes([InterviewTask(0, picture, found.caption)], vision)
    assert again.error is None and again.caption.finished and again.caption.claims and not vision.asked
    assert again.caption.summary == found.caption.summary and again.caption.dialogue == found.caption.dialogue


def test_the_command_tries_a_failed_audit_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    register(monkeypatch, Doubter())
    make_pictures(tmp_path / "pictures", 2)
    monkeypatch.setattr(Doubter, "fails", True)
    assert batch("pictures", out=OUT, audit="mark") == 1
    failed = lines(Path(failures_of(OUT)))
    assert [one["where"] for one in failed] == ["audit"] * 2 and not lines(OUT)
    monkeypatch.setattr(Doubter, "fails", False)
    assert batch("pictures", out=OUT, audit="mark", failed=True) == 0
    assert all(row["claims"] for row in lines(OUT)) and not Path(failures_of(OUT)).exists()


def test_the_command_writes_what_is_left_and_the_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    register(monkeypatch, Doubter())
    make_pictures(tmp_path / "pictures", 3)
    table = tmp_path / "captions.parquet"
    assert batch("pictures", out=OUT, more=(table,), audit="mark", threshold=0.9) == 0
    rows = lines(OUT)
    claims = [claim for row in rows for claim in row.get("claims", ())]
    assert len(rows) == 3 and claims
    assert f"audit of this run: {len(claims)} claims, {len(claims)} not supported" in capsys.readouterr().out
    written = pq.read_table(table).to_pylist()
    assert [len(row["claims"] or ()) for row in written] == [len(row.get("claims", ())) for row in rows]
    assert written[0]["claims"][0]["verdict"] == rows[0]["claims"][0]["verdict"] == "unsupported"
