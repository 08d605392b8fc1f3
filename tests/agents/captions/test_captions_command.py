"""`inquisight captions`: what it prints, changes, refuses and exports."""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from agents.cli.main import run
from core.captions.xmp.sidecars import CaptionFields, write_fields
from core.records import Caption, Claim, Dialogue, PictureInfo, Turn, Verdict
from core.settings import get_settings
from core.store.transcripts import TranscriptStore
from tests.pictures import saved

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in a folder with captions: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for name in ("a.jpg", "b.jpg", "c.png", "sub/d.png"):
        saved(Path("photos") / name, size=(12, 8))
    Path("photos/a.txt").write_text("a black cat\n", "utf-8")
    Path("photos/b.txt").write_text("cat, dog, Cat\n", "utf-8")
    write_fields(Path("photos/sub/d.png.xmp"), CaptionFields("=1+1 cat\nsecond line"))

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(["captions", "photos", *arguments])
        return code, *capsys.readouterr()

    return command


def test_the_list_and_its_filters(captions: Command) -> None:
    code, out, err = captions()
    assert code == 0
    assert out.splitlines() == [
        "a.jpg\ta black cat\ttxt",
        "b.jpg\tcat, dog, Cat\ttxt",
        "c.png\t\t",
        "sub/d.png\t=1+1 cat\\nsecond line\txmp",
    ]
    assert err == "inquisight: 4 images: 3 with caption\n"
    assert captions("BLACK")[1] == "a.jpg\ta black cat\ttxt\n"
    assert captions("--missing")[1] == "c.png\t\t\n"
    assert captions("--below", "sub", "--form", "xmp")[1].startswith("sub/d.png")
    assert captions("zebra")[2].startswith("inquisight: no image fits\n")
    code, out, err = captions("--limit", "1", "--sort", "longest", "--json")
    assert json.loads(out)["path"] == "sub/d.png"


def test_a_replacement_is_shown_first(captions: Command) -> None:
    code, out, err = captions("--replace", "cat", "--by", "dog", "--words")
    assert code == 1 and "nothing was changed; add --apply" in err
    assert out.splitlines()[0] == "a.jpg\ta black cat\ta black dog"
    assert Path("photos/a.txt").read_text("utf-8") == "a black cat\n"
    code, out, err = captions("--replace", "cat", "--by", "dog", "--words", "--apply")
    assert (code, out) == (0, "3 captions changed; --undo takes it back\n")
    assert Path("photos/a.txt").read_text("utf-8") == "a black dog\n"
    assert captions("--undo")[1] == "undo: replace 'cat' by 'dog'\n3 captions changed back\n"
    assert captions("--redo")[0] == 0
    assert captions("--undo")[0] == 0
    assert captions("--undo") == (1, "", "inquisight: there is nothing to undo\n")
    assert [line.split("\t")[0] for line in captions("--history")[1].splitlines()] == ["4", "3", "2", "1"]
    assert captions("--replace", "zebra", "--by", "x") == (0, "", "inquisight: no caption of 3 changes\n")


@pytest.mark.parametrize(
    ("arguments", "file", "text"),
    [
        (["--replace", r"(\w+) cat", "--by", r"\1 fox", "--regex"], "a.txt", "a black fox"),
        (["--prefix", "sks, "], "a.txt", "sks, a black cat"),
        (["--suffix", ", 4k", "--below", "sub"], "a.txt", "a black cat"),
        (["--remove-duplicates"], "b.txt", "cat, dog"),
        (["--add-tag", "bird", "--add-tag", "dog", "--remove-tag", "cat", "dog"], "b.txt", "dog, bird"),
    ],
)
def test_other_changes(captions: Command, arguments: list[str], file: str, text: str) -> None:
    assert captions(*arguments, "--apply")[0] == 0
    assert Path("photos", file).read_text("utf-8") == f"{text}\n"


