"""Shards: every picture in them by its last suffix or its content, under the keys of the webdataset package."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.datasets.folders import NO_PICTURE
from core.datasets.shards import DamagedShard, key_of, members, stem_of, why_no_picture

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "tars"


def png(number: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (10 + number, 8)).save(out, "PNG")
    return out.getvalue()


def tar_of(*names: str, form: int = tarfile.PAX_FORMAT, data: bytes | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for number, name in enumerate(names):
            body = png(number) if data is None else data
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return out.getvalue()


def pictures(data: bytes) -> list[str]:
    file = io.BytesIO(data)
    return [one.name for one in members(file, len(data)) if why_no_picture(one, file) is None]


def test_dots_in_names_hide_no_picture() -> None:
    assert pictures((CASES / "dots.tar").read_bytes()) == [
        "photo.v2.jpg", "22.05.png", "plain.jpg", "UP.JPG", "dir.v1/x.jpg", "./dot/y.jpg", "z.img.jpg",
        "Track 2.0 (x).jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "key", "stem"),
    [
        ("photo.v2.jpg", "photo", "photo.v2"),
        ("22.05.png", "22", "22.05"),
        ("plain.jpg", "plain", "plain"),
        ("a.b/c.d/UP.JPG", "a.b/c.d/UP", "a.b/c.d/UP"),
        ("./dot/y.jpg", "./dot/y", "./dot/y"),
        ("Track 2.0 (x).jpg", "Track 2", "Track 2.0 (x)"),
        ("x.jpg ", "x", "x"),
        ("noext", "noext", "noext"),
        ("v1.0", "v1", "v1.0"),
    ],
)
def test_keys_and_names(name: str, key: str, stem: str) -> None:
    assert (key_of(name), stem_of(name)) == (key, stem)


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab./_ -"), min_size=1, max_size=12))
def test_keys_are_those_of_webdataset(name: str) -> None:
    key, suffix = webdataset.tariterators.base_plus_ext(name)
    if key is not None and suffix:
        assert key_of(name) == key


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_is_a_picture_and_what_gets_no_word(form: int) -> None:
    names = (
        "a.JPEG",
        "noext",
        "b.dat",
        "c.jpg ",
        "d/e.f/g.tif",
        "._a.jpg",
        "__MACOSX/._b.jpg",
        "__MACOSX/x.jpg",
        ".jpg",
    )
    assert pictures(tar_of(*names, form=form)) == ["a.JPEG", "noext", "b.dat", "c.jpg ", "d/e.f/g.tif"]
    for name in ("a.txt", "a.json", "a.cls", "a", "a.npy"):
        data = tar_of(name, data=b"words, numbers")
        file = io.BytesIO(data)
        assert [why_no_picture(one, file) for one in members(file, len(data))] == [NO_PICTURE]


def test_what_could_be_a_picture_has_a_reason() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind in (
            ("a.psd", tarfile.REGTYPE), ("l.jpg", tarfile.LNKTYPE), ("s.jpg", tarfile.SYMTYPE),
            ("p.jpg", tarfile.FIFOTYPE), ("folder.jpg", tarfile.DIRTYPE), ("l.txt", tarfile.SYMTYPE),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a.jpg"
            tar.addfile(member)
    data = out.getvalue()
    file = io.BytesIO(data)
    reasons = [why_no_picture(one, file) for one in members(file, len(data))]
    assert [reason and reason.one for reason in reasons] == [
        "Photoshop", "link inside a shard", "link inside a shard", "file that is not a regular one", "", ""
    ]  # fmt: skip


def test_members_are_found_again_by_their_place() -> None:
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        names = [f"{'n' * 90}/{number}.v2.png" for number in range(4)] + (["ü.png"] if form else [])
        data = tar_of(*names, form=form)
        file = io.BytesIO(data)
        places = {one.name: one.offset for one in members(file, len(data))}
        assert list(places) == names
        for name, place in places.items():
            assert next(members(file, len(data), place)).name == name


@pytest.mark.parametrize(
    ("packed", "pack"),
    [("gzip", "gzip"), ("bzip2", "bz2"), ("xz", "lzma"), ("zstd", "zstandard")],
)
def test_a_compressed_shard_is_called_so(packed: str, pack: str) -> None:
    module = pytest.importorskip(pack)
    data = module.compress(tar_of("a.png", "b.png"))
    with pytest.raises(DamagedShard) as damage:
        list(members(io.BytesIO(data), len(data)))
    assert damage.value.packed == packed


@settings(max_examples=200, deadline=None)
@given(keep=st.floats(0, 1), at=st.integers(0, 6000), value=st.integers(0, 255))
def test_a_damaged_shard_gives_what_comes_before(keep: float, at: int, value: int) -> None:
    data = bytearray(tar_of("a.png", "b.v2.png", "c.txt", "d.png"))
    data[at % len(data)] = value
    cut = bytes(data[: int(len(data) * keep)])
    file = io.BytesIO(cut)
    try:
        for one in members(file, len(cut)):
            why_no_picture(one, file)
    except DamagedShard as damage:
        assert 0 <= damage.at <= len(cut) + 511, "at most the end of the block"


def test_forged_headers_end_the_reading() -> None:
    """Sizes below zero lead back to where one was, and headers that only announce others never end."""
    for size in (-512, -1024, -(1 << 40)):
        data = bytearray(tar_of("a.png", "b.png", form=tarfile.GNU_FORMAT))
        at = 1024  # the second header
        data[at + 124 : at + 136] = b"\xff" + (256**11 + size).to_bytes(11, "big")
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = f"{sum(data[at : at + 512]):06o}\0 ".encode()
        found = []
        with pytest.raises(DamagedShard) as damage:
            found += [one.name for one in members(io.BytesIO(bytes(data)), len(data))]
        assert damage.value.at == 1024
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 1
    endless = (long.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 5000
    with pytest.raises(DamagedShard):
        list(members(io.BytesIO(endless), len(endless)))
