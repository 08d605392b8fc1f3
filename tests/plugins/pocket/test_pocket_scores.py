"""The scores of pocket: the model's own probabilities, the same in one packed row as one choice at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.images.picture import open_picture
from core.registry import get_registry
from core.scoring import named_choice
from core.testing import make_picture
from core.vision import EncodedImage, Reply, VisualQuestion
from plugins.hf.scoring import spelt
from plugins.pocket.asked import asks_yes_or_no, without_form
from plugins.pocket.backend import PocketBackend

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"
YES_NO = ("yes", "no")


@pytest.fixture(scope="module")
def pocket() -> Iterator[PocketBackend]:
    backend = get_registry().create_vision("pocket")
    assert isinstance(backend, PocketBackend)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def images(pocket: PocketBackend) -> list[EncodedImage]:
    plain = [make_picture(260, 260, rgb) for rgb in ((206, 32, 38), (18, 18, 20))]
    return pocket.encode([open_picture(PHOTOS / "cat.jpg"), open_picture(PHOTOS / "coffee.jpg"), *plain])


def one_by_one(pocket: PocketBackend, question: VisualQuestion, choice: str) -> float:
    """The same score, token by token, by the steps of an ordinary generation."""
    engine = pocket.engine

    def encode(text: str) -> list[int]:
        return list(engine.tokenizer.encode(text, add_special_tokens=False).ids)

    totals = []
    for ids in spelt(choice, encode):
        row, total = engine.embeddings(pocket._prompt(question), engine.room - 10), 0.0
        for wanted in (*ids, None):
            length = len(row)
            positions = torch.arange(length)[None]
            hidden = engine.model.read(
                row[None], positions, torch.ones(length, length, dtype=torch.bool).tril()[None, None]
            )
            odds = engine.model.language_model.logits(hidden[0, -1]).log_softmax(-1)
            if wanted is None:
                total += float(odds[engine.closing].logsumexp(-1))
            else:
                total += float(odds[wanted])
                row = torch.cat([row, engine.embed(torch.tensor([wanted]))])
        totals.append(total)
    return math.log(sum(math.exp(total) for total in totals))


def test_one_packed_row_gives_what_single_choices_give(pocket: PocketBackend, images: list[EncodedImage]) -> None:
    cat, wall = images[0], images[-1]
    history = (("What is it?", "a cat."),)
    questions = [
        VisualQuestion(cat, "Is there a cat?"),
        VisualQuestion(wall, "What colour is the background?"),
        VisualQuestion(cat, "How many cats are there? Answer with a number.", history),
        VisualQuestion(cat, "Is there a cat?"),
    ]
    choices = [YES_NO, ("black", "dark red", "in the middle"), ("1", "two", "zero"), ("no", "a kitten")]
    for scores, question, each in zip(pocket.score(questions, choices), questions, choices, strict=True):
        expected = [one_by_one(pocket, question, choice) for choice in each]
        assert scores == pytest.approx(expected, abs=1e-3)


def test_each_picture_is_one_row_and_what_its_questions_share_is_read_once(
    pocket: PocketBackend, images: list[EncodedImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[torch.Size] = []
    read = type(pocket.engine.model).read

    def counted(model: object, embeds: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        shapes.append(embeds.shape)
        return read(model, embeds, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(pocket.engine.model), "read", counted)
    texts = [f"Is there {thing}?" for thing in ("a cat", "a dog", "a house", "a car", "a tree")]
    pocket.score([VisualQuestion(image, text) for text in texts for image in images[:2]], [YES_NO] * 10)
    [(rows, length, _)] = shapes
    alone = max(len(pocket.engine.embeddings(pocket._prompt(VisualQuestion(one, texts[0])), 900)) for one in images[:2])
    assert rows == 2 and length < 2 * alone, "one pass, in which ten questions take less than two rows each alone"


def test_the_likelier_answer_is_the_one_in_words(pocket: PocketBackend, images: list[EncodedImage]) -> None:
    things = "cat|dog|person|car|cup|table|tree|house|bird|flower|spoon|elephant|book|boat".split("|")
    asked = [
        VisualQuestion(image, f"Is there a {thing}?{more}")
        for image in images
        for thing in things
        for more in ("", " Answer yes or no.")
    ]
    scores, answers = pocket.score(asked, [YES_NO] * len(asked)), pocket.answer(asked)
    named = [
        named_choice(answer, YES_NO, question.question or "") for answer, question in zip(answers, asked, strict=True)
    ]
    clear = [(scores[at], choice) for at, choice in enumerate(named) if choice is not None]
    agree = sum((score[0] > score[1]) == (choice == 0) for score, choice in clear)
    print(
        f"{len(asked)} questions, {len(clear)} answered with yes or no; the likelier choice is that one {agree} times"
    )
    assert len(clear) > 0.8 * len(asked) and agree >= 0.98 * len(clear)


@pytest.mark.parametrize(
    ("question", "plain"),
    [
        ("Is there a dog? Answer with one word: yes or no.", "is there a dog?"),
        ("Answer yes or no: is there a dog?", "is there a dog?"),
        ("Is there a dog? Yes or no?", "is there a dog?"),
        ("How many dogs are there? Just the number.", "how many dogs are there?"),
        ("Tell me, a dog: yes or no?", "Tell me, a dog: yes or no?"),
        ("Yes or no?", "Yes or no?"),
        ("Describe this picture in detail.", "Describe this picture in detail."),
    ],
)
def test_how_to_answer_is_left_out_about_composed_scenes(question: str, plain: str) -> None:
    assert without_form(question) == plain


def test_a_composed_scene_is_scored_alike_with_and_without_how_to_answer(
    pocket: PocketBackend, images: list[EncodedImage]
) -> None:
    texts = ("Is there a duck?", "Is there a duck? Answer yes or no.")
    first, second = pocket.score([VisualQuestion(images[-1], text) for text in texts], [YES_NO] * 2)
    assert first == pytest.approx(second) and second[1] > math.log(0.9)


def test_the_sides_of_an_answer_are_scored(pocket: PocketBackend, images: list[EncodedImage]) -> None:
    cat = images[0]
    [there, count, nothing] = pocket.score(
        [
            VisualQuestion(cat, "Is there a cat?"),
            VisualQuestion(cat, "How many cats are there? Answer with a number."),
            VisualQuestion(cat, "Is there a cat?"),
        ],
        [YES_NO, ("1", "one", "2"), ("###", "yes")],
    )
    assert there[0] > math.log(0.9) and there[1] < math.log(0.1)
    assert count[0] == pytest.approx(count[1]) and count[0] > count[2]
    assert nothing[0] == -math.inf, "an answer of marks alone"


def test_a_thing_on_a_photograph_is_scored_by_its_evidence(pocket: PocketBackend) -> None:
    """However one asks whether it is there, with probabilities that add up; what was made out for sure is not."""
    [cat] = pocket.encode([open_picture(PHOTOS / "cat.jpg")])
    asked = ["Is there a spoon in the picture?", "Do you see a spoon?", "Are there any spoons? Answer yes or no."]
    scores = pocket.score([VisualQuestion(cat, question) for question in asked], [YES_NO] * 2 + [("No", "Yes")])
    assert scores[0] == scores[1] == scores[2][::-1]
    assert sum(map(math.exp, scores[0])) == pytest.approx(1) and scores[0][0] < scores[0][1]
    car, red_car = (VisualQuestion(cat, f"Is there a {thing} in the picture?") for thing in ("car", "red car"))
    assert pocket.score([car], [YES_NO]) != pocket.score([red_car], [YES_NO]), "the evidence knows no colours"
    [[yes, no]] = pocket.score([VisualQuestion(cat, "Is there a cat?")], [YES_NO])
    assert yes > no


def test_a_question_that_asks_for_a_word_gets_one_about_composed_scenes(
    pocket: PocketBackend, images: list[EncodedImage]
) -> None:
    plain = images[-1]  # one colour: nothing that could be recognised
    asked = [f"{question} Answer with one word: yes or no." for question in ("Is there a dog?", "Is it on the left?")]
    assert set(pocket.answer([VisualQuestion(plain, one) for one in asked])) <= {"Yes", "No"}
    *pieces, reply = pocket.pieces(VisualQuestion(plain, asked[0]))
    assert isinstance(reply, Reply) and "".join(map(str, pieces)) == reply.text and reply.output_tokens == 1
    [sentence] = pocket.answer([VisualQuestion(plain, "Is there a dog?")])
    assert sentence not in ("Yes", "No")


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Is there a dog? Answer yes or no.", True),
        ("Are there two dogs?\nAnswer the question using a single word or phrase.", True),
        ("Is there a dog?", False),
        ("What is it? Answer with one word.", False),
        ("Is it a dog or a cat? Answer with one word.", False),
    ],
)
def test_which_questions_ask_for_yes_or_no(question: str, asks: bool) -> None:
    assert asks_yes_or_no(question) is asks
