"""The real commands with the real embedded model and a real photograph."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.records import Chat

ROOT = Path(__file__).resolve().parents[3]
CAT = ROOT / "examples" / "photos" / "cat.jpg"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "plugins" / "pocket" / "model" / "model.safetensors").is_file(),
        reason="the embedded model has not been built",
    ),
]


def inquisight(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("INQUISIGHT_")}
    return subprocess.run(
        [sys.executable, "-m", "agents.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env=clean
        | {"PYTHONPATH": str(ROOT), "INQUISIGHT_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"},
        timeout=600,
        check=False,
    )


def test_a_chat_about_a_cat(tmp_path: Path) -> None:
    script = "What is it?\n/image other.png\n/save cat.json\n"
    done = inquisight(tmp_path, "chat", str(CAT), "--seed", "1", stdin=script)
    record = Chat.from_json((tmp_path / "cat.json").read_bytes())
    assert "cat" in record.turns[0].answer.lower() and record.turns[0].answer in done.stdout
    assert "follows no instructions" in done.stdout
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "inquisight: 'other.png' does not exist; check the path.",
        "inquisight: the conversation is in cat.json",
    ]
    assert record.id[:10] in inquisight(tmp_path, "history").stdout


def test_a_question_without_any_other_model(tmp_path: Path) -> None:
    done = inquisight(tmp_path, "ask", "What is it?", str(CAT), "--rounds", "2", "--seed", "1", "--json")
    assert done.returncode == 0, done.stderr
    interview, answer = map(json.loads, done.stdout.splitlines())
    assert "cat" in answer["answer"].lower()
    asked = [turn["question"] for turn in interview["caption"]["dialogue"]["turns"]]
    assert asked[1] == "What is it?"
