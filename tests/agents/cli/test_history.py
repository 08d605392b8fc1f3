"""`inquisight history`: transcripts are listed, searched, written to files and deleted, never more than was said."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from agents.cli.main import run
from core.records import Caption, Chat, ChatTurn, Dialogue, PictureInfo, Turn
from core.settings import get_settings
from core.store.transcripts import TranscriptStore

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)  # number n is of n days later


def picture(name: str) -> PictureInfo:
    return PictureInfo(sha256=sha256(name.encode()).hexdigest(), source=name, width=4, height=3)


def interview(number: int, name: str, summary: str, **fields: object) -> Caption:
    return Caption.model_validate(
        {
            "picture": picture(name),
            "summary": summary,
            "dialogue": Dialogue(turns=(Turn(question="What is it?", answer="an animal"),)),
            "vision": {"name": "pocket"},
            "questioner": {"name": "scripted"},
            "created": NOON + timedelta(days=number),
            **fields,
        }
    )


RECORDS: tuple[Caption | Chat, ...] = (
    interview(0, "pond.jpg", "A duck, a white duck, a duck."),
    interview(1, "farm.jpg", "A cow beside a duck."),
    interview(2, "cat.jpg", "A cat."),
    interview(3, "dark.jpg", "", status="failed", error="no answer", vision={"name": "blip2"}),
    Chat(
        turns=(ChatTurn(question="Who quacks?", answer="A duck.", pictures=(picture("chat.jpg"),)),),
        vision={"name": "parrot"},
        created=NOON + timedelta(days=4),
    ),
    Chat(
        kind="ask",
        turns=(ChatTurn(question="Why?", answer="So that it is.", pictures=(picture("ask.jpg"),)),),
        vision={"name": "parrot"},
        assistant={"name": "openai:big"},
        created=NOON + timedelta(days=5),
    ),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that holds the records above."""
    path = tmp_path_factory.mktemp("history") / "transcripts.sqlite"
    with closing(TranscriptStore(path)) as made:
        for record in RECORDS:
            made.add(record)
    return path


