"""What pocket learns to say of photographs: questions, facts and answers made of symbols."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from core.datasets.text_lines import split_lines
from plugins.pocket.asked import Vocabulary, facts_for
from plugins.pocket.backend import MODEL
from plugins.pocket.sight import Seen, Sight, entries, written
from plugins.pocket.speech.words import caption, description
from training.pocket.sight.class_words import class_words
from training.pocket.sight.copied import copied_tokens
from training.pocket.sight.questions import HOW_OFTEN, SightQuestions
from training.pocket.sight.rewording import reworded
from training.pocket.sight.samples import random_sight
from training.pocket.sight.scene_words import WORDS
from training.pocket.vocabulary import IMAGENET, imagenet

OTHERS = sorted({phrase.split(" ", 1)[1] for phrase, _, _ in imagenet()})
SIGHT = Sight(
    things=(
        Seen("person", count=3, place=None, columns=(1, 1, 1)),
        Seen("person", member=True, place=3, colours=("purple",)),
        Seen("person", member=True, place=4, colours=("red",)),
        Seen("person", member=True, place=5, colours=("blue",)),
        Seen("dog", finer="golden retriever", place=6, size="small"),
        Seen("bench", place=5, colours=("brown",)),
    ),
    scene=("outdoors", "sky", "building"),
    lines=("SALOON", "1894"),
    odds={"outdoors": 0.9, "sky": 0.9, "building": 0.9},
    spots=((0.5, 0.5), (0.1, 0.5), (0.5, 0.5), (0.9, 0.5), (0.1, 0.9), (0.8, 0.5)),
)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(WORDS)


def test_the_description_tells_what_is_where_like_a_person() -> None:
    assert description(SIGHT, ["grey"]) == (
        "the picture shows three people, one on the left, one in the middle and one on the right. "
        "they are dressed in purple, red and blue, from left to right. "
        "there is a golden retriever at the bottom left and a brown bench on the right. "
        "it is outdoors, with the sky and buildings. the writing says <line0> and <line1>."
    )
    assert caption(SIGHT, ["grey"]) == "three people, a golden retriever and a brown bench with the sky and buildings"


def test_where_nothing_is_known_it_says_so() -> None:
    assert description(Sight(), ["blue", "white"]) == "i am not sure what this is. the main colours are blue and white."
    perhaps = Sight(things=(Seen("doormat", sure=False),))
    assert description(perhaps, ["grey"]) == "i am not sure what this is, perhaps a doormat. the main colour is grey."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("is there a dog?", "yes, there is a golden retriever at the bottom left."),
        ("are there any people?", "yes, there are three people."),
        ("is there a cat?", "no, i see no cat."),
        ("is there a mixer?", "i am not sure."),
        ("is the sky visible?", "yes, i see the sky."),
    ],
)
def test_presence(vocabulary: Vocabulary, question: str, answer: str) -> None:
    assert SightQuestions(SIGHT, ["grey"], vocabulary, OTHERS).is_there(question) == answer


@pytest.mark.parametrize(
    ("word", "long", "short"),
    [("person", "there are three people.", "three."), ("bench", "there is one bench.", "one."),
     ("horse", "there are no horses.", "none."), ("didgeridoo", "i am not sure.", "none.")],
)  # fmt: skip
def test_counts(vocabulary: Vocabulary, word: str, long: str, short: str) -> None:
    questions = SightQuestions(SIGHT, ["grey"], vocabulary, OTHERS)
    question = f"how many {word}s are there?"
    assert questions.count_of(question, word) == long
    assert questions.count_of(question, word, short=True) == short


def test_every_kind_of_question_is_made_and_carries_the_facts_that_the_model_will_be_shown(
    vocabulary: Vocabulary,
) -> None:
    seen: set[str] = set()
    for seed in range(150):
        rng = random.Random(seed)
        sight = random_sight(rng, OTHERS)
        questions = SightQuestions(sight, ["grey", "blue"], vocabulary, OTHERS)
        for kind in HOW_OFTEN:
            made = getattr(questions, kind)(rng)
            seen.add(made.kind)
            assert made.answer.endswith(".")
            assert not re.search(r"\bNone\b|\{|\}|  ", made.answer), made
            if made.question and made.kind not in ("else", "background"):
                assert list(made.facts) == facts_for(made.question, (), sight, vocabulary), made
            if made.kind == "presence, in one word":
                assert made.answer in ("yes.", "no.")
    assert {"presence", "number of", "where", "colour", "relation", "else", "writing", "clothes"} <= seen


def test_an_answer_names_nothing_but_what_was_made_out_or_asked_about(vocabulary: Vocabulary) -> None:
    for seed in range(150):
        rng = random.Random(seed)
        sight = random_sight(rng, OTHERS)
        known = " ".join([*entries(sight), *sight.odds])
        for asked in SightQuestions(sight, ["grey"], vocabulary, OTHERS).pairs(rng, 8):
            for subject in vocabulary.named(asked.answer):
                shown = f"{known} {' '.join(asked.facts)} {asked.question}"
                names = {subject.word, *subject.names}
                assert subject.kind == "text" or any(name.split()[-1] in shown for name in names), asked


def test_members_follow_their_group_and_fit_its_number() -> None:
    for seed in range(200):
        for group, members in random_sight(random.Random(seed), OTHERS).groups():
            assert len(members) in (0, group.count), [written(one) for one in members]
            assert all(one.name == group.name for one in members)


def test_questions_are_reworded_and_keep_what_they_ask_about() -> None:
    rng = random.Random(4)
    said = {reworded(rng, "what colour is the background?") for _ in range(200)}
    assert len(said) > 20
    assert all("background" in one for one in said)
    assert any(one.startswith("the background") for one in said)
    assert {reworded(rng, "describe the picture.") for _ in range(50)} == {"describe the picture."}


def test_tokens_that_are_only_copied_are_parts_of_names() -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(MODEL)
    copied = set(copied_tokens(tokenizer, samples=60))

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False).input_ids
        return found

    assert copied >= {*ids(" lizard"), *ids(" crate")}
    assert not copied & {*ids(" the picture shows a"), *ids(" i am not sure what this is, perhaps")}


def test_the_nouns_of_a_class_follow_wordnet(tmp_path: Path) -> None:
    """A WordNet of three synsets: a macaw (class 88) is a parrot, and a parrot is a bird."""
    macaw = next(
        line.split("\t")[1][1:] for line in split_lines(IMAGENET.read_text("utf-8")) if line.startswith("88\t")
    )
    rows = [line.split("\t") for line in split_lines(IMAGENET.read_text("utf-8")) if not line.startswith("#")]
    kinds = {"parrot": "00000001", "bird": "00000002", "person": "00000003"}
    (tmp_path / "index.noun").write_text(
        "".join(f"{word} n 1 0 1 0 {synset}  \n" for word, synset in kinds.items()), encoding="utf-8"
    )
    lines = [f"{row[1][1:]} 05 n 01 x 0 000 | other" for row in rows if row[1][1:] != macaw]
    lines += [
        f"{macaw} 05 n 01 macaw 0 001 @ 00000001 n 0000 | a parrot",
        "00000001 05 n 01 parrot 0 001 @ 00000002 n 0000 | a bird",
        "00000002 05 n 01 bird 0 000 | an animal",
        "00000003 05 n 01 person 0 000 | a human",
    ]
    (tmp_path / "data.noun").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert class_words(tmp_path) == {"bird": [88], "parrot": [88]}
