"""The claims of captions: what is said, of what, where in the text; and nothing of what is denied or uncertain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.audit.rewrite import without
from agents.claims.extract import LONGEST, extract_claims
from benchmarks.claims.__main__ import captions, compare, fact


def texts(caption: str) -> list[str]:
    return [claim.text for claim in extract_claims(caption)]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("A red car.", ["a car", "a red car"]),
        ("Two dogs are on the left.", ["dogs", "two dogs", "the dogs are on the left"]),
        ("A man is riding a brown horse.", ["a man", "the man is riding a brown horse", "a horse", "a brown horse"]),
        ("The cat sits next to a vase.", ["a cat", "the cat is sitting", "the cat is next to a vase", "a vase"]),
        ('The sign reads "EXIT 7".', ["a sign", 'the sign says "EXIT 7"']),
        ("The dog has a collar.", ["a dog", "the dog has a collar", "a collar"]),
        ("It is outdoors.", ["the picture is outdoors"]),
        ("A cement truck.", ["a truck", "a cement truck"]),
        ("There is a dog with some blue.", ["a dog", "a blue dog"]),
        ("There is a ball with some red and green on it.", ["a ball", "a red ball", "a green ball"]),
        (
            "A bird with black wings and a touch of yellow.",
            ["a bird", "the bird has black wings", "wings", "black wings", "a yellow bird"],
        ),
        ("A man in black.", ["a man", "the man is dressed in black"]),
        (
            "Two men dressed in blue, a blue truck.",
            ["men", "two men", "the men are dressed in blue", "a truck", "a blue truck"],
        ),
        ("Two dogs run.", ["dogs", "two dogs", "the dogs are running"]),
        (
            "Three girls swim and a boy flies a kite.",
            ["girls", "three girls", "the girls are swimming", "a boy", "the boy is flying a kite", "a kite"],
        ),
        ("The boys eat ice cream.", ["boys", "the boys are eating ice cream", "an ice cream"]),
        ("The table is made of dark wood and metal.", ["a table", "a wood table", "a metal table"]),
        ("A house built of stone.", ["a house", "a stone house"]),
        ("One of the chairs is red.", ["chairs", "red chairs"]),
        (
            "Two men, wearing red hats, hold umbrellas.",
            [
                "men",
                "two men",
                "the men are wearing red hats",
                "hats",
                "red hats",
                "the men are holding umbrellas",
                "umbrellas",
            ],
        ),
    ],
)
def test_claims_of_a_sentence(caption: str, expected: list[str]) -> None:
    assert texts(caption) == expected


@pytest.mark.parametrize(
    "caption",
    [
        "There is no dog.",
        "It does not show any people.",
        "I am not sure what this is, perhaps a lake shore.",
        "She might be a nurse.",
        "The man appears to be a tourist.",
        "The man appears happy.",
        "",
        "!?",
    ],
)
def test_denied_and_uncertain_clauses_claim_nothing(caption: str) -> None:
    assert not texts(caption)


def test_the_sure_part_of_a_sentence_still_claims() -> None:
    assert texts("The laptop is open, but there is nothing on the screen.") == ["a laptop", "an open laptop"]
    assert texts("A woman is sitting, possibly waiting for a bus.") == ["a woman", "the woman is sitting"]


def test_what_comes_into_view_is_claimed() -> None:
    assert texts("Then a red cup appears.") == ["a cup", "a red cup"]
    assert texts("Later, dogs appear in the background.") == ["dogs", "the dogs are in the background"]


def test_a_thing_that_is_named_again_is_one_claim() -> None:
    claims = extract_claims("A dog lies on a rug. The dog is brown. It has a ball.")
    assert [claim.about for claim in claims if claim.kind == "thing"] == ["dog", "rug", "ball"]
    assert {claim.parent for claim in claims if claim.about == "dog" and claim.kind != "thing"} == {0}


def test_claims_are_measured_against_a_person() -> None:
    right = missed = wrong = 0
    for text, truth in captions():
        results = compare(truth, [fact(claim) for claim in extract_claims(text)])
        right, missed, wrong = right + len(results[0]), missed + len(results[1]), wrong + len(results[2])
    assert right / (right + missed) >= 0.95 and right / (right + wrong) >= 0.95


WORDS = st.sampled_from(
    """a the dog dogs man is are on left of picture and , . red two riding with next to not perhaps "STOP" says in it
    one they has wearing there photo table city street 12 which standing parked above black some touch made of wood run
    at some ones ice cream flies""".split()
)


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_spans_and_parents_fit_any_text(text: str) -> None:
    claims = extract_claims(text)
    for place, claim in enumerate(claims):
        assert 0 <= claim.start < claim.end <= len(text)
        assert claim.parent is None or claim.parent < place
        assert claim.text and claim.about


def test_long_text_is_read_up_to_a_limit() -> None:
    assert all(claim.end <= LONGEST for claim in extract_claims("A dog and a red car. " * 2000))


def test_a_count_of_anything_is_a_number() -> None:
    [one] = [claim for claim in extract_claims("The picture shows three things on a table.") if claim.about == "thing"]
    assert (one.kind, one.text, one.value, one.parent) == ("number", "three things", "3", None)


@pytest.mark.parametrize(
    ("caption", "false", "left"),
    [
        ("There is a dog with some blue on it.", "blue", "There is a dog."),
        ("A bird with a black head and a touch of yellow sits here.", "yellow", "A bird with a black head sits here."),
        ("A table made of wood and metal stands here.", "metal", "A table made of wood stands here."),
        ("A cement truck is parked here.", "cement", "A truck is parked here."),
    ],
)
def test_a_false_part_is_taken_out_of_its_sentence(caption: str, false: str, left: str) -> None:
    judged = [
        claim.model_copy(update={"verdict": "contradicted" if claim.value == false else "supported"})
        for claim in extract_claims(caption)
    ]
    assert without(caption, judged) == left
