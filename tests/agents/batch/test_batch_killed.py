"""kill -9 at ten random moments, then go on: the same bytes as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agents.batch.making import make_pictures

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")
ROOT = Path(__file__).resolve().parents[3]
KILLS, COUNT = 10, 120


def batch(folder: Path, kills: int, seed: int = 0) -> int:
    """A batch about the pictures in `folder`, in other processes, some of which are killed; how many were."""
    command = [sys.executable, "-m", "tests.agents.batch.kill_loop"]
    command += [str(folder / "photos"), str(folder / "captions.jsonl"), str(kills), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def result(folder: Path) -> dict[str, bytes]:
    """Every file that a user gets."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "captions.jsonl.work" not in path.parts
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ten_times(tmp_path: Path, seed: int) -> None:
    photos = make_pictures(tmp_path / "photos", COUNT)
    for number in range(6):  # twins, near and far
        shutil.copy(photos / f"p{number * 3:03d}.png", photos / f"p{number * 19:03d}x.png")
    (photos / "p050.png").write_bytes(b"no picture")
    # one path for both, since keys and messages hold it
    assert batch(tmp_path, kills=0) == 0
    whole = result(tmp_path)
    for path in (*tmp_path.glob("captions*"), *photos.glob("*.txt")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    assert batch(tmp_path, KILLS, seed) == KILLS, "the batch is too short to be killed that often"
    disturbed = result(tmp_path)
    assert sorted(disturbed) == sorted(whole), "no file is missing, and nothing is left lying about"
    assert disturbed == whole
    assert len([name for name in whole if name.endswith(".txt")]) == COUNT + 6 - 1

    settled = []
    for line in (tmp_path / "captions.jsonl.work" / "journal.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] in ("done", "same", "failed"):
            settled.append(record["key"])
    assert len(settled) == len(set(settled)) == COUNT + 6, "nothing lost, nothing twice"
