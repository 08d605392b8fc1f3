"""Curations count what they skip; sheets keep every character of a text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.datasets.left_out import LeftOut
from core.entries import Entry as Registered
from core.errors import UsageError
from core.registry import get_registry
from core.settings import get_settings
from tests.training.curation.fakes import FakeVision, make_pictures
from tests.training.curation.test_curation_command import Shell
from training.curation.folder import CurationFolder
from training.curation.review.labels import Kinds, LabelItem, Labels, read_sheet, write_sheet
from training.curation.steps.pictures import list_pictures

CASES = Path(__file__).parents[2] / "fixtures" / "cases"


def listed(*sources: Path, **options: Any) -> tuple[list[str], dict[str, int]]:
    """(names of the files, how many were left out for each reason)."""
    left_out = LeftOut()
    entries = list_pictures([str(one) for one in sources], left_out=left_out, **options)
    reasons = left_out.as_json()["reasons"]
    return [Path(entry.path).name for entry in entries], {name: one["count"] for name, one in reasons.items()}


def test_folders_lists_and_the_aligned_layout(tmp_path: Path) -> None:
    for name in ("a.avif", "noext", "f.psd"):
        shutil.copy(CASES / "pictures" / name, tmp_path)
    assert listed(tmp_path) == (["a.avif", "noext"], {"Photoshop": 1})
    (tmp_path / "list.txt").write_bytes("\ufeffa.avif\r\n# a remark\r\n\r\n.\\noext\r\na.avif\r\n".encode())
    (tmp_path / "wide.txt").write_bytes((tmp_path / "list.txt").read_text("utf-8-sig").encode("utf-16"))
    for name in ("list.txt", "wide.txt"):
        assert listed(tmp_path / name) == (["a.avif", "noext"], {"named more than once": 1})
    align = tmp_path / "align"
    make_pictures(align / "image", 3)
    shutil.copy(CASES / "pictures" / "f.psd", align / "image")
    notes = {"annotations": [{"image_id": "p00", "caption": "x"}, {"image_id": "p02", "caption": "y"}]}
    (align / "filter_cap.json").write_text(json.dumps(notes))
    assert listed(align) == (["p00.png", "p02.png"], {"Photoshop": 1, "picture that the table does not name": 1})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_any_program(tmp_path: Path, encoding: str) -> None:
    make_pictures(tmp_path / "sub", 3)
    long, odd = "x" * 200_000, "one\u2028two\x85three\x0cfour"
    for name, text in (
        ("a.csv", f'image;note\r\nsub\\p00.png;"two\r\nlines"\r\nsub/p01.png;{long}\r\nsub/p02.png;{odd}\r\n'),
        ("b.csv", 'image,n\n"[""sub/p00.png"", ""sub/p01.png""]",1\nsub/p02.png,2\n'),
        ("c.tsv", "image\tnote, and more\nsub/p00.png\tx\nsub/p01.png\ty\nsub/p02.png\tz\n"),
        (
            "d.jsonl",
            "".join(json.dumps({"image": f"sub/p0{n}.png", "note": odd}, ensure_ascii=False) + "\n" for n in range(3)),
        ),
        ("e.jsonl", json.dumps({"image": [f"sub/p0{n}.png" for n in range(3)]}) + "\n"),
    ):
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert listed(tmp_path / name) == (["p00.png", "p01.png", "p02.png"], {}), name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('image,note\n"a.png","two\nlines"\n,x\n', r"row 2 of '.*t.csv' has no path of a picture in 'image'"),
        ('image,note\na.png,"never closed\nb.png,x\n', r"from line 2 on: a quote that opens there is never closed"),
        ("image,note\na.png,one, two\n", r"row 1 of '.*t.csv' has 3 cells and the header 2"),
        ("image,image\na.png,b.png\n", r"has 2 columns named 'image'"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        list_pictures([str(tmp_path / "t.csv")])


def test_a_sheet_that_we_wrote_is_read_whatever_letters_its_texts_have(tmp_path: Path) -> None:
    items = [
        LabelItem(f"p{n}", "p.png", f"before{letter}after") for n, letter in enumerate("\u2028\u2029\x85\x0b\x0c\x1c")
    ]
    folder, kinds = CurationFolder(tmp_path / "work", create=True), Kinds.load()
    sheet = tmp_path / "sheet.jsonl"
    write_sheet(sheet, items, Labels(folder), "anna")
    rows = [json.loads(line) for line in sheet.read_bytes().split(b"\n") if line]
    sheet.write_text("".join(json.dumps({**row, "kinds": []}, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    assert read_sheet(sheet, items, Labels(folder), "anna", kinds) == len(items)


def test_the_command_and_the_status_say_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    entry = Registered("vision backend", "fake", lambda argument: FakeVision(), "for tests", {}, "tests", "tests")
    monkeypatch.setitem(get_registry().vision_backends, "fake", entry)
    photos, work = make_pictures(tmp_path / "photos", 2), tmp_path / "work"
    shutil.copy(CASES / "pictures" / "f.psd", photos)
    shell = Shell(capsys)
    said = shell.fine("generate", work, photos, "--vision", "fake")
    assert said.splitlines()[-1].startswith("1 left out: 1 Photoshop (")
    for again in ((), ("--again", "--vision", "fake")):
        shell.fine("generate", work, *again)
        assert "1 left out: 1 Photoshop (" in shell.fine("status", work)
        counted = json.loads(shell.fine("status", work, "--json"))["left_out"]
        assert counted == {"count": 1, "reasons": {"Photoshop": {"count": 1, "first": str(photos / "f.psd")}}}
    get_settings.cache_clear()