def test_one_caption_and_its_versions(captions: Command) -> None:
    assert captions("A new one.", "--write", "c.png")[0] == 0
    assert captions("--write", "c.png", "Another one.")[0] == 0
    assert Path("photos/c.txt").read_text("utf-8") == "Another one.\n"
    _, out, _ = captions("--versions", "c.png", "--json")
    versions = [json.loads(line) for line in out.splitlines()]
    assert [one["after"] for one in versions] == ["Another one.", "A new one."]
    assert captions("--versions", "c.png", "--restore", str(versions[1]["version"]))[0] == 0
    assert Path("photos/c.txt").read_text("utf-8") == "A new one.\n"
    captions("A white cat", "--write", "a.jpg")
    assert captions("--versions", "a.jpg")[1].splitlines()[-1] == "0\t\tbefore the first change\ta black cat"
    assert captions("--versions", "a.jpg", "--restore", "0")[0] == 0
    assert Path("photos/a.txt").read_text("utf-8") == "a black cat\n"


def test_a_damaged_sidecar_is_told(captions: Command) -> None:
    Path("photos/c.png.xmp").write_text("<", "utf-8")
    code, _, err = captions()
    assert code == 1 and "c.png.xmp' cannot be read as XMP" in err and "1 unreadable" in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--replace", "a"], "--replace needs --by"),
        (["--by", "a"], "--by only means something together with --replace"),
        (["--replace", "(", "--by", "x", "--regex"], "not valid"),
        (["--trim", "--prefix", "x"], "are two things to do"),
        (["--undo", "--export", "x.csv"], "are two things to do"),
        (["--apply"], "--apply needs a change"),
        (["--undo", "--change", "77"], "no change 77"),
        (["--change", "7"], "together with --undo"),
        (["--restore", "7"], "--restore needs --versions"),
        (["--versions", "zzz.jpg"], "there is no picture 'zzz.jpg'"),
        (["--form", "pdf"], "take txt, caption, xmp or jsonl"),
        (["--sort", "size"], "take path, changed, length or longest"),
        (["--xmp-name", "x"], "take photo.jpg.xmp or photo.xmp"),
        (["--limit", "0"], "--limit must be 1 or more"),
        (["--export", "x.pdf"], "must end in one of .csv"),
        (["--export", "nowhere/x.csv"], "does not exist; make it first"),
        (["--export", "x.csv", "--export-format", "xmp"], "must end in .zip"),
        (["--export", "x.zip", "--export-format", "pdf"], "there is no format 'pdf'"),
        (["--export-format", "xmp"], "together with --export"),
    ],
)
def test_what_is_refused_is_one_line(captions: Command, arguments: list[str], reason: str) -> None:
    code, out, err = captions(*arguments)
    assert code == 2 and reason in err and err.count("\n") == 1 and not out


def test_a_folder_that_is_none(captions: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["captions", "nowhere"]) == 2
    assert "'nowhere' is no folder" in capsys.readouterr().err


def test_exports(captions: Command) -> None:
    for suffix in ("csv", "jsonl", "parquet", "json", "tar", "zip"):
        code, out, err = captions("--export", f"out.{suffix}")
        assert code == 0 and out.startswith("3 captions in out") and "1 images without caption" in err
    rows = list(csv.reader(Path("out.csv").read_text("utf-8-sig").splitlines(keepends=True)))
    assert rows[0] == ["file_name", "text"] and rows[3] == ["sub/d.png", "'=1+1 cat\nsecond line"]
    lines = [json.loads(line) for line in Path("out.jsonl").read_text("utf-8").splitlines()]
    assert lines[0] == {"file_name": "a.jpg", "text": "a black cat"}
    coco = json.loads(Path("out.json").read_text("utf-8"))
    assert coco["images"][0] == {"id": 1, "file_name": "a.jpg", "width": 12, "height": 8}
    assert coco["annotations"][2] == {"id": 3, "image_id": 3, "caption": "=1+1 cat\nsecond line"}
    with zipfile.ZipFile("out.zip") as archive:
        assert archive.namelist() == ["a.txt", "b.txt", "sub/d.txt"]
    with tarfile.open("out-000000.tar") as tar:
        assert tar.getnames()[:4] == ["000000000.jpg", "000000000.txt", "000000000.json", "000000001.jpg"]
    parquet = pytest.importorskip("pyarrow.parquet").read_table("out.parquet").to_pylist()
    assert parquet == lines
    before = Path("out.csv").read_bytes()
    code, out, err = captions("--export", "out.csv", "cat")
    assert code == 2 and "exists already; add --overwrite" in err and Path("out.csv").read_bytes() == before
    assert captions("black", "--export", "out.csv", "--overwrite")[1].startswith("1 caption in")


