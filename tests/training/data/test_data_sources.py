"""What people keep pictures and captions in, and everything that can be wrong with it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.datasets.samples.kinds import detect, open_source
from core.datasets.samples.sample import BrokenLog, BrokenSample, DataError, Sample
from core.datasets.samples.spec import DataSpec
from tests.training.data.making import (
    aligned,
    csv_table,
    folder,
    jsonl_table,
    parquet_table,
    picture,
    pictures,
    shards,
    text,
    write_tar,
)
from training.data.stream import open_stream


def read(path: Path | str, **fields: object) -> list[Sample]:
    spec = DataSpec.model_validate({"path": str(path), **fields})
    return list(open_stream([spec], seed=0, epochs=1, shuffle_buffer=0, broken=BrokenLog(max_share=1.0)))


def problems(path: Path | str, **fields: object) -> dict[str, str]:
    """key -> fault of what cannot be read."""
    source = open_source(DataSpec.model_validate({"path": str(path), **fields}))
    found = [place.load() for part in range(source.parts) for place in source.read(part)]
    return {one.key: one.fault for one in found if isinstance(one, BrokenSample)}


# -- shards -----------------------------------------------------------------------------------------------------------


def test_shards_give_what_the_webdataset_package_gives(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "%05d.tar"), maxcount=4, verbose=0) as writer:
        for number in range(10):
            fields = {"caption": text(number), "sha256": "x"}
            writer.write({"__key__": f"{number:09d}", "png": picture(number), "txt": text(number), "json": fields})
    theirs = webdataset.WebDataset(str(tmp_path / "{00000..00002}.tar"), shardshuffle=False)
    expected = [(Path(one["__url__"]).name, one["__key__"], one["png"], one["txt"].decode()) for one in theirs]
    ours = [(*sample.key.split("/"), sample.picture, sample.text) for sample in read(tmp_path / "{00000..00002}.tar")]
    assert ours == expected and len(ours) == 10
    assert [sample.text for sample in read(tmp_path)] == [
        sample.text for sample in read(tmp_path / "{00000..00002}.tar")
    ]


def test_a_shard_may_have_folders_long_names_and_other_files(tmp_path: Path) -> None:
    deep = "folder/" * 30 + "ä name"
    members = [
        ("README.md", b"about"),
        (".hidden.txt", b"x"),
        (f"{deep}.seg.png", b"a mask, no picture of the sample"),
        (f"{deep}.JPG", picture(1)),
        (f"{deep}.txt", b"one"),
        ("b.json", json.dumps({"caption": "two", "asked": "What?"}).encode()),
        ("b.png", picture(2)),
    ]
    write_tar(tmp_path / "s.tar", members)
    samples = read(tmp_path / "s.tar")
    assert [(sample.text, sample.key) for sample in samples] == [("one", f"s.tar/{deep}"), ("two", "s.tar/b")]
    [asked] = [one for one in read(tmp_path, instruction_column="asked", text_column="caption") if one.instruction]
    assert (asked.text, asked.instruction) == ("two", "What?")


def test_what_can_be_wrong_with_a_sample_of_a_shard(tmp_path: Path) -> None:
    members = [
        ("a.txt", b"a caption without picture"),
        ("b.png", picture(1)),
        ("c.png", picture(1)), ("c.txt", b"  \n"),
        ("d.png", picture(1)), ("d.txt", b"\xff\xfe\xfa"),
        ("e.png", picture(1)), ("e.json", b"{"),
        ("f.png", picture(1)), ("f.json", b'{"caption": null}'),
        ("g.png", picture(1)), ("g.json", b'{"caption": ["a", "b"]}'),
        ("h.png", picture(1)), ("h.json", b"[]"),
        ("i.png", picture(1)), ("i.txt", b"whole"),
    ]  # fmt: skip
    write_tar(tmp_path / "s.tar", members)
    assert problems(tmp_path) == {
        "s.tar/a": "missing picture",
        "s.tar/b": "missing caption",
        "s.tar/c": "empty caption",
        "s.tar/d": "unreadable caption",
        "s.tar/e": "unreadable caption",
        "s.tar/f": "missing caption",
        "s.tar/g": "unreadable caption",
        "s.tar/h": "unreadable caption",
    }
    assert [sample.key for sample in read(tmp_path)] == ["s.tar/i"]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 15_000), damage=st.booleans())
def test_a_shard_that_is_cut_short_or_damaged_gives_what_is_whole(
    cut: int, damage: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("cut")
    shards(place, [8])
    file = place / "00000.tar"
    data = file.read_bytes()
    end = 8 * 3 * 1024  # header and one block for each of the three members
    cut = min(cut, end - 1)
    file.write_bytes(data[:cut] + b"\x01" * (512 - cut % 512) + data[cut + 512 - cut % 512 :] if damage else data[:cut])
    source = open_source(DataSpec(path=str(place)))
    places = list(source.read(0))
    results = [one.load() if not source.eager else None for one in places]
    good = read(place)
    assert [sample.text for sample in good][: cut // 3072] == [text(number) for number in range(cut // 3072)]
    if not damage:
        assert len(good) <= cut // 3072 + 1
        faults = problems(place)
        assert cut % 3072 == 0 or faults, "a cut is never silent"
        assert set(faults.values()) <= {"damaged shard", "missing picture", "missing caption"}
    # What was found can be found again, as a restart does.
    assert len(list(source.at([(0, one.cursor) for one in places]))) == len({one.cursor for one in places})
    assert len(results) == len(places)


def test_shards_that_cannot_be_used_are_said_in_one_line(tmp_path: Path) -> None:
    shards(tmp_path / "s", [2, 2])
    (tmp_path / "s" / "packed.tar.gz").write_bytes(gzip.compress(b"x"))
    for path, words in (
        (tmp_path / "s" / "{00000..00003}.tar", "2 of 4 shards do not exist, the first is .*00002.tar"),
        (tmp_path / "nowhere.tar", "nowhere.tar does not exist"),
        (tmp_path / "s" / "{00000..", "does not exist|braces"),
        ("https://example.org/{0..9}.tar", "is not a path; download"),
        ("pipe:cat x.tar", "is not a path"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            read(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="is compressed"):
        read(tmp_path / "s" / "packed.tar.gz", kind="webdataset")


def test_links_in_a_shard_lead_nowhere(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        info = tarfile.TarInfo("a.txt")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"one"))
    assert problems(tmp_path) == {"s.tar/a": "missing picture"}


# -- folders, tables, cc_sbu_align ------------------------------------------------------------------------------------


def test_a_folder_with_captions_beside_the_pictures(tmp_path: Path) -> None:
    folder(tmp_path, 25)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x.png").write_bytes(picture(1))
    (tmp_path / "notes.pdf").write_bytes(b"%PDF-")
    assert [sample.text for sample in read(tmp_path)] == [text(number) for number in range(25)]
    (tmp_path / "00" / "0000.txt").unlink()
    (tmp_path / "00" / "0001.json").write_text("{}")
    assert problems(tmp_path) == {"00/0000.png": "missing caption", "00/0001.png": "missing caption"}


def test_tables_with_line_breaks_other_separators_and_a_byte_order_mark(tmp_path: Path) -> None:
    for name, delimiter in (("a.csv", ","), ("b.csv", ";"), ("c.tsv", "\t")):
        path = csv_table(tmp_path / name, 70, delimiter=delimiter)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        samples = read(path)
        assert len(samples) == 70 and samples[66].text == f'{text(66)},\n"quoted"; and more'
        assert samples[69].picture == picture(69) and samples[69].key == f"{name}:70"


def test_the_usual_columns_are_found_and_others_can_be_named(tmp_path: Path) -> None:
    [name] = pictures(tmp_path, 1)
    table = tmp_path / "t.jsonl"
    row = {"Image": name, "TEXT": "one", "answer": "two", "question": "What is it?", "n": 1}
    table.write_text(json.dumps(row) + "\n")
    assert [sample.text for sample in read(table)] == ["one"]
    [sample] = read(table, text_column="answer", instruction_column="question")
    assert (sample.text, sample.instruction) == ("two", "What is it?")
    [sample] = read(table, instruction="Describe it.")
    assert sample.instruction == "Describe it."
    with pytest.raises(DataError, match=r"no column 'nope'; it has Image, TEXT, answer, question, n"):
        read(table, text_column="nope")
    table.write_text('{"a": 1}\n')
    with pytest.raises(DataError, match="no column that looks like the picture; it has a: set picture_column"):
        read(table)


def test_pictures_of_a_table_as_bytes_base64_or_paths(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    encoded = "data:image/png;base64," + base64.b64encode(picture(0)).decode()
    rows = [
        {"image": "0000.png", "text": "path"},
        {"image": str(tmp_path / "0000.png"), "text": "absolute"},
        {"image": encoded, "text": "encoded"},
        {"image": {"bytes": None, "path": "0000.png"}, "text": "struct"},
    ]
    table = tmp_path / "t.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert {sample.picture for sample in read(table)} == {picture(0)} and len(read(table)) == 4
    for struct in (True, False):
        path = parquet_table(tmp_path / f"{struct}.parquet", 20, struct=struct)
        assert [sample.picture for sample in read(path)] == [picture(number) for number in range(20)]


def test_what_can_be_wrong_with_a_row(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    good = '{"image": "0000.png", "text": "fine"}'
    lines = [
        good,
        "no json",
        '{"image": "gone.png", "text": "x"}',
        '{"image": "https://example.org/a.png", "text": "x"}',
        '{"text": "x"}',
        '{"image": "0000.png", "text": ""}',
        '{"image": ".", "text": "x"}',
        '{"image": "data:image/png;base64,???", "text": "x"}',
        '{"image": "0000.png", "text": "\\ud800"}',
        '{"image": "a\\u0000b", "text": "x"}',
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    assert list(problems(tmp_path / "t.jsonl").values()) == [
        "broken row",
        "missing picture",
        "picture on the web",
        "missing picture",
        "empty caption",
        "broken picture",
        "broken picture",
        "unreadable caption",
        "broken picture",
    ]
    (tmp_path / "t.csv").write_bytes(b"image,text\n0000.png,fine\n0000.png,\xff\n0000.png\n")
    assert list(problems(tmp_path / "t.csv").values()) == ["unreadable caption", "missing caption"]


def test_the_released_stage_2_layout(tmp_path: Path) -> None:
    aligned(tmp_path / "cc_sbu_align", 70)
    for path in (tmp_path / "cc_sbu_align", tmp_path / "cc_sbu_align" / "filter_cap.json"):
        samples = read(path)
        assert [sample.text for sample in samples] == [text(number) for number in range(70)]
        assert samples[5].picture == picture(5)
    file = tmp_path / "cc_sbu_align" / "filter_cap.json"
    notes = [{"image_id": "../secret", "caption": "x"}, {"caption": "x"}, {"image_id": 999, "caption": "x"}]
    file.write_text(json.dumps({"annotations": notes}))
    assert list(problems(tmp_path / "cc_sbu_align").values()) == ["broken row", "broken row", "missing picture"]
    file.write_text('{"annotations": [{"image_id": "1", "capt')
    with pytest.raises(DataError, match="is not JSON or was cut short"):
        read(tmp_path / "cc_sbu_align")


def test_what_a_path_is(tmp_path: Path) -> None:
    shards(tmp_path / "shards", [1])
    folder(tmp_path / "folder", 3)
    aligned(tmp_path / "aligned", 1)
    jsonl_table(tmp_path / "table.jsonl", 1)
    parquet_table(tmp_path / "parquet" / "data" / "train-0.parquet", 2)
    pictures(tmp_path / "described", 2)
    (tmp_path / "described" / "metadata.csv").write_text("file_name,text\n0000.png,one\n0001.png,two\n")
    for name, kind in (
        ("shards", "webdataset"),
        ("shards/00000.tar", "webdataset"),
        ("shards/{00000..00009}.tar", "webdataset"),
        ("folder", "folder"),
        ("aligned", "cc_sbu_align"),
        ("table.jsonl", "table"),
        ("parquet", "table"),
        ("described", "table"),
    ):
        assert detect(DataSpec(path=str(tmp_path / name)))[0] == kind, name
    assert [sample.text for sample in read(tmp_path / "described")] == ["one", "two"]
    assert len(read(tmp_path / "parquet")) == 2
    for name, words in (("nowhere", "does not exist"), ("folder/00/0000.png", "is no data set"), ("", "no pictures")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=words):
            read(tmp_path / name if name else tmp_path / "empty")


def test_a_spec_is_closed() -> None:
    for fields in ({"wieght": 1}, {"weight": 0}, {"kind": "zip"}, {"instruction": "a", "instruction_column": "b"}):
        with pytest.raises(ValidationError):
            DataSpec.model_validate({"path": "x", **fields})


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    path = parquet_table(tmp_path / "t.parquet", 20)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match="is not a Parquet file or was cut short"):
        read(path)


def test_a_missing_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards(tmp_path / "s", [1])
    aligned(tmp_path / "a", 1)
    parquet_table(tmp_path / "t.parquet", 1)
    for module, extra, path in (
        ("braceexpand", "batch", tmp_path / "s" / "{00000..00000}.tar"),
        ("ijson", "train", tmp_path / "a"),
        ("pyarrow", "batch", tmp_path / "t.parquet"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(DataError, match=rf"need {module}: pip install 'inquisight\[{extra}\]'"):
            read(path)
    assert len(read(tmp_path / "s")) == 1, "without braces nothing is missing"
