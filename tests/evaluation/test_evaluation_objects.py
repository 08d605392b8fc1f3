"""Which objects a caption mentions (CHAIR) and covers (ChatCaptioner's rule)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.english import wordnet
from core.errors import UsageError
from evaluation.measures.coverage import covered, is_near, nouns_in
from evaluation.measures.objects import BUILT_IN, object_names
from plugins.detector.coco import NAMES

COCO = object_names(NAMES)


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("A man wears glasses.", ["person"]),
        ("Two men are riding bikes next to a dog.", ["person", "bicycle", "dog"]),
        ("A hot dog on a dining table.", ["hot dog", "dining table"]),
        ("A baby elephant beside adult bears.", ["elephant", "bear"]),
        ("A passenger jet over a passenger train.", ["airplane", "train"]),
        ("A man with a bow tie on a toilet seat.", ["person", "tie", "toilet"]),
        ("A seat near a stop light.", ["chair", "traffic light"]),
        ("Wine glasses, skis and scissors.", ["wine glass", "skis", "scissors"]),
        ("A player runs to home plate.", ["person"]),
        ("A hot-dog and a teddy bear.", ["hot dog", "teddy bear"]),
        ("A cat. The cat sleeps.", ["cat", "cat"]),  # each mention counts
        ("Sky and grass.", []),
    ],
)
def test_mentions(caption: str, objects: list[str]) -> None:
    assert COCO.mentions(caption) == objects


def test_the_synonyms_name_each_object_of_coco_once() -> None:
    lines = BUILT_IN.read_text("utf-8").splitlines()
    assert [line.split(",")[0] for line in lines] == list(NAMES)
    names = [name.strip() for line in lines for name in line.split(",")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@given(st.text())
def test_any_text_has_mentions(text: str) -> None:
    assert set(COCO.mentions(text)) <= set(NAMES)


def test_objects_that_are_not_of_coco_are_called_what_they_are(tmp_path: Path) -> None:
    names = object_names(["castle", "dog"])
    assert names.mentions("Castles, puppies and cats.") == ["castle", "dog"]
    assert object_names(["picture", "can", "dog"]).mentions("In this picture you can see a dog.") == ["dog"]
    (tmp_path / "own.txt").write_text("castle, fortress\n", encoding="utf-8")
    assert object_names(["castle", "dog"], tmp_path / "own.txt").mentions("A fortress, a puppy.") == ["castle"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"sofa, couch\n"])
def test_a_bad_file_of_synonyms_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        object_names(["dog"], path)
    assert "synonyms.txt" in str(refused.value) and "\n" not in str(refused.value)


# ---- coverage ------------------------------------------------------------------------------------------------------


def test_similarity_by_hand() -> None:
    [[dog], [cat]] = [
        [one for one in wordnet.senses(name) if 8 in wordnet.steps_up(one).values()][:1] for name in ("dog", "cat")
    ]
    assert wordnet.similarity(dog, dog) == 1
    # carnivore is the lowest above both, 10 steps below entity; dog is 2 steps below it, cat too (NLTK: 0.857)
    assert max(
        wordnet.similarity(one, other) for one in wordnet.senses("dog") for other in wordnet.senses("cat")
    ) == pytest.approx(0.857, abs=1e-3)
    assert wordnet.similarity(dog, cat) == wordnet.similarity(cat, dog)


@pytest.mark.parametrize(
    ("noun", "name", "near"),
    [
        ("dog", "dog", True),
        ("animal", "dog", True),
        ("poodle", "dog", True),
        ("cat", "dog", False),
        ("woman", "person", True),
        ("truck", "car", True),  # 0.917: what the rule calls covered
        ("bike", "bicycle", True),
        ("sofa", "couch", True),
        ("sky", "grass", False),
        ("kitten", "cat", False),  # WordNet calls a kitten a young mammal
    ],
)
def test_near_in_wordnet(noun: str, name: str, near: bool) -> None:
    assert is_near(noun, name) is near is is_near(name, noun)


def test_nouns_of_a_caption() -> None:
    nouns = nouns_in("Two people are sitting on a wooden bench in front of a brown building, riding no bikes.")
    assert {"people", "bench", "building"} <= set(nouns) and "sitting" not in nouns and "two" not in nouns


def test_covered_objects() -> None:
    caption = "Some people ride a motorbike past a dining table."
    objects = ["person", "motorcycle", "table", "pizza"]
    assert covered(objects, caption) == ["person", "motorcycle", "table"]
    assert covered(["dog"], "Some people.") == ["dog"], "a dog may be a cad: the rule takes all senses"


@given(st.text())
def test_any_text_covers_something_or_nothing(text: str) -> None:
    assert set(covered(["dog", "car"], text)) <= {"dog", "car"}
