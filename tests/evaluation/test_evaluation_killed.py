"""kill -9 at random moments, then go on: the same figures as if nothing had happened, and nothing asked twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.evaluation.knowing import write_instances
from tests.processes import ROOT

KILLS = 6


def evaluated(data: Path, out: Path, kills: int, seed: int) -> int:
    """An evaluation, some of whose processes are killed; how many were."""
    command = [sys.executable, "-m", "tests.evaluation.kill_loop", str(data), str(out), str(kills), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again(tmp_path: Path, seed: int, home: Path) -> None:
    data = write_instances(tmp_path / "data")
    assert evaluated(data, tmp_path / "whole", 0, seed) == 0
    assert evaluated(data, tmp_path / "killed", KILLS, seed) > 1
    results = [json.loads((tmp_path / name / "result.json").read_text("utf-8")) for name in ("whole", "killed")]
    assert results[0] == results[1]
    lines = (tmp_path / "killed" / "answers.jsonl").read_text("utf-8").splitlines()
    keys = [(line["part"], line["key"]) for line in map(json.loads, lines)]
    assert len(keys) == len(set(keys)) == 3 * 4, "questions, plain captions and interviews of four images, each once"
    assert not [path for path in (tmp_path / "killed").iterdir() if path.suffix == ".part"]
