"""The folder of a curation: torn lines, settings, earlier results, and the list of pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StoreError, UsageError
from core.files.journal import SharedJournal, read_json, write_json, write_lines
from tests.training.curation.fakes import make_pictures
from training.curation.folder import CurationFolder
from training.curation.steps.pictures import CurationPicture, fingerprint, list_pictures
from training.curation.toml import DEFAULTS, default_file

RECORDS = st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=6) | st.integers(), max_size=3), max_size=4)


@given(RECORDS, RECORDS, st.data())
@settings(max_examples=60, deadline=None)
def test_a_kill_in_the_middle_of_a_line_loses_that_line_only(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[dict[str, object]],
    after: list[dict[str, object]],
    data: st.DataObject,
) -> None:
    journal = SharedJournal(tmp_path_factory.mktemp("journal") / "a.jsonl")
    journal.append(*before)
    whole = journal.path.stat().st_size if before else 0
    journal.append({"torn": "é" * 20})
    cut = data.draw(st.integers(whole, journal.path.stat().st_size))
    content = journal.path.read_bytes()[:cut]
    journal.path.write_bytes(content)
    survived = before if not content.endswith(b"}\n") and not content.endswith(b'"}') or cut == whole else None
    if survived is not None:
        assert journal.read() == survived
    read = journal.read()
    journal.append(*after)
    assert journal.read() == [*read, *after]
    assert read[: len(before)] == before and len(read) <= len(before) + 1


def test_a_last_line_without_its_end_is_a_record_when_it_is_one(tmp_path: Path) -> None:
    journal = SharedJournal(tmp_path / "a.jsonl")
    journal.path.write_text('{"a": 1}\n{"a": 2}', "utf-8")
    assert journal.read() == [{"a": 1}, {"a": 2}]
    journal.append({"a": 3})
    assert journal.path.read_text("utf-8") == '{"a": 1}\n{"a": 2}\n{"a":3}\n'


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    journal = SharedJournal(tmp_path / "a.jsonl")
    journal.path.write_text('{"a": 1}\nnonsense\n{"a": 2}\n', "utf-8")
    with pytest.raises(StoreError, match=r"line 2 of .*a\.jsonl.*correct that line"):
        journal.read()


def test_a_file_name_that_is_no_utf8_survives(tmp_path: Path) -> None:
    journal = SharedJournal(tmp_path / "a.jsonl")
    journal.append({"path": "caf\udce9.jpg"})
    assert journal.read() == [{"path": "caf\udce9.jpg"}]


def test_a_disk_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be written"):
        write_json(tmp_path / "missing" / "a.json", {})
    with pytest.raises(StoreError, match=r"cannot be opened"):
        SharedJournal(tmp_path / "missing" / "a.jsonl").append({"a": 1})


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UsageError, match="holds other files"):
        CurationFolder(tmp_path, create=True)
    with pytest.raises(UsageError, match="no curation"):
        CurationFolder(tmp_path / "new")
    with pytest.raises(UsageError, match="is a file"):
        CurationFolder(tmp_path / "holiday.jpg")


def test_settings_guard_a_folder(tmp_path: Path) -> None:
    folder = CurationFolder(tmp_path / "c", create=True)
    folder.begin("generate", {"seed": 1, "vision": "a"})
    folder.begin("generate", {"seed": 1, "vision": "a"})
    with pytest.raises(UsageError, match=r"begun with --seed 1, not 2.*--again"):
        folder.begin("generate", {"seed": 2, "vision": "a"})
    assert folder.settings("generate") == {"seed": 1, "vision": "a"}


def test_what_is_set_aside_is_kept_with_what_followed_from_it(tmp_path: Path) -> None:
    folder = CurationFolder(tmp_path / "c", create=True)
    for journal in (folder.pictures, folder.generated, folder.repaired, folder.labels):
        journal.append({"id": "x"})
    folder.begin("repair", {"seed": 1})
    target = folder.set_aside("repair")
    assert target is not None
    assert sorted(one.name for one in target.iterdir()) == ["labels.jsonl", "repair.json", "repaired.jsonl"]
    assert folder.generated.read() and not folder.repaired.read() and folder.settings("repair") == {}
    assert folder.set_aside("repair") is None


def test_one_run_at_a_time(tmp_path: Path) -> None:
    folder = CurationFolder(tmp_path / "c", create=True)
    with folder.at_work(), pytest.raises(StoreError, match="another run is at work"), folder.at_work():
        pass
    with folder.at_work():
        pass


# ---- which pictures ------------------------------------------------------------------------------------------------


def test_a_folder_names_its_pictures_by_their_paths(tmp_path: Path) -> None:
    make_pictures(tmp_path / "all" / "a", 2)
    make_pictures(tmp_path / "all" / "b c", 1)
    entries = list_pictures([str(tmp_path / "all")])
    assert [entry.id for entry in entries] == ["a_p00", "a_p01", "b_c_p00"]
    assert [Path(entry.path).is_absolute() for entry in entries] == [True] * 3


def test_names_that_would_meet_are_numbered(tmp_path: Path) -> None:
    for name in ("x.png", "X.jpg", "x.gif"):
        make_pictures(tmp_path, 1)
        (tmp_path / "p00.png").rename(tmp_path / name)
    assert sorted(entry.id for entry in list_pictures([str(tmp_path)])) == ["X", "x-2", "x-3"]


def test_the_cc_sbu_align_layout_keeps_its_names(tmp_path: Path) -> None:
    make_pictures(tmp_path / "image", 3, "jpg")
    annotations = [{"image_id": name, "caption": ""} for name in ("p02", "p00", "gone")]
    (tmp_path / "filter_cap.json").write_text(json.dumps({"annotations": annotations}), "utf-8")
    entries = list_pictures([str(tmp_path)])
    assert [entry.id for entry in entries] == ["p02", "p00", "gone"]
    assert entries[0].path == str(tmp_path / "image" / "p02.jpg")
    (tmp_path / "filter_cap.json").write_text("[]", "utf-8")
    with pytest.raises(UsageError, match=r"filter_cap\.json"):
        list_pictures([str(tmp_path)])


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "txt"])
def test_tables_and_lists(tmp_path: Path, kind: str) -> None:
    make_pictures(tmp_path / "deep", 2)
    rows = [{"id": "one", "image": "deep/p00.png"}, {"id": "two", "image": "deep/p01.png"}]
    file = tmp_path / f"table.{kind}"
    if kind == "jsonl":
        write_lines(file, rows)
    elif kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    elif kind == "txt":
        file.write_text("# a list\ndeep/p00.png\n\ndeep/p01.png\n", "utf-8")
    else:
        with file.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, ["id", "image"], delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    entries = list_pictures([str(file)])
    assert [entry.path for entry in entries] == [str(tmp_path / "deep" / f"p0{n}.png") for n in (0, 1)]
    assert [entry.id for entry in entries] == (["p00", "p01"] if kind == "txt" else ["one", "two"])


@pytest.mark.parametrize(
    ("name", "content", "options", "words"),
    [
        ("a.csv", "photo\nx.png\n", {}, "no column that looks like pictures; it has photo"),
        ("a.csv", "photo\nx.png\n", {"column": "foto"}, "no column 'foto'.*photo"),
        ("a.csv", "image,n\n,1\n", {}, "row 1 of"),
        ("a.jsonl", "[]\n", {}, "row 1 of .* is not a JSON object"),
        ("a.parquet", "x", {}, "not a Parquet file"),
        ("a.txt", "# nothing\n", {}, "names no pictures"),
        ("a.txt", "x\n", {"kind": "folder"}, "is a file, not a folder"),
    ],
)
def test_lists_that_cannot_be_read(
    tmp_path: Path, name: str, content: str, options: dict[str, str], words: str
) -> None:
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(UsageError, match=words):
        list_pictures([str(tmp_path / name)], **options)  # type: ignore[arg-type]


def test_some_of_the_pictures_by_chance_but_the_same_ones_again(tmp_path: Path) -> None:
    make_pictures(tmp_path, 30)
    some = list_pictures([str(tmp_path)], sample=10, seed=3)
    assert some == list_pictures([str(tmp_path)], sample=10, seed=3)
    assert some != list_pictures([str(tmp_path)], sample=10, seed=4)
    assert len(some) == 10 and some == sorted(some, key=lambda entry: entry.id)
    assert fingerprint(some) == fingerprint([CurationPicture(entry.id, "elsewhere") for entry in some])


def test_every_default_file_is_printed_as_it_is() -> None:
    assert all(default_file(name).read_text("utf-8").startswith("#") for name in DEFAULTS)
    with pytest.raises(UsageError, match="'prompts': take instructions"):
        default_file("prompts")


def test_json_that_is_no_object_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{", "utf-8")
    with pytest.raises(StoreError, match="no JSON object"):
        read_json(tmp_path / "a.json")
    assert read_json(tmp_path / "b.json") is None
