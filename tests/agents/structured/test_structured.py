"""Answers that fit a schema: of models that follow instructions, and of those that only answer questions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.structured import answer_as, check_schema, first_json
from core.errors import BackendError, UsageError
from core.vision import EncodedImage, Reply, VisualQuestion
from tests.agents.fakes import CountingVision

IMAGE = EncodedImage("a" * 64, "1", None)
ABOUT = VisualQuestion(IMAGE, "What is it?")
ANIMAL = {
    "type": "object",
    "properties": {"animal": {"type": "string"}, "legs": {"type": "integer"}},
    "required": ["animal", "legs"],
    "additionalProperties": False,
}


class Instructed(CountingVision):
    """Gives the replies of the test in order, and counts 10 tokens read and 3 written with each."""

    follows_instructions: ClassVar[bool] = True

    def __init__(self, *replies_in_order: str) -> None:
        super().__init__()
        self.left = list(replies_in_order)

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        self.asked += questions
        return [Reply(self.left.pop(0), "stop", 10, 3) for _ in questions]


def test_the_first_reply_may_fit() -> None:
    model = Instructed('Here: {"animal": "cat", "legs": 4}')
    found = answer_as(ANIMAL, model, ABOUT)
    assert found.value == {"animal": "cat", "legs": 4} and json.loads(found.reply.text) == found.value
    assert (found.reply.input_tokens, found.reply.output_tokens) == (10, 3)
    asked = model.asked[0].question or ""
    assert asked.startswith("What is it?\n\nAnswer with one JSON value") and '"animal"' in asked


def test_what_does_not_fit_is_said_and_asked_for_again() -> None:
    model = Instructed("A cat.", '{"animal": "cat", "legs": "four"}', '{"animal": "cat", "legs": 4}')
    found = answer_as(ANIMAL, model, ABOUT)
    assert found.value["legs"] == 4 and found.reply.input_tokens == 30
    assert "there is no JSON" in (model.asked[1].question or "")
    assert "'four' is not of type 'integer' at legs" in (model.asked[2].question or "")
    assert [answer for _, answer in model.asked[2].history] == ["A cat.", '{"animal": "cat", "legs": "four"}']


def test_after_two_repairs_it_is_a_clear_error() -> None:
    model = Instructed(*["A cat."] * 9)
    with pytest.raises(BackendError, match="counting gave 3 replies that do not fit the schema; in the last one there"):
        answer_as(ANIMAL, model, ABOUT)
    assert len(model.asked) == 3


# ---- models that only answer questions ---------------------------------------------------------------------------


def test_each_property_is_a_question() -> None:
    schema = {
        "type": "object",
        "properties": {
            "mainThing": {"type": "string"},
            "hair_colour": {"type": "string", "description": "What colour is its hair?"},
            "cats": {"type": "integer"},
            "dog": {"type": "boolean"},
            "side": {"enum": ["left", "right"], "description": "On which side is it?"},
            "where": {"type": "object", "properties": {"city": {"type": ["string", "null"]}}},
            "size": {"anyOf": [{"$ref": "#/$defs/size"}, {"type": "null"}]},
            "kind": {"const": "photograph"},
        },
        "$defs": {"size": {"type": "number", "description": "How large is it?"}},
    }
    model = CountingVision(
        {
            "What is the main thing?": "A cat.",
            "What colour is its hair?": "Grey.",
            "How many cats are there?": "Two cats.",
            "Is there a dog?": "No.",
            "On which side is it?": "It is on the right.",
            "What is the city?": "Paris",
            "How large is it?": "About 2.5 m",
        }
    )
    assert answer_as(schema, model, ABOUT).value == {
        "mainThing": "A cat.",
        "hair_colour": "Grey.",
        "cats": 2,
        "dog": False,
        "side": "right",
        "where": {"city": "Paris"},
        "size": 2.5,
        "kind": "photograph",
    }


def test_a_choice_has_scores() -> None:
    found = answer_as({"enum": ["cat", "dog", 3]}, CountingVision({"What is it?": "A dog."}), ABOUT)
    assert (found.value, found.chosen) == ("dog", '"dog"')
    assert [text for text, _ in found.scores] == ['"cat"', '"dog"', "3"]
    assert max(found.scores, key=lambda one: one[1])[0] == '"dog"'
    assert answer_as({"type": "boolean"}, CountingVision({"What is it?": "Yes."}), ABOUT).value is True


@pytest.mark.parametrize(
    ("schema", "error", "says"),
    [
        ({"type": "array", "items": {}}, UsageError, "the schema is type 'array', which counting cannot fill"),
        ({"properties": {"a": {"properties": {"b": {"type": "array"}}}}}, UsageError, "'a.b' is type 'array'"),
        ({"properties": {"a": {"$ref": "#/properties/a"}}}, UsageError, "refers to itself"),
        ({"properties": {f"p{number}": {"type": "string"} for number in range(99)}}, UsageError, "more than 64"),
        ({"properties": {"a": {"type": "integer"}}}, BackendError, "which is no number"),
        ({"properties": {"a": {"type": "string", "maxLength": 2}}}, BackendError, "is too long at a"),
        ({"type": 5}, UsageError, "no JSON Schema"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, UsageError, "has a pattern"),
    ],
)
def test_what_cannot_be_filled(schema: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        answer_as(schema, CountingVision(), ABOUT)


def test_a_schema_nested_without_end_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(3000):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(UsageError, match=r"nested too deeply|4 levels"):
        check_schema(schema)
        answer_as(schema, CountingVision(), ABOUT)


# ---- JSON in words -----------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES.filter(lambda value: isinstance(value, list | dict)), st.text("abc ,.:", max_size=20))
def test_json_is_found_in_words(value: Any, words: str) -> None:
    assert first_json(f"{words}\n```json\n{json.dumps(value)}\n```\n{words}") == value


@pytest.mark.parametrize("text", ["", "{", "words", "{a: 1}", "[" * 100_000])
def test_no_json(text: str) -> None:
    with pytest.raises((ValueError, RecursionError)):
        first_json(text)
