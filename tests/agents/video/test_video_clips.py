"""How the benchmark of made clips counts."""

from __future__ import annotations

from benchmarks.video_clips import Appearance, Score, mentioned_at, score, summary

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
