"""Nothing is lost and nothing is there twice: the journal, its index, and the list of pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.batch.ledger import DONE, DUPLICATE, FAILED, FINISHED, GAVE_UP, PENDING, Ledger
from core.datasets.pictures.inputs import find_sources
from core.datasets.pictures.listing import Scope
from core.datasets.pictures.sources import Item
from core.errors import StoreError
from core.files.journal import Journal, read_json, replaced, write_json
from core.records import Caption, Dialogue, PictureInfo, Turn

ODD = "a\udcffb/ü 'x'.png"  # a file name that is not UTF-8


def caption(number: int) -> Caption:
    info = PictureInfo(sha256=f"{number:064x}", source=f"{number}.png", width=4, height=3)
    return Caption(picture=info, summary=f"Thing {number}.", dialogue=Dialogue(turns=(Turn(question="?", answer="!"),)))


def item(number: int, key: str | None = None) -> Item:
    return Item(number, key or f"{number}.png", 0, -1, 0)


# --- the journal --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 200), records=st.lists(st.dictionaries(st.text(max_size=5), st.integers()), max_size=4))
def test_a_torn_journal_keeps_every_whole_record_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int, records: list[dict[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    journal = Journal(path)
    ends = []
    for record in records:
        journal.append(record)
        ends.append(journal.size)
    journal.close()
    data = path.read_bytes()
    path.write_bytes(data[: min(cut, len(data))])

    journal = Journal(path)
    # a last line that lacks nothing but its end is whole
    kept = [record for record, end in zip(records, ends, strict=True) if end - 1 <= min(cut, len(data))]
    assert [record for _, record in journal.read()] == kept
    begin = journal.append({"after": 1})
    assert journal.at(begin) == {"after": 1}
    assert [record for _, record in journal.read()] == [*kept, {"after": 1}]
    journal.close()
    *lines, end = path.read_text("utf-8").split("\n")  # not splitlines(): JSON may hold other line separators
    assert end == "" and all(json.loads(line) is not None for line in lines)


def test_damage_in_the_middle_is_told_and_not_skipped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for number in range(3):
        journal.append({"n": number})
    journal.close()
    data = bytearray(journal.path.read_bytes())
    data[9:12] = b"\0\0\0"
    journal.path.write_bytes(data)
    with pytest.raises(StoreError, match=r"damaged at byte 8; restore it"):
        list(Journal(tmp_path / "journal.jsonl").read())


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json(path, {"name": ODD})
    with pytest.raises(RuntimeError), replaced(path) as file:
        file.write(b"half of it")
        raise RuntimeError
    assert read_json(path) == {"name": ODD}
    assert [one.name for one in tmp_path.iterdir()] == ["out.json"]
    with pytest.raises(StoreError, match="cannot be written"), replaced(tmp_path / "no" / "out.json"):
        pass


# --- the ledger ---------------------------------------------------------------------------------------------------


def fill(folder: Path) -> None:
    ledger = Ledger(folder)
    ledger.done(item(1), caption(1))
    ledger.failed(item(2), "picture", "it is damaged", None)
    ledger.duplicate(item(5, ODD), f"{1:064x}")
    ledger.failed(item(3), "questioner", "no answer", caption(3))
    ledger.note("run", captioned=1)
    ledger.done(item(0), caption(0))
    ledger.close()


def check(ledger: Ledger) -> None:
    assert [(row.n, row.key, row.same_as, row.caption.text) for row in ledger.rows()] == [
        (0, "0.png", None, "Thing 0."),
        (1, "1.png", None, "Thing 1."),
        (5, ODD, "1.png", "Thing 1."),
    ]
    assert [(one.key, one.where, one.reason) for one in ledger.failures()] == [
        ("2.png", "picture", "it is damaged"),
        ("3.png", "questioner", "no answer"),
    ]
    assert ledger.knows(f"{1:064x}") and not ledger.knows(f"{3:064x}")
    assert ledger.tally() == {DONE: 2, DUPLICATE: 1, FAILED: 2}
    assert (ledger.partial("2.png"), ledger.partial("1.png")) == (None, None)
    assert ledger.partial("3.png") == caption(3).model_copy(update={"created": ledger.partial("3.png").created})  # type: ignore[union-attr]
    assert [note["captioned"] for note in ledger.notes("run")] == [1]
    assert (ledger.highest(), ledger.settled(0, 2), ledger.settled(2, 6)) == (5, 2, 1)


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    fill(tmp_path)
    for _ in range(2):
        ledger = Ledger(tmp_path)
        check(ledger)
        ledger.close()


@pytest.mark.parametrize("fate", ["lost", "damaged", "old", "of another batch"])
def test_the_index_is_only_a_copy(tmp_path: Path, fate: str) -> None:
    folder = tmp_path / "batch"
    folder.mkdir()
    index = folder / "index.sqlite"
    if fate == "old":
        Ledger(folder).close()
        shutil.copy(index, tmp_path / "old.sqlite")
    fill(folder)
    if fate == "lost":
        index.unlink()
    elif fate == "damaged":
        index.write_bytes(b"no database at all" * 100)
    elif fate == "old":
        shutil.copy(tmp_path / "old.sqlite", index)
    else:
        other = tmp_path / "other"
        other.mkdir()
        second = Ledger(other)
        for number in range(40):
            second.done(item(number), caption(number))
        second.close()
        shutil.copy(other / "index.sqlite", index)
    ledger = Ledger(folder)
    check(ledger)
    ledger.close()


def test_a_kill_before_the_index_is_written_costs_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.done(item(2), caption(2))
    ledger._db.close()  # as a kill leaves it: the record is in the journal, the index never heard of it
    ledger = Ledger(tmp_path)
    assert [row.n for row in ledger.rows()] == [0, 1, 2, 5]
    assert ledger.tally() == {DONE: 3, DUPLICATE: 1, FAILED: 1}, "what failed before and is done now is done"
    ledger.close()


def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"kind": "done", "n": 1}\n')
    with pytest.raises(StoreError, match="no record of a batch at byte 0"):
        Ledger(tmp_path)


# --- the list of pictures -----------------------------------------------------------------------------------------


def test_the_list_knows_what_has_become_of_each(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "b").mkdir(parents=True)
    for name in ("c.png", "a.png", "b/x.png", "b.png", ".hidden.png", "notes.txt"):
        (photos / name).touch()
    ledger = Ledger(tmp_path)
    listing = ledger.listing()
    list(listing.add(find_sources([str(photos), str(photos / "a.png")])))
    everything = list(listing.items(Scope(), "1"))
    names = [one.key.removeprefix(f"{photos}/") for one in everything]
    assert names == ["a.png", "b/x.png", "b.png", "c.png"], "as paths sort, folder by folder"
    assert [one.n for one in everything] == [0, 1, 2, 3]
    assert (listing.count(Scope()), listing.repeated) == (4, 1)

    ledger.done(everything[1], caption(1))
    ledger.failed(everything[2], "eye", "no", None)
    assert [one.n for one in listing.items(Scope(), PENDING)] == [0, 3]
    assert [one.n for one in listing.items(Scope(), GAVE_UP)] == [2]
    assert [one.n for one in listing.items(Scope(limit=1), PENDING)] == [0]
    assert [one.n for one in listing.items(Scope(1, 2), "1")] == [1, 3]
    assert [one.n for one in listing.items(Scope(1, 2, 1), "1")] == [1]
    assert listing.count(Scope(), FINISHED) == 1 and listing.count(Scope(0, 3)) == 2
    found = listing.find(everything[3].key)
    assert found == everything[3] and listing.find("nothing") is None
    ledger.close()


def test_the_list_may_be_read_while_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.datasets.pictures import listing as module

    monkeypatch.setattr(module, "CHUNK", 2)
    paths = tmp_path / "paths.txt"
    paths.write_text("".join(f"{number}.png\n" for number in range(7)))
    ledger = Ledger(tmp_path)
    listing = ledger.listing()
    list(listing.add(find_sources([str(paths)])))
    seen = []
    for one in listing.items(Scope(), PENDING):
        seen.append(one.n)
        ledger.done(one, caption(one.n))
    assert seen == list(range(7))
    ledger.close()
