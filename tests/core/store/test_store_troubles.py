"""A full disk, a read-only folder and a locked file: one line names the place and the cause, and work goes on after."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import core.store.transcripts
from core.errors import StoreError
from core.files.journal import Journal, SharedJournal
from core.records import Caption, PictureInfo
from core.store.transcripts import TranscriptStore
from tests.disks import fill, read_only, small_disk


def caption(number: int, text: str = "A duck.") -> Caption:
    picture = PictureInfo(sha256=f"{number:064x}", source=f"{number}.png", width=4, height=3)
    return Caption.model_validate({"picture": picture, "summary": text, "vision": {"name": "v", "revision": "1"}})


def test_a_full_disk_keeps_what_was_done_and_goes_on_after(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2048) as disk:
        store = TranscriptStore(disk / "kept.sqlite")
        first = store.add(caption(1))
        filler = fill(disk)
        with pytest.raises(StoreError) as caught:
            store.add(caption(2, "words " * 100_000))
        assert str(caught.value).startswith(f"{disk / 'kept.sqlite'} cannot be written: ")
        assert "full" in str(caught.value) and "\n" not in str(caught.value)
        filler.unlink()
        assert store.get(first).summary == "A duck."
        store.add(caption(2))
        assert store.count() == 2
        store.close()


def test_a_read_only_home(tmp_path: Path) -> None:
    with read_only(tmp_path / "disk") as disk, pytest.raises(StoreError) as caught:
        TranscriptStore(disk / "home" / "kept.sqlite").add(caption(1))
    assert f"'{tmp_path / 'disk' / 'home'}', cannot be made: read-only file system" in str(caught.value)


def test_a_read_only_store(tmp_path: Path) -> None:
    TranscriptStore(tmp_path / "disk" / "kept.sqlite").add(caption(1))
    with read_only(tmp_path / "disk") as disk, pytest.raises(StoreError) as caught:
        TranscriptStore(disk / "kept.sqlite").add(caption(2))
    assert str(tmp_path / "disk" / "kept.sqlite") in str(caught.value) and "for writing" in str(caught.value)


def test_a_locked_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core.store.sqlite, "BUSY_SECONDS", 0.0)
    store = TranscriptStore(tmp_path / "kept.sqlite")
    store.add(caption(1))
    other = sqlite3.connect(tmp_path / "kept.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"kept\.sqlite was busy .* is another program holding it\?"):
        store.add(caption(2))
    other.execute("ROLLBACK")
    other.close()
    store.add(caption(2))
    assert store.count() == 2


def test_the_journals_of_a_batch_and_a_curation_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        for made in (Journal(disk / "batch.jsonl"), SharedJournal(disk / "curation.jsonl")):
            made.append({"number": 1})
            filler = fill(disk)
            with pytest.raises(StoreError, match="cannot be written: no space left on device"):
                for _ in range(3):
                    made.append({"number": 2, "text": "x" * 8000})
            filler.unlink()
            made.append({"number": 3})
            numbers = [one["number"] if isinstance(one, dict) else one[1]["number"] for one in made.read()]
            assert numbers[0] == 1 and numbers[-1] == 3, "nothing torn in between"
