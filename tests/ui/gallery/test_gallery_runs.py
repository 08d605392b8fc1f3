"""Runs over a folder: results are taken over once, people's captions stay, killed processes are started again.

The process is a fake: the test writes the journal that `inquisight batch` would write.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ui.gallery.runs.run as run_module
from core.errors import UsageError
from core.records import Caption, Dialogue, PictureInfo, Turn
from tests.ui.gallery.served import make_pictures
from ui.gallery.folder import GalleryFolder
from ui.gallery.runs.collect import FolderRuns
from ui.gallery.runs.journal import JOURNAL, record_of
from ui.gallery.runs.request import RunRequest
from ui.gallery.runs.run import TRIES, Run

REQUEST = RunRequest("pocket", "scripted", rounds=2)


class FakeProcess:
    """Starts are counted; whether it runs, and what it says at its end, is what the test sets."""

    def __init__(self) -> None:
        self.starts: list[list[str]] = []
        self.alive = True
        self.asked = 0

    def start(self, module: str, arguments: list[str], output: Path) -> int:
        self.starts.append(arguments)
        self.alive = True
        output.write_text("")
        return 1

    def ask(self, record: object) -> bool:
        self.asked += 1
        return self.alive


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> FakeProcess:
    fake = FakeProcess()
    monkeypatch.setattr(run_module, "start_detached", fake.start)
    monkeypatch.setattr(run_module, "describe_process", lambda pid: {"pid": pid})
    monkeypatch.setattr(run_module, "is_running", lambda record: fake.alive)
    monkeypatch.setattr(run_module, "ask_to_end", fake.ask)
    monkeypatch.setattr(FolderRuns, "_watch", lambda self, run: None)  # the tests take results over themselves
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> GalleryFolder:
    return GalleryFolder(make_pictures(tmp_path / "pictures"), tmp_path / "data")


def caption(name: str, text: str, *, unsure: bool = False) -> dict[str, Any]:
    turns = (Turn(question="What is it?", answer="Perhaps.", certainty="unsure"),) if unsure else ()
    info = PictureInfo(sha256=name.encode().hex().ljust(64, "0"), source=name, width=40, height=30)
    return Caption(picture=info, summary=text, dialogue=Dialogue(turns=turns)).model_dump(mode="json")


def write(folder: GalleryFolder, run: Run, *records: dict[str, Any], torn: str = "") -> None:
    """What a batch appends to its journal."""
    path = run.path / JOURNAL
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_text(json.dumps({"kind": "journal", "id": "x"}) + "\n")
    with path.open("a") as file:
        for record in records:
            if "key" in record:
                record = {**record, "key": str(folder.root / record["key"])}
            file.write(json.dumps(record) + "\n")
        file.write(torn)


def captions(folder: GalleryFolder) -> dict[str, str]:
    return {one.key: one.caption for one in folder.entries(range(6))}


def begin(folder: GalleryFolder, **more: Any) -> Run:
    return folder.runs.start(RunRequest("pocket", "scripted", **more), folder.entries(range(6)))


def test_results_come_into_the_folder(folder: GalleryFolder, process: FakeProcess) -> None:
    run = begin(folder)
    assert run.total == 3  # those without a caption
    assert (run.path / "pictures.txt").read_text().splitlines() == [str(folder.root / f"p{n}.png") for n in (0, 2, 4)]
    [arguments] = process.starts
    assert arguments[0] == "batch" and "--vision=pocket" in arguments and "--json" in arguments
    assert folder.runs.collect(run) is False
    write(
        folder,
        run,
        {"kind": "done", "key": "p0.png", "caption": caption("p0", "A red square.", unsure=True)},
        {"kind": "same", "key": "p2.png", "sha256": b"p0".hex().ljust(64, "0")},
        torn='{"kind": "done", "key',
    )
    assert folder.runs.collect(run) is True and folder.runs.collect(run) is False
    assert (folder.root / "p0.txt").read_text() == "A red square.\n"
    assert captions(folder)["p2.png"] == "A red square."
    assert [folder.facts.get(key).unsure for key in ("p0.png", "p2.png", "p4.png")] == [1, 1, 0]
    found = record_of(folder.data / "runs", folder.facts.get("p2.png"))
    assert found is not None and found.summary == "A red square."
    assert run.progress().settled == 2
    write(folder, run, {"kind": "failed", "key": "p4.png", "where": "picture", "reason": "it is truncated"}, torn="")


def test_what_people_write_meanwhile_stays(folder: GalleryFolder, process: FakeProcess) -> None:
    run = begin(folder, replace=True)
    assert run.total == 6
    folder.set_caption(0, "Mine", "")
    (folder.root / "p1.txt").write_text("Of another program.\n")
    write(
        folder,
        run,
        *({"kind": "done", "key": f"p{n}.png", "caption": caption(f"p{n}", f"Made {n}.")} for n in range(4)),
    )
    folder.runs.collect(run)
    assert captions(folder) | {"p4.png": "", "p5.png": ""} == {
        "p0.png": "Mine", "p1.png": "Of another program.", "p2.png": "Made 2.", "p3.png": "Made 3.", "p4.png": "",
        "p5.png": "",
    }  # fmt: skip
    assert run.progress().captioned == 2 and run.progress().kept == 2
    found = record_of(folder.data / "runs", folder.facts.get("p0.png"))
    assert found is not None and found.summary == "Made 0."  # offered in the full view


def test_a_kill_between_saving_and_noting_takes_nothing_twice(
    folder: GalleryFolder, process: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin(folder)
    write(folder, run, {"kind": "done", "key": "p0.png", "caption": caption("p0", "Made.")})

    def killed(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(folder.facts, "add", killed)
    with pytest.raises(SystemExit):
        folder.runs.collect(run)
    assert (folder.root / "p0.txt").read_text() == "Made.\n"
    again = GalleryFolder(folder.root, folder.data)  # the next server
    [other] = again.runs.all
    assert again.runs.collect(other) is True
    assert other.progress().captioned == 1 and other.progress().kept == 0
    assert len(again.captions.versions("p0.png")) == 1 and again.facts.get("p0.png").run == run.id


def test_the_next_server_goes_on_where_the_last_one_was(folder: GalleryFolder, process: FakeProcess) -> None:
    run = begin(folder)
    write(folder, run, {"kind": "done", "key": "p0.png", "caption": caption("p0", "Made.")})
    folder.runs.collect(run)
    write(folder, run, {"kind": "done", "key": "p2.png", "caption": caption("p2", "Two.")})
    again = GalleryFolder(folder.root, folder.data)
    assert again.runs.active
    [other] = again.runs.all
    assert other.progress().settled == 1
    assert again.runs.collect(other) is True and captions(again)["p2.png"] == "Two."
    process.alive = False  # killed with the server
    other.ended()
    assert len(process.starts) == 2 and process.starts[0] == process.starts[1] and other.state == "going"


def test_a_process_that_is_killed_again_and_again_fails(folder: GalleryFolder, process: FakeProcess) -> None:
    run = begin(folder)
    for _ in range(TRIES + 1):
        process.alive = False
        run.ended()
    assert run.state == "failed" and "killed" in run.words
    folder.runs.go_on()
    assert run.state == "going" and len(process.starts) == TRIES + 2


def test_a_process_that_says_why_it_ended_is_not_started_again(folder: GalleryFolder, process: FakeProcess) -> None:
    run = begin(folder)
    (run.path / "output.txt").write_text("inquisight: witnesses: reader\ninquisight: the server refused the key\n")
    run.ended()
    assert run.state == "failed" and run.words == "the server refused the key" and len(process.starts) == 1


def test_pause_and_continue(folder: GalleryFolder, process: FakeProcess) -> None:
    run = begin(folder)
    with pytest.raises(UsageError, match="not finished"):
        begin(folder)
    folder.runs.pause()
    assert run.state == "pausing" and process.asked == 1
    process.alive = False
    run.ended()
    assert run.state == "paused" and not folder.runs.active
    assert Run.read(run.path).state == "paused"  # type: ignore[union-attr]
    folder.runs.go_on()
    assert run.state == "going" and len(process.starts) == 2
    folder.runs.pause()
    process.alive = False
    run.ended()
    folder.runs.discard()
    assert run.state == "done" and begin(folder).total == 3


def test_it_is_done_when_all_are(folder: GalleryFolder, process: FakeProcess) -> None:
    run = begin(folder)
    write(
        folder,
        run,
        {"kind": "done", "key": "p0.png", "caption": caption("p0", "Made.")},
        {"kind": "failed", "key": "p2.png", "where": "picture", "reason": "it is truncated", "caption": None},
        {"kind": "done", "key": "p4.png", "caption": caption("p4", "Made.")},
        {"kind": "run", "captioned": 2, "calls": 4, "input_tokens": 100, "output_tokens": 10, "seconds": 3.0},
    )
    folder.runs.collect(run)
    run.ended()
    assert run.state == "done" and run.progress().failed == 1
    assert folder.facts.get("p2.png").error == "picture: it is truncated"
    assert run.notes == [{"captioned": 2, "calls": 4, "input_tokens": 100, "output_tokens": 10, "seconds": 3.0}]
    assert Run.read(run.path).notes == run.notes  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="have a caption"):
        folder.runs.start(REQUEST, folder.entries([0, 1]))


def test_a_name_with_a_line_break_is_told(tmp_path: Path, process: FakeProcess) -> None:
    root = make_pictures(tmp_path / "odd", 1)
    (root / "p0.png").rename(root / "p\n0.png")
    folder = GalleryFolder(root, tmp_path / "data-odd")
    with pytest.raises(UsageError, match="line break"):
        begin(folder)
