"""The benchmarks of batches, made small: they end well, their figures are those of their table, and what is wrong is
told. What they measure on a quiet machine is no test's business.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.batch import cluster as batch_ray
from benchmarks.batch import long as batch_long
from benchmarks.batch import throughput as batch_throughput
from tests.agents.batch.making import HashedEye, register


@pytest.mark.slow
def test_a_batch_beside_the_originals_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    register(monkeypatch, HashedEye())
    out = tmp_path / "figures.json"
    small = ["--vision", "hashed", "--pictures", "12", "--alone", "2", "--delays", "0", "0.01"]
    assert batch_throughput.main([*small, "--rate", "0", "--batch", "4", "--out", str(out)]) == 0
    table = capsys.readouterr().out.splitlines()
    figures = json.loads(out.read_text("utf-8"))
    assert [row["delay"] for row in figures["rows"]] == [0, 0.01] and figures["options"]["pictures"] == 12
    for line, row in zip(table[2:4], figures["rows"], strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[:4] == [
            f"{row['delay']:g} s", f"{row['alone']:.3f}", f"{row['batch']:.2f}", f"{row['ratio']:.1f}x"
        ]  # fmt: skip
        assert cells[5] == "inf" and row["questioner"] is None, "no rate, no limit"
        assert row["encodes"] == batch_throughput.ROUNDS + 1 and row["ratio"] == row["batch"] / row["alone"]


@pytest.mark.slow
def test_a_long_batch_that_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    assert batch_long.main(["--pictures", "40", "--kills", "1", "--out", str(out)]) == 0
    figures = json.loads(out.read_text("utf-8"))
    told = capsys.readouterr().out
    assert figures["differences"] == [] and "the same bytes in every output" in told
    assert [(row["first"], row["last"]) for row in figures["rows"]] == [(1, 10), (11, 20), (21, 30), (31, 40)]
    assert "| 31 to 40 |" in told and figures["peak_memory"] > 1 and figures["killed"] <= 1


def test_a_run_is_cut_into_equal_pieces() -> None:
    times = [float(second) for second in range(3500)]
    found = batch_long.pieces(times, [(500.5, 100.0), (700.5, 90.0), (2500.5, 120.0)])
    assert [(one.first, one.last) for one in found] == [(1, 875), (876, 1750), (1751, 2625), (2626, 3500)]
    assert found[0].speed == pytest.approx(1) and found[0].memory == 100 and math.isnan(found[1].memory)
    longer = batch_long.pieces([float(second) for second in range(20_500)], [])
    assert len(longer) == 20 and (longer[-1].first, longer[-1].last) == (19_001, 20_000)


@pytest.mark.parametrize(
    ("main", "arguments", "words"),
    [
        (batch_throughput.main, ["--pictures", "9"], "--pictures must be 10 or more"),
        (batch_throughput.main, ["--pictures", "10", "--alone", "11"], "--alone 1 or more but not more than these"),
        (batch_throughput.main, ["--out", "nowhere/x.json"], "--out 'nowhere/x.json' cannot be written"),
        (batch_long.main, ["--pictures", "1"], "--pictures must be 8 or more"),
        (batch_long.main, ["--out", "."], "--out '.' cannot be written: is a directory"),
        (batch_ray.main, ["--seeing", "5"], "--seeing and --waiting must be 20 or more"),
        (batch_ray.main, ["--out", "nowhere/x.json"], "cannot be written: no such file or directory; name another"),
    ],
)
def test_what_cannot_work_is_one_line(
    main: object, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(main) and main(arguments) == 1
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1
