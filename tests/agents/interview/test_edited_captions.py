"""A person's version of a caption: it counts, and every version before it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.interview.live import LiveInterview, edited
from core.errors import UsageError
from core.records import Caption, PictureInfo
from core.store.query import TranscriptQuery
from core.store.transcripts import TranscriptStore

INFO = PictureInfo(sha256="a" * 64, source="duck.jpg", width=4, height=3)
CAPTION = Caption(picture=INFO, plain="a duck", summary="A yellow duck.", options={"rounds": 3})


def test_the_last_version_counts_and_all_are_kept() -> None:
    twice = CAPTION.edited("A rubber duck.").edited("A yellow rubber duck.")
    assert twice.text == "A yellow rubber duck." and twice.summary == "A yellow duck."
    assert twice.versions == ("A yellow duck.", "A rubber duck.", "A yellow rubber duck.")
    back = twice.edited("A yellow duck.")
    assert back.text == "A yellow duck." and len(back.edits) == 3 and len(back.versions) == 3
    assert back.edited("A yellow duck.") is back
    assert Caption.from_json(back.to_json()) == back


def test_a_caption_without_edits_keeps_its_id() -> None:
    assert "edits" not in CAPTION._content() and "edits" in CAPTION.edited("A duck.")._content()


@pytest.mark.parametrize("empty", ["", "  \n ", "\x00\u200b"])
def test_an_empty_version_is_refused(empty: str) -> None:
    with pytest.raises(UsageError, match="write the caption first"):
        edited(CAPTION, empty)


def test_what_a_person_pastes_is_cleaned() -> None:
    assert edited(CAPTION, " One\x1b[31m line.\r\nAnother \u202eline. ").text == "One line.\nAnother line."


def test_the_store_keeps_one_record_that_is_found_by_every_version(tmp_path: Path) -> None:
    store = TranscriptStore(tmp_path / "transcripts.sqlite")
    first = store.add(CAPTION)
    once = CAPTION.edited("A toy bird.")
    second, third = store.add(once), store.add(once.edited("A plastic bird."))
    assert len({first, second, third}) == 3
    assert [one.id for one in store.find(TranscriptQuery())] == [third]
    assert [[one.text for one in store.search(word)] for word in ("toy", "yellow", "plastic")] == [
        ["A plastic bird."]
    ] * 3


def test_an_edit_of_one_interview_leaves_another_one_of_the_same_run(tmp_path: Path) -> None:
    store = TranscriptStore(tmp_path / "transcripts.sqlite")
    other = CAPTION.model_copy(update={"summary": "A duck, again."})
    kept, _, _ = store.add(other), store.add(CAPTION), store.add(CAPTION.edited("A toy."))
    assert {one.text for one in store.find(TranscriptQuery())} == {"A duck, again.", "A toy."}
    assert store.get(kept) == other


def test_a_live_interview_is_edited_after_its_end_only(tmp_path: Path) -> None:
    def never() -> None:
        raise AssertionError("no model is needed to edit a text")

    store = TranscriptStore(tmp_path / "transcripts.sqlite")
    live = LiveInterview(INFO, never, never, never, save=store.add, earlier=CAPTION)  # type: ignore[arg-type]
    live.edit("A toy duck.")
    assert live.view.text == "A toy duck." and live.view.summary == "A yellow duck."
    assert live.view.id is not None and store.get(live.view.id).text == "A toy duck."
    stopped = CAPTION.model_copy(update={"status": "stopped", "summary": ""})
    unfinished = LiveInterview(INFO, never, never, never, earlier=stopped)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not finished yet"):
        unfinished.edit("A toy duck.")
