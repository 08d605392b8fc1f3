"""`inquisight data check`: what a user reads before a day is lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from core.datasets.samples.spec import DataSpec
from core.errors import InquisightError
from tests.plugins.minigpt4.tiny import make_tokenizer
from tests.training.data.making import aligned, folder, jsonl_table, picture, shards, write_tar
from training.data.check import CheckOptions, check
from training.data.commands import add_to
from training.data.findings import Report

ROOT = Path(__file__).resolve().parents[3]
app = typer.Typer()
add_to(app)


def run(*arguments: str | Path) -> tuple[int, str]:
    """(exit code, standard output); errors for people are raised."""
    result = CliRunner().invoke(app, ["data", "check", *map(str, arguments)], terminal_width=200)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def found(*arguments: str | Path) -> dict[str, Any]:
    code, printed = run(*arguments, "--json")
    report = json.loads(printed)
    assert code == (7 if any(one["level"] == "stops" for one in report["findings"]) else 0)
    return report


def texts(report: dict[str, Any], level: str | None = None) -> str:
    return "\n".join(one["text"] for one in report["findings"] if level in (None, one["level"]))


@pytest.mark.slow
def test_good_data_pass_and_figures_are_right(tmp_path: Path) -> None:
    shards(tmp_path, [30, 20])
    code, printed = run(tmp_path)
    assert code == 0 and "Nothing here would stop a training run (all samples were checked)." in printed
    report = found(tmp_path)
    assert (report["looked_at"], report["broken"], report["complete"]) == (50, 0, True)
    assert report["lengths"]["median"] == 6 and report["histogram"] == {"6": 50}
    assert report["widths"]["most"] == 6 == report["heights"]["least"]
    assert report["sources"][0]["kind"] == "webdataset" and report["sources"][0]["parts"] == 2
    assert "smaller than 224 pixels" in texts(report, "note")


@pytest.mark.slow
def test_everything_that_is_wrong_is_named(tmp_path: Path) -> None:
    folder(tmp_path, 100)
    place = tmp_path / "00"
    (place / "0000.png").write_bytes(b"")
    (place / "0001.json").unlink()
    (place / "0002.txt").write_text("   ")
    (place / "0003.png").write_bytes(picture(3)[:40])
    (place / "0004.png").write_bytes(picture(5))
    (place / "0006.txt").write_text("word " * 130)
    (place / "0008.txt").write_text("a picture of thing  NUMBER 10")
    Image.new("RGB", (300, 40)).save(place / "0007.png")
    report = found(tmp_path)
    warned = texts(report, "warning")
    for words in (
        "pictures that cannot be opened: 2 (2.0%)",
        "pictures without a caption: 1 (1.0%)",
        "empty captions: 1 (1.0%)",
        "captions longer than 120 words, which would be cut: 1 (1.0%)",
        "pictures that were there before: 1 (1.0%)",
        "captions that were there before: 1 (1.0%)",
    ):
        assert words in texts(report), words
    assert "cannot be opened" in warned
    assert "more than 4 times as long as wide" in texts(report, "note")
    shown = "\n".join(example for one in report["findings"] for example in one["examples"])
    for name in (
        "00/0000.png",
        "00/0001.png",
        "00/0003.png",
        "2 times: ",
        "00/0004.png",
        "00/0006.png: 130",
        "300 x 40",
    ):
        assert name in shown, name
    assert not texts(report, "stops")


@pytest.mark.slow
@pytest.mark.parametrize("broken", [4, 6])
def test_as_many_broken_ones_as_would_stop_a_run(tmp_path: Path, broken: int) -> None:
    shards(tmp_path, [100], changed=dict.fromkeys(range(broken), b""))
    report = found(tmp_path)
    assert bool(texts(report, "stops")) == (broken > 5)
    assert not texts(found(tmp_path, "--max-broken", "0.1"), "stops")


@pytest.mark.slow
def test_a_path_that_cannot_be_read_stops_and_the_others_are_looked_at(tmp_path: Path) -> None:
    shards(tmp_path / "shards", [5])
    (tmp_path / "empty").mkdir()
    report = found(tmp_path / "empty", tmp_path / "shards", tmp_path / "nowhere")
    assert "holds no pictures" in texts(report, "stops") and "nowhere does not exist" in texts(report, "stops")
    assert report["looked_at"] == 5 and not report["complete"]


@pytest.mark.slow
def test_a_shard_that_is_cut_short_is_found(tmp_path: Path) -> None:
    shards(tmp_path, [50, 50])
    file = tmp_path / "00000.tar"
    file.write_bytes(file.read_bytes()[: 40 * 3072 + 700])
    report = found(tmp_path)
    assert "shards that are cut short or damaged, where all that follows is lost: 1 (" in texts(report, "warning")
    assert "00000.tar/byte " in str(report["findings"])


@pytest.mark.slow
def test_languages_offline(tmp_path: Path) -> None:
    pytest.importorskip("py3langid")
    sentences = ["the dog is running across the green meadow behind the house with a ball"] * 8
    sentences += ["der Hund läuft hinter dem Haus über die grüne Wiese und trägt einen Ball im Maul"] * 2
    members = []
    for number, sentence in enumerate(sentences):
        members += [(f"{number}.png", picture(number)), (f"{number}.txt", f"{sentence} {number}".encode())]
    write_tar(tmp_path / "s.tar", members)
    report = found(tmp_path)
    assert report["languages"] == {"en": 8, "de": 2}
    assert "most captions are in 'en', but 20.0% seem to be in another language" in texts(report, "warning")


def test_without_the_detector_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    shards(tmp_path, [3])
    report = found(tmp_path)
    assert report["languages"] is None and "pip install 'inquisight[train]'" in texts(report, "note")


@pytest.mark.slow
def test_lengths_in_tokens_of_a_model(tmp_path: Path) -> None:
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    shards(tmp_path / "data", [5])
    report = found(tmp_path / "data", "--tokenizer", tmp_path / "tokenizer", "--longest", "20")
    assert report["unit"] == "tokens" and report["lengths"]["least"] > 20
    assert "captions longer than 20 tokens, which would be cut: 5 (100.0%)" in texts(report)
    with pytest.raises(InquisightError, match="holds no tokenizer"):
        run(tmp_path / "data", "--tokenizer", tmp_path / "data")


@pytest.mark.slow
def test_a_sample_is_taken_from_all_parts(tmp_path: Path) -> None:
    shards(tmp_path, [50] * 10)
    report = found(tmp_path, "--sample", "20")
    assert (report["looked_at"], report["complete"]) == (20, False)
    [last] = [
        event for event in check([DataSpec(path=str(tmp_path))], CheckOptions(sample=20)) if isinstance(event, Report)
    ]
    assert last.looked_at == 20
    code, printed = run(tmp_path, "--sample", "20")
    assert code == 0 and "not all samples were checked" in printed and "20 of" not in printed


@pytest.mark.slow
def test_reports_as_html_and_markdown_with_the_histogram(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    jsonl_table(tmp_path / "t.jsonl", 10)
    lines = (tmp_path / "t.jsonl").read_text()
    evil = json.dumps({"image": "pictures/0000.png", "caption": "<script>alert(1)</script> [x](y) | [red]bold[/red]"})
    (tmp_path / "t.jsonl").write_text(lines + "\n".join([evil] * 3))
    html, markdown, png = tmp_path / "r.html", tmp_path / "r.md", tmp_path / "h.png"
    code, printed = run(tmp_path / "t.jsonl", "--report", html, "--histogram", png)
    assert code == 0 and "[red]bold[/red]" in printed, "texts of the data are not taken for markup"
    page = html.read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page and 'src="data:image/png;base64,' in page
    run(tmp_path / "t.jsonl", "--report", markdown)
    assert "<script>" not in markdown.read_text() and "](r.png)" in markdown.read_text()
    for file in (png, tmp_path / "r.png"):
        with Image.open(file) as image:
            assert image.format == "PNG" and image.width > 300


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name what to check"),
        (["x", "--kind", "zip"], "--kind is 'zip'"),
        (["x", "--sample", "0"], "--sample is 0: it must be 1 or more"),
        (["x", "--report", "x.pdf"], "end it in .html or .md"),
        (["x", "--report", "no/where.md"], "is in a folder that does not exist"),
        (["x", "--histogram", "x.jpg"], "end it in .png"),
        (["x", "--tokenizer", "nowhere"], "--tokenizer nowhere is no folder"),
        (["x", "--max-broken", "2"], "--max-broken is a share from 0 to 1"),
        ([""], "one of the paths is empty"),
    ],
)
def test_what_cannot_work_is_said_before_the_work(arguments: list[str], words: str) -> None:
    with pytest.raises(InquisightError, match=re.escape(words)) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_ctrl_c_reports_what_was_seen(tmp_path: Path) -> None:
    aligned(tmp_path / "data", 40)
    # The process gets the signal at a moment that is known: when it has counted ten pictures.
    code = (
        "import os, signal, sys\n"
        "from training.data import check, checking\n"
        "count = check._count\n"
        "def counting(result, tally):\n"
        "    count(result, tally)\n"
        "    if tally.good == 10: os.kill(os.getpid(), signal.SIGINT)\n"
        "check._count = counting\n"
        "sys.exit(checking.run_data_check([sys.argv[1]], {}, check.CheckOptions(), json=True))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 130, done.stderr
    report = json.loads(done.stdout)
    assert 10 <= report["looked_at"] < 40 and "it was interrupted" in texts(report, "note")
    assert "Traceback" not in done.stderr


def test_declaring_the_command_imports_nothing_heavy() -> None:
    code = (
        "import sys, typer; from training.data.commands import add_to; add_to(typer.Typer())\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'pyarrow', 'rich.progress', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == "[]"
