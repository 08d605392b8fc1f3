"""Questions with answers as data: VQA v2's files, tables, and .json files beside pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.datasets.samples.kinds import detect
from core.datasets.samples.sample import BrokenLog, BrokenSample, DataError, Sample, answers_of
from core.datasets.samples.spec import DataSpec
from training.data.stream import count, open_stream

NAME = "v2_OpenEnded_mscoco_train2014_questions.json"


def read(log: BrokenLog | None = None, **spec: Any) -> list[Sample]:
    with open_stream(
        [DataSpec(**spec)], seed=1, epochs=1, shuffle_buffer=0, broken=log or BrokenLog(max_share=1.0)
    ) as stream:
        return list(stream)


@pytest.fixture
def vqa(tmp_path: Path) -> Path:
    """Two pictures, four questions; one has no answers, one no picture."""
    (tmp_path / "train2014").mkdir()
    for number in (9, 25):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / "train2014" / f"COCO_train2014_{number:012d}.jpg")
    asked = [(9, "What is it?", 90), (25, "Where is it?", 250), (25, "Is it red?", 251), (26, "Is it red?", 260)]
    questions = [{"image_id": image, "question": text, "question_id": number} for image, text, number in asked]
    document = {"info": {}, "data_subtype": "train2014", "questions": questions}
    (tmp_path / NAME).write_text(json.dumps(document))
    answers = {90: ["a cat", "cat", "cat"], 250: ["there"], 260: ["no"]}
    annotations = [
        {"question_id": number, "answers": [{"answer": one, "answer_id": 1} for one in given]}
        for number, given in answers.items()
    ]
    (tmp_path / "v2_mscoco_train2014_annotations.json").write_text(json.dumps({"annotations": annotations}))
    return tmp_path


def test_vqa_v2_is_found_and_its_answers_are_kept(vqa: Path) -> None:
    log = BrokenLog(vqa / "broken.jsonl", max_share=1.0)
    for path in (vqa, vqa / NAME):
        assert detect(DataSpec(path=str(path)))[0] == "vqa" and count([DataSpec(path=str(path))]) == [4]
    samples = read(log, path=str(vqa))
    assert [(one.key, one.instruction, one.text, one.answers) for one in samples] == [
        ("90#1", "What is it?", "cat", ("a cat", "cat", "cat")),
        ("250#2", "Where is it?", "there", ("there",)),
    ]
    reasons = [json.loads(line)["reason"] for line in (vqa / "broken.jsonl").read_text().splitlines()]
    assert reasons[0] == "its answers are missing" and "COCO_train2014_000000000026.jpg does not exist" in reasons[1]


def test_pictures_and_answers_may_be_elsewhere(vqa: Path) -> None:
    (vqa / "v2_mscoco_train2014_annotations.json").rename(vqa / "answers.json")
    with pytest.raises(DataError, match=r"put v2_mscoco_train2014_annotations\.json beside it, or set annotations"):
        read(path=str(vqa))
    (vqa / "train2014").rename(vqa / "elsewhere")
    found = read(path=str(vqa), annotations=str(vqa / "answers.json"), pictures=str(vqa / "elsewhere"))
    assert [one.text for one in found] == ["cat", "there"]
    with pytest.raises(DataError, match=r"pictures=.* is no folder"):
        read(path=str(vqa), annotations=str(vqa / "answers.json"), pictures=str(vqa / "nowhere"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", 'image,question,answer\n1.png,What?,"[""a"", ""b"", ""b""]"\n1.png,How many?,2\n'),
        ("t.jsonl", '{"image": "1.png", "question": "What?", "answers": ["a", "b", "b"]}\n'
                    '{"image": "1.png", "question": "How many?", "answers": 2}\n'),
        ("t.json", '[{"image": "1.png", "question": "What?", "answers": [{"answer": "a"}, {"answer": "b"}, '
                   '{"answer": "b"}]}, {"image": "1.png", "question": "How many?", "answers": ["2"]}]'),
    ],
)  # fmt: skip
def test_tables_hold_one_or_several_answers(tmp_path: Path, name: str, content: str) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "1.png")
    (tmp_path / name).write_text(content)
    found = read(path=str(tmp_path / name), questions=True)
    assert [(one.instruction, one.text, one.answers) for one in found] == [
        ("What?", "b", ("a", "b", "b")),
        ("How many?", "2", ("2",)),
    ]


def test_a_json_beside_a_picture_and_other_names(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "1.png")
    (tmp_path / "1.json").write_text('{"question": "What?", "answers": ["a", "b"]}')
    [one] = read(path=str(tmp_path), kind="folder", questions=True)
    assert (one.instruction, one.answers) == ("What?", ("a", "b"))
    (tmp_path / "t.csv").write_text("image,q,a\n1.png,Why?,so\n")
    [one] = read(path=str(tmp_path / "t.csv"), questions=True, instruction_column="q", text_column="a")
    assert (one.instruction, one.text) == ("Why?", "so")


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    Image.new("RGB", (20, 20)).save(tmp_path / "1.png")
    rows = {"image": ["1.png"], "question": ["What?"], "answers": [["a", "b", "b"]]}
    parquet.write_table(pyarrow.table(rows), tmp_path / "t.parquet")
    [one] = read(path=str(tmp_path / "t.parquet"), questions=True)
    assert (one.instruction, one.text, one.answers) == ("What?", "b", ("a", "b", "b"))


@pytest.mark.parametrize(
    ("value", "said"), [([], "are missing"), (None, "is missing"), ([True], "a bool"), ("", "empty")]
)
def test_answers_that_are_none(value: Any, said: str) -> None:
    with pytest.raises(BrokenSample, match=said):
        answers_of(value, "1", "it")
