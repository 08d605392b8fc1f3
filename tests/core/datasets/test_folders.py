"""In a folder a file is a picture by its content, and what is not read is counted by kind."""

from __future__ import annotations

import io
import os
import shutil
import socket
from pathlib import Path

import pytest
from PIL import Image

from core.datasets import folders
from core.datasets.folders import find_pictures, pictures_below
from core.datasets.left_out import LeftOut, Reason
from core.errors import ImageError, UsageError
from core.images import decode as images
from core.images.picture import open_picture

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "pictures"


def jpeg() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG")
    return out.getvalue()


def listed(folder: Path) -> tuple[list[str], dict[str, int]]:
    """(names of the pictures, how many were left out for each reason)."""
    left_out = LeftOut()
    found = [path.relative_to(folder).as_posix() for path in find_pictures([folder], left_out)]
    return found, {name: one["count"] for name, one in left_out.as_json()["reasons"].items()}


@pytest.mark.parametrize(
    "name",
    [
        "noext",
        "photo.dat",
        "photo.jpg ",
        "IMG_1.JPG.download",
        "photo.jpg_large",
        "photo.HEIC",
        "photo.txt",
        "v1.0",
        "照片",
        "a b",
    ],
)
def test_a_jpeg_is_one_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(jpeg())
    assert listed(tmp_path) == ([name], {})


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "PPM", "ICO"])
def test_a_folder_of_one_kind_holds_pictures(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "one", kind)
    assert listed(tmp_path) == (["one"], {})


def test_the_files_of_a_phone(tmp_path: Path) -> None:
    for name in ("a.avif", "b.jfif", "f.heic", "noext"):
        shutil.copy(CASES / name, tmp_path)
    assert listed(tmp_path) == (["a.avif", "b.jfif", "f.heic", "noext"], {})


def test_without_its_decoder_a_kind_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(CASES / "a.avif", tmp_path)
    shutil.copy(CASES / "b.jfif", tmp_path)
    monkeypatch.setattr(images.features, "check", lambda feature: feature != "avif")
    caches = (images.can_decode, folders.picture_suffixes)
    [cache.cache_clear() for cache in caches]
    try:
        assert listed(tmp_path) == (["b.jfif"], {"AVIF": 1})
    finally:
        [cache.cache_clear() for cache in caches]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("f.psd", b"", "Photoshop"),
        ("f.PSB", b"noise", "Photoshop"),
        ("f", b"8BPS\0\1", "Photoshop"),
        ("x.psd", b"8BPS", "Photoshop"),
        ("x.svg", b"<svg/>", "SVG"),
        ("x.tga", bytes(20), "TGA"),
        ("scan.pdf", b"%PDF-1.7", "PDF"),
        ("scan", b"%PDF-1.7", "PDF"),
        ("x.exr", b"v/1\1", "OpenEXR"),
        ("x.dcm", bytes(132), "DICOM"),
        ("clip.MOV", b"", "video"),
        ("old.zip", b"PK", "archive"),
        ("photos.tar", b"", "archive"),
        ("photos.tar.gz", b"\x1f\x8b", "archive"),
        ("photo.jpg.zst", b"\x28\xb5\x2f\xfd", "archive"),
    ],
)
def test_what_could_be_a_picture_is_counted(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / "good.jpg").write_bytes(jpeg())
    (tmp_path / name).write_bytes(data)
    assert listed(tmp_path) == (["good.jpg"], {reason: 1})


def test_what_is_no_picture_gets_no_word(tmp_path: Path) -> None:
    (tmp_path / "good.jpg").write_bytes(jpeg())
    for name in (
        ".DS_Store", "._good.jpg", ".hidden.psd", "Thumbs.db", "desktop.ini", "good.txt", "good.json", "good.xmp",
        "good.caption", "captions.jsonl", "captions.parquet", "table.csv", "CREDITS.md", "LICENSE", "empty",
        "model.bin", "table.json.gz", "__MACOSX/._good.jpg", "captions.jsonl.work/journal.jsonl",
        ".thumbnails/a.jpg", "report.docx",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"" if name == "empty" else b"PK\3\4" if name.endswith("docx") else b"words " * 9)
    (tmp_path / "index.sqlite").write_bytes(b"SQLite format 3\0" + bytes(99))
    assert listed(tmp_path) == (["good.jpg"], {})