@pytest.fixture(autouse=True)
def store(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TranscriptStore]:
    """A copy of it in a home of its own; the working folder is empty, and nobody is at the terminal."""
    for folder in ("here", "home"):
        (tmp_path / folder).mkdir()
    shutil.copy(filled, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("INQUISIGHT_DATABASE", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    get_settings.cache_clear()
    yield TranscriptStore()
    get_settings.cache_clear()


History = Callable[..., tuple[int, str, str]]


@pytest.fixture
def history(capsys: pytest.CaptureFixture[str]) -> History:
    """Runs the command; gives back its exit code, its output and what it says on standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["history", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


class Terminal(io.StringIO):
    """Somebody who types this."""

    def isatty(self) -> bool:
        return True


def pictures(out: str) -> list[str]:
    return [line.split("\t")[2] for line in out.splitlines()]


# --- listing ----------------------------------------------------------------------------------------------------------


def test_without_more_it_lists_the_newest_first(history: History) -> None:
    code, out, err = history()
    assert (code, err) == (0, "")
    assert pictures(out) == ["ask.jpg", "chat.jpg", "dark.jpg", "cat.jpg", "farm.jpg", "pond.jpg"]
    assert out.splitlines()[3].split("\t")[0] == RECORDS[2].id[:10]
    assert pictures(history("--limit", "2")[1]) == ["ask.jpg", "chat.jpg"]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--kind", "interview"], {"dark.jpg", "cat.jpg", "farm.jpg", "pond.jpg"}),
        (["--kind", "chat"], {"chat.jpg"}),
        (["--kind", "ask"], {"ask.jpg"}),
        (["--status", "failed"], {"dark.jpg"}),
        (["--kind", "interview", "--status", "complete"], {"cat.jpg", "farm.jpg", "pond.jpg"}),
        (["--vision", "parrot"], {"chat.jpg", "ask.jpg"}),
        (["--questioner", "openai:big"], {"ask.jpg"}),
        (["--since", "2024-05-04"], {"dark.jpg", "chat.jpg", "ask.jpg"}),
        (["--until", "2024-05-02"], {"pond.jpg", "farm.jpg"}),
        (["--since", "2024-05-03", "--until", "2024-05-03"], {"cat.jpg"}),
        (["duck"], {"pond.jpg", "farm.jpg", "chat.jpg"}),
        (["duck", "cow"], {"farm.jpg"}),
        (["duck", "--vision", "pocket", "--since", "2024-05-02"], {"farm.jpg"}),
    ],
)
def test_words_and_filters_narrow_it(history: History, arguments: list[str], found: set[str]) -> None:
    code, out, err = history(*arguments)
    assert (code, set(pictures(out)), err) == (0, found, "")


def test_the_best_match_comes_first(history: History) -> None:
    assert pictures(history("duck", "--kind", "interview")[1]) == ["pond.jpg", "farm.jpg"], "it speaks of ducks most"
    assert pictures(history("duck", "--limit", "1")[1]) == ["pond.jpg"]


def test_json_lines(history: History) -> None:
    code, out, _ = history("--json", "--limit", "4")
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [one["id"] for one in found] == [RECORDS[number].id for number in (5, 4, 3, 2)]
    assert [(one["kind"], one["status"]) for one in found[1:]] == [
        ("chat", None), ("interview", "failed"), ("interview", "complete"),
    ]  # fmt: skip
    assert found[3]["text"] == "A cat." and datetime.fromisoformat(found[3]["created"]) == RECORDS[2].created


def test_where_nothing_fits_it_says_what_there_is(history: History) -> None:
    assert history("zebra") == (0, "", "inquisight: there is no transcript with 'zebra' yet\n")
    code, out, err = history("--vision", "pokcet")
    assert (code, out) == (0, "") and "no transcript fits" in err and "blip2, parrot, pocket" in err
    assert history("zebra", "--vision", "pocket") == (0, "", "inquisight: no transcript fits\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "letter"], "--kind is 'letter': take interview, chat or ask"),
        (["--status", "lost"], "--status is 'lost': take complete, stopped or failed"),
        (["--kind", "chat", "--status", "failed"], "--status is for interviews"),
        (["--vision", ""], "--vision is empty"),
        (["--since", "yesterday"], "'yesterday' is not a day; write it as"),
        (["--until", "2024-02-30"], "'2024-02-30' is not a day"),
        (["--since", "2024-05-02", "--until", "2024-05-01"], "--until 2024-05-01 lies before --since 2024-05-02"),
        (["--limit", "0"], "--limit must be 1 or more"),
        (["--limit", "few"], "'few' is not a whole number"),
        (["--export", "ducks.xlsx"], "ducks.xlsx': the name says what is written"),
        (["--export", "nowhere/ducks.csv"], "the folder of 'nowhere/ducks.csv' does not exist"),
        (["--export", "there.csv"], "'there.csv' exists already; add --overwrite"),
        (["--export", "folder.csv"], "'folder.csv' is a folder"),
        (["--overwrite"], "--overwrite only means something together with --export"),
        (["--yes"], "--yes only means something together with --delete"),
        (["--all"], "--all only means something together with --delete"),
        (["duck", "--delete"], "--delete would remove 3 transcripts for good; add --yes"),
        (["--delete", "--yes"], "--delete needs words or a filter"),
        (["--delete", "--yes", "--limit", "2"], "--delete needs words or a filter"),
        (["", "--delete", "--yes"], "an empty word"),
        (["--delete", "--yes", "--kind", "chat", " "], "an empty word"),
        (["--delete", "--yes", "--questioner", " "], "--questioner is empty"),
        (["--delete", "--yes", "--all", "duck"], "--all takes no words or filters"),
        (["duck", "--export", "ducks.csv", "--delete"], "add --yes"),
    ],
)
def test_one_clear_line_for_what_cannot_work(
    history: History, store: TranscriptStore, arguments: list[str], said: str
) -> None:
    Path("there.csv").write_text("mine")
    Path("folder.csv").mkdir()
    code, out, err = history(*arguments)
    assert (code, out) == (2, "") and said in err and err.startswith("inquisight: ") and err.count("\n") == 1
    assert store.count() == len(RECORDS), "nothing is deleted"
    assert sorted(os.listdir()) == ["folder.csv", "there.csv"] and Path("there.csv").read_text() == "mine"


# --- export -----------------------------------------------------------------------------------------------------------


def test_json_lines_hold_the_whole_records(history: History) -> None:
    assert history("duck", "--export", "ducks.jsonl") == (0, "3 transcripts in ducks.jsonl\n", "")
    chat, farm, pond = Path("ducks.jsonl").read_text("utf-8").splitlines()
    assert (Chat.from_json(chat), Caption.from_json(farm), Caption.from_json(pond)) == (
        RECORDS[4], RECORDS[1], RECORDS[0],
    )  # fmt: skip
    assert os.listdir() == ["ducks.jsonl"]


def test_tables(history: History) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    assert history("--kind", "interview", "--export", "them.PARQUET")[:2] == (0, "4 transcripts in them.PARQUET\n")
    assert parquet.read_table("them.PARQUET").column("id").to_pylist() == [RECORDS[n].id for n in (3, 2, 1, 0)]
    assert history("--export", "all.csv")[1] == "6 transcripts in all.csv\n", "all, not the twenty of a list"
    with Path("all.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == [record.id for record in reversed(RECORDS)]


def test_the_limit_takes_the_first_ones_of_the_list(history: History) -> None:
    assert history("duck", "--limit", "1", "--export", "best.jsonl")[1] == "1 transcript in best.jsonl\n"
    assert Caption.from_json(Path("best.jsonl").read_text("utf-8")) == RECORDS[0]


def test_a_file_is_replaced_where_that_is_said(history: History) -> None:
    Path("cats.jsonl").write_text("mine")
    assert history("cat", "--export", "cats.jsonl", "--overwrite")[0] == 0
    assert Caption.from_json(Path("cats.jsonl").read_text("utf-8")) == RECORDS[2]
    code, out, err = history("zebra", "--export", "cats.jsonl", "--overwrite")
    assert (code, out) == (0, "0 transcripts in cats.jsonl\n") and "no transcript with 'zebra'" in err
    assert Path("cats.jsonl").read_bytes() == b"", "what was found before is not taken for what is found now"


def test_an_export_that_fails_leaves_everything_as_it_was(
    history: History, store: TranscriptStore, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "home" / "transcripts.sqlite") as database:
        database.execute("UPDATE transcript SET document = '{}x' WHERE id = ?", [RECORDS[1].id])
    database.close()
    Path("ducks.jsonl").write_text("mine")
    code, out, err = history("duck", "--export", "ducks.jsonl", "--overwrite", "--delete", "--yes")
    assert (code, out) == (6, "") and err.count("\n") == 1
    assert os.listdir() == ["ducks.jsonl"] and Path("ducks.jsonl").read_text() == "mine"
    assert store.count() == len(RECORDS)


# --- delete -----------------------------------------------------------------------------------------------------------


def test_what_was_found_is_deleted_and_nothing_else(history: History, store: TranscriptStore) -> None:
    assert history("duck", "--delete", "--yes") == (0, "3 transcripts deleted\n", "")
    assert [one.source for one in store.recent()] == ["ask.jpg", "dark.jpg", "cat.jpg"]
    assert store.search("duck") == []
    code, out, err = history("duck", "--delete", "--yes")
    assert (code, out) == (0, "0 transcripts deleted\n") and "no transcript" in err
    assert history("--since", "2024-05-04", "--limit", "1", "--delete", "--yes")[1] == "1 transcript deleted\n"
    assert [one.source for one in store.recent()] == ["dark.jpg", "cat.jpg"]
    assert history("--delete", "--all", "--yes")[1] == "2 transcripts deleted\n" and store.count() == 0


@pytest.mark.parametrize(
    ("typed", "code", "left"),
    [("y\n", 0, 3), ("n\n", 1, 6), ("\n", 1, 6), ("", 1, 6), ("what\n", 1, 6), ("YES\n", 0, 3)],
)
def test_on_a_terminal_it_asks(
    history: History, store: TranscriptStore, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, left: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    ended, out, err = history("duck", "--delete")
    assert (ended, store.count()) == (code, left)
    assert "Delete 3 transcripts for good (chat.jpg, farm.jpg, pond.jpg)?" in err
    assert out == ("3 transcripts deleted\n" if code == 0 else "")


def test_more_than_a_few_are_not_all_named(
    history: History, store: TranscriptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    _, _, err = history("--all", "--delete")
    assert "Delete 6 transcripts for good (ask.jpg, chat.jpg, dark.jpg, 3 more)?" in err
    assert "nothing was deleted" in err and store.count() == 6


def test_written_and_then_deleted(history: History, store: TranscriptStore) -> None:
    code, out, _ = history("--kind", "interview", "--export", "kept.jsonl", "--delete", "--yes", "--json")
    assert code == 0
    assert json.loads(out) == {"found": 4, "exported": 4, "file": "kept.jsonl", "deleted": 4}
    kept = [Caption.from_json(line) for line in Path("kept.jsonl").read_text("utf-8").splitlines()]
    assert {one.id for one in kept} == {record.id for record in RECORDS[:4]}
    assert {one.id for one in store.recent()} == {record.id for record in RECORDS[4:]}


def test_what_was_written_stays_written_where_somebody_says_no(
    history: History, store: TranscriptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, out, _ = history("cat", "--export", "cat.jsonl", "--delete", "--json")
    assert (code, json.loads(out)["deleted"]) == (1, 0)
    assert Path("cat.jsonl").exists() and store.count() == len(RECORDS)
