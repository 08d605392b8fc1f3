"""Tables as spreadsheets and programs write them: every row is found, any of them again, and a bad one is named."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.datasets.tables import NoPicture, TableRow, TextTable, choose_column, is_path, picture_of, pictures_in
from core.errors import UsageError


def written(folder: Path, name: str, data: str | bytes) -> TextTable:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return TextTable(path)


def rows(table: TextTable) -> list[TableRow]:
    """All rows, each of which is found again from its first byte."""
    with table.open() as file:
        found = list(table.rows(file))
        for row in found:
            again = next(table.rows(file, row.begin))
            assert (again.fields, again.problem) == (row.fields, row.problem)
    return found


def fields(table: TextTable) -> list[dict[str, Any] | None]:
    return [row.fields for row in rows(table)]


ODD = "a\u2028b\u2029c\x85d\x0ce\x1cf"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_any_encoding_and_any_letter(tmp_path: Path, name: str, encoding: str) -> None:
    cells = [{"image": "a.jpg", "caption": ODD}, {"image": "ü/猫.jpg", "caption": 'two\nlines, "quoted"; and\ttab'}]
    if name == "t.jsonl":
        text = "".join(json.dumps(cell, ensure_ascii=False) + "\n" for cell in cells)
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, ["image", "caption"], delimiter="\t" if name == "t.tsv" else ",")
        writer.writeheader()
        writer.writerows(cells)
        text = out.getvalue()
    table = written(tmp_path, name, text.encode(encoding))
    assert table.columns == ["image", "caption"] and fields(table) == cells


def test_a_picture_in_a_cell_is_no_end_of_the_table(tmp_path: Path) -> None:
    data = "data:image/png;base64," + base64.b64encode(bytes(300_000)).decode()
    assert len(data) > 131_072
    for name, text in (("t.csv", f"image\na.jpg\n{data}\nb.jpg\n"), ("t.jsonl", json.dumps({"image": data}) + "\n")):
        assert data in [row["image"] for row in fields(written(tmp_path, name, text)) if row]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("image;caption\na.jpg;x, y\n", ["image", "caption"]),
        ('"a, b";caption\na.jpg;x\n', ["a, b", "caption"]),
        ("image|caption\na.jpg|x\n", ["image", "caption"]),
        ("image\tcaption\na.jpg\tx\n", ["image", "caption"]),
        ("sep=;\r\nimage;caption\r\na.jpg;x\r\n", ["image", "caption"]),
        (" image , caption \na.jpg , x\n", ["image", "caption"]),
        ('image, "caption"\na.jpg, "x, y"\n', ["image", "caption"]),
        ("image,caption,\na.jpg,x,,,\n", ["image", "caption", ""]),
        ("image\na.jpg\n", ["image"]),
        ("image\n a.jpg,,\n", ["image"]),
        ('"image"\r\n"a.jpg"\r\n', ["image"]),
        ("\ufeff\"image\",caption\na.jpg,x\n", ["image", "caption"]),
    ],
)  # fmt: skip
def test_headers_and_delimiters(tmp_path: Path, text: str, columns: list[str]) -> None:
    table = written(tmp_path, "t.csv", text)
    assert table.columns == columns
    [row] = fields(table)
    assert row is not None and row[columns[0]].strip() == "a.jpg"


def test_a_tsv_keeps_its_tabs(tmp_path: Path) -> None:
    table = written(tmp_path, "t.tsv", "image\tcaption, in words, long\n a.jpg\tx\n")
    assert table.columns == ["image", "caption, in words, long"]


def test_numbers_of_rows_and_lines_stay_right(tmp_path: Path) -> None:
    table = written(
        tmp_path, "t.csv", 'image,caption\n"a.jpg","one\ntwo\n\nthree"\n\nb.jpg,x\n,,\nc.jpg,"y\r\nz"\nd.jpg,x\n'
    )
    assert [(row.line, (row.fields or {})["image"]) for row in rows(table)] == [
        (2, "a.jpg"), (7, "b.jpg"), (9, "c.jpg"), (11, "d.jpg")
    ]  # fmt: skip


def test_rows_that_are_not_like_the_header(tmp_path: Path) -> None:
    table = written(tmp_path, "t.csv", "image,caption\na.jpg,a cat, sitting\nb.jpg\nc.jpg,x,,\nd.jpg,x\n")
    found = rows(table)
    assert found[0].fields is None and "has 3 cells and the header 2; put a cell that holds ','" in found[0].problem
    assert [row.fields for row in found[1:]] == [
        {"image": "b.jpg"}, {"image": "c.jpg", "caption": "x"}, {"image": "d.jpg", "caption": "x"}
    ]  # fmt: skip


def test_one_column_needs_no_quotes(tmp_path: Path) -> None:
    names = ["Paris, at night.jpg", "a;b.jpg", "data:image/png;base64,eA=="]
    table = written(tmp_path, "t.csv", "\n".join(["image", *names]))
    assert [row["image"] for row in fields(table) if row] == names


def test_lines_that_are_no_json_objects(tmp_path: Path) -> None:
    lines = ['{"image": "a.jpg"}', "[1]", "{", '{"n": ' + "9" * 5000 + "}", "[" * 100_000, "\0\0", '{"image": NaN}']
    found = rows(written(tmp_path, "t.jsonl", "\n".join(lines)))
    assert [bool(row.fields) for row in found] == [True, *[False] * 5, True]
    assert found[1].problem == "is not a JSON object" and found[2].problem == "is not JSON that can be read"


def test_columns_of_json_lines_come_from_several_rows(tmp_path: Path) -> None:
    table = written(tmp_path, "t.jsonl", '\nnot json\n{"id": 1}\n{"id": 2, "image": "a.jpg"}\n')
    assert table.columns == ["id", "image"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b'image,caption\na.jpg,x\nb.jpg,"never closed\nc.jpg,x\n',
            "from line 3 on: a quote that opens there is never",
        ),
        (b'image\n"', "from line 2 on: a quote that opens there is never closed"),
        (b"image,caption\ra.jpg,x\rb.jpg,y\r", "lone carriage returns"),
        (b"i\0m\0a\0g\0e\0\n\0", "looks like UTF-16 without a byte-order mark"),
        ("image\n".encode("utf-32"), "UTF-32"),
    ],
)
def test_what_is_no_table_is_said_with_the_line(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words) as wrong:
        rows(written(tmp_path, "t.csv", data))
    assert "t.csv" in str(wrong.value) and str(wrong.value).isprintable()


def test_nul_bytes_and_old_encodings_spoil_a_cell_only(tmp_path: Path) -> None:
    found = fields(written(tmp_path, "t.csv", b"image,caption\na\0b.jpg,x\ncaf\xe9.jpg,\xe4\nc.jpg,y\n"))
    assert [row["image"] for row in found if row] == ["a\0b.jpg", "caf\udce9.jpg", "c.jpg"]


def choose(wanted: str | None, columns: list[str]) -> str:
    return choose_column("t.csv", columns, wanted, ("picture", "image"), what="pictures", way="set column")


def test_a_column_by_its_name() -> None:
    assert choose(None, ["id", " Image ", "picture"]) == "picture"
    assert choose(None, ["id", " Image "]) == " Image "
    assert choose("foto", ["image", " foto"]) == " foto"
    with pytest.raises(UsageError, match=r"'t\.csv' has no column 'Foto'; it has image, foto: set column"):
        choose("Foto", ["image", "foto"])
    with pytest.raises(UsageError, match="no column that looks like pictures; it has x: set column"):
        choose(None, ["x"])
    for wanted in (None, "image"):
        with pytest.raises(UsageError, match="2 columns named 'image'; rename all but one"):
            choose(wanted, ["image", "image"])


@pytest.mark.parametrize(
    ("cell", "pictures"),
    [
        ("a.jpg", ["a.jpg"]),
        (" \ufeffa.jpg\r ", ["a.jpg"]),
        ('["a.jpg", "b.jpg"]', ["a.jpg", "b.jpg"]),
        ("['a.jpg', 'b.jpg']", ["a.jpg", "b.jpg"]),
        (["a.jpg", {"path": "b.jpg"}, None], ["a.jpg", "b.jpg", None]),
        ('[{"path": "a.jpg"}]', ["a.jpg"]),
        ({"bytes": b"x", "path": "a.jpg"}, [b"x"]),
        ({"bytes": None, "path": "a.jpg"}, ["a.jpg"]),
        ("[1].jpg", ["[1].jpg"]),
        ("[1]", ["[1]"]),
        ("[" * 5000 + "]" * 5000, ["[" * 5000 + "]" * 5000]),
        ("", [""]),
        (None, [None]),
        ([], [None]),
        (7, [7]),
    ],
)
def test_the_pictures_of_a_cell(cell: Any, pictures: list[Any]) -> None:
    assert pictures_in(cell) == pictures


def test_a_picture_or_its_path() -> None:
    coded = base64.encodebytes(b"picture" * 2000).decode()
    assert picture_of("data:image/png;base64," + coded) == picture_of(coded.strip()) == b"picture" * 2000
    assert picture_of("a.jpg") == "a.jpg" and picture_of(b"x") == b"x"
    assert is_path("a.jpg") and not any(map(is_path, ("data:image/png;base64,eA==", "x" * 5000, b"x", None, 7, "")))
    for wrong in (None, 7, b"", "", True, float("nan")):
        with pytest.raises(NoPicture, match="names no picture"):
            picture_of(wrong)
    for wrong in ("data:image/png;base64,???", "ü" * 5000, "data:image/svg+xml,<svg/>"):
        with pytest.raises(NoPicture, match="is not proper base64"):
            picture_of(wrong)


@settings(max_examples=150, deadline=None)
@given(
    cells=st.lists(
        st.fixed_dictionaries({"image": st.text(min_size=1, max_size=9), "caption": st.text(max_size=9)}), max_size=5
    ),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_csv_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[dict[str, str]], delimiter: str, encoding: str
) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["image", "caption"], delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(cells)
    table = written(tmp_path_factory.mktemp("t"), "t.csv", out.getvalue().encode(encoding, "surrogatepass"))
    assert fields(table) == [cell for cell in cells if "".join(cell.values()).strip()]
