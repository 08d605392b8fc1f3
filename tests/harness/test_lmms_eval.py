"""lmms-eval drives `inquisight serve` with a task that `inquisight evaluate` exported, and gets the same answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.slow


def inquisight(folder: Path, *arguments: str) -> None:
    """Run a command of ours to its end."""
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "INQUISIGHT_HOME": str(folder / "home")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server that offers pocket."""
    command = [sys.executable, "-m", "inquisight", "serve", "--vision", "pocket", "--witness", "none", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "INQUISIGHT_HOME": str(folder / "home")}
    process = subprocess.Popen(
        command, cwd=folder, env=environment | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Inquisight serves http://"), line
        yield line.split()[2]
    finally:
        process.kill()
        process.communicate()


def test_the_same_answers(lmms_eval: Path, tmp_path: Path) -> None:
    for package in ("matplotlib", "skimage", "sklearn"):
        pytest.importorskip(package)
    asked = ["inquisight", "evaluate", "pope", "--data", "labelled", "--per-image", "1", "--sampling", "random"]
    inquisight(tmp_path, "benchmarks.evaluation", "packages", "labelled")
    inquisight(tmp_path, *asked, "--export", "lmms-eval", "--out", "tasks")
    inquisight(tmp_path, *asked, "--vision", "pocket", "--out", "ours")
    with served(tmp_path) as address:
        environment = {
            **os.environ,
            "OPENAI_API_KEY": "none",
            "OPENAI_API_BASE": address,
            "HF_HOME": str(tmp_path / "hf"),
        }
        environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
        command = [
            str(lmms_eval),
            "-m",
            "lmms_eval",
            "--model",
            "openai",
            "--tasks",
            "inquisight_pope",
            "--log_samples",
        ]
        command += ["--model_args", "model_version=pocket,timeout=600,num_concurrent=4", "--batch_size", "1"]
        command += ["--include_path", str(tmp_path / "tasks"), "--output_path", str(tmp_path / "theirs")]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    [samples] = (tmp_path / "theirs").rglob("*samples_inquisight_pope.jsonl")
    theirs = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
    ours: dict[tuple[str, str], str] = {}
    for line in (tmp_path / "ours" / "answers.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        ours |= {(Path(record["key"]).name, text): answer for text, answer in record["record"]["answers"].items()}
    assert len(theirs) == len(ours) > 15
    questions = [json.loads(line) for line in (tmp_path / "tasks" / "questions.jsonl").read_text("utf-8").splitlines()]
    for sample in theirs:
        doc = questions[sample["doc_id"]]
        assert sample["filtered_resps"] == ours[Path(doc["image"]).name, doc["question"]]

    [results] = (tmp_path / "theirs").rglob("*results.json")
    figures = json.loads(results.read_text("utf-8"))["results"]["inquisight_pope"]
    rows = json.loads((tmp_path / "ours" / "result.json").read_text("utf-8"))["rows"]
    accuracy = {row["name"]: row["figures"]["accuracy"]["value"] for row in rows}
    assert figures["official_accuracy,none"] == pytest.approx(accuracy["official"], abs=1e-6)
    assert figures["strict_accuracy,none"] == pytest.approx(accuracy["strict"], abs=1e-6)
