"""Lines of lists and tables: only a line feed ends one, in any encoding that Windows writes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.text_lines import Lines, names_in, split_lines
from core.errors import UsageError
from core.files.paths import located, why_missing

CASES = Path(__file__).parents[2] / "fixtures" / "cases" / "tables"
ENCODINGS = {"utf-8": b"", "utf-8 ": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
ODD = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\u0a0a\u0a00\u000a\u0d0a"
TEXTS = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(ODD)), max_size=60)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@given(text=TEXTS.filter(lambda text: text and not text.startswith(("\ufeff", "\0")) and text[1:2] != "\0"))
def test_lines_and_their_places(encoding: str, text: str) -> None:
    data = ENCODINGS[encoding] + text.encode(encoding.strip())
    lines = Lines(io.BytesIO(data), "x")
    places, found = [lines.offset], []
    for line in lines:
        found.append(line)
        places.append(lines.offset)
    assert found == io.StringIO(text, newline="\n").readlines() and places[-1] == len(data)
    for place, line in zip(places, found, strict=False):
        if place:
            file = io.BytesIO(data)
            file.seek(place)
            assert next(Lines(file, "x", encoding.strip())) == line, "and from any of them on"


@given(data=st.binary(max_size=80))
def test_any_bytes_are_lines_or_refused_in_one_line(data: bytes) -> None:
    try:
        found = list(Lines(io.BytesIO(data), "x"))
    except (UsageError, UnicodeDecodeError) as error:
        assert not isinstance(error, UnicodeDecodeError) and str(error).isprintable()
    else:
        if not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
            assert "".join(found).encode("utf-8", "surrogateescape") == data


@given(TEXTS)
def test_split_lines_is_the_same_for_a_text(text: str) -> None:
    assert split_lines(text) == [line.rstrip("\n").removesuffix("\r") for line in io.StringIO(text, newline="\n")]


def test_encodings_that_cannot_be_read_are_named() -> None:
    for data, words in (
        ("a.jpg\n".encode("utf-32"), "UTF-32; save it as UTF-8"),
        ("a.jpg\n".encode("utf-16-le"), "UTF-16 without a byte-order mark; save it as UTF-8"),
        ("a.jpg\n".encode("utf-16-be"), "UTF-16 without a byte-order mark; save it as UTF-8"),
    ):
        with pytest.raises(UsageError, match=words):
            list(Lines(io.BytesIO(data), "list.txt"))


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.datasets.text_lines.LONGEST", 100)
    with pytest.raises(UsageError, match=r"line 2 of 'x' is longer than 100 bytes"):
        list(Lines(io.BytesIO(b"a\n" + b"x" * 5000), "x"))


def test_names_of_a_list() -> None:
    with (CASES / "list_bom.txt").open("rb") as file:
        assert list(names_in(file, "list")) == ["0.jpg", "1.jpg", "2.jpg"]
    for data, names in (
        (b"a.jpg\rb.jpg\r", ["a.jpg", "b.jpg"]),
        ("a\u2028b.jpg\r\n \r\nphoto.jpg \n".encode("utf-16"), ["a\u2028b.jpg", "photo.jpg "]),
        (b"caf\xe9.jpg", ["caf\udce9.jpg"]),
        (b"", []),
    ):
        assert list(names_in(io.BytesIO(data), "list")) == names


def test_a_path_as_it_was_written_comes_first(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "1.jpg").touch()
    folder = str(tmp_path)
    assert located(folder, "sub\\1.jpg") == f"{folder}/sub/1.jpg"
    assert located(folder, ".\\sub\\1.jpg") == f"{folder}/./sub/1.jpg"
    (tmp_path / "sub\\1.jpg").touch()
    assert located(folder, "sub\\1.jpg") == f"{folder}/sub\\1.jpg", "a file may be called so"
    assert located(folder, "sub\\2.jpg") == f"{folder}/sub\\2.jpg"
    assert located(folder, "https://host/a\\b") == "https://host/a\\b"
    (tmp_path / "sub" / "café.jpg").touch()
    assert located(folder, b"sub\\caf\xe9.jpg".decode("utf-8", "surrogateescape")) == f"{folder}/sub/café.jpg"
    os.close(os.open(os.fsencode(folder) + b"/raw\xe9.jpg", os.O_CREAT))
    raw = os.fsdecode(b"raw\xe9.jpg")
    assert located(folder, raw) == f"{folder}/{raw}"


def test_what_is_odd_about_a_missing_path() -> None:
    assert "written with backslashes" in why_missing("C:\\photos\\1.jpg")
    assert "not UTF-8" in why_missing("caf\udce9.jpg")
    assert "holds a tab" in why_missing("a.jpg\ta cat")
    assert why_missing("photos/1.jpg") == ""
