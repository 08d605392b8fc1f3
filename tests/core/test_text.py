"""Clean-ups end, and phrases that are said over and over are folded in time that grows with the text alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.text import ROUNDS, repeats_itself, sentences, settled, whole_sentences, without_loops


class Counted(str):
    """A word that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def comparisons(words: Sequence[str]) -> int:
    Counted.compared = 0
    keys = [Counted(f"{word}\0"[:-1]) for word in words]  # no two of them are one object
    without_loops(words, keys, signs=False)
    return Counted.compared


def test_a_clean_up_is_repeated_until_nothing_changes() -> None:
    assert settled(lambda text: text.replace("()", ""), "a((()))b") == "ab"


def test_a_clean_up_ends() -> None:
    calls: list[str] = []

    def longer(text: str) -> str:
        calls.append(text)
        return text + "x"

    assert settled(longer, "") == "x" * ROUNDS
    assert len(calls) == ROUNDS


@pytest.mark.parametrize(
    ("words", "folded"),
    [
        ("very very good", "very very good"),
        ("very very very good", "very good"),
        ("a dog runs a dog runs and sits", "a dog runs and sits"),
        ("a b a b a", "a b a b a"),
        ("a b a b a b a", "a b a"),
        ("", ""),
    ],
)
def test_phrases_are_folded_into_their_last_copy(words: str, folded: str) -> None:
    assert without_loops(words.split(), words.split()) == folded.split()


def test_signs_alone_may_be_no_phrase() -> None:
    assert without_loops(["-"] * 4, [""] * 4, signs=False) == ["-"] * 4
    assert without_loops(["-"] * 4, [""] * 4) == ["-"]


@pytest.mark.parametrize("phrase", ["a", "a b", "a a b", "-", "a b c d e f g h i j k l", "a - b - "])
def test_folding_is_linear(phrase: str) -> None:
    few, many = (comparisons((phrase.split() * times)[:1200]) for times in (100, 200))
    assert many <= 2.2 * few + 100


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("A dog runs. It is brown!", ["A dog runs.", "It is brown!"]),
        ("Dr. Smith says “stop!” Then he goes... ok", ["Dr. Smith says “stop!”", "Then he goes...", "ok"]),
        ("No. Bus No. 5 is red", ["No.", "Bus No. 5 is red"]),
        ("一只狗。它在跑！\nA line", ["一只狗。", "它在跑！", "A line"]),
        ("It costs £5.50 (about €6). e.g. here.", ["It costs £5.50 (about €6).", "e.g. here."]),
        ("", []),
    ],
)
def test_a_text_is_split_into_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("A dog runs. It is", "A dog runs."),
        ('He says "no." And', 'He says "no."'),
        ("See Dr. Smith", "See Dr. Smith"),
        ("A dog runs.", "A dog runs."),
        ("A dog runs", "A dog runs"),
    ],
)
def test_an_unfinished_sentence_is_cut(text: str, whole: str) -> None:
    assert whole_sentences(text) == whole


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("", False),
        ("A red ball lies on the grass.", False),
        ("It is a ball. It is a ball. It is a ball.", True),
        ("The dog is brown. The cat is grey. The dog is brown. The cat is grey. The dog is", True),
        ("I see a ball, and a ball, and a ball, and a ball, and a ball, and a", True),
        ("Two dogs sit on a lawn. One is brown. One is brown. Behind them are trees and a long white fence.", False),
    ],
)
def test_a_text_that_says_the_same_over_and_over(text: str, loops: bool) -> None:
    assert repeats_itself(text) is loops
