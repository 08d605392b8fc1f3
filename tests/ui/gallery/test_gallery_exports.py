"""Exports of the gallery, read by the programs they are for."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from agents.captions.export import FORMATS
from tests.ui.gallery.served import Browser, make_pictures
from ui.gallery.exports import ExportRequest
from ui.gallery.library import libraries_of

KEYS = ["p1.png", "p3.png", "sub/ü.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_pictures(tmp_path / "my pictures", 4)
    make_pictures(root / "sub", 1)
    (root / "sub" / "p0.png").rename(root / "sub" / "ü.png")
    (root / "sub" / "ü.txt").write_text("=Grün & <gelb>\n", "utf-8")
    return root


@pytest.fixture
def browser(root: Path) -> Browser:
    return Browser().open(root)


def export(browser: Browser, kind: str, numbers: tuple[int, ...] = tuple(range(5))) -> bytes:
    name = libraries_of(browser.visitor).offer(ExportRequest(kind, numbers))
    answer = browser.get(f"export/{name}")
    assert answer.status_code == 200, answer.json()
    assert (
        "attachment" in answer.headers["content-disposition"]
        and FORMATS[kind].file in answer.headers["content-disposition"]
    )
    return bytes(answer.content)


def test_texts(browser: Browser, root: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(export(browser, "txt"))) as archive:
        assert sorted(archive.namelist()) == ["p1.txt", "p3.txt", "sub/ü.txt"]
        assert archive.read("p1.txt") == b"A cat, number 1.\n"


def test_two_pictures_of_one_stem_have_two_texts(tmp_path: Path) -> None:
    root = make_pictures(tmp_path / "pair", 2)
    (root / "p1.png").rename(root / "p0.jpg")
    (root / "p0.txt").write_text("Both.\n")
    with zipfile.ZipFile(io.BytesIO(export(Browser().open(root), "txt", (0, 1)))) as archive:
        assert sorted(archive.namelist()) == ["p0.png.txt", "p0.txt"]


def test_pictures_with_texts_for_trainers(browser: Browser, root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(export(browser, "training"))) as archive:
        archive.extractall(tmp_path / "out")
    for key in KEYS:
        assert (tmp_path / "out" / key).read_bytes() == (root / key).read_bytes()
        assert (tmp_path / "out" / key).with_suffix(".txt").read_text("utf-8").strip()


def test_csv(browser: Browser) -> None:
    rows = list(csv.DictReader(io.StringIO(export(browser, "csv").decode("utf-8-sig"))))
    assert [row["file_name"] for row in rows] == KEYS
    assert rows[2]["text"] == "'=Grün & <gelb>"  # no formula


def test_json_lines_parquet_and_coco(browser: Browser, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in export(browser, "jsonl").splitlines()]
    assert [line["key"] for line in lines] == KEYS and lines[0]["caption"] == "A cat, number 1."
    assert lines[0]["width"] == 41 and len(lines[0]["sha256"]) == 64
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(export(browser, "parquet")))
    assert table["caption"].to_pylist()[2] == "=Grün & <gelb>"
    coco = json.loads(export(browser, "coco"))
    assert [one["file_name"] for one in coco["images"]] == KEYS
    assert [one["caption"] for one in coco["annotations"]][1] == "A cat, number 3."


def test_webdataset(browser: Browser, root: Path, tmp_path: Path) -> None:
    data = export(browser, "webdataset")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert len(tar.getnames()) == 9
    webdataset = pytest.importorskip("webdataset")
    (tmp_path / "captions.tar").write_bytes(data)
    samples = list(webdataset.WebDataset(str(tmp_path / "captions.tar"), shardshuffle=False))
    assert samples[0]["txt"] == b"A cat, number 1." and samples[0]["png"] == (root / "p1.png").read_bytes()
    assert json.loads(samples[2]["json"])["key"] == "sub/ü.png"


def test_xmp_is_read_by_exiftool(browser: Browser, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(export(browser, "xmp"))) as archive:
        assert sorted(archive.namelist()) == [f"{key}.xmp" for key in KEYS]
        archive.extractall(tmp_path / "out")
    program = shutil.which("exiftool")
    if program is None:
        pytest.skip("apt-get install libimage-exiftool-perl, to read sidecars with exiftool")
    done = subprocess.run(
        [program, "-j", "-Description", str(tmp_path / "out" / "sub" / "ü.png.xmp")], capture_output=True, check=True
    )
    assert json.loads(done.stdout)[0]["Description"] == "=Grün & <gelb>"


@pytest.mark.parametrize("kind", list(FORMATS))
def test_pictures_without_a_caption_are_told(browser: Browser, kind: str) -> None:
    name = libraries_of(browser.visitor).offer(ExportRequest(kind, (0, 2)))
    answer = browser.get(f"export/{name}")
    assert answer.status_code == 400 and "none of these pictures" in answer.json()["error"].lower()


def test_nobody_downloads_anothers(browser: Browser, root: Path) -> None:
    name = libraries_of(browser.visitor).offer(ExportRequest("csv", (1,)))
    assert Browser().open(root).get(f"export/{name}").status_code == 404
