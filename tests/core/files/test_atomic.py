"""A file is written whole or not at all, with the mode of any new file."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.captions.forms import write_text
from core.errors import StoreError
from core.files.atomic import replacing
from core.files.journal import replaced
from core.files.journal import write_whole as write_curated
from core.files.outputs import whole
from tests.disks import full_disk, read_only
from training.checkpoints import write_whole as write_checkpoint

ROOT = Path(__file__).resolve().parents[3]
WRITERS = {
    "sidecar": lambda path: write_text(path, "text"),
    "curation": lambda path: write_curated(path, "text"),
    "checkpoint": lambda path: write_checkpoint(path, b"text"),
    "batch": lambda path: _fill(replaced(path)),
    "export": lambda path: _fill(whole(path, overwrite=True)),
}


def _fill(opened: object) -> None:
    with opened as file:  # type: ignore[attr-defined]
        file.write(b"text")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_of_any_other_new_file(name: str, mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        (tmp_path / "plain").touch()
        WRITERS[name](tmp_path / "made")
        WRITERS[name](tmp_path / "made")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "plain"]


@pytest.mark.parametrize("name", WRITERS)
def test_the_umask_of_the_process_is_never_touched(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("another thread would make files that all can write"))
    WRITERS[name](tmp_path / "made")


def test_no_code_of_the_product_touches_the_umask() -> None:
    folders = ("core", "agents", "plugins", "training", "evaluation", "ui")
    found = [
        path for folder in folders for path in (ROOT / folder).rglob("*.py") if "os.umask" in path.read_text("utf-8")
    ]
    assert found == []


def test_writers_at_once_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "made.txt"
    gate = threading.Barrier(8)

    def write(letter: bytes) -> None:
        gate.wait()
        with replacing(path, StoreError) as file:
            file.write(letter * 100_000)

    threads = [threading.Thread(target=write, args=(bytes([65 + number]),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = path.read_bytes()
    assert len(made) == 100_000 and len(set(made)) == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("part", [None, ".made.txt.part"])
def test_a_failure_leaves_the_old_file_and_nothing_else(part: str | None, tmp_path: Path) -> None:
    path = tmp_path / "made.txt"
    path.write_text("old", "utf-8")
    for problem in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(problem), replacing(path, StoreError, part=part) as file:
            file.write(b"new")
            raise problem
    assert path.read_text("utf-8") == "old" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_must_be_new(tmp_path: Path) -> None:
    path = tmp_path / "made.txt"
    path.write_text("old", "utf-8")
    with (
        pytest.raises(StoreError, match=r"exists already; choose another name"),
        replacing(path, StoreError, taken="choose another name") as file,
    ):
        file.write(b"new")
    assert path.read_text("utf-8") == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk(tmp_path: Path) -> None:
    with full_disk(tmp_path / "disk") as disk:
        path = disk / "made.bin"
        path.write_bytes(b"old")
        with pytest.raises(StoreError) as caught, replacing(path, StoreError) as file:
            file.write(bytes(4 << 20))
        assert str(caught.value) == f"'{path}' cannot be written: no space left on device"
        assert path.read_bytes() == b"old" and list(disk.iterdir()) == [path]
        with replacing(path, StoreError) as file:
            file.write(b"smaller")
        assert path.read_bytes() == b"smaller"


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from core.files.atomic import replacing; from core.errors import StoreError\n"
        "try:\n"
        "    with replacing(Path(sys.argv[1]), StoreError) as file: file.write(bytes(1 << 20))\n"
        "except StoreError as error: print(error)\n"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    path = tmp_path / "made.bin"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, preexec_fn=limit, check=True
    )
    assert done.stdout.decode() == f"'{path}' cannot be written: file too large\n"
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder(tmp_path: Path) -> None:
    with read_only(tmp_path / "disk") as disk, pytest.raises(StoreError) as caught:
        _fill(replacing(disk / "made.txt", StoreError))
    assert str(caught.value) == f"'{tmp_path / 'disk' / 'made.txt'}' cannot be written: read-only file system"


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="not a directory"):
        _fill(replacing(tmp_path / "file" / "made.txt", StoreError))
