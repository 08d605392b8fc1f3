"""kill -9 at ten random moments of every step: the resumed result is the same as an uninterrupted one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.files.journal import Record
from tests.training.curation.fakes import make_pictures
from training.curation.folder import CurationFolder
from training.curation.steps.generate import remember_pictures
from training.curation.steps.pictures import list_pictures
from training.curation.steps.repair import repaired

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")
ROOT = Path(__file__).resolve().parents[4]
KILLS = 10
ORDER = ("generate", "repair", "verify", "rules", "export")


def step(name: str, folder: Path, kills: int, seed: int = 0) -> int:
    """Do a step in other processes, some of which are killed; how many were."""
    command = [
        sys.executable,
        "-m",
        "tests.training.curation.steps.kill_loop",
        name,
        str(folder),
        str(kills),
        str(seed),
    ]
    command += [str(folder), str(kills), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What each step begins with, from a curation that nobody disturbed, and its end under "" ."""
    root = tmp_path_factory.mktemp("whole")
    folder = CurationFolder(root / "curation", create=True)
    remember_pictures(folder, list_pictures([str(make_pictures(root / "pictures", 30))]))
    before = {}
    for name in ORDER:
        before[name] = root / "before" / name
        shutil.copytree(folder.path, before[name])
        assert step(name, folder.path, 0) == 0
    return before | {"": folder.path}


def without_time(records: list[Record]) -> list[Record]:
    return [{key: value for key, value in record.items() if key not in ("seconds", "at")} for record in records]


def result(name: str, path: Path) -> Any:
    """What a step made, without what may differ between two runs: clocks, and the order of side-by-side calls."""
    folder = CurationFolder(path)
    if name == "generate":
        return folder.generated.path.read_bytes(), folder.settings("generate")
    if name == "repair":
        everything = folder.repaired.read()
        assert len(everything) == len({record["id"] for record in everything}), "no text is repaired twice"
        return {record["id"]: record for record in without_time(list(repaired(folder).values()))}
    if name == "verify":
        return without_time(folder.labels.read()), (path / "sample.json").read_bytes()
    if name == "rules":
        return [(path / file).read_bytes() for file in ("verified.jsonl", "dropped.jsonl", "rules.json")]
    out = path.parent / "out"
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDER)
def test_ten_kills_change_nothing(name: str, whole: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "curation"
    shutil.copytree(whole[name], folder)
    assert step(name, folder, KILLS, seed=7) == KILLS
    assert result(name, folder) == result(name, whole[""])
    assert not list(folder.rglob("*.part")) and not list(tmp_path.glob("out.*"))