def test_sidecars_and_pictures_with_texts_are_exported(captions: Command) -> None:
    names = {}
    for kind in ("txt", "training", "xmp"):
        code, out, _ = captions("--export", f"{kind}.zip", "--export-format", kind)
        assert code == 0 and out == f"3 captions in {kind}.zip\n"
        with zipfile.ZipFile(f"{kind}.zip") as archive:
            names[kind] = archive.namelist()
            if kind == "xmp":
                assert b"a black cat" in archive.read("a.jpg.xmp")
    assert names["txt"] == ["a.txt", "b.txt", "sub/d.txt"]
    assert sorted(names["training"]) == sorted([*names["txt"], "a.jpg", "b.jpg", "sub/d.png"])
    assert names["xmp"] == ["a.jpg.xmp", "b.jpg.xmp", "sub/d.png.xmp"]


def test_what_hugging_face_and_webdataset_read(captions: Command) -> None:
    captions("--export", "photos/metadata.jsonl", "--form", "txt")
    webdataset = pytest.importorskip("webdataset")
    captions("--export", "out.tar", "--form", "txt")
    samples = list(webdataset.WebDataset(os.path.abspath("out-000000.tar"), shardshuffle=False))
    assert [sample["txt"].decode() for sample in samples] == ["a black cat", "cat, dog, Cat"]
    assert captions("--json")[1].count("metadata.jsonl") == 2  # read again as captions, kept in step
    captions("--replace", "black", "--by", "white", "--apply")
    assert "a white cat" in Path("photos/metadata.jsonl").read_text("utf-8")


def test_a_named_table_counts_only_when_it_is_named(captions: Command) -> None:
    Path("table.jsonl").write_text('{"image": "photos/c.png", "caption": "from a table"}\n', "utf-8")
    assert "from a table\tjsonl" in captions("--table", "table.jsonl")[1]
    assert "from a table" not in captions()[1]
    captions("--table", "table.jsonl", "--replace", "table", "--by", "list", "--apply")
    assert json.loads(Path("table.jsonl").read_text("utf-8"))["caption"] == "from a list"


def test_the_history_tells_what_is_unsure(captions: Command, tmp_path: Path) -> None:
    store = TranscriptStore(tmp_path / "home" / "transcripts.sqlite")

    def kept(source: str, certainty: Literal["sure", "unsure"], verdict: Verdict, day: int) -> None:
        turn = Turn(question="What is it?", answer="A cat.", certainty=certainty)
        picture = PictureInfo(sha256=f"{day:064x}", source=source, width=12, height=8)
        claim = Claim(text="A cat.", kind="thing", start=0, end=6, verdict=verdict)
        created = datetime(2026, 1, day, tzinfo=UTC)
        dialogue = Dialogue(turns=(turn,))
        store.add(Caption(picture=picture, dialogue=dialogue, summary="A cat.", claims=(claim,), created=created))

    kept("photos/a.jpg", "unsure", "supported", 1)
    kept(str(tmp_path / "photos/b.jpg"), "sure", "contradicted", 2)
    kept("photos/sub/d.png", "unsure", "unsupported", 3)
    kept("photos/sub/d.png", "sure", "supported", 4)  # the newest one counts
    kept("elsewhere/c.png", "unsure", "unsupported", 5)
    get_settings.cache_clear()
    assert captions("--unsure")[1].split("\t")[0] == "a.jpg"
    _, out, err = captions("--failed-audit")
    assert [line.split("\t")[0] for line in out.splitlines()] == ["b.jpg"]
    assert "1 unsure, 1 with a failed audit" in err
    get_settings.cache_clear()
