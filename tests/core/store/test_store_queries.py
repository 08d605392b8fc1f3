"""Transcripts are found by words, models, status and time, page by page, and deleted together."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import UsageError
from core.records import Caption, Chat, ChatTurn, PictureInfo
from core.store.query import Names, TranscriptQuery, after, first_moment
from core.store.transcripts import TranscriptStore

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def caption(number: int, **fields: object) -> Caption:
    return Caption.model_validate(
        {
            "picture": PictureInfo(sha256=f"{number:064x}", source=f"photo{number}.jpg", width=4, height=3),
            "summary": f"A {'yellow' if number % 2 else 'white'} duck, number {number}.",
            "vision": {"name": "pocket"},
            "questioner": {"name": "scripted"},
            "created": NOON + timedelta(days=number),
            **fields,
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> TranscriptStore:
    made = TranscriptStore(tmp_path / "transcripts.sqlite")
    for number in range(6):
        made.add(caption(number))
    made.add(caption(6, status="failed", vision={"name": "blip2"}))
    made.add(Chat(turns=(ChatTurn(question="Who?", answer="A cat."),), vision={"name": "parrot"}, created=NOON))
    return made


def sources(store: TranscriptStore, wanted: TranscriptQuery, **more: int) -> list[str]:
    return [one.source for one in store.find(wanted, **more)]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (TranscriptQuery(), 8),
        (TranscriptQuery("yellow"), 3),
        (TranscriptQuery("yellow duck 3"), 1),
        (TranscriptQuery("  "), 8),
        (TranscriptQuery('"*'), 0),
        (TranscriptQuery(vision="blip2"), 1),
        (TranscriptQuery(questioner="a person"), 1),
        (TranscriptQuery(status="complete"), 6),
        (TranscriptQuery(status="complete", vision="blip2"), 0),
        (TranscriptQuery(kind="interview"), 7),
        (TranscriptQuery(kind="interview", status="failed"), 1),
        (TranscriptQuery(kind="chat"), 1),
        (TranscriptQuery(kind="ask"), 0),
        (TranscriptQuery(since=NOON + timedelta(days=4)), 3),
        (TranscriptQuery(since=NOON + timedelta(days=2), before=NOON + timedelta(days=4)), 2),
        (TranscriptQuery(ids=frozenset()), 0),
        (TranscriptQuery(ids=frozenset({caption(1).id, caption(2).id, "f" * 64})), 2),
        (TranscriptQuery("yellow", ids=frozenset({caption(1).id, caption(2).id})), 1),
    ],
)
def test_each_field_narrows(store: TranscriptStore, wanted: TranscriptQuery, count: int) -> None:
    assert len(store.find(wanted)) == store.count(wanted) == len(list(store.records(wanted))) == count
    assert store.ids(wanted) == [one.id for one in store.find(wanted)]
    assert {one.id for one in store.find(wanted, best_first=True)} == set(store.ids(wanted))


def test_newest_first_page_by_page(store: TranscriptStore) -> None:
    everything = sources(store, TranscriptQuery())
    assert everything[:2] == ["photo6.jpg", "photo5.jpg"]
    pages = [sources(store, TranscriptQuery(), limit=3, offset=place) for place in (0, 3, 6, 9)]
    assert [one for page in pages for one in page] == everything and pages[3] == []


def test_records_come_whole_and_in_the_same_order(store: TranscriptStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.store.transcripts._AT_ONCE", 3)
    assert [one.id for one in store.records(TranscriptQuery())] == [one.id for one in store.find(TranscriptQuery())]
    assert next(iter(store.records(TranscriptQuery("photo3.jpg")))) == caption(3)


def test_the_best_match_first_among_those_that_fit_the_rest(store: TranscriptStore) -> None:
    store.add(caption(0, summary="A duck, a duck, a duck.", created=NOON - timedelta(days=9)))
    best, *rest = store.find(TranscriptQuery("duck", status="complete"), best_first=True)
    assert best.text == "A duck, a duck, a duck." and len(rest) == 6
    assert store.find(TranscriptQuery("duck", status="complete"))[-1] == best, "the oldest is the last one otherwise"
    pages = [store.find(TranscriptQuery("duck"), 3, place, best_first=True) for place in (0, 3, 6)]
    assert [one for page in pages for one in page] == store.search("duck") and pages[0][0] == best


def test_names_are_what_is_there(store: TranscriptStore) -> None:
    assert store.names() == Names(
        ("blip2", "parrot", "pocket"), ("a person", "scripted"), ("chat", "complete", "failed")
    )


def test_many_are_deleted_together_and_found_no_more(store: TranscriptStore) -> None:
    assert store.delete_all([caption(1).id, caption(3).id, "f" * 64]) == 2
    assert store.count() == 6 and store.search("yellow duck") == store.find(TranscriptQuery("yellow"))
    assert store.delete_all([]) == 0 and store.count() == 6


def test_more_ids_than_sqlite_takes_parameters(store: TranscriptStore) -> None:
    many = frozenset(f"{number:064x}" for number in range(40_000)) | {caption(1).id}
    assert sources(store, TranscriptQuery(ids=many)) == ["photo1.jpg"]


def test_a_day_counts_as_a_whole() -> None:
    day = date(2024, 5, 1)
    begins, ends = first_moment(day), after(day)
    assert begins is not None and ends is not None and begins.tzinfo is not None
    assert timedelta(hours=22) < ends - begins < timedelta(hours=26), "clocks are changed on some days"
    assert first_moment(None) is after(None) is after(date.max) is None


def test_a_time_that_ends_before_it_begins() -> None:
    with pytest.raises(UsageError, match="first day lies after the last"):
        TranscriptQuery(since=NOON, before=NOON - timedelta(days=1))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30))
def test_no_words_are_query_syntax(store: TranscriptStore, words: str) -> None:
    assert 0 <= store.count(TranscriptQuery(words)) <= 8
