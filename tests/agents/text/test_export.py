"""Transcripts as JSON Lines, CSV and Parquet: nothing is lost, no cell is a formula."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.text.export import COLUMNS, exported, row
from core.records import Caption, Chat, ChatTurn, Dialogue, PictureInfo, StyledText, Turn

MOMENT = datetime(2024, 5, 1, tzinfo=UTC)
PICTURE = PictureInfo(sha256="a" * 64, source="kätzchen.jpg", width=4, height=3)


def interview(summary: str = "A duck.") -> Caption:
    turns = (Turn(question="What is it?", answer="a duck,\nyellow", asked_by="opening"),)
    return Caption(
        picture=PICTURE,
        summary=summary,
        dialogue=Dialogue(turns=turns),
        vision={"name": "pocket"},
        questioner={"name": "scripted"},
        seed=4_000_000_000,
        created=MOMENT,
    )


def chat() -> Chat:
    turn = ChatTurn(question="Who?", answer="Nobody.", pictures=(PICTURE,), task="poem", status="stopped")
    return Chat(turns=(turn,), vision={"name": "parrot"}, seed=None, created=MOMENT)


def test_json_lines_are_the_records() -> None:
    first, second = exported([interview(), chat()], "jsonl").splitlines()
    assert Caption.from_json(first) == interview() and Chat.from_json(second) == chat()


def test_a_table_has_one_row_for_each() -> None:
    data = exported([interview(), chat()], "csv")
    assert data.startswith(b"\xef\xbb\xbf"), "spreadsheets know it as UTF-8"
    one, other = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert tuple(one) == COLUMNS and one["id"] == interview().id and other["status"] == "stopped"
    assert json.loads(one["dialogue"])[0]["answer"] == "a duck,\nyellow"
    assert json.loads(one["pictures"])[0]["source"] == "kätzchen.jpg" and other["kind"] == "chat"


def test_parquet_keeps_lists_and_times() -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    table = parquet.read_table(io.BytesIO(exported([interview(), chat()], "parquet"))).to_pylist()
    assert [one["id"] for one in table] == [interview().id, chat().id]
    assert table[0]["created"] == MOMENT and table[0]["seed"] == 4_000_000_000 and table[1]["seed"] is None
    assert table[0]["dialogue"][0]["asked_by"] == "opening" and table[1]["dialogue"][0]["task"] == "poem"


def test_styles_have_their_columns() -> None:
    texts = (("tags", "duck, pond"), ("alt", "=A duck."), ("catalogue", "Duck, oil"))
    styles = tuple(StyledText(style=name, text=text, by="rules") for name, text in texts)
    styled = interview().model_copy(update={"styles": styles})
    data = exported([styled, chat()], "csv").decode("utf-8-sig")
    one, other = csv.DictReader(io.StringIO(data, newline=""))
    assert (one["style_tags"], one["style_alt"], one["style_short"]) == ("duck, pond", "'=A duck.", "")
    assert json.loads(one["styles"])[2] == {"style": "catalogue", "text": "Duck, oil"} and other["styles"] == "[]"
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    table = parquet.read_table(io.BytesIO(exported([styled, chat()], "parquet"))).to_pylist()
    assert table[0]["style_alt"] == "=A duck." and table[0]["styles"][0]["text"] == "duck, pond"
    assert table[1]["style_alt"] is None and table[1]["styles"] == []


def test_nothing_in_is_a_file_all_the_same() -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    assert exported([], "jsonl") == b"" and exported([], "csv").decode("utf-8-sig") == ",".join(COLUMNS) + "\r\n"
    assert parquet.read_table(io.BytesIO(exported([], "parquet"))).column_names == list(COLUMNS)


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_no_cell_is_a_formula_and_no_text_is_changed_beyond_that(said: str) -> None:
    data = exported([interview(said)], "csv").decode("utf-8-sig")
    [one] = csv.DictReader(io.StringIO(data, newline=""))
    assert not one["summary"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert one["summary"].removeprefix("'") == said.removeprefix("'")


def test_a_row_has_all_columns() -> None:
    assert tuple(row(interview())) == tuple(row(chat())) == COLUMNS
