"""`inquisight batch` and `caption` with --xmp, --write-metadata and --existing; real exiftool where it is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.cli.caption import run_caption
from agents.cli.requests import CaptionRequest
from core.captions.xmp.sidecars import CaptionFields, caption_of, read_xmp, write_fields
from core.errors import InquisightError, UsageError
from core.settings import get_settings
from tests.agents.batch.making import HashedEye, batch, lines, make_pictures, register
from tests.core.captions.programs import exiftool, exiv2, needs_exiftool, needs_exiv2

OUT = Path("captions.jsonl")


@pytest.fixture
def eye(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HashedEye]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    make_pictures(tmp_path / "photos", 4)
    eye = HashedEye()
    register(monkeypatch, eye)
    yield eye
    get_settings.cache_clear()


def in_xmp(path: str) -> str | None:
    xmp = read_xmp(Path(path))
    return None if xmp is None else caption_of(xmp)


@needs_exiftool
@needs_exiv2
def test_sidecars_of_a_batch_are_read_by_photo_programs(eye: HashedEye) -> None:
    assert batch("photos", out=OUT, xmp=True) == 0
    for line in lines(OUT):
        sidecar = Path(f"{line['key']}.xmp")
        found = exiftool(sidecar)
        assert found["XMP-dc:Description"] == line["caption"] == found["XMP-tiff:ImageDescription"]
        assert found["XMP-photoshop:CaptionWriter"] == "Inquisight (vision model hashed, questioner scripted)"
        assert found["XMP-xmp:CreatorTool"].startswith("Inquisight")
        assert exiv2(sidecar)["Xmp.dc.description"].endswith(f'lang="en" {line["caption"]}')
    batch("photos", out=OUT, xmp=True, xmp_name="photo.xmp", existing="overwrite")
    assert not Path("photos/p000.xmp").exists(), "the sidecar that exists is used"


@needs_exiftool
def test_metadata_in_files_and_what_a_picture_has_already(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    assert batch("photos", out=OUT, write_metadata=True, limit=2) == 0
    first, second = lines(OUT)
    assert exiftool(Path(first["key"]))["XMP-dc:Description"] == first["caption"]
    assert Path(f"{first['key']}_original").exists()
    with pytest.raises(UsageError, match=r"--write-metadata changes the pictures.*shards"):
        batch("photos", out=Path("s.tar"), write_metadata=True)
    capsys.readouterr()
    assert batch("photos", out=Path("more.jsonl"), write_metadata=True, existing="skip", json=True) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["captioned"] == 2 and "2 with captions already" in err
    assert [line["key"] for line in lines(Path("more.jsonl"))] == ["photos/p002.png", "photos/p003.png"]
    assert batch("photos", out=Path("again.jsonl"), write_metadata=True, json=True) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["unsaved"] == 4 and "4 captions were not saved everywhere" in err
    assert exiftool(Path(second["key"]))["XMP-dc:Description"] == second["caption"]


def test_existing_captions_are_skipped_before_any_work(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/p001.txt").write_text("mine", "utf-8")
    write_fields(Path("photos/p001.png.xmp"), CaptionFields("mine"))
    write_fields(Path("photos/p002.png.xmp"), CaptionFields("mine, too"))
    with pytest.raises(InquisightError, match="exists already; add --overwrite"):
        batch("photos", out=OUT, xmp=True, save_beside=True)
    assert batch("photos", out=OUT, xmp=True, save_beside=True, existing="skip", dry_run=True, json=True) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert (estimate["to_do"], estimate["left_out"]["count"]) == (3, 1)
    assert batch("photos", out=OUT, xmp=True, save_beside=True, existing="skip") == 0
    assert "1 left out: 1 with a caption already (photos/p001.png)" in capsys.readouterr().err
    assert len(lines(OUT)) == 3 and sum(eye.looked) == 3
    assert in_xmp("photos/p002.png.xmp") == "mine, too"
    assert Path("photos/p002.txt").read_text("utf-8") == lines(OUT)[1]["caption"] + "\n"
    assert batch("photos", out=OUT, xmp=True, save_beside=True, existing="skip") == 0
    assert sum(eye.looked) == 3, "nothing twice"


def test_appended_once_however_often_the_command_runs(eye: HashedEye) -> None:
    Path("photos/p001.txt").write_text("my words\n", "utf-8")
    for _ in range(2):
        assert batch("photos", out=OUT, save_beside=True, existing="append") == 0
    (Path("captions.jsonl.work") / "index.sqlite").unlink()  # what a kill or a crash may cost
    assert batch("photos", out=OUT, save_beside=True, existing="append") == 0
    caption = lines(OUT)[1]["caption"]
    assert Path("photos/p001.txt").read_text("utf-8") == f"my words, {caption}\n"
    assert Path("photos/p000.txt").read_text("utf-8") == lines(OUT)[0]["caption"] + "\n"


def test_a_damaged_sidecar_is_counted_and_tried_again(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = Path("photos/p002.png.xmp")
    damaged.write_text("<x:xmpmeta", "utf-8")
    assert batch("photos", out=OUT, xmp=True) == 1
    assert "1 caption was not saved everywhere" in capsys.readouterr().err
    assert len(lines(OUT)) == 4 and damaged.read_text("utf-8") == "<x:xmpmeta"
    damaged.unlink()
    assert batch("photos", out=OUT, xmp=True) == 0
    assert in_xmp("photos/p002.png.xmp") == lines(OUT)[2]["caption"]
    assert sum(eye.looked) == 4


def test_the_caption_command_saves_in_the_same_way(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    asked = CaptionRequest(pictures=("photos",), vision="hashed", rounds=2, quiet=True, xmp=True, existing="skip")
    write_fields(Path("photos/p001.png.xmp"), CaptionFields("mine"))
    assert run_caption(asked) == 0
    out, err = capsys.readouterr()
    assert "1 left out: 1 with a caption already" in err
    assert [in_xmp(f"photos/p00{number}.png.xmp") for number in (0, 2, 3)] == out.strip().splitlines()
    assert in_xmp("photos/p001.png.xmp") == "mine"


@needs_exiftool
def test_styles_have_their_own_fields(eye: HashedEye) -> None:
    assert batch("photos", out=OUT, limit=1, xmp=True, save_beside=True, style=("alt,tags",)) == 0
    [line] = lines(OUT)
    found = exiftool(Path("photos/p000.png.xmp"))
    assert found["XMP-iptcCore:AltTextAccessibility"] == line["style_alt"] == line["caption"]
    tags = found["XMP-dc:Subject"]
    assert (tags if isinstance(tags, list) else [tags]) == line["style_tags"]
    assert found["XMP-dc:Description"] == line["summary"]
    assert Path("photos/p000.txt").read_text("utf-8") == f"{line['style_alt']}\n"
    assert batch("photos", out=OUT, limit=1, xmp=True, save_beside=True, style=("short",)) == 0
    [line] = lines(OUT)
    again = exiftool(Path("photos/p000.png.xmp"))
    assert again["XMP-dc:Description"] == line["caption"]
    assert again["XMP-iptcCore:AltTextAccessibility"] == found["XMP-iptcCore:AltTextAccessibility"]
    assert Path("photos/p000.txt").read_text("utf-8") == f"{line['style_short']}\n"