def test_links_pipes_and_sockets_are_counted_and_never_waited_for(tmp_path: Path) -> None:
    place = tmp_path / "p"
    (place / "real").mkdir(parents=True)
    (place / "real" / "good.jpg").write_bytes(jpeg())
    (place / "gone").symlink_to("nowhere")
    (place / "loop").symlink_to("loop")
    (place / "again").symlink_to("real", target_is_directory=True)
    (place / "link").symlink_to("real/good.jpg")
    os.mkfifo(place / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(place / "s"))
        found = listed(place)
    assert found == (
        ["link", "real/good.jpg"],
        {"broken link": 2, "file that is not a regular one": 2, "link to a folder": 1},
    )


def test_a_name_of_a_picture_is_taken_whatever_it_is(tmp_path: Path) -> None:
    """Opening it says what is wrong, so that it is named among the failures."""
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.PNG")
    (tmp_path / "empty.jpeg").touch()
    assert listed(tmp_path) == (["broken.jpg", "empty.jpeg", "pipe.PNG"], {})
    for name in ("broken.jpg", "empty.jpeg", "pipe.PNG"):
        with pytest.raises(ImageError):
            open_picture(tmp_path / name)


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9"
    Path(os.fsdecode(raw)).write_bytes(jpeg())
    Path(os.fsdecode(raw + b".psd")).touch()
    left_out = LeftOut()
    assert find_pictures([tmp_path], left_out) == [Path(os.fsdecode(raw))]
    assert str(left_out).isprintable() and "caf\\udce9.psd" in str(left_out)
    assert "caf\\udce9.psd" in left_out.as_json()["reasons"]["Photoshop"]["first"]


def test_what_cannot_be_read_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/good.jpg", "b/other.jpg", "c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg())

    real_scan, real_head = os.scandir, folders._head

    def scan(path: str) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return real_scan(path)

    def head(path: str) -> bytes:
        if path.endswith("/c"):
            raise PermissionError(13, "Permission denied")
        return real_head(path)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr(folders, "_head", head)
    left_out = LeftOut()
    assert [path.name for path in find_pictures([tmp_path], left_out)] == ["good.jpg"]
    assert left_out.faults == 2
    assert "1 folder that cannot be read" in str(left_out) and "1 file that cannot be read" in str(left_out)
    with pytest.raises(UsageError, match="cannot be read: permission denied"):
        find_pictures([tmp_path / "b"])


def test_a_folder_without_one_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"holds no pictures \(looked for PNG, .* camera raw\)"):
        find_pictures([tmp_path])
    for name in ("a.psd", "b.psd", "c.xcf"):
        (tmp_path / name).touch()
    with pytest.raises(ImageError, match=r"no pictures that can be read \(3 left out: 2 Photoshop \(.*\), 1 GIMP"):
        find_pictures([tmp_path])


def test_a_picture_with_a_known_suffix_is_not_opened_while_a_folder_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (tmp_path / f"{number}.jpg").touch()
    monkeypatch.setattr(folders, "_head", lambda path: pytest.fail("opened"))
    assert len(list(pictures_below(str(tmp_path), LeftOut()))) == 50


def test_the_order_of_files_before_that_of_subfolders(tmp_path: Path) -> None:
    for name in ("b/z.png", "b/a/x.png", "a.png", "c.png", "a/y.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [
        Path(path).relative_to(tmp_path).as_posix() for path in pictures_below(str(tmp_path), LeftOut(), ordered=True)
    ]
    assert found == ["a.png", "c.png", "a/y.png", "b/z.png", "b/a/x.png"]


def test_the_line_and_the_fields() -> None:
    left_out = LeftOut()
    assert not left_out and str(left_out) == "" and left_out.as_json() == {"count": 0, "reasons": {}}
    heic = Reason.of_kind("HEIC")
    left_out.add(heic, "a.heic")
    left_out.add(heic, "b.heic", 1999)
    left_out.add(Reason("broken link", "broken links"), "x\x1b[31m")
    left_out.add(Reason("nothing", "nothings"), "n", 0)
    other = LeftOut()
    other.update(left_out)
    assert str(other) == "2,001 left out: 2,000 HEIC (a.heic), 1 broken link (x\\x1b[31m)"
    assert other.as_json() == {
        "count": 2001,
        "reasons": {"HEIC": {"count": 2000, "first": "a.heic"}, "broken link": {"count": 1, "first": "x\\x1b[31m"}},
    }
    for number in range(20):
        other.add(Reason.of_kind(f"K{number:02}"), "f")
    assert str(other).endswith("1 K06 (f), 14 of other kinds") and len(str(other)) < 400
