"""Each claim is asked alone, parents first, and judged by scores and by what witnesses found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from agents.audit.auditor import PictureClaims, audit_claims, verdict_of
from agents.audit.checks import COLOURS, Check, checks_of
from agents.audit.evidence import evidence_for
from agents.claims.extract import extract_claims
from core.findings import Box, Findings, TextLine, Thing
from core.records import Claim
from core.scoring import named_choice
from core.vision import EncodedImage, VisualQuestion
from tests.agents.fakes import CountingVision

Truth = Callable[[str, str], bool]  # whether a choice is the answer to a question


class ScoringVision(CountingVision):
    """Gives .9 to the choices that are true, in one call per level of claims."""

    def __init__(self, truth: Truth) -> None:
        super().__init__()
        self.truth = truth
        self.calls: list[list[VisualQuestion]] = []

    def score(self, questions: Sequence[VisualQuestion], choices: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        self.calls.append(list(questions))
        return [
            tuple(math.log(0.9 if self.truth(one.question or "", choice) else 0.02) for choice in each)
            for one, each in zip(questions, choices, strict=True)
        ]


def image(name: str = "a") -> EncodedImage:
    return EncodedImage(name * 64, "1", None)


def claim(text: str, number: int = 0) -> Claim:
    return extract_claims(text)[number]


def checks(text: str, kind: str) -> tuple[Check, ...]:
    claims = extract_claims(text)
    [one] = [claim for claim in claims if claim.kind == kind]
    return checks_of(one, claims)


def test_a_thing_is_asked_for_by_its_name_and_number() -> None:
    assert [check.question for check in checks("There is a car.", "thing")] == [
        "Is there a car in the picture?",
        "Do you see a car?",
    ]
    assert checks("There are some cars.", "thing")[0].question == "Are there cars in the picture?"
    assert checks("There is grass.", "thing")[0].question == "Is there grass in the picture?"


def test_a_colour_is_chosen_among_all_and_then_asked_for() -> None:
    chosen, plain = checks("A red car is in a garage.", "attribute")
    assert chosen.question == "What colour is the car?" and set(chosen.labels) == set(COLOURS)
    assert "the car is red" in chosen.choices and chosen.holds == "red"
    assert plain.question == "Is the car red?"


def test_a_second_colour_is_asked_for_beside_the_first() -> None:
    claims = extract_claims("There is a black cow with some white.")
    first, second = ([*checks_of(one, claims)] for one in claims if one.kind == "attribute")
    assert [len(first), first[0].holds, first[0].beside] == [2, "black", {"white"}]
    [check] = second  # "Is the cow white?" would be denied
    assert check.question == "What colour is the cow?" and check.holds == "white"
    assert {"the cow is black and white", "the cow is mostly black, with some white"} <= set(check.choices)
    for answer, true in {
        "black and white": True,
        "white and black": True,
        "black": False,
        "black and red": False,
    }.items():
        named = named_choice(f"The cow is {answer}.", check.choices)
        assert named is not None and (check.labels[named] == "white") is true


def test_left_is_asked_about_as_right_too() -> None:
    where, mirrored = checks("There is a dog on the left.", "place")
    assert where.question == "Where is the dog?" and where.holds == "left"
    assert mirrored.question == "Is the dog on the right?" and mirrored.holds == "no"


def test_a_relation_is_asked_about_as_its_opposite_too() -> None:
    claims = (
        Claim(text="the cup is above the plate", kind="relation", start=0, end=9, about="cup", value="above plate"),
    )
    plain, opposite = checks_of(claims[0], claims)
    assert (plain.question, plain.holds) == ("Is the cup above the plate?", "yes")
    assert (opposite.question, opposite.holds) == ("Is the cup below the plate?", "no")


def test_what_a_caption_says_of_two_things_of_one_name_is_no_alternative() -> None:
    claims = extract_claims("There is a red ball. There is a blue ball.")
    colours = [check for one in claims for check in checks_of(one, claims) if len(check.choices) > 2]
    assert [(check.holds, set(check.beside)) for check in colours] == [("red", {"blue"}), ("blue", {"red"})]


@pytest.mark.parametrize(("mine", "other", "odds"), [(0.9, 0.1, math.log(9)), (0.2, 0.2, 0.0), (0.0, 0.5, -9.0)])
def test_the_odds_of_a_claim_are_those_against_its_best_alternative(mine: float, other: float, odds: float) -> None:
    check = Check("?", ("yes", "no"), ("yes", "no"), "yes")
    scores = [math.log(one) if one else -math.inf for one in (mine, other)]
    assert check.log_odds(scores) == pytest.approx(odds)


def test_children_of_a_denied_parent_are_not_asked() -> None:
    vision = ScoringVision(lambda question, choice: choice == "no")
    claims = extract_claims("There is a red car on the left.")
    [audited] = audit_claims(vision, [PictureClaims(image(), claims)])
    assert [one.verdict for one in audited.claims] == ["contradicted"] * len(claims)
    assert [one.question for call in vision.calls for one in call] == [
        "Is there a car in the picture?",
        "Do you see a car?",
    ]
    assert audited.questions == 2 and len({one.score for one in audited.claims}) == 1


def test_parents_are_asked_first_all_pictures_together_and_nothing_twice() -> None:
    vision = ScoringVision(lambda question, choice: choice in ("yes", "red", "the car is red", "left"))
    claims = extract_claims("There is a red car on the left.")
    both = [PictureClaims(image("a"), claims), PictureClaims(image("a"), claims), PictureClaims(image("b"), claims)]
    audits = audit_claims(vision, both)
    assert len(vision.calls) == 2, "one call for the things, one for what is said of them"
    assert len(vision.calls[0]) == 4, "two wordings for each of two pictures"
    assert all(one.history == () for call in vision.calls for one in call)
    assert [audit.claims for audit in audits] == [audits[0].claims] * 3
    assert audits[0].claims[0].evidence == vision.name


def test_no_question_quotes_another_claim() -> None:
    vision = ScoringVision(lambda question, choice: choice == "yes")
    audit_claims(vision, [PictureClaims(image(), extract_claims("There is a red car. There is a blue house."))])
    about_cars = [one.question or "" for call in vision.calls for one in call if "car" in (one.question or "")]
    assert about_cars and not any("blue" in question for question in about_cars)


def test_the_threshold_decides() -> None:
    assert [verdict_of(score) for score in (0.2, 0.5, 0.6)] == ["contradicted", "unsupported", "supported"]
    assert verdict_of(0.5, threshold=0.9) == "unsupported" and verdict_of(0.2, threshold=0.1) == "supported"


def test_a_model_that_gives_words_is_asked_for_them() -> None:
    vision = CountingVision({"Is there a car in the picture?": "Yes.", "Do you see a car?": "Yes, a car."})
    [audited] = audit_claims(vision, [PictureClaims(image(), extract_claims("There is a car."))])
    assert audited.claims[0].score == pytest.approx(0.9) and audited.claims[0].verdict == "supported"


def found(*things: Thing, lines: tuple[TextLine, ...] = ()) -> Findings:
    return Findings(witness="w", revision="1", width=300, height=300, things=things, lines=lines)


def at(left: float) -> Box:
    return Box(left=left, top=0, right=left + 20, bottom=20)


def test_what_witnesses_find_speaks_for_things_numbers_and_places() -> None:
    man, dog = Thing(name="person", score=0.9, box=at(10)), Thing(name="dog", score=0.8, box=at(200))
    claims = extract_claims("There is a man on the left. There are two dogs on the left.")
    odds = {(one.kind, one.about): evidence_for(one, [found(man, dog)]).log_odds for one in claims}
    assert odds["thing", "man"] > 0 and odds["place", "man"] > 0
    assert odds["number", "dog"] < 0 and odds["place", "dog"] < 0
    assert evidence_for(claims[0], [found()]).log_odds == 0, "a detector knows few names"


def test_text_is_judged_by_a_reader_alone() -> None:
    [sign] = [one for one in extract_claims('A sign says "EXIT".') if one.kind == "text"]
    read = found(lines=(TextLine(text="EX1T ONLY", score=0.9, box=at(0)), TextLine(text="exit", score=0.9, box=at(0))))
    vision = ScoringVision(lambda question, choice: choice == "yes")
    for findings, verdict in (((read,), "supported"), ((found(),), "contradicted")):
        [audited] = audit_claims(vision, [PictureClaims(image(), [sign], findings)])
        assert audited.claims[0].verdict == verdict and audited.claims[0].evidence == "w"
    assert not any(vision.calls)
    [audited] = audit_claims(vision, [PictureClaims(image(), [sign])])
    assert audited.claims[0].question == 'Does it say "EXIT"?'


def test_claims_whose_parents_form_a_circle_are_judged_all_the_same() -> None:
    claims = [
        claim("There is a car.").model_copy(update={"parent": 1}),
        claim("There is a dog.").model_copy(update={"parent": 0}),
    ]
    [audited] = audit_claims(ScoringVision(lambda *_: True), [PictureClaims(image(), claims)])
    assert all(one.verdict for one in audited.claims)
