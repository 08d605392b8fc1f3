"""Interviews whose questioner is a real language model of 135 million parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.claims.summaries import unsupported_sentences
from agents.interview.turns import usable
from benchmarks.questioners.__main__ import main
from benchmarks.questioners.figures import accepted
from benchmarks.questioners.interviews import Held
from core.records import Caption
from core.text import sentences
from tests.servers import llama_cpp

PICTURES = 4
ROUNDS = 10
LEAST = 8  # turns, the opening's included
NOT_ABOUT_A_PICTURE = ("sorry", "afraid", "assist", "next question", "nothing new", "the notes", "your question")


@dataclass(frozen=True, slots=True)
class Kept:
    """The name of a questioner whose server has ended, how it asked, and the folder with its interviews."""

    questioner: str
    asking: str
    folder: Path

    @property
    def arguments(self) -> list[str]:
        numbers = ["--limit", str(PICTURES), "--rounds", str(ROUNDS), "--asking", self.asking]
        return [self.questioner, *numbers, "--transcripts", str(self.folder), "--json"]


@pytest.fixture(scope="module", params=["free", "guided"])
def kept(request: pytest.FixtureRequest, gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp(f"interviews-{request.param}")
    with llama_cpp(gguf, context=4096, name="smollm2") as (url, _):
        made = Kept(f"openai:smollm2?base_url={url}", request.param, folder)
        assert main(made.arguments) == 0
    return made


@pytest.fixture(scope="module")
def captions(kept: Kept) -> list[Caption]:
    held = [Held.read(file) for file in sorted(kept.folder.rglob("*.json"))]
    return [one.caption for one in held if one is not None]


def test_every_interview_ends_well(captions: list[Caption]) -> None:
    assert [(caption.status, caption.error) for caption in captions] == [("complete", None)] * PICTURES


def test_every_interview_has_eight_turns(captions: list[Caption]) -> None:
    turns = [sum(turn.asked_by != "witness" for turn in caption.dialogue.turns) for caption in captions]
    assert min(turns) >= LEAST, turns


def test_what_is_asked_is_one_question(captions: list[Caption]) -> None:
    questions = [turn.question for caption in captions for turn in accepted(caption)]
    assert questions
    for question in questions:
        assert len(sentences(question)) == 1, question
        assert question.endswith("?") or question.startswith(("Describe", "Tell", "Name", "List")), question
        assert not any(words in question.casefold() for words in NOT_ABOUT_A_PICTURE), question


def test_a_guided_questioner_keeps_asking_by_itself(kept: Kept, captions: list[Caption]) -> None:
    """It picks one of the proposed questions; the rules ask the fewer ones."""
    if kept.asking == "guided":
        turns = (turn for caption in captions for turn in caption.dialogue.turns)
        asked = [turn.asked_by for turn in turns if turn.asked_by in ("questioner", "fallback")]
        assert asked.count("questioner") * 2 > len(asked), asked


def test_a_summary_says_only_what_was_answered(captions: list[Caption]) -> None:
    for caption in captions:
        assert caption.summary
        assert not unsupported_sentences(caption.summary, usable(caption.dialogue.turns)), caption.summary


def test_the_figures_are_read_again_without_the_server(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(kept.arguments) == 0

    [row] = json.loads(capsys.readouterr().out)
    assert (row["pictures"], row["failed"], row["errors"]) == (PICTURES, 0, [])
    assert row["calls"] >= PICTURES and row["least_turns"] >= LEAST
    assert row["unsupported"] == 0
