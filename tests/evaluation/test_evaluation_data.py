"""Labels in every format that is read, and what is wrong with them in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import InquisightError
from evaluation.captions import read_captions
from evaluation.data.load import load_data
from tests.evaluation.knowing import OBJECTS, write_images, write_instances


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def test_coco_instances(tmp_path: Path) -> None:
    data = load_data(write_instances(tmp_path))
    assert data.format == "COCO instances" and len(data.examples) == 4 and not data.left_out
    assert [one.objects for one in data.examples] == list(OBJECTS.values()), "each object once, in order"
    assert "cat" in data.categories, "also those that no image has"
    assert data.examples[0].file == tmp_path / "red.png"
    assert load_data(tmp_path).examples == data.examples, "a folder with one file of labels"


def test_instances_and_images_apart(tmp_path: Path) -> None:
    path = write_instances(tmp_path / "images").rename(tmp_path / "instances.json")
    assert load_data(path).examples[0].file.parent.name == "images"
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(
        InquisightError, match=r"none of the 4 images .* such as 'red.png'; name their folder with --im"
    ):
        load_data(path)
    assert load_data(path, images=tmp_path / "elsewhere").examples[0].file.is_file()


def test_reference_captions(tmp_path: Path) -> None:
    path = write_instances(tmp_path)
    rows = [
        {"image_id": 1, "caption": "A dog."},
        {"image_id": 1, "caption": "A puppy."},
        {"image_id": 99, "caption": "?"},
    ]
    captions = written(tmp_path / "captions.txt", {"annotations": rows})
    data = load_data(path, references=captions)
    assert data.examples[0].captions == ("A dog.", "A puppy.") and data.examples[1].captions == ()
    assert data.sha256 != load_data(path).sha256


def test_questions_of_pope(tmp_path: Path) -> None:
    write_images(tmp_path)
    rows = [
        {"question_id": 1, "image": "red.png", "text": "Is there a dog in the image?", "label": "yes"},
        {"question_id": 2, "image": "red.png", "text": "Is there a cat in the image?", "label": "no"},
        {"question_id": 3, "image": "red.png", "text": "Is there a cow in the image?", "label": "perhaps"},
    ]
    lines = "\n".join(map(json.dumps, rows)) + "\nno JSON\n"
    for name in ("coco_pope_random.json", "pope.jsonl"):  # POPE's own files are JSON Lines called .json
        data = load_data(written(tmp_path / name, lines))
        assert data.format == "POPE" and len(data.examples) == 1
        assert [one.answers for one in data.examples[0].questions] == [("yes",), ("no",)]
        assert len(data.left_out) == 2 and data.left_out.faults == 2
    only = load_data(written(tmp_path / "one.json", json.dumps(rows[0])))
    assert only.format == "POPE" and len(only.examples[0].questions) == 1


def test_vqa(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "red.png").rename(tmp_path / "COCO_val2014_000000000042.png")
    questions = written(
        tmp_path / "questions.json",
        {
            "data_subtype": "val2014",
            "questions": [
                {"question_id": 420, "image_id": 42, "question": "What colour is it?"},
                {"question_id": 421, "image_id": 42, "question": "Nobody answered?"},
            ],
        },
    )
    labels = [{"question_id": 420, "answer_type": "other", "answers": [{"answer": "red", "answer_id": 1}]}]
    answers = written(tmp_path / "annotations.json", {"annotations": labels})
    data = load_data(questions, answers=answers)
    [example] = data.examples
    assert example.file.name == "COCO_val2014_000000000042.png"
    assert example.questions[0].answers == ("red",) and example.questions[0].kind == "other"
    assert len(data.left_out) == 1
    with pytest.raises(InquisightError, match="questions without answers; name those with --answers"):
        load_data(questions)


def test_tables(tmp_path: Path) -> None:
    write_images(tmp_path)
    csv = 'Image,objects,maybe,text,question,answers\nred.png,Dog; person,cat,A|B,"What, then?",red;pink\n'
    csv += "red.png,ball,,,,\n"
    data = load_data(written(tmp_path / "labels.csv", csv))
    [example] = data.examples
    assert data.format == "table" and data.categories == ("ball", "dog", "person")
    assert example.objects == ("dog", "person", "ball") and example.maybe == {"cat"} and example.lines == ("A", "B")
    assert [(one.text, one.answers) for one in example.questions] == [("What, then?", ("red", "pink"))]
    row = {"image": "red.png", "objects": ["dog"], "text": ["A", "B"]}
    data = load_data(written(tmp_path / "labels.jsonl", json.dumps(row)))
    assert data.examples[0].objects == ("dog",) and data.examples[0].lines == ("A", "B")


def test_images_alone_and_samples(tmp_path: Path) -> None:
    data = load_data(write_images(tmp_path))
    assert data.format == "images" and [one.key for one in data.examples] == sorted(f"{c}.png" for c in OBJECTS)
    assert all(one.objects is None for one in data.examples)
    two = data.sample(2, seed=3)
    assert len(two.examples) == 2 and two.examples == data.sample(2, seed=3).examples
    assert data.sample(9, seed=3) is data


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "'a.json' is not JSON that can be read"),
        ("a.json", "[1, 2]", "holds none of the formats"),
        ("a.json", "{}", "holds none of the formats"),
        ("a.json", '{"categories": 3}', "has no list 'categories' of objects"),
        ("a.json", '{"categories": [], "annotations": [], "images": []}', "labels no image"),
        ("a.json", '{"categories": [], "annotations": [], "images": [{"id": 3}]}', "labels no image; 1 left out"),
        ("a.json", '{"questions": [1], "annotations": []}', "has no list 'questions' of objects"),
        ("a.csv", "picture_name,objects\nx.png,dog\n", "has no column of images; it has picture_name, objects"),
        ("a.csv", "image,objects\n", "has no rows"),
        ("a.csv", "image,objects\nx.png,dog\n", "none of the 1 images"),
        ("a.jsonl", "\x00\x00", "has no rows"),
        ("missing.json", None, "does not exist"),
    ],
)
def test_wrong_labels_are_one_line(
    name: str, content: str | None, message: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        written(Path(name), content)
    with pytest.raises(InquisightError) as refused:
        load_data(Path(name))
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("a.csv", "b.json"):
        written(tmp_path / name, "{}")
    with pytest.raises(InquisightError, match=r"several files with labels \(a.csv, b.json\)"):
        load_data(tmp_path)
    with pytest.raises(InquisightError, match="is no folder"):
        load_data(tmp_path / "a.csv", images=tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InquisightError) as refused:
        load_data(tmp_path / "empty")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", [{"image_id": 1, "caption": "A dog."}, {"image_id": 4, "caption": "Pizza."}]),
        (
            "annotations.json",
            {"annotations": [{"image_id": 1, "caption": "A dog."}, {"image_id": 4, "caption": "Pizza."}]},
        ),
        ("by_name.json", {"red.png": "A dog.", "yellow": "Pizza."}),
        ("rows.jsonl", '{"image": "photos/red.png", "text": "A dog."}\n{"image": "yellow.png", "caption": "Pizza."}\n'),
        ("table.csv", "file_name,caption\nred.png,A dog.\nyellow.png,Pizza.\nother.png,Nothing.\n"),
    ],
)
def test_captions_of_others(name: str, content: Any, tmp_path: Path) -> None:
    data = load_data(write_instances(tmp_path))
    path = written(tmp_path / name, content)
    assert read_captions(path, data.examples, data.left_out) == {"1": "A dog.", "4": "Pizza."}


@pytest.mark.parametrize("content", ["[]", "3", "{", '[{"image_id": 77, "caption": "A dog."}]', '[["red.png"]]'])
def test_a_file_without_their_captions_is_one_line(content: str, tmp_path: Path) -> None:
    data = load_data(write_instances(tmp_path))
    with pytest.raises(InquisightError) as refused:
        read_captions(written(tmp_path / "captions.json", content), data.examples, data.left_out)
    assert "captions.json" in str(refused.value) and "\n" not in str(refused.value)
