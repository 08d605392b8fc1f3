"""Witnesses that take names look for what an interview's questions ask for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agents.interview.driver import caption_picture
from agents.interview.protocol import InterviewOptions
from agents.witnesses.asked import asked_things, joined, look_for_asked
from core.findings import Findings, Thing
from core.images.picture import Picture
from core.records import Caption
from core.registry import load_registry
from core.testing import FakeWitness, make_picture, make_thing
from core.witness import Witness
from tests.agents.fakes import CountingVision, ListQuestioner
from tests.plugins.detector.tiny_detectors import owl

PICTURE = make_picture(300, 200)
BICYCLE = make_thing("bicycle")


class NamedWitness(FakeWitness):
    """A fake that finds what it is asked for, if it is a bicycle."""

    takes_names = True

    def __init__(self, name: str = "named", breaks: bool = False) -> None:
        super().__init__(name=name)
        self.breaks = breaks
        self.queries: list[list[str]] = []

    def look_for(self, pictures: Sequence[Picture], names: Sequence[str]) -> list[Findings]:
        self.queries.append(list(names))
        if self.breaks:
            raise ValueError("out of paint\nand more")
        things = (BICYCLE,) if "bicycle" in names else ()
        return [one.model_copy(update={"things": things}) for one in self.examine(pictures)]


def interviewed(witness: Witness, *questions: str, answer: str = "I am not sure.") -> Caption:
    answers = {one: answer for one in questions if one.startswith("Is there")}
    return caption_picture(
        PICTURE,
        CountingVision(answers),
        ListQuestioner(questions=["", *questions]),  # one turn is the witness's own
        InterviewOptions(rounds=len(questions) + 1, witnesses=(witness.name,)),
        find_witness=lambda _: witness,
    )


@pytest.mark.parametrize(
    ("question", "things"),
    [
        ("Is there a bicycle?", ["bicycle"]),
        ("Is there also another red car in the picture?", ["red car"]),
        ("Are there any dogs or cats on the lawn?", ["dogs", "cats"]),
        ("Do you see a traffic light?", ["traffic light"]),
        ("Can you also see some people here?", ["people"]),
        ("Does the picture show a boat?", ["boat"]),
        ("Are there any?", []),
        ("Is there anything else?", []),
        ("Is the bicycle red?", []),
        ("What colour is the bicycle?", []),
        ("Is there a very long and winding name of a thing that nobody knows?", []),
        ("", []),
    ],
)
def test_the_things_that_a_question_asks_for(question: str, things: list[str]) -> None:
    assert asked_things(question) == things


def test_a_witness_answers_where_the_vision_model_is_not_sure() -> None:
    witness = NamedWitness()
    caption = interviewed(witness, "Is there a bicycle?", "Is there a boat?", "Where is it?")
    turns = {turn.question: turn for turn in caption.dialogue.turns}
    turn = turns["Is there a bicycle?"]
    assert (turn.answer, turn.answered_by, turn.certainty) == ("Yes: a bicycle on the left.", "named", "sure")
    assert turn.raw_answer == "I am not sure." and turn.asked_by == "questioner"
    assert (turns["Is there a boat?"].answer, turns["Is there a boat?"].answered_by) == ("I am not sure.", "")
    assert witness.queries == [["bicycle"], ["boat"]]
    [found] = caption.findings
    assert [thing.name for thing in found.things] == ["bicycle"]
    assert "bicycle" in caption.summary.lower() and Caption.from_json(caption.to_json()) == caption


def test_a_plain_yes_stays_the_vision_models_and_the_box_is_kept() -> None:
    caption = interviewed(NamedWitness(), "Is there a bicycle?", answer="Yes, a red one.")
    turn = caption.dialogue.turns[-1]
    assert (turn.answer, turn.answered_by) == ("Yes, a red one.", "")
    assert [thing.name for one in caption.findings for thing in one.things] == ["bicycle"]


def test_a_witness_without_names_is_not_asked() -> None:
    witness = FakeWitness(things=[BICYCLE])
    caption = interviewed(witness, "Is there a bicycle?")
    assert caption.dialogue.turns[-1].answer == "I am not sure." and len(witness.examined) == 1


def test_a_failure_is_a_line_and_loses_no_answer() -> None:
    caption = interviewed(NamedWitness(breaks=True), "Is there a bicycle?", "Is there a boat?")
    assert caption.status == "complete" and caption.dialogue.turns[-1].answer == "I am not sure."
    assert caption.problems == ("the witness 'named' failed: ValueError: out of paint",)


def test_a_thing_found_twice_counts_once() -> None:
    [first] = FakeWitness(name="named", things=[BICYCLE]).examine([PICTURE])
    other = BICYCLE.model_copy(update={"name": "boat"})
    [again] = FakeWitness(name="named", things=[BICYCLE, other]).examine([PICTURE])
    [found] = joined([first], [again])
    assert [thing.name for thing in found.things] == ["bicycle", "boat"]
    [elsewhere] = FakeWitness(name="other", things=[BICYCLE]).examine([PICTURE])
    assert [one.witness for one in joined([first], [elsewhere])] == ["named", "other"]


def test_a_zero_shot_model_of_transformers_gets_the_words_as_queries(tmp_path: Path) -> None:
    """OWL-ViT with random weights, which finds anything at this score."""
    owl(tmp_path)
    witness = load_registry().create_witness(f"detector:transformers:{tmp_path}?score=0.001")
    found = look_for_asked("Is there a zeppelin?", "No.", PICTURE, [witness.name], lambda _: witness)
    [findings] = found.findings
    assert {thing.name for thing in findings.things} == {"zeppelin"} and found.names == witness.name
    assert found.answer.startswith("Yes: ") and "zeppelin" in found.answer
    assert isinstance(findings.things[0], Thing)
