"""Parsers of answers and formulas, against small examples computed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.measures.statistics import Measure, figures, ratio, share_of
from evaluation.measures.vqa import accuracy, lenient_answer, normalised
from evaluation.measures.words import distance, letters, quoted
from evaluation.measures.yes_no import MEASURES, PARSERS, counts, lenient, official, strict

ANSWERS = st.one_of(st.text(), st.lists(st.sampled_from("yes no not Yes No , . ! the dog".split())).map(" ".join))


@pytest.mark.parametrize(
    ("answer", "by_strict", "by_official", "by_lenient"),
    [
        ("Yes.", "yes", "yes", "yes"),
        ("no", "no", "no", "no"),
        ("Yes, it looks like a cat.", None, "yes", "yes"),
        ("There is no dog in the image.", None, "no", "no"),
        ("The image does not show one. Yes.", None, "no", "no"),
        ("NO", "no", "yes", "no"),  # POPE's parser knows only No, not and no
        ("I see nothing", None, "yes", "no"),
        ("I am not sure.", None, "no", None),
        ("", None, "yes", None),
        ("A table, but a small one. It is not a dog", None, "yes", "no"),
    ],
)
def test_yes_or_no(answer: str, by_strict: str | None, by_official: str, by_lenient: str | None) -> None:
    question = "Is there a dog in the image?"
    assert (strict(answer), official(answer), lenient(answer, question)) == (by_strict, by_official, by_lenient)


@given(answer=ANSWERS)
def test_parsers_take_any_text(answer: str) -> None:
    found = {name: parser(answer, "Is there a dog?") for name, parser in PARSERS.items()}
    assert all(said in ("yes", "no", None) for said in found.values()) and found["official"] is not None
    if found["strict"] is not None:
        assert found["lenient"] == found["strict"], "what is strictly parsed is leniently parsed alike"


def test_figures_of_pope_by_hand() -> None:
    asked = [
        [("yes", "?", "yes"), ("yes", "?", "no")],
        [("no", "?", "yes"), ("no", "?", "no")],
        [("maybe", "?", "yes"), ("yes", "?", "yes")],
    ]
    found = figures([counts(one, strict) for one in asked], MEASURES, seed=0)
    values = {name: figure.value for name, figure in found.items()}
    # true yes 2, false yes 1, true no 1, false no 1, unparsed 1 of 6; there are four labels "yes"
    assert values == pytest.approx(
        {
            "accuracy": 3 / 6, "precision": 2 / 3, "recall": 2 / 4, "F1": 4 / 7, "yes ratio": 3 / 6,
            "unparsed": 1 / 6, "words": 1.0,
        }
    )  # fmt: skip


@given(st.lists(st.tuples(ANSWERS, st.just("?"), st.sampled_from(["yes", "no"])), min_size=1, max_size=8))
def test_figures_of_pope_lie_in_their_range(asked: list[tuple[str, str, str]]) -> None:
    for parser in PARSERS.values():
        found = figures([counts(asked, parser)], MEASURES, seed=0)
        for name, figure in found.items():
            assert name == "words" or math.isnan(figure.value) or 0 <= figure.value <= 1


# ---- intervals -----------------------------------------------------------------------------------------------------


def test_an_interval_is_about_the_value_and_repeats_with_the_seed() -> None:
    rows = [{"right": float(place % 4 != 0), "all": 1.0} for place in range(400)]
    [first, again, other] = [figures(rows, {"share": share_of("right", "all")}, seed)["share"] for seed in (1, 1, 2)]
    assert first == again != other and first.value == 0.75
    # the standard error of 0.75 over 400 is 0.0217
    assert first.low == pytest.approx(0.75 - 1.96 * 0.0217, abs=0.01)
    assert first.high == pytest.approx(0.75 + 1.96 * 0.0217, abs=0.01)


def test_images_are_drawn_not_questions() -> None:
    rows = [{"right": 100.0 * (place % 2), "all": 100.0} for place in range(10)]  # all or nothing per image
    found = figures(rows, {"share": share_of("right", "all")}, seed=0)["share"]
    assert found.high - found.low > 0.4, "1,000 independent questions would give 0.06"


def test_what_is_not_defined_is_null() -> None:
    found = figures([{"a": 0.0, "b": 0.0}], {"x": share_of("a", "b")}, seed=0)["x"]
    assert str(found) == "-" and found.as_json() == {"value": None, "low": None, "high": None}
    assert math.isnan(figures([], {"x": Measure(lambda s: ratio(s["a"], s["a"]))}, seed=0)["x"].value)


# ---- VQA -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A red  Car.", "red car"),
        ("two", "2"),
        ("None", "0"),
        ("1,000", "1000"),
        ("3.5", "3.5"),
        ("black/white", "black white"),
        ("yes, it is", "yes it is"),
        ("dont know", "don't know"),
        ("the", ""),
        ("T-shirt", "t shirt"),
    ],
)
def test_answers_are_normalised(answer: str, expected: str) -> None:
    assert normalised(answer) == expected


@given(st.text())
def test_normalising_takes_any_text(answer: str) -> None:
    once = normalised(answer)
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("answer", "people", "expected"),
    [
        ("red", ["red"] * 10, 1.0),
        ("red", ["red"] * 3 + ["blue"] * 7, (3 * 2 / 3 + 7 * 1.0) / 10),
        ("red", ["red"] + ["blue"] * 9, 9 * (1 / 3) / 10),
        ("red", ["blue"] * 10, 0.0),
        ("Two.", ["2", "two", "2", "2", "3", "2", "2", "2", "2", "2"], 1.0),
        ("a red", ["red"], 1.0),
    ],
)
def test_accuracy_of_vqa_by_hand(answer: str, people: list[str], expected: float) -> None:
    assert accuracy(answer, people) == pytest.approx(expected)


@given(st.text(max_size=20), st.lists(st.text(max_size=5), min_size=1, max_size=10))
def test_accuracy_lies_in_its_range(answer: str, people: list[str]) -> None:
    assert 0 <= accuracy(answer, people) <= 1
    said = lenient_answer(answer, people, "What is it?")
    assert said is None or accuracy(said, people) >= accuracy(answer, people)


def test_a_sentence_means_one_of_the_answers() -> None:
    assert lenient_answer("It is red.", ["red", "dark red"], "What colour is it?") == "red"
    assert lenient_answer("It is red or blue.", ["red", "blue"], "What colour is it?") is None


# ---- letters -------------------------------------------------------------------------------------------------------


@given(st.text(max_size=30), st.text(max_size=30))
def test_distance(one: str, other: str) -> None:
    found = distance(one, other)
    assert found == distance(other, one) and abs(len(one) - len(other)) <= found <= max(len(one), len(other))
    assert (found == 0) == (one == other)


def test_distance_by_hand() -> None:
    assert distance("kitten", "sitting") == 3 and distance("", "abc") == 3
    assert letters("No. 5, Main-St!") == "no5mainst"
    assert quoted('It says "OPEN" and “24 h”.') == "OPEN 24 h" and quoted("OPEN") == "OPEN"
