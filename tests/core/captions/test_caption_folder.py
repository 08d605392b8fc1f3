"""A folder of captions: found, changed, undone; changes by other programs, kills, several processes at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.captions.edits import Prefix, Replace, Tags
from core.captions.folder import CaptionFolder
from core.captions.forms import CaptionError, Form, XmpName, clean, read_text, write_text
from core.captions.records import CaptionQuery
from core.captions.xmp.sidecars import CaptionFields, caption_of, read_xmp, write_fields
from core.errors import UsageError
from tests.disks import fill, read_only, small_disk
from tests.pictures import saved


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Pictures with captions in every form, and one without."""
    root = tmp_path / "photos"
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "sub/e.png"):
        saved(root / name, size=(8, 8))
    (root / "a.txt").write_text("a black cat\n", "utf-8")
    (root / "b.caption").write_text("cat, dog, Cat", "utf-8")
    write_fields(root / "c.jpg.xmp", CaptionFields("a cat in XMP"))
    lines = [
        '{"file_name": "sub/e.png", "text": "a cat in a list", "score": 1}',
        '{"file_name": "x.jpg", "text": "cat"}',
    ]
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return root


@pytest.fixture
def folder(root: Path) -> Iterator[CaptionFolder]:
    with CaptionFolder(root) as folder:
        folder.refresh()
        yield folder


def texts(folder: CaptionFolder, query: CaptionQuery | None = None) -> dict[str, str | None]:
    return {one.path: one.text for one in folder.each(query)}


def in_xmp(path: Path) -> str | None:
    xmp = read_xmp(path)
    assert xmp is not None
    return caption_of(xmp)


BEFORE = {
    "a.jpg": "a black cat",
    "b.jpg": "cat, dog, Cat",
    "c.jpg": "a cat in XMP",
    "d.jpg": None,
    "sub/e.png": "a cat in a list",
}


def test_every_form_is_found(folder: CaptionFolder) -> None:
    assert texts(folder) == BEFORE
    assert [one.places[0].form for one in folder.find() if one.places] == ["txt", "caption", "xmp", "jsonl"]
    assert folder.counts() == {
        "pictures": 5,
        "captioned": 4,
        **dict.fromkeys(("edited", "unsure", "failed_audit", "problem"), 0),
    }


def test_replacing_reaches_every_form_and_one_undo_takes_it_all_back(folder: CaptionFolder, root: Path) -> None:
    untouched = (root / "metadata.jsonl").read_text("utf-8").splitlines()[1]
    change = folder.apply(Replace("cat", "dog", ignore_case=True))
    assert change.captions == 4 and change.label == "replace 'cat' by 'dog'"
    assert (root / "a.txt").read_text("utf-8") == "a black dog\n"
    assert (root / "b.caption").read_text("utf-8") == "dog, dog, dog"  # still without a line end
    assert in_xmp(root / "c.jpg.xmp") == "a dog in XMP"
    first, second = (root / "metadata.jsonl").read_text("utf-8").splitlines()
    assert json.loads(first) == {"file_name": "sub/e.png", "text": "a dog in a list", "score": 1}
    assert second == untouched  # of no picture here
    assert folder.count(CaptionQuery(edited=True)) == 4
    undone = folder.undo()
    assert undone is not None and undone.captions == 4
    assert texts(folder) == BEFORE and folder.count(CaptionQuery(edited=True)) == 0
    redone = folder.redo()
    assert redone is not None and texts(folder)["a.jpg"] == "a black dog"
    assert folder.redo() is None
    assert [one.kind for one in folder.changes()] == ["redo", "undo", "edit"]


def test_undo_goes_back_step_by_step_and_a_new_edit_ends_redo(folder: CaptionFolder) -> None:
    for text in ("one", "two", "three"):
        folder.set("d.jpg", text)
    folder.undo()
    folder.undo()
    assert folder.get("d.jpg").text == "one"
    folder.redo()
    assert folder.get("d.jpg").text == "two"
    folder.undo()
    folder.set("d.jpg", "four")
    assert folder.redo() is None
    for _ in range(2):
        folder.undo()
    assert folder.get("d.jpg").text is None and folder.undo() is None
    versions = folder.versions("d.jpg")
    assert {"one", "two", "three", "four"} <= {one.after for one in versions}
    three = next(one for one in versions if one.after == "three")
    folder.restore("d.jpg", three.id)
    assert folder.get("d.jpg").text == "three"


