"""Data sets leave nothing out in silence: what is not read is counted by reason, in the check and in a run."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest
import webdataset

from core.datasets.samples.kinds import open_source
from core.datasets.samples.sample import BrokenLog, BrokenSample, DataError, Sample
from core.datasets.samples.sources import all_left_out
from core.datasets.samples.spec import DataSpec
from tests.training.data.making import aligned, folder, picture, pictures, shards, text, write_tar
from training.data.check import CheckOptions, check
from training.data.findings import Report
from training.data.report import write_report
from training.data.stream import left_out_of, open_stream

CASES = Path(__file__).parents[2] / "fixtures" / "cases"


def everything(path: Path | str, **fields: object) -> tuple[dict[str, Sample | str], dict[str, int]]:
    """(key -> sample or what is wrong with it, how many were left out for each reason)."""
    source = open_source(DataSpec.model_validate({"path": str(path), **fields}))
    source.survey()
    places = [
        (part, place.cursor, place.key, place.load()) for part in range(source.parts) for place in source.read(part)
    ]
    found: dict[str, Sample | str] = {}
    for _, _, key, one in places:
        assert key not in found, "every sample has a key of its own"
        found[key] = one.reason if isinstance(one, BrokenSample) else one
    again = dict(source.at([(part, cursor) for part, cursor, _, _ in places]))
    for part, cursor, key, one in places:  # a restart finds each by its place
        then = again[part, cursor]()
        assert then.key == one.key == key and type(then) is type(one)
    return found, {name: one["count"] for name, one in all_left_out([source]).as_json()["reasons"].items()}


def texts(found: dict[str, Sample | str]) -> dict[str, str]:
    return {key: one if isinstance(one, str) else one.text for key, one in found.items()}


# -- shards -----------------------------------------------------------------------------------------------------------


def test_members_with_dots_are_samples() -> None:
    found, left_out = everything(CASES / "tars" / "dots.tar")
    assert list(found) == [f"dots.tar/{name}" for name in (
        "photo.v2", "22.05", "plain", "UP", "dir.v1/x", "./dot/y", "z.img", "Track 2.0 (x)",
    )]  # fmt: skip
    assert isinstance(found["dots.tar/photo.v2"], Sample) and left_out == {}
    assert found["dots.tar/22.05"] == "it has no .txt or .json beside it"


def test_each_picture_of_a_group_has_its_own_caption_or_the_common_one(tmp_path: Path) -> None:
    write_tar(tmp_path / "s.tar", [
        ("photo.v2.jpg", picture(1)), ("photo.v2.txt", b"two"),
        ("photo.v3.jpg", picture(2)), ("photo.v3.json", json.dumps({"caption": "three"}).encode()),
        ("photo.v4.jpg", picture(3)),
        ("22.05.png", picture(4)), ("22.06.PNG", picture(5)), ("22.txt", b"of both"), ("22.07.txt", b"alone"),
        ("000.jpg", picture(6)), ("000.json", b"{}"), ("000.seg.png", picture(7)), ("000.txt", b"the picture"),
        ("001.jpg", picture(8)), ("001.png", picture(9)), ("001.jpg", picture(10)), ("001.txt", b"three of them"),
        ("noext", picture(11)), ("noext.txt", b"without a suffix"),
        ("b.dat", picture(12)), ("b.dat.txt", b"by its content"),
        ("./.hidden.jpg", picture(13)), ("._000.jpg", b"x"), ("__MACOSX/._a.txt", b"x"),
        ("__MACOSX/a.jpg", picture(14)),
        ("f.psd", b""), ("f.txt", b"of a phone"),
    ])  # fmt: skip
    found, left_out = everything(tmp_path / "s.tar")
    at = next(key for key in found if key.startswith("s.tar/001.jpg"))
    assert texts(found) == {
        "s.tar/photo.v2": "two",
        "s.tar/photo.v3": "three",
        "s.tar/photo.v4": "it has no .txt or .json beside it",
        "s.tar/22.05": "of both",
        "s.tar/22.06": "of both",
        "s.tar/22.07": "it has no picture",
        "s.tar/000": "the picture",
        "s.tar/001": "three of them",
        "s.tar/001.png": "three of them",
        at: "three of them",
        "s.tar/noext": "without a suffix",
        "s.tar/b.dat": "by its content",
        "s.tar/f": "it has no picture but Photoshop",
    }
    assert left_out == {"further picture of a sample": 1, "Photoshop": 1}


def test_plain_samples_are_those_of_webdataset_and_dots_hide_none(tmp_path: Path) -> None:
    names = ["a", "b.v1", "b.v2", "c/d.e/f", "2024.01.02", "2024.01.03", "./x"]
    write_tar(
        tmp_path / "s.tar",
        [
            one
            for number, name in enumerate(names)
            for one in ((f"{name}.png", picture(number)), (f"{name}.txt", text(number).encode()))
        ],
    )
    theirs = [
        data
        for group in webdataset.WebDataset(str(tmp_path / "s.tar"), shardshuffle=False)
        for suffix, data in group.items()
        if suffix.rpartition(".")[2] == "png"
    ]
    found, _ = everything(tmp_path / "s.tar")
    ours = [(key, one.picture, one.text) for key, one in found.items() if isinstance(one, Sample)]
    assert ours == [(f"s.tar/{name}", picture(number), text(number)) for number, name in enumerate(names)]
    assert theirs == [data for _, data, _ in ours], "its fields hold the same pictures in the same order"


def test_a_stream_goes_on_in_the_middle_of_a_group(tmp_path: Path) -> None:
    members = [
        (f"day.{number:03}.{suffix}", data)
        for number in range(12)
        for suffix, data in (("png", picture(number)), ("txt", text(number).encode()))
    ]
    write_tar(tmp_path / "0.tar", members)
    write_tar(tmp_path / "1.tar", [("z.png", picture(90)), ("z.txt", b"the last")])
    specs = [DataSpec(path=str(tmp_path))]
    for buffer in (0, 4):
        with open_stream(specs, seed=3, epochs=2, shuffle_buffer=buffer) as stream:
            whole = [sample.key for sample in stream]
        assert len(whole) == 26 and len(set(whole)) == 13
        for stop in range(0, 26, 3):
            with open_stream(specs, seed=3, epochs=2, shuffle_buffer=buffer) as stream:
                before = [next(stream).key for _ in range(stop)]
                state = json.loads(json.dumps(stream.state_dict()))
            with open_stream(specs, seed=3, epochs=2, shuffle_buffer=buffer) as stream:
                stream.load_state_dict(state)
                assert before + [sample.key for sample in stream] == whole


def test_two_processes_share_a_group(tmp_path: Path) -> None:
    members = [
        (f"day.{number}.{suffix}", data)
        for number in range(7)
        for suffix, data in (("png", picture(number)), ("txt", text(number).encode()))
    ]
    write_tar(tmp_path / "0.tar", members)
    specs = [DataSpec(path=str(tmp_path))]
    both = []
    for rank in (0, 1):
        with open_stream(specs, seed=1, rank=rank, world=2, epochs=1) as stream:
            both += [sample.key for sample in stream]
    assert sorted(both) == [f"0.tar/day.{number}" for number in range(7)]


def test_links_and_odd_members_are_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, kind in (("l.png", tarfile.LNKTYPE), ("p.jpg", tarfile.FIFOTYPE), ("d.png", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a.png"
            tar.addfile(member)
    assert everything(tmp_path)[1] == {"link inside a shard": 1, "file that is not a regular one": 1}


def test_what_lies_beside_the_shards_of_a_folder(tmp_path: Path) -> None:
    shards(tmp_path, [2, 2])
    shutil.move(tmp_path / "00001.tar", tmp_path / "00001.TAR")
    for name in ("loose.jpg", "loose.txt", "00000.parquet", "00000_stats.json", "x.psd", "00002.tar.zst"):
        (tmp_path / name).write_bytes(b"{}")
    found, left_out = everything(tmp_path)
    assert len(found) == 4, "also of the one in capitals"
    assert left_out == {"picture outside the shards": 1, "Photoshop": 1, "archive": 1}


def test_a_shard_that_is_compressed_inside_is_said_to_be(tmp_path: Path) -> None:
    import gzip

    shards(tmp_path, [2])
    file = tmp_path / "00000.tar"
    file.write_bytes(gzip.compress(file.read_bytes()))
    assert list(everything(tmp_path)[0].values()) == ["the shard is compressed (gzip); unpack it to a plain .tar"]


# -- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_by_content(tmp_path: Path) -> None:
    for name in ("a.avif", "b.jfif", "noext", "f.psd"):
        shutil.copy(CASES / "pictures" / name, tmp_path)
    for name in ("photo.v2.png", "trail.png ", "v1.0"):
        (tmp_path / name).write_bytes(picture(len(name)))
    for name in ("a", "b", "noext", "photo.v2", "trail", "v1.0", "f"):
        (tmp_path / f"{name}.txt").write_text(f"of {name}")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    found, left_out = everything(tmp_path)
    assert texts(found) == {
        "a.avif": "of a", "b.jfif": "of b", "noext": "of noext", "photo.v2.png": "of photo.v2",
        "trail.png ": "of trail", "v1.0": "of v1.0",
    }  # fmt: skip
    assert left_out == {"Photoshop": 1, "broken link": 1, "file that is not a regular one": 1}


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    shutil.copy(CASES / "pictures" / "f.psd", tmp_path)
    with pytest.raises(DataError, match=r"holds no pictures that can be read \(1 left out: 1 Photoshop"):
        open_source(DataSpec(path=str(tmp_path)))


# -- tables -----------------------------------------------------------------------------------------------------------


def table(path: Path, rows: list[list[str]], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([["image", "caption"], *rows])
    path.write_bytes(out.getvalue().encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    pictures(tmp_path / "sub", 70)
    said = "one\u2028two\u2029three\x85four\x0cfive"
    rows = [[f"sub\\{number:04}.png", f"{said} {number}"] for number in range(70)]
    lines = "".join(json.dumps({"image": name, "caption": said}, ensure_ascii=False) + "\n" for name, said in rows)
    (tmp_path / "t.jsonl").write_bytes(lines.encode(encoding))
    for path in (
        table(tmp_path / "t.csv", rows, encoding),
        table(tmp_path / "s.csv", rows, encoding, ";"),
        table(tmp_path / "t.tsv", rows, encoding, "\t"),
        tmp_path / "t.jsonl",
    ):
        assert list(texts(everything(path)[0]).values()) == [said for _, said in rows]


def test_what_can_be_wrong_with_a_row(tmp_path: Path) -> None:
    [name] = pictures(tmp_path, 1)
    inside = "data:image/png;base64," + base64.b64encode(picture(5) + bytes(200_000)).decode()
    (tmp_path / "t.csv").write_bytes(
        f'image,caption\n{name},a cat, sitting\n{name},x,,\n"{inside}",inside\n'.encode()
        + f'"[""{name}"", ""{name}""]",two\n"[\'{name}\']",one\n'.encode()
        + b"sub\\gone.png,x\ncaf\xe9.png,x\n"
    )  # fmt: skip
    found = texts(everything(tmp_path / "t.csv")[0])
    assert list(found.values()) == [
        "the row has 3 cells and the header 2; put a cell that holds ',' in double quotes",
        "x",
        "inside",
        "it names 2 pictures; give each of them a row of its own",
        "one",
        "its picture sub\\gone.png does not exist (it is written with backslashes, as on Windows; write / instead)",
        "its picture caf\\udce9.png does not exist (the name is not UTF-8; save the list or table that it comes from "
        "as UTF-8)",
    ]


def test_tables_that_cannot_be_used_are_said_in_one_line(tmp_path: Path) -> None:
    for name, data, words in (
        (
            "quote.csv",
            b'image,caption\na.png,x\nb.png,"never closed\nc.png,x\n',
            "from line 3 on: a quote that opens there",
        ),
        ("twice.csv", b"image,image,caption\na,b,c\n", "has 2 columns named 'image'; rename all but one"),
        ("wide.csv", b"i\0m\0a\0g\0e\0,\0x\0\n\0", "UTF-16 without a byte-order mark"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=words):
            open_source(DataSpec(path=str(tmp_path / name)))


def test_pictures_that_no_row_names(tmp_path: Path) -> None:
    names = pictures(tmp_path / "t", 4)
    rows = "".join(json.dumps({"file_name": name, "text": "x"}) + "\n" for name in names[:3])
    (tmp_path / "t" / "metadata.jsonl").write_text(rows)
    assert everything(tmp_path / "t")[1] == {"picture that the table does not name": 1}
    assert everything(tmp_path / "t" / "metadata.jsonl")[1] == {}, "the table alone was named"

    aligned(tmp_path / "a", 3)
    (tmp_path / "a" / "image" / "other.jpg").write_bytes(picture(9))
    assert everything(tmp_path / "a")[1] == {"picture that the table does not name": 1}

    import pyarrow
    import pyarrow.parquet

    for place, cells in (("p", names[:2]), ("q", [{"bytes": None, "path": name} for name in names[:2]])):
        shutil.copytree(tmp_path / "t", tmp_path / place, ignore=shutil.ignore_patterns("*.jsonl"))
        rowed = pyarrow.table({"image": cells, "text": ["x", "y"]})
        pyarrow.parquet.write_table(rowed, tmp_path / place / "0.parquet")
        found, left_out = everything(tmp_path / place)
        assert list(texts(found).values()) == ["x", "y"] and left_out == {"picture that the table does not name": 2}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_and_texts_beside_pictures_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    said = "über\u2028猫"
    names = pictures(tmp_path / "t", 2)
    rows = [{"image": name, "caption": said} for name in names]
    (tmp_path / "t" / "t.json").write_bytes(json.dumps(rows, ensure_ascii=False).encode(encoding))
    assert list(texts(everything(tmp_path / "t" / "t.json")[0]).values()) == [said] * 2
    for number, name in enumerate(pictures(tmp_path / "f", 2)):
        content = said if number else json.dumps({"caption": said}, ensure_ascii=False)
        (tmp_path / "f" / name).with_suffix(".txt" if number else ".json").write_bytes(content.encode(encoding))
    assert list(texts(everything(tmp_path / "f")[0]).values()) == [said] * 2
    (tmp_path / "w.json").write_bytes("[]".encode("utf-32"))
    with pytest.raises(DataError, match="UTF-32; save it as UTF-8"):
        open_source(DataSpec(path=str(tmp_path / "w.json")))


# -- what is said -----------------------------------------------------------------------------------------------------


def report(*paths: Path) -> Report:
    *_, last = check([DataSpec(path=str(path)) for path in paths], CheckOptions(threads=1))
    assert isinstance(last, Report)
    return last


def test_the_check_reports_it(tmp_path: Path) -> None:
    folder(tmp_path / "f", 4)
    shutil.copy(CASES / "pictures" / "f.psd", tmp_path / "f")
    shards(tmp_path / "s", [3])
    write_tar(tmp_path / "s" / "1.tar", [("a.jpg", picture(70)), ("a.txt", b"one"), ("b.xcf", b"gimp xcf")])
    found = report(tmp_path / "f", tmp_path / "s")
    assert [one.left_out["count"] for one in found.sources] == [1, 1]
    assert found.sources[0].left_out["reasons"] == {"Photoshop": {"count": 1, "first": str(tmp_path / "f" / "f.psd")}}
    assert found.sources[1].left_out["reasons"] == {"GIMP": {"count": 1, "first": "1.tar/b.xcf"}}
    said = [one.text for one in found.findings if "what is not read" in one.text]
    assert len(said) == 2 and "1 left out: 1 Photoshop (" in said[0] and "1 left out: 1 GIMP (1.tar/b.xcf)" in said[1]
    assert not found.stops and json.loads(found.model_dump_json())["sources"][0]["left_out"]["count"] == 1
    write_report(found, tmp_path / "r.md")
    assert "| data | kind | checked | broken | left out |" in (tmp_path / "r.md").read_text()
    write_report(found, tmp_path / "r.html")
    assert "<th>left out</th>" in (tmp_path / "r.html").read_text()


def test_streams_count_each_part_once(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(
            tmp_path / f"{number}.tar",
            [("a.jpg", picture(number)), ("a.txt", b"one"), ("b.psd", b""), ("c.psd", b"")],
        )
    specs = [DataSpec(path=str(tmp_path))]
    streams = [
        open_stream(specs, seed=1, rank=rank, world=2, epochs=3, broken=BrokenLog(max_share=1.0)) for rank in (0, 1)
    ]
    for stream in streams:
        list(stream)
    assert left_out_of(streams).as_json()["reasons"]["Photoshop"]["count"] == 6, "whoever read them, and how often"
