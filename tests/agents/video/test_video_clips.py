"""How the benchmark of made clips counts."""

from __future__ import annotations

from agents.claims.extract import extract_claims
from agents.interview.events import Audited
from benchmarks.video_clips import (
    Appearance,
    AuditScore,
    Score,
    audit_score,
    audit_summary,
    mentioned_at,
    score,
    summary,
)
from core.records import Caption, Claim, PictureInfo

TRUTH = (Appearance("duck", 0.0, 8.0), Appearance("ball", 2.0, 8.0), Appearance("green apple", 5.0, 8.0))
KNOWN = ("duck", "ball", "green apple", "apple", "dog", "hot dog")


def test_a_story_that_has_it_all() -> None:
    told = "At first there is a yellow duck. Then a ball appears. Later a green apple appears."
    assert score(told, TRUTH, KNOWN) == Score(("ball", "green apple"), ("ball", "green apple"), 3, 3, ())


def test_what_is_missing_out_of_order_or_invented() -> None:
    told = "There are two balls, then a duck and a hot dog."
    assert score(told, TRUTH, KNOWN) == Score(("ball", "green apple"), ("ball",), 0, 2, ("dog", "hot dog"))
    assert score("There is a ball.", TRUTH, KNOWN).ordered == 0, "one thing alone has no order"
    assert score("Nothing.", TRUTH, KNOWN).named == ()


def test_names_are_whole_words() -> None:
    assert mentioned_at("ball", "a basketball") is None
    assert mentioned_at("ball", "Two Balls") == 4


def test_shares() -> None:
    scores = [
        score("A duck, then a ball, then a green apple.", TRUTH, KNOWN),
        score("A ball and then a duck and a dog.", TRUTH, KNOWN),
    ]
    figures = summary(scores, [1.0, 3.0])
    assert figures == {
        "clips": 2,
        "appear": 4,
        "named": 0.75,
        "in order": 0.6,
        "invented per clip": 0.5,
        "seconds per clip": 2.0,
    }


def test_false_things_are_planted_and_counted() -> None:
    told = Caption(
        picture=PictureInfo(sha256="0" * 64, source="clip.mp4", width=1, height=1),
        summary="At first there is a duck. Then a green apple appears. Then a ball appears.",
    )
    planted: list[str] = []

    def audit(earlier: Caption) -> list[Audited]:
        assert earlier.unaudited and earlier.summary.startswith(told.summary)
        planted.append(earlier.summary.removeprefix(told.summary))
        false = ("ball", planted[0].split()[-1].rstrip("."))  # it loses the ball and finds the last planted thing

        def judged(claim: Claim) -> Claim:
            verdict = "contradicted" if claim.about in false else "supported"
            return claim.model_copy(update={"verdict": verdict})

        return [Audited(tuple(map(judged, extract_claims(earlier.summary))), "", 7, 0.5)]

    known = (*KNOWN, "kite", "boat", "lemon", "lamp")
    found = audit_score(told, TRUTH, known, 1, audit)
    assert found == AuditScore(found=1, there=3, lost=1, questions=7, seconds=0.5)
    assert not {"duck", "ball", "apple"} & set(planted[0].replace(".", "").split()), "what is there is not planted"
    assert audit_summary([found, found]) == {
        "planted found": 0.333,
        "true things": 6,
        "true things lost": 0.333,
        "audit questions": 7.0,
        "audit seconds": 0.5,
    }