def test_a_new_caption_takes_the_usual_form(folder: CaptionFolder, root: Path) -> None:
    folder.set("d.jpg", "new")
    assert (root / "d.txt").read_text("utf-8") == "new\n"
    folder.undo()
    assert not (root / "d.txt").exists()


@pytest.mark.parametrize(
    ("form", "name", "file"),
    [
        (Form.CAPTION, XmpName.FULL, "d.caption"),
        (Form.XMP, XmpName.FULL, "d.jpg.xmp"),
        (Form.XMP, XmpName.STEM, "d.xmp"),
        (Form.JSONL, XmpName.FULL, "metadata.jsonl"),
    ],
)
def test_a_form_may_be_chosen(form: Form, name: XmpName, file: str, root: Path) -> None:
    before = (root / file).read_bytes() if (root / file).exists() else None
    folder = CaptionFolder(root, form=form, xmp_name=name)
    folder.refresh()
    folder.set("d.jpg", "new")
    assert folder.get("d.jpg").places[0].file == file and "new" in (root / file).read_text("utf-8")
    folder.undo()
    assert ((root / file).read_bytes() if (root / file).exists() else None) == before
    folder.refresh()
    assert folder.get("d.jpg").text is None


def test_the_same_caption_in_two_forms_is_kept_in_step(root: Path) -> None:
    write_fields(root / "a.jpg.xmp", CaptionFields("a black cat"))
    write_fields(root / "b.jpg.xmp", CaptionFields("a sentence, not tags: cat"))
    folder = CaptionFolder(root)
    folder.refresh()
    folder.replace("cat", "fox")
    assert in_xmp(root / "a.jpg.xmp") == "a black fox"
    assert read_text(root / "b.caption") == "fox, dog, Cat"
    assert in_xmp(root / "b.jpg.xmp") == "a sentence, not tags: cat"


def test_a_caption_that_two_pictures_share_is_changed_once(root: Path) -> None:
    saved(root / "a.png", size=(8, 8))
    folder = CaptionFolder(root)
    folder.refresh()
    folder.prefix("my ", CaptionQuery(name="a."))
    folder.apply(Replace("my ", "my my "), CaptionQuery(contains="my "))
    assert read_text(root / "a.txt") == "my my a black cat"


def test_what_another_program_changes_becomes_a_version(folder: CaptionFolder, root: Path) -> None:
    folder.set("a.jpg", "mine")
    (root / "a.txt").write_text("theirs", "utf-8")
    assert folder.refresh().changed == 1
    assert [(one.change.kind, one.after) for one in folder.versions("a.jpg")] == [("found", "theirs"), ("edit", "mine")]
    undone = folder.undo()
    assert undone is not None and (undone.captions, undone.skipped) == (0, 1)  # theirs stays
    assert read_text(root / "a.txt") == "theirs"
    (root / "a.txt").unlink()
    assert folder.refresh().changed == 1
    assert folder.get("a.jpg").text is None
    folder.restore("a.jpg", next(one.id for one in folder.versions("a.jpg") if one.after == "theirs"))
    assert read_text(root / "a.txt") == "theirs"


def test_a_change_between_look_and_edit_is_kept(folder: CaptionFolder, root: Path) -> None:
    (root / "a.txt").write_text("a cat of theirs\n", "utf-8")
    with pytest.raises(CaptionError, match="by somebody else"):
        folder.set("a.jpg", "mine", was="a black cat")
    (root / "b.caption").write_text("no such animal", "utf-8")
    folder.replace("cat", "dog")
    assert read_text(root / "a.txt") == "a dog of theirs" and read_text(root / "b.caption") == "no such animal"
    assert "a cat of theirs" in {one.after for one in folder.versions("a.jpg")}
    folder.set("c.jpg", "mine")
    write_fields(root / "c.jpg.xmp", CaptionFields("theirs"))
    folder.set("c.jpg", "mine again")
    assert [one.after for one in folder.versions("c.jpg")][:3] == ["mine again", "theirs", "mine"]


