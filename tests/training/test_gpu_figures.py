"""`benchmarks.gpu` with a small model on a CPU, and without a GPU."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gpu


def test_a_small_model_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "TRAINING", ("--batch", "4", "--steps", "1", "--repeats", "1"))
    assert gpu.main(["--size", "small", "--tokens", "2"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("device: CPU\n")
    assert told.count(gpu.NONE) == 6  # 8 and 4 bit: two batches and the weights each
    assert "| decoding, 16 bit, batch 32, tokens/s |" in told


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 0
    assert capsys.readouterr().out.count(gpu.NONE) == 12
