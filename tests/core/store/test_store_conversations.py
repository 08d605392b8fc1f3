"""Versions of a conversation, thumbnails, and a file of the layout before them."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.records import Caption, Chat, ChatTurn, PictureInfo
from core.store.query import TranscriptQuery
from core.store.transcripts import TranscriptStore

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def chat(answer: str, minute: int, conversation: str = "") -> Chat:
    picture = PictureInfo(sha256="a" * 64, source="cat.jpg", width=4, height=3)
    turn = ChatTurn(question="What is it?", answer=answer, pictures=(picture,))
    return Chat(turns=(turn,), conversation=conversation, created=NOON + timedelta(minutes=minute))


@pytest.fixture
def store(tmp_path: Path) -> TranscriptStore:
    return TranscriptStore(tmp_path / "transcripts.sqlite")


def test_only_the_newest_version_of_a_conversation_is_listed(store: TranscriptStore) -> None:
    for record in (chat("a cat", 1, "x"), chat("a lion", 2, "x"), chat("a dog", 3, "y"), chat("a", 4), chat("b", 5)):
        store.add(record)
    newest = TranscriptQuery(newest=True)
    assert [one.text for one in store.find(newest)] == ["b", "a", "a dog", "a lion"]
    assert store.count(newest) == 4 and store.count() == 5
    assert [one.text for one in store.find(TranscriptQuery(conversation="x"))] == ["a lion", "a cat"]


def test_a_chat_without_versions_keeps_its_id() -> None:
    assert "conversation" not in chat("a", 1)._content() and "conversation" in chat("a", 1, "x")._content()


def test_a_thumbnail_stays_as_long_as_a_transcript_is_about_its_picture(store: TranscriptStore) -> None:
    first, second = store.add(chat("a cat", 1)), store.add(chat("a lion", 2))
    store.add_thumbnail("a" * 64, b"old")
    store.add_thumbnail("a" * 64, b"jpeg")
    assert store.thumbnails(["a" * 64, "b" * 64]) == {"a" * 64: b"jpeg"}
    store.delete(first)
    assert store.thumbnails(["a" * 64])
    store.delete_all([second])
    assert store.thumbnails(["a" * 64]) == {}


def test_a_file_of_the_first_layout_is_read_and_extended(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    store = TranscriptStore(path)
    store.add(Caption(picture=PictureInfo(sha256="c" * 64, source="old.jpg", width=4, height=3), summary="A duck."))
    store.close()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "DROP TABLE thumbnail; DROP INDEX ix_transcript_conversation;"
            "ALTER TABLE transcript DROP COLUMN conversation; PRAGMA user_version = 1;"
        )
    again = TranscriptStore(path)
    again.add(chat("a cat", 1, "x"))
    again.add_thumbnail("c" * 64, b"jpeg")
    assert {one.text for one in again.find(TranscriptQuery(newest=True))} == {"A duck.", "a cat"}