def test_filters_sorting_and_pages(folder: CaptionFolder, root: Path) -> None:
    def found(**query: object) -> list[str]:
        return [one.path for one in folder.find(CaptionQuery(**query))]  # type: ignore[arg-type]

    assert found(captioned=False) == ["d.jpg"]
    assert found(contains="CAT IN") == ["c.jpg", "sub/e.png"]
    assert found(below="sub") == ["sub/e.png"] and found(name=".PNG") == ["sub/e.png"]
    assert found(paths=frozenset({"a.jpg", "nothing.jpg"})) == ["a.jpg"]
    assert found(paths=frozenset({"a.jpg", *map(str, range(1000))})) == ["a.jpg"]
    assert found(sort="length") == ["d.jpg", "a.jpg", "c.jpg", "b.jpg", "sub/e.png"]
    folder.set("b.jpg", "new")
    assert found(sort="changed")[0] == "b.jpg" and found(edited=True) == ["b.jpg"]
    folder.mark("a.jpg", unsure=True)
    folder.mark("c.jpg", failed_audit=True)
    assert found(unsure=True) == ["a.jpg"] and found(failed_audit=True) == ["c.jpg"]
    assert [one.path for one in folder.find(limit=2, offset=3)] == ["d.jpg", "sub/e.png"]
    with pytest.raises(UsageError, match="no picture 'zzz'"):
        folder.get("zzz")


def test_the_records_of_a_batch_tell_what_is_unsure(root: Path) -> None:
    rows = [
        {"key": str(root / "a.jpg"), "caption": "x", "dialogue": [{"certainty": "unsure"}], "claims": []},
        {"key": str(root / "d.jpg"), "caption": "y", "claims": [{"verdict": "contradicted"}]},
    ]
    (root / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    folder = CaptionFolder(root)
    folder.refresh()
    assert [one.path for one in folder.find(CaptionQuery(unsure=True))] == ["a.jpg"]
    assert [one.path for one in folder.find(CaptionQuery(failed_audit=True))] == ["d.jpg"]
    assert folder.get("d.jpg").text == "y"


def test_a_damaged_sidecar_is_told_and_left_alone(root: Path) -> None:
    (root / "d.jpg.xmp").write_text("<x:xmpmeta", "utf-8")
    folder = CaptionFolder(root)
    found = folder.refresh()
    assert len(found.problems) == 1 and "d.jpg.xmp" in found.problems[0]
    assert [one.path for one in folder.find(CaptionQuery(problem=True))] == ["d.jpg"]
    with pytest.raises(CaptionError, match="cannot be read as XMP"):
        folder.set("d.jpg", "new")
    assert (root / "d.jpg.xmp").read_text("utf-8") == "<x:xmpmeta"


@pytest.mark.parametrize("content", [b"caf\xe9 cat", "\ufeffcafé cat".encode(), "café cat".encode("utf-16")])
def test_text_files_of_other_encodings(content: bytes, root: Path) -> None:
    (root / "d.txt").write_bytes(content)
    folder = CaptionFolder(root)
    folder.refresh()
    assert folder.get("d.jpg").text == "café cat"
    folder.replace("cat", "dog")
    assert (root / "d.txt").read_text("utf-8") == "café dog"


def test_names_that_are_not_utf8_with_line_breaks_and_quotes(tmp_path: Path) -> None:
    names = [os.fsdecode(b"caf\xe9.jpg"), "-rf.jpg", "two\nlines.jpg", 'it\'s "x" % _ [a].jpg', "日本.jpg"]
    for name in names:
        saved(tmp_path / name, size=(8, 8))
    folder = CaptionFolder(tmp_path)
    folder.refresh()
    for name in names:
        folder.set(name, f"caption of {len(name)}")
    assert sorted(one.path for one in folder.find()) == sorted(names)
    assert all(read_text((tmp_path / name).with_suffix(".txt")) == f"caption of {len(name)}" for name in names)


def test_a_folder_that_may_not_be_written_is_read(root: Path) -> None:
    with read_only(root):
        folder = CaptionFolder(root)
        folder.refresh()
        assert texts(folder) == BEFORE and folder.read_only
        with pytest.raises(CaptionError, match="not writable"):
            folder.set("a.jpg", "x")
        folder.close()
    with pytest.raises(UsageError, match="no folder"):
        CaptionFolder(root / "a.jpg")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2048) as disk:
        for number in range(40):
            saved(disk / f"{number:02d}.png", size=(8, 8))
            (disk / f"{number:02d}.txt").write_text(f"a cat {number} " + "x" * 3000, "utf-8")
        folder = CaptionFolder(disk)
        folder.refresh()
        before = texts(folder)
        filler = fill(disk)
        with pytest.raises(Exception, match=r"no space|full|i/o"):
            folder.replace("x", "y" * 20)
        filler.unlink()
        folder.refresh()
        for path, text in texts(folder).items():
            assert text in (before[path], (before[path] or "").replace("x", "y" * 20))
        while folder.undo() is not None:
            pass
        assert texts(folder) == before


