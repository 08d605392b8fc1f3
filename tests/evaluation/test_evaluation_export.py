"""Questions written for other evaluation programs: the same questions, labels and images."""

from __future__ import annotations

import base64
import csv
import importlib.util
import io
import json
import re
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from agents.cli.main import run
from evaluation.measures.yes_no import official, strict
from tests.evaluation.knowing import write_instances


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_instances(tmp_path / "data")


def export(form: str, task: str, data: str, *words: str, code: int = 0) -> Path:
    assert run(["evaluate", task, "--data", data, "--out", "out", "--export", form, *words]) == code
    return Path("out")


def functions(path: Path) -> Any:
    """A module from a file, as lmms-eval loads it."""
    spec = importlib.util.spec_from_file_location("utils_of_a_task", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TaskLoader(yaml.SafeLoader):
    """Reads `!function` as lmms-eval does, without loading it."""


TaskLoader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def test_a_task_folder_for_lmms_eval(data: Path) -> None:
    out = export("lmms-eval", "pope", str(data), "--per-image", "2")
    task = yaml.load((out / "inquisight_pope.yaml").read_text("utf-8"), TaskLoader)
    module = functions(out / "utils.py")
    assert task["task"] == "inquisight_pope" and task["dataset_path"] == "json" and task["test_split"] == "test"
    named = [task["doc_to_visual"], task["doc_to_text"], task["process_results"]]
    for name in [*named, *(metric["aggregation"] for metric in task["metric_list"])]:
        assert callable(getattr(module, name.removeprefix("utils.")))
    rows = [json.loads(line) for line in Path(task["dataset_kwargs"]["data_files"]["test"]).read_text().splitlines()]
    assert len(rows) == 3 * 4 * 2 * 2 and {row["category"] for row in rows} == {"random", "popular", "adversarial"}
    [image] = module.doc_to_visual(rows[0])
    assert image.size == (64, 48) and module.doc_to_text(rows[0]) == "Is there a person in the image?"
    results = module.pope_results(rows[0], ["Yes."])
    assert results == {"official_accuracy": 1, "strict_accuracy": 1, "unparsed": 0}
    assert set(results) == {metric["metric"] for metric in task["metric_list"]}
    for answer in ("Yes, a person.", "No", "There is no dog. Yes", "", "perhaps not", "NO!"):
        results = module.pope_results({"answer": "no"}, [answer])
        assert results["official_accuracy"] == (official(answer) == "no")
        assert results["strict_accuracy"] == (strict(answer) == "no")
        assert results["unparsed"] == (strict(answer) is None)
    assert module.mean([1.0, 0.0]) == 0.5


def test_a_table_for_vlmevalkit(data: Path) -> None:
    out = export("vlmevalkit", "pope", str(data), "--per-image", "1", "--sampling", "popular")
    csv.field_size_limit(sys.maxsize)
    rows = list(csv.DictReader(io.StringIO((out / "inquisight_POPE.tsv").read_text("utf-8")), delimiter="\t"))
    assert [row["index"] for row in rows] == [str(place) for place in range(8)]
    assert {row["answer"] for row in rows} == {"Yes", "No"} and {row["category"] for row in rows} == {"popular"}
    for row in rows:
        coded = row["image"] if len(row["image"]) > 64 else rows[int(row["image"])]["image"]
        with Image.open(io.BytesIO(base64.b64decode(coded))) as image:
            assert image.size == (64, 48)
    assert len({row["image"] for row in rows if len(row["image"]) > 64}) == 4, "each image once"
    config = json.loads((out / "vlmevalkit.json").read_text("utf-8"))
    assert config["data"] == {"inquisight_POPE": {"class": "ImageYORNDataset", "dataset": "inquisight_POPE"}}
    assert config["model"]["pocket"]["api_base"] == "http://127.0.0.1:8300/v1/chat/completions"


def test_answers_for_vlmevalkit_are_a_list_that_its_score_can_count(data: Path) -> None:
    """Its score leaves one answer out, and wants three others that are equal."""
    asked = [f"data/red.png,{text},{answers}" for text, answers in (("Which?", "red;pink"), ("What?", "a;b;c;d"))]
    Path("asked.csv").write_text("\n".join(["image,question,answers", *asked, ""]), encoding="utf-8")
    out = export("vlmevalkit", "vqa", "asked.csv")
    csv.field_size_limit(sys.maxsize)
    rows = csv.DictReader(io.StringIO((out / "inquisight_VQA.tsv").read_text("utf-8")), delimiter="\t")
    found = [literal_eval(row["answer"]) for row in rows]
    assert found == [["red", "pink"] * 4, ["a", "b", "c", "d"]]


def test_questions_with_answers(data: Path) -> None:
    Path("asked.csv").write_text("image,question,answers\ndata/red.png,Which colour?,red;red;pink\n", encoding="utf-8")
    out = export("lmms-eval", "vqa", "asked.csv", "--prompt", "{} Answer in a word.")
    [row] = [json.loads(line) for line in (out / "questions.jsonl").read_text("utf-8").splitlines()]
    assert row["question"] == "Which colour? Answer in a word." and row["answer"] == "red"
    module = functions(out / "utils.py")
    assert module.vqa_results(row, ["Pink."]) == {"exact_match": 1, "unparsed": 0}
    assert "utils.vqa_results" in (out / "inquisight_vqa.yaml").read_text("utf-8")


def test_captions_cannot_be_exported(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export("lmms-eval", "chair", str(data), code=2)
    assert re.search(
        r"chair has no questions that could be exported; --export takes pope and vqa", capsys.readouterr().err
    )
