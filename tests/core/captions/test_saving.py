"""New captions beside pictures and in them: what exists already, and what the real exiftool writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.captions.exiftool import ExifTool
from core.captions.forms import CaptionError, XmpName, clean, read_text
from core.captions.saving import CaptionSaver, Existing, SaveTargets, appended, save_targets
from core.captions.xmp.sidecars import CaptionFields, caption_of, read_xmp, write_fields
from core.datasets.folders import find_pictures
from core.datasets.left_out import LeftOut
from core.errors import UsageError
from tests.core.captions.programs import exiftool, needs_exiftool
from tests.pictures import saved

FIELDS = CaptionFields(
    "A red car & “two” dogs.\nÜber 東京 🦆 $HOME @x \\n",
    "de",
    "Red car.",
    ("car", "dog"),
    "Inquisight (vision model pocket)",
    "Inquisight 0.1.0",
    datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
)


def in_xmp(path: Path) -> str | None:
    xmp = read_xmp(path)
    return None if xmp is None else caption_of(xmp)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Existing.SKIP, "theirs"),
        (Existing.OVERWRITE, "ours."),
        (Existing.APPEND, "theirs, ours."),
    ],
)
def test_what_becomes_of_existing_captions(mode: Existing, expected: str, tmp_path: Path) -> None:
    old, new = saved(tmp_path / "old.jpg"), saved(tmp_path / "new.jpg")
    (tmp_path / "old.txt").write_text("theirs\n", "utf-8")
    write_fields(tmp_path / "old.jpg.xmp", CaptionFields("theirs"))
    with CaptionSaver(SaveTargets(txt=True, xmp=True, existing=mode)) as saver:
        saver.check([str(old), str(new)])
        assert list(saver.captioned([str(old), str(new)])) == [str(old)]
        for _ in range(3):  # again after a kill: nothing twice
            saver.save(str(old), CaptionFields("ours."))
            saver.save(str(new), CaptionFields("ours."))
    assert read_text(tmp_path / "old.txt") == expected == in_xmp(tmp_path / "old.jpg.xmp")
    assert read_text(tmp_path / "new.txt") == "ours." == in_xmp(tmp_path / "new.jpg.xmp")


def test_without_a_mode_an_existing_caption_is_an_error_and_other_metadata_is_none(tmp_path: Path) -> None:
    picture = saved(tmp_path / "a.jpg")
    write_fields(tmp_path / "a.xmp", CaptionFields(keywords=("kept",)))
    saver = CaptionSaver(SaveTargets(xmp=True))
    saver.check([str(picture)])
    saver.save(str(picture), CaptionFields("new"))
    assert in_xmp(tmp_path / "a.xmp") == "new"  # the sidecar that was there, whatever its name
    assert not (tmp_path / "a.jpg.xmp").exists()
    with pytest.raises(CaptionError, match=r"a.xmp' exists already; add --overwrite"):
        saver.check([str(picture)])
    with pytest.raises(CaptionError, match="exists already"):
        saver.save(str(picture), CaptionFields("other"))


def test_one_place_that_fails_does_not_keep_the_caption_from_the_others(tmp_path: Path) -> None:
    picture = saved(tmp_path / "a.jpg")
    (tmp_path / "a.jpg.xmp").write_text("damaged", "utf-8")
    saver = CaptionSaver(SaveTargets(txt=True, xmp=True, existing=Existing.OVERWRITE))
    with pytest.raises(CaptionError, match=r"a.jpg.xmp' cannot be read as XMP"):
        saver.save(str(picture), CaptionFields("new"))
    assert read_text(tmp_path / "a.txt") == "new"
    assert (tmp_path / "a.jpg.xmp").read_text("utf-8") == "damaged"


def test_two_pictures_with_one_sidecar_are_refused(tmp_path: Path) -> None:
    both = [str(saved(tmp_path / name)) for name in ("a.jpg", "a.png")]
    CaptionSaver(SaveTargets(xmp=True)).check(both)
    with pytest.raises(UsageError, match=r"would share '.*a.xmp'"):
        CaptionSaver(SaveTargets(xmp=True, xmp_name=XmpName.STEM)).check(both)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"xmp_name": "photo.xmp"}, "together with --xmp"),
        ({"xmp": True, "xmp_name": "stem"}, "take photo.jpg.xmp or photo.xmp"),
        ({"txt": True, "existing": "keep"}, "take skip, overwrite or append"),
        ({"txt": True, "existing": "skip", "overwrite": True}, "contradict"),
        ({"existing": "skip"}, "--existing only means something together with"),
        ({"overwrite": True}, "--overwrite only means something together with --save-beside"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, object], reason: str) -> None:
    default = {"txt": False, "xmp": False, "metadata": False, "xmp_name": None, "existing": None, "overwrite": False}
    with pytest.raises(UsageError, match=reason):
        save_targets(**(default | options))  # type: ignore[arg-type]


def test_appending_keeps_one_line() -> None:
    assert appended("A cat.", "A dog.") == "A cat. A dog."
    assert appended("cat, dog\n", "bird") == "cat, dog, bird"


# --- exiftool ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def tool() -> Iterator[ExifTool]:
    with ExifTool() as tool:
        yield tool


@needs_exiftool
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "gif", "avif"])
def test_metadata_is_written_and_pixels_stay(kind: str, tool: ExifTool, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{kind}"
    image = Image.effect_noise((64, 48), 80).convert("RGB")
    try:
        image.save(path)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    before = path.read_bytes()
    with Image.open(path) as opened:
        pixels = opened.convert("RGB").tobytes()
    tool.write(path, FIELDS)
    with Image.open(path) as opened:
        assert opened.convert("RGB").tobytes() == pixels
    found = exiftool(path)
    assert found["XMP-dc:Description"] == FIELDS.description
    assert found["XMP-iptcCore:AltTextAccessibility"] == "Red car."
    assert found["XMP-dc:Subject"] == ["car", "dog"] == found["XMP-digiKam:TagsList"]
    assert found["XMP-photoshop:CaptionWriter"] == FIELDS.writer
    if kind in ("jpg", "tif", "png", "webp"):
        assert found["IFD0:ImageDescription"] == FIELDS.description
    assert (tmp_path / f"photo.{kind}_original").read_bytes() == before
    assert tool.read([path]) == {str(path): FIELDS.description}
    tool.write(path, CaptionFields("second", keywords=("dog", "bird")))
    again = exiftool(path)
    assert again["XMP-dc:Description"] == "second" and again["XMP-dc:Subject"] == ["car", "dog", "bird"]
    assert (tmp_path / f"photo.{kind}_original").read_bytes() == before  # the first one stays


@needs_exiftool
def test_names_that_look_like_options_or_hold_line_breaks(tool: ExifTool, tmp_path: Path) -> None:
    names = ["-all=.jpg", "@list.jpg", "two\nlines.jpg", "#x %f $y.jpg", os.fsdecode(b"caf\xe9.jpg"), " blank .jpg"]
    paths = [saved(tmp_path / name) for name in names]
    for number, path in enumerate(paths):
        tool.write(path, CaptionFields(f"caption {number}"))
    found = tool.read(paths)
    assert [found[str(path)] for path in paths] == [f"caption {number}" for number in range(len(paths))]


@needs_exiftool
def test_what_cameras_write_is_no_description(tool: ExifTool, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg")
    tool.write(path, CaptionFields("OLYMPUS DIGITAL CAMERA         "))
    assert tool.read([path]) == {}


@needs_exiftool
@pytest.mark.parametrize("content", [b"", b"no picture", b"BM" + b"\0" * 100])
def test_a_file_that_exiftool_cannot_write_stays(content: bytes, tool: ExifTool, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(CaptionError, match=r"a.jpg' was not written by exiftool: ") as caught:
        tool.write(path, FIELDS)
    assert path.read_bytes() == content and "\n" not in str(caught.value)
    fine = saved(tmp_path / "fine.jpg")
    tool.write(fine, FIELDS)  # the program goes on


@needs_exiftool
def test_modes_and_backups_in_files(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg")
    with CaptionSaver(SaveTargets(metadata=True)) as saver:
        saver.save(str(path), CaptionFields("theirs"))
        saver.save(str(path), CaptionFields("theirs"))  # again after a kill
        with pytest.raises(CaptionError, match="has a description already"):
            saver.save(str(path), CaptionFields("ours"))
    with CaptionSaver(SaveTargets(metadata=True, existing=Existing.APPEND)) as saver:
        for _ in range(2):
            saver.save(str(path), CaptionFields("ours"))
        assert list(saver.captioned([str(path)])) == [str(path)]
    assert exiftool(path)["XMP-dc:Description"] == "theirs, ours"
    left_out = LeftOut()
    assert find_pictures([tmp_path], left_out) == [path]
    assert "1 backup by exiftool" in str(left_out)


def test_a_missing_exiftool_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"exiftool is not installed.*--xmp"):
        CaptionSaver(SaveTargets(metadata=True))


@needs_exiftool
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(codec=None), min_size=1, max_size=200).filter(
        lambda text: clean(text).strip().lower() not in ("", "true", "false")
    )
)
def test_every_kind_of_text_comes_back_from_a_file(text: str, tool: ExifTool, tmp_path: Path) -> None:
    path = tmp_path / "any.jpg"
    saved(path)
    tool.write(path, CaptionFields(text))
    assert exiftool(path)["XMP-dc:Description"] == clean(text)
