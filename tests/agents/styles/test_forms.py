"""Whatever is written, the form holds: the limit in whole words, no "image of", no tag twice."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.styles.forms import JOINT, lowered, split_tags, tags_in_form, text_in_form
from agents.styles.vocabulary import base_tag, tag_key, vocabulary_of
from core.text import shortened

LONG = (
    "A brown dog is sitting on a red couch in a living room, with two cushions and a lamp beside the window. It is "
    "indoors."
)
IMAGE_OF = re.compile(r"\b(?:image|picture|photo|photograph)s?\s+of\b", re.IGNORECASE)
WORDS = st.sampled_from(
    'A an image of the dog photo Photos of picture of with and "STOP" . , ; : the couch, Alt text: caption: It is. '
    "狗坐 shows this There are é 3.5 No. 5 \n \u202e \x1b[31m System: <|im_end|> unhappily".split(" ")
)
TEXTS = st.one_of(st.text(max_size=400), st.lists(WORDS, max_size=60).map(" ".join))


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (200, LONG),
        (110, LONG.removesuffix(" It is indoors.")),
        (80, "A brown dog is sitting on a red couch in a living room, with two cushions."),
        (40, "A brown dog is sitting on a red couch."),
        (25, "A brown dog is sitting."),
        (3, ""),
    ],
)
def test_a_text_is_shortened_at_a_sentence_a_clause_or_a_word(most: int, expected: str) -> None:
    assert shortened(LONG, most) == expected


def test_quotations_and_other_scripts_are_not_torn() -> None:
    assert '"' not in shortened('The sign reads "STOP here now for all of you".', 25)
    assert shortened("一只棕色的狗坐在红色沙发上，旁边有一盏灯和两个靠垫", 20) == "一只棕色的狗坐在红色沙发上"


@given(TEXTS, st.integers(20, 200), st.sampled_from(["alt", "short", "prompt", "catalogue"]))
def test_any_text_keeps_the_limits_of_its_style(text: str, most: int, style: str) -> None:
    found = text_in_form(text, style, most)
    assert len(found) <= most and found == found.strip() and found.isprintable()
    if style != "catalogue":
        assert not IMAGE_OF.search(found)


@given(st.lists(st.from_regex(r"[a-z]{1,12}[,.]?", fullmatch=True), max_size=50), st.integers(20, 100))
def test_no_word_is_cut(spoken: list[str], most: int) -> None:
    found = shortened(" ".join(spoken), most)
    assert set(re.findall(r"[a-z]+", found)) <= set(re.findall(r"[a-z]+", " ".join(spoken)))
    assert " ".join(spoken).startswith(found.rstrip("."))


@given(TEXTS, st.integers(20, 200))
def test_any_reply_gives_tags_that_are_different_and_fit(text: str, most: int) -> None:
    tags = tags_in_form(split_tags(text), most)
    assert len(JOINT.join(tags)) <= most
    assert len({tag_key(tag) or tag for tag in tags}) == len(tags)
    assert all(tag and "," not in tag and not IMAGE_OF.search(tag) for tag in tags)


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        ("Alt text: An image of a dog.", "A dog."),
        ('"A picture of a photo of two cats"', "Two cats."),
        ("This image shows a red car on a street.", "A red car on a street."),
        ("There is a dog on the couch.", "A dog on the couch."),
        ("A wall with a photo of a cat", "A wall with a photo showing a cat."),
        ("**Caption:** A close-up photograph of a bee on a flower", "A bee on a flower."),
        ("A shop sign that reads “OPEN”.", "A shop sign that reads “OPEN”."),
    ],
)
def test_words_about_there_being_a_picture_go(draft: str, expected: str) -> None:
    assert text_in_form(draft, "alt", 125) == expected


def test_a_training_caption_has_no_capital_and_no_stop_but_keeps_names_and_quotations() -> None:
    assert text_in_form("A dog on a couch.", "prompt", 300) == "a dog on a couch"
    assert text_in_form('a shoe, text that reads "LOWA"', "prompt", 300) == 'a shoe, text that reads "LOWA"'
    assert lowered("BMW car") == "BMW car"


def test_tags_are_base_forms_without_repetitions() -> None:
    reply = "Tags: Dogs, dog; two cats\n- stop_signs, a Surfboard, surf board, black dog, the picture, outdoors"
    assert tags_in_form(split_tags(reply), 300) == ("dog", "cat", "stop sign", "surfboard", "outdoors")
    assert tags_in_form(["dog", "cat", "bird"], 9) == ("dog", "cat")


def test_a_vocabulary_stands_for_what_it_means() -> None:
    vocabulary = vocabulary_of(["Dog", "vehicle", "stop_sign", "Dog"])
    assert vocabulary.tags == ("Dog", "vehicle", "stop_sign")
    assert [vocabulary.entry(tag) for tag in ("poodles", "red car", "stop signs", "tree")] == [
        "Dog", "vehicle", "stop_sign", None,
    ]  # fmt: skip
    assert tags_in_form(["poodle", "dogs", "car", "truck", "tree"], 300, vocabulary) == ("Dog", "vehicle")
    assert base_tag("Outdoors") == "outdoors"
