"""HEIC, AVIF, JPEG XL and camera raw files wherever pictures come in: folders, shards, captions, servers, uploads."""

from __future__ import annotations

import base64
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from agents.langchain.messages import Sources
from core.datasets.folders import find_pictures
from core.datasets.left_out import LeftOut
from core.images.file_type import NAMES
from core.images.picture import open_picture
from serving.mcp.pictures import AllowedPictures
from tests.agents.plugin_on_disk import Shell
from tests.core.images.raws import dng

FORMATS = Path(__file__).parents[2] / "fixtures" / "formats"
DOCS = Path(__file__).parents[3] / "docs"
FILES = ("plain.avif", "plain.heic", "plain.jxl", "turned.dng")


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """A folder with a picture of each format, 128 x 64, or 64 x 128 for the raw one."""
    folder = tmp_path / "phone"
    folder.mkdir()
    for name in FILES[:3]:
        shutil.copy(FORMATS / name, folder)
    (folder / FILES[3]).write_bytes(dng(Image.new("RGB", (128, 64), "red"), orientation=6))
    return folder


def test_folders_list_them(phone: Path) -> None:
    left_out = LeftOut()
    assert [path.name for path in find_pictures([phone], left_out)] == list(FILES) and not left_out


def test_captions_of_a_folder_and_a_batch_of_a_shard(phone: Path) -> None:
    shell = Shell(phone.parent)
    done = shell.run("caption", "phone", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    sizes = {one["picture"]["source"]: (one["picture"]["width"], one["picture"]["height"])
             for one in map(json.loads, done.stdout.splitlines())}  # fmt: skip
    assert sizes == {f"phone/{name}": (64, 128) if name == "turned.dng" else (128, 64) for name in FILES}
    with tarfile.open(phone.parent / "phone.tar", "w") as shard:
        for name in FILES:
            shard.add(phone / name, name)
    done = shell.run("batch", "phone.tar", "--rounds", "1", "--out", "captions.jsonl")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (phone.parent / "captions.jsonl").read_text().splitlines()]
    assert sorted(row["key"] for row in rows) == [f"phone.tar/{Path(name).stem}{Path(name).suffix if number else ''}"
        for number, name in enumerate(FILES[:3])] + ["phone.tar/turned"]  # fmt: skip


def test_agents_tools_and_data_urls_open_them(phone: Path) -> None:
    allowed = AllowedPictures([phone])
    assert allowed.listing(10) == (list(FILES), 0)
    for name in FILES:
        _, picture = allowed.open(name)
        data = base64.b64encode((phone / name).read_bytes()).decode()
        for kind in (Path(name).suffix[1:], "jpeg"):  # some clients say jpeg whatever it is
            url = Sources().get({"type": "image", "url": f"data:image/{kind};base64,{data}"}, "the data URL")
            assert open_picture(url).sha256 == picture.sha256


def test_uploads_are_shown_as_jpeg(phone: Path) -> None:
    from ui.state.images import ImageStore

    images = ImageStore()
    for name in FILES:
        held = images.add((phone / name).read_bytes(), name)
        assert Image.open(io.BytesIO(held.preview)).format == "JPEG" and held.open().image.size[0] in (128, 64)


def test_the_page_of_the_formats_names_all() -> None:
    text = (DOCS / "pictures.md").read_text("utf-8")
    assert [name for name in NAMES.values() if name not in text] == []