CHANGE = """
import sys
from core.captions.folder import CaptionFolder
from core.captions.edits import Prefix
folder = CaptionFolder(sys.argv[1])
def told(count):
    print(count, flush=True)
    sys.stdin.readline()
folder.apply(Prefix("new: "), progress=told)
"""


def test_a_killed_change_is_finished_once(tmp_path: Path) -> None:
    for number in range(1200):
        (tmp_path / f"{number:04d}.jpg").write_bytes(b"\xff\xd8")
        (tmp_path / f"{number:04d}.txt").write_text("cat\n", "utf-8")
    folder = CaptionFolder(tmp_path)
    folder.refresh()
    process = subprocess.Popen(
        [sys.executable, "-c", CHANGE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "500\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    written = sorted(path.name for path in tmp_path.glob("*.txt") if path.read_text("utf-8") == "new: cat\n")
    assert len(written) == 500
    (tmp_path / "1100.txt").write_text("theirs\n", "utf-8")  # after the kill, before the next look
    folder.refresh()
    found = texts(folder)
    assert found.pop("1100.jpg") == "theirs"
    assert set(found.values()) == {"new: cat"}
    [change] = [one for one in folder.changes() if one.kind == "edit"]
    assert (change.captions, change.skipped) == (1199, 1)
    folder.undo()
    assert set(texts(folder).values()) == {"cat", "theirs"}


ADD = """
import sys
from core.captions.folder import CaptionFolder
from core.captions.edits import Tags
folder = CaptionFolder(sys.argv[1])
for number in range(10):
    folder.apply(Tags(add=(f"{sys.argv[2]}{number}",)))
"""


def test_several_processes_and_threads_lose_no_change(root: Path) -> None:
    with CaptionFolder(root) as folder:
        folder.refresh()
        processes = [subprocess.Popen([sys.executable, "-c", ADD, str(root), name]) for name in "xy"]
        threads = [
            threading.Thread(target=lambda name=name: [folder.apply(Tags(add=(f"{name}{n}",))) for n in range(10)])
            for name in "uv"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [process.wait() for process in processes] == [0, 0]
        expected = {f"{name}{number}" for name in "uvxy" for number in range(10)}
        for path in ("a.jpg", "b.jpg", "c.jpg", "sub/e.png"):
            assert expected <= {tag.strip() for tag in (folder.get(path).text or "").split(",")}
        while folder.undo() is not None:
            pass
        assert texts(folder) == BEFORE | {"b.jpg": "cat, dog, Cat"}


def test_a_change_of_nothing_is_no_version(folder: CaptionFolder) -> None:
    assert folder.replace("zebra", "x").id == 0
    assert folder.set("a.jpg", "a black cat").id == 0
    assert folder.changes() == []


ANY_TEXT = st.text(st.characters(codec=None), max_size=50)


@settings(max_examples=20, deadline=None)
@given(text=ANY_TEXT, second=ANY_TEXT)
def test_every_caption_comes_back_from_every_form(
    text: str, second: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("forms")
    saved(root / "a.png", size=(8, 8))
    for form in Form:
        with CaptionFolder(root, form=form) as folder:
            folder.refresh()
            folder.set("a.png", text)
            folder.set("a.png", second)
            folder.refresh()
            assert folder.get("a.png").text == clean(second)
            if clean(text) != clean(second):
                folder.undo()
                folder.refresh()
                assert folder.get("a.png").text == clean(text)
            assert not any(change.kind == "found" for change in folder.changes())


@given(ANY_TEXT, st.sampled_from([b"", b"\n", b"\r\n", b"x", b"x\r\n"]))
@settings(deadline=None)
def test_text_files_keep_text_and_line_end(tmp_path_factory: pytest.TempPathFactory, text: str, there: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "caption.txt"
    path.write_bytes(there)
    write_text(path, clean(text))
    assert read_text(path) == clean(text)
    write_text(path, clean(text) + "\r\nwindows\r")
    assert read_text(path) == clean(text) + "\r\nwindows\r"


def test_preview_shows_what_apply_does(folder: CaptionFolder) -> None:
    preview = folder.preview(Prefix("my "), CaptionQuery(contains="cat in"), limit=1)
    assert [(one.path, one.after) for one in preview.shown] == [("c.jpg", "my a cat in XMP")]
    assert (preview.total, preview.of) == (2, 2)
    assert texts(folder) == BEFORE
