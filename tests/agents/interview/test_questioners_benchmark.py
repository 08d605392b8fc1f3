"""`python -m benchmarks.questioners`: it counts what interviews did, and resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from agents.interview.protocol import InterviewOptions
from benchmarks.questioners.__main__ import main
from benchmarks.questioners.figures import count, informative, refusals, sample, table
from benchmarks.questioners.interviews import Held, Interviewer, folder_name
from benchmarks.questioners.pictures import twelve
from core.records import Caption, Dialogue, PictureInfo, TokenUsage, Turn
from tests.agents.fakes import CountingVision, ListQuestioner


def caption(*turns: Turn, summary: str = "") -> Caption:
    picture = PictureInfo(sha256="0" * 64, source="a.png", width=3, height=2)
    return Caption(picture=picture, dialogue=Dialogue(turns=turns), summary=summary)


def test_an_answer_informs_where_it_says_something_new() -> None:
    turns = (
        Turn(question="Describe this picture.", answer="A cat on a sofa.", asked_by="opening"),
        Turn(question="What colour is the sofa?", answer="The sofa is red."),
        Turn(question="What is on the sofa?", answer="I see a cat."),
        Turn(question="Is there a dog?", answer="No, there is no dog."),
        Turn(question="What is behind it?", answer="I do not know.", certainty="unsure"),
        Turn(question="Which things are there?", answer="A lamp.", asked_by="witness"),
    )

    assert informative(caption(*turns)) == 1


def test_a_row_counts_and_the_table_has_a_line_for_it() -> None:
    turns = (
        Turn(question="Describe this picture.", answer="A cat.", asked_by="opening"),
        Turn(question="Which things are there?", answer="A cat.", asked_by="witness"),
        Turn(question="What colour is the cat?", answer="Black."),
    )
    turns += (Turn(question="Where is the cat?", answer="On the left.", asked_by="fallback"),)
    usage = TokenUsage(calls=3, input_tokens=70, output_tokens=9)
    written = caption(*turns, summary="A black cat. It sits.")
    one = Held(
        written.model_copy(update={"summary_by": "questioner", "removed": ("It is old.",)}),
        usage,
        (("vague", "What?"),),
    )
    other = Held(caption(turns[0], summary="A cat.").model_copy(update={"summary_by": "rules"}), usage)

    row = count("openai:tiny", [one, other])

    assert (row.pictures, row.least_turns, row.turns) == (2, 1, 4)
    assert (row.accepted, row.refused, row.fallback) == (1, 1, 1)
    assert (row.sentences, row.taken_out, row.unsupported, row.by_rules) == (2, 1, 1, 1)  # nothing says that it sits
    assert refusals([row]).splitlines() == ["| refused as | vague |", "|---|---:|", "| `openai:tiny` | 1 |"]
    assert (row.calls, row.input_tokens, row.output_tokens) == (6, 140, 18)
    assert sample([one, other], 20, 1) == [("a.png", "What colour is the cat?", "Black.")]
    head, _, line = table([row]).splitlines()
    assert line.startswith("| `openai:tiny` | 1 / 2.0 |") and head.count("|") == line.count("|")


def test_a_kept_interview_is_not_held_again(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (32, 24), "orange").save(picture)
    vision, asking = (
        CountingVision(),
        ListQuestioner(questions=["What colour is it?", "Where is it?"], summary="A thing."),
    )
    options = InterviewOptions(rounds=3)

    first = Interviewer(asking, vision, options, 1, tmp_path / "kept").hold(picture)
    second = Interviewer(asking, vision, options, 1, tmp_path / "kept").hold(picture)

    assert first == second and vision.encoded == 1
    assert first.usage.calls == 4  # two questions, two drafts of the summary

    Interviewer(asking, vision, options, 2, tmp_path / "kept").hold(picture)  # another seed is another interview
    assert vision.encoded == 2


def test_names_that_differ_have_folders_that_differ() -> None:
    assert folder_name("scripted") == "scripted"
    assert folder_name("openai:a/b") != folder_name("openai:a_b")


def test_the_twelve_pictures_are_there() -> None:
    assert len({path for path in twelve() if path.is_file()}) == 12


@pytest.mark.slow
def test_the_command_prints_a_row_for_each_questioner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (64, 48), "orange").save(tmp_path / "a.png")

    assert main(["scripted", "--pictures", str(tmp_path), "--rounds", "3", "--json"]) == 0

    [row] = json.loads(capsys.readouterr().out)
    assert (row["questioner"], row["pictures"], row["failed"]) == ("scripted", 1, 0)


def test_a_questioner_that_cannot_work_is_named_before_a_picture_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonsense", "--pictures", "nowhere"]) == 3
    assert "nonsense" in capsys.readouterr().err
