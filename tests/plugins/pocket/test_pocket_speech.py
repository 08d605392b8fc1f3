"""How pocket's answers about photographs are corrected before they are shown, and what it says of backgrounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from core.images.picture import open_picture
from core.registry import get_registry
from core.testing import make_picture
from core.vision import EncodedImage, VisualQuestion
from core.witness import Box
from plugins.pocket.asked import Vocabulary, asks_for_background, asks_for_palette, facts_for, refers_back, there, total
from plugins.pocket.backend import PocketBackend
from plugins.pocket.sight import Seen, Sight, background_colours
from plugins.pocket.speech.scenes import STRANGER, Listed, completed
from plugins.pocket.speech.tidy import claims, faithful, finished, sentences, tidied, true_to
from plugins.pocket.speech.words import caption, description

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"
SIGHT = Sight(
    things=(
        Seen("person", count=2, place=None, columns=(1, 1, 0)),
        Seen("person", member=True, place=3, colours=("red",)),
        Seen("person", member=True, place=4, colours=("blue",)),
        Seen("keyboard", place=4, colours=("black",)),
        Seen("tv", place=4, colours=("blue",)),
    ),
    scene=("indoors",),
)
TRUE = description(SIGHT, ["grey"])


@pytest.fixture(scope="module")
def pocket() -> PocketBackend:
    backend = get_registry().create_vision("pocket")
    assert isinstance(backend, PocketBackend)
    return backend


def photograph(pocket: PocketBackend, sight: Sight, **fields: object) -> EncodedImage:
    """A picture that counts as a photograph with this sight."""
    [image] = pocket.encode([make_picture(260, 260, (50, 100, 200))])
    return replace(image, data=replace(image.data, sight=sight, **fields))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("i see a car, a car and a dog.", "I see a car and a dog."),
        ("i see a car and a car.", "I see a car."),
        ("i see a black and white dog and a white dog.", "I see a black and white dog and a white dog."),
        ("there is a tie on the right and a tie on the left.", "There is a tie on the right and a tie on the left."),
        ("there is a tie. there is a tie. it is indoors.", "There is a tie. It is indoors."),
        ("the picture shows a landscape at the top in the middle.", "The picture shows a landscape."),
        ("there is a lamp in the middle and a library on the left.", "There is a lamp in the middle and a library."),
        ("the landscape is in the middle.", "The landscape is in the middle."),
        ("they are dressed in black and black, from left to right.", "They are dressed in black."),
        (
            "they are dressed in blue, blue, blue and black, from left to right.",
            "Three of them are dressed in blue and one in black.",
        ),
        (
            "they are dressed in red, black and white, from left to right.",
            "They are dressed in red, black and white, from left to right.",
        ),
        ("the clothes are blue, blue and black.", "The clothes are blue and black."),
    ],
)
def test_nothing_is_said_twice_and_what_is_all_around_has_no_place(written: str, shown: str) -> None:
    assert sentences(tidied(written)) == shown


@pytest.mark.parametrize(
    "written",
    [
        "the picture shows two people, one on the left and one in the middle. it is indoors.",
        TRUE.replace("black keyboard", "blue keyboard"),
        TRUE.replace("a blue tv in the middle", "a black keyboard in the middle"),
        f"{TRUE} there is a blue tv in the middle.",
        "i am not sure what this is, perhaps a lake with the sky. it looks like a sky.",
    ],
)
def test_a_description_that_differs_from_the_symbols_is_not_shown(written: str) -> None:
    assert faithful(written, TRUE) == TRUE


def test_a_description_may_name_things_in_any_order_and_other_answers_stay() -> None:
    first, second = "a black keyboard in the middle", "a blue tv in the middle"
    assert f"there is {first} and {second}." in TRUE
    other = TRUE.replace(f"{first} and {second}", f"{second} and {first}")
    assert faithful(other, TRUE) == other
    assert faithful("i see two people.", TRUE) == "i see two people."
    assert claims("there is a red and blue tv in the middle and a tie on the left.") == claims(
        "there is a tie on the left. there is a red and blue tv in the middle."
    )
    assert faithful("a cat.", "two people.", caption=True) == "two people."


def test_one_person_and_the_clothes_are_one_sentence() -> None:
    one = description(Sight(things=(Seen("person", place=4, colours=("grey",)),)), ["grey"])
    assert sentences(faithful(one, one)) == "The picture shows a person in the middle, dressed in grey."


def test_a_description_leaves_out_writing_that_nobody_can_read() -> None:
    assert description(replace(SIGHT, blurred=True), ["grey"]) == TRUE


def test_only_complete_sentences_are_sent_before_the_end() -> None:
    assert finished("i see a car") == finished("i see a car.") == ""
    assert finished("i see a car. it is") == "i see a car."


@pytest.mark.parametrize(
    "question", ["Describe this picture in detail.", None, "What is in the middle?", "Is there a tv?"]
)
def test_the_streamed_pieces_of_a_photograph_are_its_answer(pocket: PocketBackend, question: str | None) -> None:
    asked = VisualQuestion(photograph(pocket, SIGHT), question)
    assert "".join(pocket.stream(asked)) == pocket.answer([asked])[0]


def test_the_description_of_a_photograph_holds_what_the_symbols_say(pocket: PocketBackend) -> None:
    image = photograph(pocket, SIGHT)
    long, short = pocket.answer(
        [VisualQuestion(image, "Describe this picture in detail."), VisualQuestion(image, None)]
    )
    assert claims(long.lower()) == claims(sentences(tidied(TRUE)).lower())
    assert short == sentences(f"{caption(SIGHT, [])}.")


def test_several_things_of_one_name_at_a_side_are_one_entry() -> None:
    car = Seen("car", place=3, member=True)
    sight = Sight(things=(Seen("car", count=3, place=None, columns=(2, 0, 1)), car, car, replace(car, place=5)))
    assert [(one.name, one.count, one.place) for one in there("left", sight)] == [("car", 2, 3)]
    assert [(one.name, one.count) for one in there("right", sight)] == [("car", 1)]
    assert facts_for("What is on the left?", (), sight, Vocabulary(())) == [
        "<asked> left <yes>",
        "<thing> two car <place3>",
    ]


# --- backgrounds --------------------------------------------------------------------------------------------------


def test_the_background_is_measured_outside_all_things() -> None:
    image = Image.new("RGB", (300, 200), (52, 150, 70))
    ImageDraw.Draw(image).rectangle((50, 20, 250, 180), fill=(206, 32, 38))
    box, whole = Box(left=50, top=20, right=250, bottom=180), Box(left=0, top=0, right=300, bottom=200)
    assert background_colours([box], image.size, np.asarray(image)) == ("green",)
    assert background_colours([whole], image.size, np.asarray(image)) == (), (
        "nothing is outside, and no colour prevails"
    )
    ImageDraw.Draw(image).rectangle((0, 100, 300, 200), fill=(50, 100, 200))
    assert set(background_colours([box], image.size, np.asarray(image))) == {"green", "blue"}


def test_a_question_about_the_background_is_answered_by_its_colour_where_nothing_else_is_known(
    pocket: PocketBackend,
) -> None:
    green = replace(SIGHT, background=("green",))
    image = photograph(pocket, green)
    for question in ("Which colour is the background?", "What can be seen in the background?"):
        [answer] = pocket.answer([VisualQuestion(image, question)])
        assert "background" in answer and "green" in answer and "blue" not in answer
    assert not asks_for_background("What can be seen in the background?", replace(green, scene=("sky",)))
    assert not asks_for_background("Is there a dog in the background?", green)
    assert not asks_for_background("What colour is the background?", SIGHT)


@pytest.mark.parametrize(
    "question",
    ["What are the main colours?", "Which colors can you see?", "What are the dominant colours in the photo?"],
)
def test_a_question_about_all_colours_is_answered_by_those_of_the_whole_picture(
    pocket: PocketBackend, question: str
) -> None:
    [cat] = pocket.encode([open_picture(PHOTOS / "cat.jpg")])
    assert pocket.answer([VisualQuestion(cat, question)]) == ["The main colour is brown."]


def test_a_question_about_the_colours_of_a_thing_is_none_about_the_picture() -> None:
    vocabulary = Vocabulary(())
    for question in ("What are the main colours of the cat?", "What colours are in the background?", "What is it?"):
        assert not asks_for_palette(question, vocabulary)


def test_breeds_have_capitals(pocket: PocketBackend) -> None:
    [cat] = pocket.encode([open_picture(PHOTOS / "cat.jpg")])
    assert "Egyptian cat" in pocket.answer([VisualQuestion(cat, None)])[0]


def test_a_doubtful_photograph_is_searched_for_the_cut_out_that_a_question_names(pocket: PocketBackend) -> None:
    image = photograph(pocket, Sight())
    votes = image.data.votes.clone()
    votes[pocket.engine.lookup.numbers["duck"] - 1] = torch.tensor([0.4, 3.0, 4.0])
    asked = VisualQuestion(image, "Is there a duck?")
    certain = replace(asked, image=replace(image, data=replace(image.data, votes=votes)))
    doubtful = replace(asked, image=replace(image, data=replace(image.data, votes=votes, doubtful=True)))
    assert [answer.startswith("Yes") for answer in pocket.answer([certain, doubtful])] == [False, True]


def test_the_demo_says_what_the_background_of_the_cat_looks_like(pocket: PocketBackend) -> None:
    [cat] = pocket.encode([open_picture(PHOTOS / "cat.jpg")])
    [answer] = pocket.answer([VisualQuestion(cat, "Which colour is the background?")])
    assert answer == "The background is mostly brown."


# --- composed scenes ----------------------------------------------------------------------------------------------

LISTED = (Listed("duck", 5, "yellow"), Listed("train car", 3, "red"), Listed(STRANGER, 1, "grey"))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (
            "the picture shows three things on a plain red background. on the left there is a small red train car. "
            "on the left there is a small red train car. on the right there is a yellow duck with some black.",
            "the picture shows three things on a plain red background. on the left there is a small red train car. "
            "at the top in the middle there is a grey unknown thing. "
            "on the right there is a yellow duck with some black.",
        ),
        (
            "the picture shows one thing on a photograph in grey. on the right there is a red train car.",
            "the picture shows three things on a photograph in grey. on the left there is a red train car. "
            "at the top in the middle there is a grey unknown thing. on the right there is a yellow duck.",
        ),
        ("i see a red train car.", "i see a red train car."),
    ],
)
def test_a_description_of_a_scene_tells_of_each_listed_thing_once(written: str, shown: str) -> None:
    assert completed(written, LISTED) == shown
    assert completed(shown, LISTED) == shown
    assert completed(written, ()) == written


def test_names_without_an_article_keep_their_form() -> None:
    assert Listed("sun", 0, "yellow").sentence == "at the top left there is the sun."
    assert Listed("cherries", 8, "red").sentence == "at the bottom right there are some red cherries."
    assert Listed("octopus", 4, "").sentence == "in the middle there is an octopus."


@pytest.mark.parametrize(
    ("question", "facts", "count"),
    [
        ("How many people are there?", ["<asked> person <yes> seven", "<thing> seven person"], "seven"),
        ("How many dogs can you see in the picture?", ["<asked> dog <yes> about fifteen"], "about fifteen"),
        ("How many people? Answer with a number.", ["<asked> person <yes> two"], "two"),
        ("How many dogs are there?", ["<asked> dog <yes>"], ""),
        ("How many dogs are there?", [], ""),
        ("How many people are on the left?", ["<asked> person <yes> seven"], ""),
        ("How many people are dressed in red?", ["<asked> person <yes> seven"], ""),
        ("What are the people wearing?", ["<asked> person <yes> seven"], ""),
    ],
)
def test_which_questions_ask_for_the_number_that_was_counted(question: str, facts: list[str], count: str) -> None:
    assert total(question, facts) == count


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("there are ten people.", "there are seven people."),
        ("there are seven people.", "there are seven people."),
        ("ten.", "seven."),
        ("i am not sure.", "i am not sure."),
    ],
)
def test_the_number_of_an_answer_is_the_one_that_was_counted(written: str, shown: str) -> None:
    assert true_to(written, ["<asked> person <yes> seven"], "seven") == shown
    assert true_to(written, ["<asked> person <yes> seven"]) == written


@pytest.mark.parametrize(
    ("written", "facts", "shown"),
    [
        ("i see no people.", ["<asked> person <perhaps>", "<thing> person"], "i am not sure."),
        ("there is no street.", ["<asked> street <unknown>"], "i am not sure."),
        ("there are no people.", ["<asked> person <perhaps>", "<thing> person"], "there are no people."),
        ("i see no cat.", ["<asked> cat <no>"], "i see no cat."),
        ("i see no cat.", ["<asked> cat <perhaps>", "<asked> dog <no>"], "i see no cat."),
        ("it is outdoors.", [], "it is outdoors."),
    ],
)
def test_an_answer_does_not_deny_what_the_facts_leave_open(written: str, facts: list[str], shown: str) -> None:
    assert true_to(written, facts) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("there are seven people.", "there are about seven people."),
        ("the picture shows about fifteen people.", "the picture shows about fifteen people."),
        ("there are five people.", "there are five people."),
        ("seven of them are dressed in red.", "seven of them are dressed in red."),
        ("seven.", "seven."),
    ],
)
def test_more_than_five_are_an_estimate(written: str, shown: str) -> None:
    assert tidied(written) == shown


@pytest.mark.parametrize(
    ("question", "back"),
    [
        ("What colour is it?", True),
        ("And the other one?", True),
        ("What else is there?", True),
        ("What about the dog?", True),
        ("Why?", True),
        ("How many people are there?", False),
        ("What is going on in this picture?", False),
        ("Is there a dog in the picture?", False),
        ("What are the people wearing?", False),
    ],
)
def test_which_questions_mean_what_was_said_before(question: str, back: bool) -> None:
    assert refers_back(question) is back


def test_an_answer_about_a_photograph_does_not_depend_on_other_questions(pocket: PocketBackend) -> None:
    street = Sight(things=(Seen("person", count=7, place=7),), scene=("outdoors", "sky", "street", "building"))
    image = photograph(pocket, street)
    before = (("What colour are the buildings?", "I am not sure."),)
    for question in ("How many people are there?", "What is going on in this picture?"):
        alone, later = pocket.answer([VisualQuestion(image, question), VisualQuestion(image, question, before)])
        assert alone == later
    assert pocket.ask(image, "How many people are there?") == "There are about seven people."


def test_of_what_surrounds_everything_neither_number_nor_place_is_told(pocket: PocketBackend) -> None:
    street = Sight(things=(Seen("person", count=2, place=4),), scene=("outdoors", "street", "building"))
    vocabulary = Vocabulary(["street", "building", "beach"])
    for question in ("How many buildings are there?", "Where are the buildings?"):
        assert facts_for(question, [], street, vocabulary) == ["<asked> building <unknown>"]
    bare = replace(street, scene=("outdoors",), odds={"building": 0.01})
    assert facts_for("How many buildings are there?", [], bare, vocabulary) == ["<asked> building <no>"]
    assert facts_for("What can be seen in the street?", [], street, vocabulary) == []
    assert facts_for("What can be seen on the beach?", [], street, vocabulary) != []
