"""Transcripts are kept, found, replaced when they grow, and survive several writers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import StoreError
from core.records import Caption, Chat, ChatTurn, Dialogue, PictureInfo, Turn
from core.store.transcripts import TranscriptStore

ROOT = Path(__file__).resolve().parents[3]
START = datetime(2024, 5, 1, tzinfo=UTC)


def caption(number: int = 0, *, turns: int = 2, status: str = "complete", **fields: object) -> Caption:
    """A caption of picture `number`; later numbers are newer."""
    return Caption.model_validate(
        {
            "picture": PictureInfo(sha256=f"{number:064x}", source=f"photo{number}.jpg", width=4, height=3),
            "status": status,
            "summary": f"A yellow duck, number {number}." if status == "complete" else "",
            "opening": "there is a duck.",
            "dialogue": Dialogue(
                turns=tuple(Turn(question=f"What is {n}?", answer=f"a pond {n}") for n in range(turns))
            ),
            "vision": {"name": "pocket", "revision": "1", "device": "cpu"},
            "questioner": {"name": "scripted"},
            "options": {"rounds": 10, "history": 1},
            "seed": 1,
            "created": START + timedelta(minutes=number),
            **fields,
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> TranscriptStore:
    return TranscriptStore(tmp_path / "deep" / "folder" / "transcripts.sqlite")


def test_what_is_added_comes_back_equal(store: TranscriptStore) -> None:
    one = caption()
    name = store.add(one)
    assert len(name) == 64
    assert store.get(name) == one == store.get(name[:8]) == store.get(name[:8].upper())
    assert store.add(one) == name and store.count() == 1


def test_ids_follow_the_content() -> None:
    assert caption(1).id == caption(1).id == Caption.from_json(caption(1).to_json()).id
    assert caption(1).id != caption(2).id != caption(2, turns=3).id


def test_a_beginning_that_fits_several_is_refused(store: TranscriptStore) -> None:
    names = [store.add(caption(number)) for number in range(20)]
    shared = next(a[0] for a in names if sum(b.startswith(a[0]) for b in names) > 1)
    with pytest.raises(StoreError, match="beginning of several transcripts"):
        store.get(shared)
    assert all(store.get(name[:12]).id == name for name in names)


@pytest.mark.parametrize("name", ["", "xyz", "a' OR 1=1 --", "%", "\x1b[2J", "f" * 65, "0000dead"])
def test_unknown_ids_get_one_line(store: TranscriptStore, name: str) -> None:
    store.add(caption())
    with pytest.raises(StoreError) as caught:
        store.get(name)
    assert str(caught.value).isprintable() and "inquisight history" in str(caught.value)


def test_recent_is_newest_first(store: TranscriptStore) -> None:
    for number in (3, 1, 2):
        store.add(caption(number))
    listed = store.recent(2)
    assert [one.source for one in listed] == ["photo3.jpg", "photo2.jpg"]
    assert listed[0].created == START + timedelta(minutes=3)
    assert (listed[0].turns, listed[0].vision, listed[0].questioner) == (2, "pocket", "scripted")
    assert store.get(listed[0].short_id).picture.source == "photo3.jpg"


def test_a_failed_run_is_found_and_replaced_when_resumed(store: TranscriptStore) -> None:
    failed = caption(turns=2, status="failed", error="the model stopped answering")
    store.add(failed)
    assert store.find_partial(failed.run_key) == failed
    further = caption(turns=5, status="stopped", created=START + timedelta(hours=1))
    store.add(further)
    assert store.find_partial(failed.run_key) == further and store.count() == 1
    finished = caption(turns=10, created=START + timedelta(hours=2))
    store.add(finished)
    assert store.find_partial(failed.run_key) is None
    assert store.get(store.recent()[0].id) == finished
    assert store.count() == 1 and len(store.search("pond")) == 1


def test_a_failure_never_loses_what_an_earlier_one_learned(store: TranscriptStore) -> None:
    good = caption(turns=8, status="failed")
    store.add(good)
    store.add(caption(turns=0, status="failed", error="no connection", opening=""))
    assert store.find_partial(good.run_key) == good


def test_runs_are_told_apart_by_what_decides_their_answers() -> None:
    key = caption().run_key
    same = caption(turns=7, status="failed", vision={"name": "pocket", "revision": "1", "device": "cuda"})
    assert same.run_key == key == Caption.from_json(same.to_json()).run_key
    others = [
        caption(1),
        caption(seed=2),
        caption(vision={"name": "pocket", "revision": "2"}),
        caption(questioner={"name": "openai:gpt"}),
        caption(options={"rounds": 3, "history": 1}),
    ]
    assert len({key, *(other.run_key for other in others)}) == 6
    assert caption(options={"list": ["a"]}).run_key == caption(options={"list": ("a",)}).run_key


def test_search_reads_names_questions_answers_and_captions(store: TranscriptStore) -> None:
    duck = store.add(caption(1))
    cat = store.add(caption(2, summary="Two cats sleep on a café chair; 一只猫咪在睡觉。", opening="it's a cat"))
    assert [one.id for one in store.search("ducks")] == [duck, cat] or {o.id for o in store.search("ducks")} == {duck}
    for words in ("cafe", "SLEEPING cats", "photo2", "猫咪", "睡觉", "it's", "caf", "chair;"):
        assert [one.id for one in store.search(words)] == [cat], words
    assert len(store.search("pond")) == 2 and len(store.search("pond", limit=1)) == 1
    assert store.search("zebra") == [] == store.search("") == store.search('"') == store.search("猫狗")
    store.delete(cat)
    assert store.search("chair") == [] and store.count() == 1


SYNTAX = st.sampled_from(
    ['"', "'", "*", "^", "(", ")", "{", "}", ":", "-", "+", "AND", "OR", "NOT", "NEAR(", "\0", " "]
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.one_of(st.text(max_size=40), st.lists(st.one_of(SYNTAX, st.text(max_size=4))).map("".join)))
def test_no_text_is_query_syntax(store: TranscriptStore, words: str) -> None:
    store.add(caption())
    assert len(store.search(words)) <= 1


def test_a_quote_finds_itself(store: TranscriptStore) -> None:
    name = store.add(caption(summary='the sign says "OPEN" AND (NOT closed)'))
    assert [one.id for one in store.search('"OPEN" AND (NOT')] == [name]


def test_memory_store_keeps_its_rows() -> None:
    store = TranscriptStore("sqlite:///:memory:")
    assert store.get(store.add(caption())) == caption()


def test_what_cannot_be_a_store(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"this is not a database" * 100)
    (tmp_path / "file").touch()
    cases = {
        str(garbage): "not a usable SQLite database",
        str(tmp_path): "cannot be opened",
        str(tmp_path / "file" / "x.sqlite"): "cannot be made",
        "postgresql://me:secret@host/db": "SQLite",
        "nonsense://": "SQLite",
        "sqlite:///a\0b": "NUL",
    }
    for url, words in cases.items():
        with pytest.raises(StoreError) as caught:
            TranscriptStore(url).recent()
        assert words in str(caught.value) and str(caught.value).isprintable() and "secret" not in str(caught.value)


def test_a_newer_layout_is_not_touched(store: TranscriptStore) -> None:
    import sqlite3

    store.add(caption())
    with sqlite3.connect(store.location) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    store.close()
    with pytest.raises(StoreError, match="newer version"):
        store.recent()


def chat(turns: int, number: int = 0) -> Chat:
    """A chat about two pictures that has grown to so many turns."""
    info = [PictureInfo(sha256=f"{place:064x}", source=f"photo{place}.jpg", width=4, height=3) for place in (1, 2)]
    said = [ChatTurn(question=f"What is thing {n}?", answer=f"a heron {n}") for n in range(turns)]
    said[0] = said[0].model_copy(update={"pictures": tuple(info)})
    return Chat(turns=tuple(said), vision={"name": "pocket"}, created=START + timedelta(minutes=number))


def test_a_chat_is_kept_beside_interviews(store: TranscriptStore) -> None:
    interview = store.add(caption())
    name = store.add(chat(2, number=5))
    assert store.get_record(name[:10]) == chat(2, number=5)
    assert store.get_record(interview) == store.get(interview) == caption()
    listed = store.recent()[0]
    assert (listed.id, listed.status, listed.turns, listed.vision) == (name, "chat", 2, "pocket")
    assert listed.source == "photo1.jpg, photo2.jpg" and listed.text == "a heron 1"
    assert [one.id for one in store.search("heron photo2")] == [name]
    store.delete(name)
    assert store.search("heron") == [] and store.count() == 1


def test_a_chat_replaces_its_earlier_state_also_when_a_turn_was_taken_back(store: TranscriptStore) -> None:
    for turns in (1, 2, 3, 2):
        name = store.add(chat(turns))
        assert store.count() == 1 and store.get_record(name) == chat(turns)
    store.add(chat(1, number=1))
    assert store.count() == 2, "another chat is another chat"
    assert len(store.search("heron")) == 2


def test_a_chat_asked_for_as_an_interview_says_what_it_is(store: TranscriptStore) -> None:
    name = store.add(chat(1))
    with pytest.raises(StoreError, match=f"is a chat, not an interview; see `inquisight show {name[:8]}`"):
        store.get(name[:8])


WRITER = """
    import sys
    from core.records import Caption, PictureInfo
    from core.store.transcripts import TranscriptStore
    who, path = sys.argv[1:]
    store = TranscriptStore(path)
    for number in range(25):
        digest = f"{int(who) * 1000 + number:064x}"
        picture = PictureInfo(sha256=digest, source=f"{who}-{number}.png", width=1, height=1)
        store.add(Caption(picture=picture, summary="a shared duck"))
        assert len(store.recent(5)) >= 1 and store.search("duck", 3)
        partial = picture.model_copy(update={"sha256": "f" * 64})
        store.add(Caption(picture=partial, status="failed", error=f"{who} {number}"))
"""


@pytest.mark.slow
def test_several_processes_write_a_new_store_at_once(tmp_path: Path) -> None:
    path = tmp_path / "shared.sqlite"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(who), str(path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in range(4)
    ]
    errors = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, errors
    store = TranscriptStore(path)
    assert store.count() == 4 * 25 + 1  # and the one unfinished run they all tried
    assert len(store.search("duck", 1000)) == 100
