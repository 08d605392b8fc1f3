"""The command's work, in this process: what is written, what is done again, what is refused before work starts."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from agents.batch.engine import _Duplicates
from agents.batch.plan import locked
from agents.batch.request import BatchRequest
from agents.cli import batch as running
from agents.cli.caption import run_caption
from agents.cli.requests import CaptionRequest
from core.datasets.pictures.sources import Item
from core.errors import BackendError, InquisightError, QuestionerError, UsageError
from core.images.picture import open_picture
from core.settings import get_settings
from core.vision import Reply, VisualQuestion
from tests.agents.batch.making import HashedEye, batch, lines, make_pictures, register

COUNT = 10


@pytest.fixture
def eye(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HashedEye:
    """The eye that `--vision hashed` gives, in a folder of our own with pictures in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    make_pictures(tmp_path / "photos", COUNT)
    eye = HashedEye()
    register(monkeypatch, eye)
    yield eye
    get_settings.cache_clear()


OUT = Path("captions.jsonl")
WORK = Path("captions.jsonl.work")


def test_every_picture_has_the_caption_that_the_caption_command_gives(
    eye: HashedEye, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch("photos", out=OUT, seed=7) == 0
    out = capsys.readouterr().out
    assert out.startswith("10 pictures: 10 captioned\nthis run: ") and out.endswith("captions.jsonl\n")
    found = {line["key"]: line for line in lines(OUT)}
    assert list(found) == [f"photos/p{number:03d}.png" for number in range(COUNT)], "in the order of the input"
    asked = CaptionRequest(pictures=("photos",), vision="hashed", questioner="scripted", rounds=4, seed=7, json=True)
    assert run_caption(asked) == 0
    for line in capsys.readouterr().out.splitlines():
        alone = json.loads(line)
        mine = found[alone["picture"]["source"]]
        assert (mine["summary"], mine["plain"], mine["opening"]) == (
            alone["summary"], alone["plain"], alone["opening"]
        )  # fmt: skip
        assert mine["dialogue"] == [
            {name: turn[name] for name in ("question", "answer", "asked_by", "certainty", "answered_by", "truncated")}
            for turn in alone["dialogue"]["turns"]
        ]


def test_every_output_at_once_and_the_result_as_json(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    more = (Path("new/folder/captions.parquet"), Path("coco.json"), Path("shards.tar"))
    code = batch("photos", out=OUT, more=more, save_beside=True, json=True, price_in=1.0, price_out=2.0, shard_size=4)
    assert code == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["pictures"], facts["captioned"], facts["failed"], facts["left"]) == (COUNT, COUNT, 0, 0)
    now = facts["this_run"]
    assert now["calls"] > COUNT and now["cost"] == pytest.approx((now["input_tokens"] + 2 * now["output_tokens"]) / 1e6)
    assert facts["outputs"] == [str(OUT), *map(str, more)]
    import pyarrow.parquet

    captions = {line["key"]: line["caption"] for line in lines(OUT)}
    table = pyarrow.parquet.read_table(more[0]).to_pylist()
    assert {row["key"]: row["caption"] for row in table} == captions
    coco = json.loads(more[1].read_text("utf-8"))
    assert [image["file_name"] for image in coco["images"]] == list(captions)
    assert sorted(path.name for path in Path().glob("shards-*.tar")) == [f"shards-00000{n}.tar" for n in range(3)]
    for key, text in captions.items():
        assert Path(key).with_suffix(".txt").read_text("utf-8") == f"{text}\n"


def test_the_same_command_does_nothing_twice_and_takes_what_is_new(
    eye: HashedEye, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch("photos", out=OUT) == 0
    first, looks = OUT.read_bytes(), sum(eye.looked)
    OUT.unlink()
    assert batch("photos", out=OUT) == 0
    assert OUT.read_bytes() == first and sum(eye.looked) == looks, "written again from the journal alone"
    make_pictures(Path("photos"), 2, first=COUNT)
    assert batch("photos", out=OUT) == 0
    assert sum(eye.looked) == looks + 2 and len(lines(OUT)) == COUNT + 2
    assert "12 pictures: 12 captioned" in capsys.readouterr().out


def test_new_pictures_between_old_ones_take_their_place(eye: HashedEye) -> None:
    shards = Path("shards.tar")
    batch("photos", out=Path("whole.jsonl"), more=(Path("whole.tar"),), shard_size=4)
    late = [Path(f"photos/p00{number}.png") for number in (1, 4, 5)]
    for path in late:
        path.rename(path.name)
    batch("photos", out=OUT, more=(shards,), shard_size=4)
    for path in late:
        Path(path.name).rename(path)
    assert batch("photos", out=OUT, more=(shards,), shard_size=4) == 0
    assert OUT.read_bytes() == Path("whole.jsonl").read_bytes(), "in the order of the input"
    for number in range(3):
        assert Path(f"shards-00000{number}.tar").read_bytes() == Path(f"whole-00000{number}.tar").read_bytes()


def test_an_output_may_be_added_later(eye: HashedEye) -> None:
    batch("photos", out=OUT)
    looks = sum(eye.looked)
    assert batch("photos", out=OUT, more=(Path("coco.json"),)) == 0
    assert batch("photos", out=OUT, more=(Path("coco.json"),), save_beside=True) == 0
    assert sum(eye.looked) == looks and Path("coco.json").exists() and Path("photos/p000.txt").exists()


def test_pictures_that_fail_are_set_aside_and_tried_again_alone(
    eye: HashedEye, capsys: pytest.CaptureFixture[str]
) -> None:
    batch("photos", out=Path("undisturbed.jsonl"))
    Path("photos/p004.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    bad = lines(Path("undisturbed.jsonl"))[2]["sha256"]
    eye.spoil = lambda sha256, question: ValueError("a bug") if sha256 == bad and question == "look" else None
    capsys.readouterr()
    assert batch("photos", out=OUT) == 1
    out = capsys.readouterr().out
    assert "8 captioned, 2 failed (see captions.failed.jsonl; --failed tries them again)" in out
    failed = lines(Path("captions.failed.jsonl"))
    assert [(one["key"], one["where"]) for one in failed] == [
        ("photos/p002.png", "vision"),
        ("photos/p004.png", "picture"),
    ]
    assert "a bug" in failed[0]["reason"] and "truncated or damaged" in failed[1]["reason"]
    assert "p004.png" not in failed[1]["reason"], "its name is said once"
    assert len(lines(OUT)) == 8

    asked = len(eye.asked)
    assert batch("photos", out=OUT) == 1 and len(eye.asked) == asked, "failures are not tried again by themselves"
    eye.spoil = lambda sha256, question: None
    make_pictures(Path("photos"), 1, first=4)
    looks = sum(eye.looked)
    assert batch("photos", out=OUT, failed=True) == 0
    assert sum(eye.looked) == looks + 2 and not Path("captions.failed.jsonl").exists()
    assert OUT.read_bytes() == Path("undisturbed.jsonl").read_bytes()


def test_what_was_learned_before_a_failure_is_not_asked_again(eye: HashedEye, monkeypatch: pytest.MonkeyPatch) -> None:
    batch("photos", out=Path("undisturbed.jsonl"), seed=3)
    answers = sum(eye.asked)
    from plugins.scripted import ScriptedQuestioner

    real = ScriptedQuestioner._reply

    def failing(self: Any, messages: Any, seed: Any) -> str:
        if len(messages) > 5:
            raise QuestionerError("the questioner scripted is tired")
        return real(self, messages, seed)

    eye.asked.clear()
    monkeypatch.setattr(ScriptedQuestioner, "_reply", failing)
    assert batch("photos", out=OUT, seed=3) == 1
    monkeypatch.setattr(ScriptedQuestioner, "_reply", real)
    assert batch("photos", out=OUT, seed=3, failed=True) == 0
    assert OUT.read_bytes() == Path("undisturbed.jsonl").read_bytes()
    assert sum(eye.asked) == answers


def test_a_shard_that_was_cut_short_is_told_at_the_end_too(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open("photos.tar", "w") as tar:
        tar.add("photos")
    whole = Path("photos.tar").read_bytes()
    Path("photos.tar").write_bytes(whole[: len(whole) // 2])
    assert batch("photos.tar", out=OUT, json=True) == 1
    heard = capsys.readouterr()
    facts = json.loads(heard.out)
    assert 0 < facts["captioned"] < COUNT and facts["failed"] == 0 and len(facts["damaged"]) == 1
    assert heard.err.count("'photos.tar' is cut short or damaged after byte") == 2, (
        "before the first picture, and after"
    )
    Path("photos.tar").write_bytes(whole)
    assert batch("photos.tar", out=OUT, json=True) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["captioned"] == COUNT and facts["damaged"] == []


def test_pictures_with_the_same_bytes_are_captioned_once(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        shutil.copy("photos/p003.png", f"photos/q{number}.png")
    assert batch("photos", out=OUT) == 0
    assert sum(eye.looked) == COUNT
    found = {line["key"]: line for line in lines(OUT)}
    assert len(found) == COUNT + 5
    for number in range(5):
        assert found[f"photos/q{number}.png"]["same_as"] == "photos/p003.png"
        assert found[f"photos/q{number}.png"]["caption"] == found["photos/p003.png"]["caption"]
    assert "10 captioned, 5 repeated" in capsys.readouterr().out
    shutil.copy("photos/p003.png", "photos/r.png")
    assert batch("photos", out=OUT, save_beside=True) == 0
    assert sum(eye.looked) == COUNT and lines(OUT)[-1]["same_as"] == "photos/p003.png"
    assert Path("photos/r.txt").read_text() == Path("photos/p003.txt").read_text()


def test_the_twins_of_a_picture_that_fails_fail_with_it(eye: HashedEye) -> None:
    shutil.copy("photos/p003.png", "photos/q.png")
    eye.spoil = lambda sha256, question: ValueError("no") if question is None else None
    assert batch("photos/p003.png", "photos/q.png", out=OUT) == 1
    first, second = lines(Path("captions.failed.jsonl"))
    # it waited for the other, or came when that had failed already and was tried itself
    assert second["reason"] in (f"the same picture as photos/p003.png: {first['reason']}", first["reason"])
    assert lines(OUT) == []


def test_a_picture_waits_for_its_duplicate_once() -> None:
    duplicates = _Duplicates()
    one, two, three = (Item(number, f"{number}.png", 0, -1, 0) for number in range(3))
    assert not duplicates.waits(one, "ab") and duplicates.waits(two, "ab") and not duplicates.waits(three, "cd")
    assert duplicates.done("ab") == [two] and duplicates.done("cd") == []
    assert not duplicates.waits(one, "ab"), "nobody is at it any more"


def test_limit_and_shards_cut_the_work_into_pieces(eye: HashedEye) -> None:
    batch("photos", out=Path("whole.jsonl"))
    for limit in (3, 7, None):
        assert batch("photos", out=OUT, limit=limit) == 0
        assert len(lines(OUT)) == (limit or COUNT)
    assert OUT.read_bytes() == Path("whole.jsonl").read_bytes()
    parts = []
    for shard in range(3):
        assert batch("photos", out=Path("part.jsonl"), shard=f"{shard}/3") == 0
        parts.append(lines(Path(f"part.{shard}-of-3.jsonl")))
    assert sorted(map(len, parts)) == [3, 3, 4]
    together = sorted((line for part in parts for line in part), key=lambda line: str(line["key"]))
    assert together == lines(Path("whole.jsonl"))


def test_a_dry_run_says_what_it_would_take_and_loads_nothing(
    eye: HashedEye, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(running, "load_vision", lambda name: pytest.fail("a model was loaded"))
        assert batch("photos", out=OUT, dry_run=True, price_in=1e5, rate=2.0) == 0
        guessed = capsys.readouterr().out
        assert guessed.startswith("10 pictures: 0 captioned, 0 failed, 10 to do\n40 calls of the questioner")
        assert re.search(r"cost about [1-9]", guessed) and "time at least 20 s" in guessed and "guessed" in guessed
        assert list(Path().glob("captions*")) == [], "nothing is begun"
    batch("photos", out=OUT, limit=6)
    capsys.readouterr()
    assert batch("photos", out=OUT, dry_run=True, json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["listed"], found["captioned"], found["to_do"], found["measured"]) == (10, 6, 4, 6)
    run = [json.loads(line) for line in (WORK / "journal.jsonl").read_text().splitlines()][-1]
    assert found["calls"] == round(run["calls"] / 6 * 4) and found["seconds"] > 0 and found["cost"] is None


def test_texts_beside_pictures_never_take_the_place_of_others(eye: HashedEye) -> None:
    mine = Path("photos/p002.txt")
    mine.write_text("my own words")
    with pytest.raises(InquisightError, match=r"p002.txt' exists already; add --overwrite"):
        batch("photos", out=OUT, save_beside=True)
    assert eye.looked == [] and mine.read_text() == "my own words", "before any work"
    assert batch("photos", out=OUT, save_beside=True, overwrite=True) == 0
    assert mine.read_text() == lines(OUT)[2]["caption"] + "\n"

    batch("photos", out=Path("later.jsonl"))
    mine.write_text("my own words")
    with pytest.raises(InquisightError, match=r"p002.txt' exists already; add --overwrite"):
        batch("photos", out=Path("later.jsonl"), save_beside=True)
    assert mine.read_text() == "my own words", "nor by a run that only catches up"
    assert batch("photos", out=Path("later.jsonl"), save_beside=True, overwrite=True) == 0
    assert mine.read_text() == lines(OUT)[2]["caption"] + "\n"
    Image.new("RGB", (5, 5)).save("photos/p001.jpg")
    with pytest.raises(UsageError, match=r"p001.jpg' and '.*p001.png' would share '.*p001.txt'"):
        batch("photos", out=Path("other.jsonl"), save_beside=True, overwrite=True)


@pytest.mark.parametrize("name", ["shards/more.tar", "shards/deep/more.tar", "tables/more.parquet"])
def test_outputs_do_not_become_inputs(eye: HashedEye, name: str) -> None:
    held, _, _ = name.partition("/")
    batch("photos", out=Path("shards/some.tar"), more=(Path("tables/some.parquet"),))
    looks, column = sum(eye.looked), "key" if held == "tables" else None
    with pytest.raises(UsageError, match=f"--out '{name}' lies in '{held}', all of which is read; name a place"):
        batch(held, out=Path(name), column=column)
    assert sum(eye.looked) == looks
    assert batch(held, out=OUT, column=column, dry_run=True) == 0


# --- what guards the output ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rounds": 3}, "was begun with rounds 4, not with rounds 3"),
        ({"seed": 1}, "was begun with no seed, not with seed 1"),
        ({"vision": "pocket"}, "was begun with vision hashed, not with vision pocket"),
        ({"inputs": ("more", "photos")}, "was begun with inputs photos, not with inputs more, photos; take the same"),
    ],
)
def test_other_settings_are_refused_before_a_model_is_loaded(
    eye: HashedEye, change: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pictures(Path("more"), 1)
    batch("photos", out=OUT, limit=2)
    before = OUT.read_bytes()
    monkeypatch.setattr(running, "load_vision", lambda name: pytest.fail("a model was loaded"))
    inputs = change.pop("inputs", ("photos",))
    with pytest.raises(UsageError, match=re.escape(words)):
        batch(*inputs, out=OUT, **change)
    assert OUT.read_bytes() == before


def test_other_weights_are_refused(eye: HashedEye, monkeypatch: pytest.MonkeyPatch) -> None:
    batch("photos", out=OUT, limit=2)
    monkeypatch.setattr(HashedEye, "revision", "2")
    with pytest.raises(UsageError, match=r"was begun with vision hashed 1, not with vision hashed 2"):
        batch("photos", out=OUT)
    assert len(lines(OUT)) == 2


@pytest.mark.parametrize("name", ["captions.jsonl", "captions.tar"])
def test_a_file_of_somebody_else_is_not_written_over(eye: HashedEye, name: str) -> None:
    there = Path(name.replace(".tar", "-000007.tar"))
    there.write_text("precious")
    with pytest.raises(UsageError, match="exists already and is not of this batch"):
        batch("photos", out=Path(name))
    assert there.read_text() == "precious" and eye.looked == []


def test_two_processes_do_not_work_on_the_same_batch(eye: HashedEye) -> None:
    with locked(WORK), pytest.raises(UsageError, match=r"another process is at work on 'captions\.jsonl\.work'"):
        batch("photos", out=OUT)
    assert batch("photos", out=OUT) == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"out": ()}, "say where the captions go: --out"),
        ({"out": (Path("captions.xml"),)}, "must end in one of"),
        ({"out": (Path("photos"),)}, "must end in one of"),
        ({"out": (OUT, OUT)}, "named twice"),
        ({"batch": 0}, "--batch must be 1 or more, not 0"),
        ({"vision_batches": 0}, "--vision-batches must be 1 or more, not 0"),
        ({"rate": 0.0}, "--requests-per-second must be more than 0"),
        ({"price_in": -1.0}, "--price-in is a price for a million tokens"),
        ({"shard": "4/4"}, "--shard '4/4': write I/N"),
        ({"shard": "one"}, "--shard 'one': write I/N"),
        ({"overwrite": True}, "--overwrite only means something together with --save-beside"),
        ({"engine": "steam"}, "there is no engine 'steam'; there is local"),
        ({"vision": "nothing"}, "there is no vision backend 'nothing'"),
        ({"questioner": "nothing"}, "nothing"),
        ({"inputs": ("nowhere",)}, "'nowhere' does not exist"),
        ({"seed": -1}, "the seed must be between 0 and"),
        ({"limit": 0}, "--limit must be 1 or more, not 0"),
        ({"column": "image"}, "--column 'image' names a column, and no table is among the inputs"),
        ({"out": (Path("photos/p000.png/captions.jsonl"),)}, "p000.png' is a file; name another --out"),
        ({"out": (Path("/proc/nowhere/captions.jsonl"),)}, "cannot be made: no such file or directory; name"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(eye: HashedEye, fields: dict[str, Any], words: str) -> None:
    request = {"inputs": ("photos",), "out": (OUT,), "vision": "hashed", "questioner": "scripted"} | fields
    with pytest.raises(InquisightError, match=re.escape(words)) as wrong:
        running.run_batch(BatchRequest(**request))
    assert "\n" not in str(wrong.value) and eye.looked == []


# --- the end before the end ---------------------------------------------------------------------------------------


def test_an_error_that_befalls_all_keeps_what_is_done(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    class DeadError(BackendError):
        for_all = True

    seen: set[str] = set()

    def die(sha256: str, question: str | None) -> BaseException | None:
        seen.add(sha256)
        return DeadError("the eye cannot be reached.") if len(seen) > 6 else None

    eye.spoil = die
    with pytest.raises(InquisightError) as failed:
        batch("photos", out=OUT, batch=1, concurrency=1)
    assert failed.value.exit_code == BackendError.exit_code
    kept = len(lines(OUT))  # one at least: the seventh picture is looked at when one of the others is done
    said = "1 caption is kept" if kept == 1 else f"{kept} captions are kept"
    assert str(failed.value) == f"the eye cannot be reached; {said}, the same command goes on"
    assert 0 < kept < COUNT and not Path("captions.failed.jsonl").exists(), "it is no picture's fault"
    eye.spoil = lambda sha256, question: None
    assert batch("photos", out=OUT) == 0 and len(lines(OUT)) == COUNT


def test_ctrl_c_finishes_what_is_under_way_and_the_same_command_goes_on(
    eye: HashedEye, capsys: pytest.CaptureFixture[str]
) -> None:
    import signal

    batch("photos", out=Path("undisturbed.jsonl"))
    make_pictures(Path("photos"), 20, first=COUNT)
    batch("photos", out=Path("whole.jsonl"))
    eye.looked.clear()
    pressed = threading.Event()

    def press(sha256: str, question: str | None) -> None:
        if question == "look" and not pressed.is_set():
            pressed.set()
            signal.raise_signal(signal.SIGINT)  # handled in the main thread

    eye.spoil = press
    capsys.readouterr()
    assert batch("photos", out=OUT, batch=1, concurrency=1) == 130
    told = capsys.readouterr()
    assert "finishing the interviews under way; Ctrl-C again leaves at once" in told.err
    assert "left, the same command goes on" in told.out
    assert 0 < len(lines(OUT)) < 30 and sum(eye.looked) == len(lines(OUT))
    eye.spoil = lambda sha256, question: None
    assert batch("photos", out=OUT) == 0
    assert OUT.read_bytes() == Path("whole.jsonl").read_bytes()
    assert sum(eye.looked) == 30


def test_the_summary_counts_captions_that_were_cut(
    eye: HashedEye, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of earlier runs too; a repeated picture is no further caption."""
    cut = {open_picture(Path(f"photos/p{number:03d}.png")).sha256 for number in (1, 2)}
    shutil.copy("photos/p001.png", "photos/q.png")

    def replies(questions: Sequence[VisualQuestion]) -> list[Reply]:
        return [Reply(eye.say(one), "length" if one.image.sha256 in cut else "stop") for one in questions]

    monkeypatch.setattr(eye, "replies", replies)
    assert batch("photos", out=OUT) == 0
    assert "11 pictures: 10 captioned, 2 of them truncated, 1 repeated\n" in capsys.readouterr().out
    assert sum(line["truncated"] for line in lines(OUT)) == 3
    (WORK / "index.sqlite").unlink()
    assert batch("photos", out=OUT, json=True) == 0
    assert json.loads(capsys.readouterr().out)["truncated"] == 2


def test_an_index_of_an_earlier_layout_is_made_anew(eye: HashedEye, capsys: pytest.CaptureFixture[str]) -> None:
    assert batch("photos", out=OUT, limit=3) == 0
    with closing(sqlite3.connect(WORK / "index.sqlite")) as database:
        database.execute("ALTER TABLE item DROP COLUMN truncated")
        database.execute("PRAGMA user_version = 0")
        database.commit()
    looks = sum(eye.looked)
    capsys.readouterr()
    assert batch("photos", out=OUT) == 0 and "10 captioned" in capsys.readouterr().out
    assert sum(eye.looked) == looks + COUNT - 3
