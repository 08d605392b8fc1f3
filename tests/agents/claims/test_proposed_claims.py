"""Claims that a model proposes pass only if the caption says them; they are made from the caption's own words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.claims.extract import extract_claims
from agents.claims.proposed import MOST, check_proposed

CAPTION = 'Two brown dogs run next to a cement truck on the left. There is no cat. The sign says "STOP".'


def claim(number: int, kind: str, words: str, of: object = None) -> dict[str, Any]:
    return {"id": number, "kind": kind, "words": words, "of": of}


DOGS = claim(1, "thing", "two brown dogs")


def texts(*proposed: dict[str, Any], caption: str = CAPTION) -> list[str]:
    return [one.text for one in check_proposed(caption, proposed).claims]


def reasons(*proposed: dict[str, Any], caption: str = CAPTION) -> list[str]:
    return [reason for _, reason in check_proposed(caption, proposed).dropped]


@pytest.mark.parametrize(
    ("kind", "words", "text"),
    [
        ("attribute", "brown", "brown dogs"),
        ("attribute", "the dogs are brown", None),
        ("number", "two", "two dogs"),
        ("action", "running", "the dogs are running"),
        ("action", "Dogs run", "the dogs are running"),
        ("relation", "next to a cement truck", "the dogs are next to a cement truck"),
        ("place", "on the left", "the dogs are on the left"),
        ("place", "next to a cement truck", "the dogs are next to a cement truck"),
    ],
)
def test_a_claim_is_made_from_the_words_of_the_caption(kind: str, words: str, text: str | None) -> None:
    found = check_proposed(CAPTION, [DOGS, claim(2, kind, words, 1)])
    assert [one.text for one in found.claims] == ["dogs"] + [text] * (text is not None)
    assert len(found.dropped) == (text is None)
    if text is not None:
        [dogs, other] = found.claims
        assert (dogs.kind, dogs.about, other.parent, other.about) == ("thing", "dog", 0, "dog")


def test_the_claims_are_those_of_the_rules_if_the_same_is_proposed() -> None:
    caption = 'A man wearing a red hat rides a horse. The horse is on the right. The sign says "EXIT 7".'
    rules = extract_claims(caption)
    proposed = [claim(at, one.kind, caption[one.start : one.end], one.parent) for at, one in enumerate(rules)]
    found = check_proposed(caption, proposed)
    assert not found.dropped
    assert {(one.kind, one.text, one.value, one.start) for one in found.claims} == {
        (one.kind, one.text, one.value, one.start) for one in rules
    }


@pytest.mark.parametrize(
    ("proposed", "reason"),
    [
        (claim(2, "thing", "elephant"), "not in the caption"),
        (claim(2, "attribute", "black", 1), "not in the caption"),
        (claim(2, "thing", "cat"), "denied or uncertain"),
        (claim(2, "colour", "brown", 1), "unknown kind"),
        (claim(2, "thing", ""), "not in the caption"),
        (claim(2, "attribute", "brown", 99), "said of nothing"),
        (claim(2, "attribute", "brown", 2), "said of itself"),
        (claim(2, "thing", "dogs"), "repeated"),
        (claim(2, "number", "brown", 1), "no number"),
        (claim(2, "attribute", "next to", 1), "no attribute"),
        (claim(2, "action", "next to a truck", 1), "not in the caption"),
        (claim(2, "action", "a cement truck", 1), "no action"),
        (claim(2, "relation", "brown", 1), "no relation"),
        (claim(2, "thing", "left"), "no thing"),
        (claim(2, "number", "two"), "no number"),
        ({"kind": None, "words": ["brown"]}, "unknown kind"),
    ],
)
def test_what_the_checks_refuse_is_dropped_with_the_reason(proposed: dict[str, Any], reason: str) -> None:
    assert reasons(DOGS, proposed) == [reason]
    assert texts(DOGS, proposed) == ["dogs"]


def test_parents_may_be_named_by_words_or_reached_through_others_but_not_in_a_circle() -> None:
    assert texts(DOGS, claim(2, "attribute", "brown", "the dogs")) == ["dogs", "brown dogs"]
    chain = claim(2, "number", "two", 1), claim(3, "attribute", "brown", 2)
    assert texts(DOGS, *chain) == ["dogs", "two dogs", "brown dogs"]
    circle = claim(2, "number", "two", 3), claim(3, "attribute", "brown", 2)
    assert reasons(DOGS, *circle) == ["said of itself"] * 2
    dropped = claim(2, "thing", "cat"), claim(3, "attribute", "brown", 2)
    assert reasons(DOGS, *dropped) == ["denied or uncertain", "said of nothing"]


def test_words_that_stand_twice_are_those_near_their_thing() -> None:
    caption = "A red car stands here. A red bus stands there."
    found = check_proposed(caption, [claim(1, "thing", "bus"), claim(2, "attribute", "red", 1)])
    assert found.claims[1].start == caption.rindex("red")
    again = claim(1, "thing", "a red car"), claim(2, "thing", "red bus"), claim(3, "attribute", "red", 1)
    assert texts(*again, caption=caption) == ["a car", "a bus", "a red car"]


def test_what_is_said_of_the_picture_and_a_quotation_have_no_thing() -> None:
    caption = 'It is outdoors. "OPEN 24/7"'
    assert texts(claim(1, "attribute", "outdoors"), claim(2, "text", "open 24/7"), caption=caption) == [
        "the picture is outdoors",
        'the writing says "OPEN 24/7"',
    ]


def test_no_more_than_a_caption_can_say_is_read() -> None:
    assert len(reasons(*[claim(at, "thing", "elephant") for at in range(MOST + 5)])) == MOST + 5
    assert reasons(*[claim(at, "thing", "elephant") for at in range(MOST + 5)])[-5:] == ["too many"] * 5


WORDS = st.sampled_from("two brown dogs run next to a the cement truck on left no cat sign says STOP is . , 3".split())
VALUES = st.one_of(st.none(), st.integers(0, 6), st.text(max_size=8), st.lists(WORDS, max_size=5).map(" ".join))
KINDS = st.sampled_from("thing attribute number place relation action text colour".split())


@given(
    st.lists(WORDS, max_size=25).map(" ".join),
    st.lists(st.fixed_dictionaries({}, optional={"id": VALUES, "kind": KINDS | VALUES, "words": VALUES, "of": VALUES})),
)
def test_whatever_is_proposed_of_whatever_caption_fits_it(caption: str, proposed: list[dict[str, Any]]) -> None:
    found = check_proposed(caption, proposed)
    assert len(found.claims) + len(found.dropped) >= len(proposed) - proposed.count({})
    for at, one in enumerate(found.claims):
        assert 0 <= one.start < one.end <= len(caption) and one.text and one.about
        assert one.parent is None or (one.parent < at and found.claims[one.parent].kind == "thing")
    keys = [(one.kind, one.about, one.value, one.parent, one.start * (one.kind == "thing")) for one in found.claims]
    assert len(set(keys)) == len(keys)
