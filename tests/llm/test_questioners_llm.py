"""Interviews whose questioner is a real language model of 135 million parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.questioners.__main__ import main

PICTURES = 4


def test_interviews_with_a_weak_model_end_whole(
    questioner: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"

    command = [questioner, "--limit", str(PICTURES), "--transcripts", str(kept), "--json"]
    assert main(command) == 0

    [row] = json.loads(capsys.readouterr().out)
    assert (row["pictures"], row["failed"], row["errors"]) == (PICTURES, 0, [])
    assert row["calls"] >= PICTURES
    assert len(list(kept.rglob("*.json"))) == PICTURES
