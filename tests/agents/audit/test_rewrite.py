"""A caption without its false claims: sentences are repaired, not mutilated."""

from __future__ import annotations

import pytest

from agents.audit.rewrite import without
from agents.claims.extract import extract_claims

ROOM = "It is outdoors, with the sky, buildings, trees and plants."
TRUCK = "There is a blue truck at the bottom left and two umbrellas all over the picture."


def rewritten(text: str, false: str) -> str:
    claims = extract_claims(text)
    assert any(claim.text == false for claim in claims), [claim.text for claim in claims]
    gone: list[bool] = []
    for claim in claims:
        gone.append(claim.text == false or (claim.parent is not None and gone[claim.parent]))
    judged = [
        claim.model_copy(update={"verdict": "contradicted" if one else "supported"})
        for claim, one in zip(claims, gone, strict=True)
    ]
    return without(text, judged)


@pytest.mark.parametrize(
    ("text", "false", "left"),
    [
        ("At the top there is a small brown fox.", "a small fox", "At the top there is a brown fox."),
        ("There is an orange fox.", "an orange fox", "There is a fox."),
        ("On the left there is a brown fox.", "the fox is on the left", "There is a brown fox."),
        ("There is a fox. A dog is on the lawn.", "a fox", "A dog is on the lawn."),
        ("A red car, a dog and a cat are on the lawn.", "a cat", "A red car and a dog are on the lawn."),
        ("There are a cat and a dog.", "a cat", "There is a dog."),
        ("There are a cat, a bird and a dog.", "a dog", "There are a cat and a bird."),
        ("There are three dogs on the lawn.", "three dogs", "There are some dogs on the lawn."),
        (ROOM, "trees", "It is outdoors, with the sky, buildings and plants."),
        (ROOM, "plants", "It is outdoors, with the sky, buildings and trees."),
        (ROOM, "sky", "It is outdoors, with buildings, trees and plants."),
        ('The writing says "EXIT", "STOP" and "GO".', 'the writing says "STOP"', 'The writing says "EXIT" and "GO".'),
        ("The car is red. It stands on the left.", "a red car", "There is a car. It stands on the left."),
        ("A dog is running on the beach while a man throws a ball.", "a man", "A dog is running on the beach."),
        (TRUCK, "umbrellas", "There is a blue truck at the bottom left."),
        ("A red car and a dog are on the lawn.", "a car", "A dog is on the lawn."),
        ("There are four black, grey and white cats.", "white cats", "There are four black and grey cats."),
        ("There are four black, grey and white cats.", "grey cats", "There are four black and white cats."),
        ("The dog is black, brown and white.", "a brown dog", "The dog is black and white."),
        ("The dog is black, brown and white.", "a white dog", "The dog is black and brown."),
    ],
)
def test_a_sentence_is_repaired(text: str, false: str, left: str) -> None:
    assert rewritten(text, false) == left


def test_what_cannot_be_repaired_goes_as_a_whole() -> None:
    assert rewritten("The dog is brown.", "a brown dog") == "There is a dog."
    assert rewritten("There is a dog.", "a dog") == ""


def test_a_true_caption_stays_as_it_is() -> None:
    text = "There is a dog,  a poodle.\nIt is brown"
    assert without(text, extract_claims(text)) == text
