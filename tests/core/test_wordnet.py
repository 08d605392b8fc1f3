"""Words and their kinds, as the tables of WordNet have them."""

from __future__ import annotations

import pytest

from core.english import wordnet


@pytest.mark.parametrize(
    ("word", "kind"), [("poodle", "dog"), ("sofa", "couch"), ("car", "vehicle"), ("kid", "child"), ("tv", "television")]
)
def test_a_word_is_a_kind_of_itself_its_synonyms_and_what_is_above(word: str, kind: str) -> None:
    assert wordnet.is_kind_of(word, kind) and wordnet.is_kind_of(word, word)


@pytest.mark.parametrize(("word", "kind"), [("dog", "poodle"), ("dog", "cat"), ("person", "man"), ("xyzzy", "dog")])
def test_a_word_is_no_kind_of_others(word: str, kind: str) -> None:
    assert not wordnet.is_kind_of(word, kind)


def test_similar_adjectives() -> None:
    assert wordnet.is_kind_of("big", "large", "a") and wordnet.is_kind_of("tiny", "small", "a")
    assert not wordnet.is_kind_of("big", "red", "a")


@pytest.mark.parametrize(
    ("word", "part", "base"),
    [("feet", "n", "foot"), ("rode", "v", "ride"), ("sitting", "v", "sit"), ("boxes", "n", "box"), ("blorf", "n", "")],
)
def test_base_forms(word: str, part: wordnet.Part, base: str) -> None:
    assert wordnet.base(word, part) == base


def test_parts_of_speech_are_counted() -> None:
    assert set(wordnet.uses("riding")) == {"v"}
    assert wordnet.uses("") == wordnet.uses("blorf") == {}


def test_the_kinds_of_a_noun_ascend_step_by_step() -> None:
    [poodle], [dog] = wordnet.ascending("poodles")[0], wordnet.ascending("dog")[0]
    steps = [step for step, synsets in enumerate(wordnet.ascending("poodle")) if dog in synsets]
    assert steps == [1]
    assert poodle not in set().union(*wordnet.ascending("poodle")[1:])
    assert wordnet.ascending("dog")[-1] == wordnet.ascending("table")[-1], "the most general kind"
    assert wordnet.ascending("riding toy dog") == wordnet.ascending("dog"), "the last word, where the whole is unknown"
    assert wordnet.ascending("blorp") == wordnet.ascending("") == ()
