"""`inquisight curate` as people use it: from photographs to a data set, with the embedded model and a real server."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image, ImageDraw

from agents.cli.errors import complain
from core.files.journal import write_lines
from core.settings import get_settings
from tests.training.curation.fakes import generated_folder, make_pictures
from tests.training.curation.steps.repair_server import repair_server
from training.curation.commands import add_to

ROOT = Path(__file__).resolve().parents[3]
PHOTOS = ROOT / "examples" / "photos"


class Shell:
    """Runs commands as `inquisight` does: an error becomes one line and an exit code."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        app.callback()(lambda: None)
        add_to(app)
        self.runner: Any = typer.main.get_command(app)
        self.capture = capture

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """(exit code, standard output, standard error)."""
        self.capture.readouterr()
        try:
            code = self.runner.main(args=["curate", *map(str, arguments)], standalone_mode=False) or 0
        except Exception as error:  # noqa: BLE001 - as the command line does
            code = complain(error)
        out, err = self.capture.readouterr()
        return int(code), out, err

    def fine(self, *arguments: object) -> str:
        code, out, err = self(*arguments)
        assert code == 0, err
        return out


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shell]:
    for name in [name for name in os.environ if name.startswith("INQUISIGHT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield Shell(capsys)
    get_settings.cache_clear()


def photographs(folder: Path) -> Path:
    """The two free photographs of the repository, and a few drawn scenes."""
    folder.mkdir()
    for name in ("cat.jpg", "coffee.jpg"):
        shutil.copy(PHOTOS / name, folder)
    for number, colour in enumerate(("red", "blue", "green")):
        image = Image.new("RGB", (260, 260), "white")
        ImageDraw.Draw(image).ellipse((60, 60, 200, 200), fill=colour)
        image.save(folder / f"scene{number}.png")
    return folder


@pytest.mark.slow
def test_from_photographs_to_a_data_set_with_the_embedded_model(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("langchain_openai")
    work, out = tmp_path / "work", tmp_path / "stage2"
    pictures = photographs(tmp_path / "photos")
    code, _, err = shell("generate", work, pictures, "--vision", "pocket")
    assert code == 2 and "pocket follows no instructions" in err and "--anyway" in err
    asks = tmp_path / "asks.toml"
    asks.write_text('instructions = ["Describe this picture in detail.", "What is in the picture?"]\n', "utf-8")
    said = shell.fine(
        *("generate", work, pictures, "--vision", "pocket", "--anyway", "--instructions", asks),
        *("--temperature", 0, "--max-new-tokens", 40, "--min-tokens", 30, "--batch", 2),
    )
    assert said == "5 new, 5 texts of 5 pictures\n"
    made = {one["id"]: one for one in map(json.loads, (work / "generated.jsonl").read_text("utf-8").splitlines())}
    assert "cat" in made["cat"]["parts"][0].lower() and made["cat"]["instruction"]
    assert any(len(one["parts"]) == 2 for one in made.values())
    assert shell.fine("generate", work) == "nothing left to do, 5 texts of 5 pictures\n"

    with repair_server() as url:
        monkeypatch.setenv("INQUISIGHT_BASE_URL", url)
        get_settings.cache_clear()
        prices = ("--price-in", 1000, "--price-out", 1000)
        told = shell.fine("repair", work, "--repairer", "openai:mender", *prices)
    assert "5 new, " in told and "calls, " in told and ", cost " in told
    shell.fine("verify", work, "--reviewer", "anna", "--sheet", tmp_path / "sheet.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "sheet.jsonl").read_text("utf-8").splitlines()]
    write_lines(tmp_path / "sheet.jsonl", [{**row, "kinds": []} for row in rows])
    read = shell.fine("verify", work, "--reviewer", "anna", "--read-sheet", tmp_path / "sheet.jsonl")
    assert f"{len(rows)} of {len(rows)} texts labelled by anna" in read

    own = tmp_path / "rules.toml"
    own.write_text(shell.fine("defaults", "rules").replace("below = 15", "below = 3"), "utf-8")
    counted = shell.fine("rules", work, "--rules", own)
    kept = int(counted.split()[0])
    assert kept >= 2 and kept + int(counted.split()[2]) == 5
    assert shell.fine("export", work, "--to", out) == f"{kept} pairs written to {out}\n"
    annotations = json.loads((out / "filter_cap.json").read_text("utf-8"))["annotations"]
    captions = {one["image_id"]: one["caption"] for one in annotations}
    assert len(captions) == kept and "cat" in captions["cat"].lower()
    assert (out / "image" / "cat.jpg").read_bytes() == (PHOTOS / "cat.jpg").read_bytes()
    told = shell.fine("status", work)
    assert "generate  5 of 5 pictures" in told and "cost " in told and f"{kept} kept" in told
    assert json.loads(shell.fine("status", work, "--json"))["rules"]["kept"] == kept
    report = Path(shell.fine("report", work).strip())
    assert report == work / "report" / "report.md" and "pocket" in report.read_text("utf-8")


@pytest.mark.slow
def test_the_commands_of_the_documentation_work_as_they_stand(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = re.search(r"```sh\n(.*?)```", (ROOT / "docs" / "curate.md").read_text("utf-8"), re.DOTALL)
    assert block
    shutil.copytree(PHOTOS, tmp_path / "examples" / "photos")
    monkeypatch.chdir(tmp_path)
    told = ""
    for line in block[1].splitlines():
        words = shlex.split(line)
        if words[:2] == ["inquisight", "curate"]:
            told = shell.fine(*words[2:])
        else:
            subprocess.run(["bash", "-c", line], check=True, timeout=60)
    assert "3 kept, 0 dropped" in told, "the status, which comes last"
    assert len(json.loads((tmp_path / "stage2" / "filter_cap.json").read_text("utf-8"))["annotations"]) == 3


def test_options_that_are_left_out_keep_their_values_and_again_begins_anew(shell: Shell, tmp_path: Path) -> None:
    folder = generated_folder(tmp_path, 3).path
    assert shell.fine("repair", folder, "--repairer", "rules", "--limit", "1") == "1 new, 1 texts repaired\n"
    assert shell.fine("repair", folder) == "2 new, 3 texts repaired\n"
    code, _, err = shell("repair", folder, "--tries", "5")
    assert code == 2 and "--tries 2, not 5" in err and "--again" in err
    code, out, err = shell("repair", folder, "--repairer", "rules", "--tries", "5", "--again")
    assert code == 0 and out == "3 new, 3 texts repaired\n" and "earlier/001-repair" in err
    assert (folder / "earlier" / "001-repair" / "repaired.jsonl").is_file()


def test_wordings_by_rules_and_the_files_people_may_edit(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    lines = shell.fine("paraphrase", "Describe this image in detail.", "--n", 3, "--to", file).splitlines()
    assert len(lines) == 3 and all(line in file.read_text("utf-8") for line in lines)
    code, _, err = shell("paraphrase", "Describe this image in detail.", "--to", file)
    assert code == 2 and "exists already" in err
    for name in ("instructions", "repair", "kinds", "rules"):
        assert shell.fine("defaults", name).startswith("#")
    assert "repeated_share\t" in shell.fine("signs")
    assert "broken_end\t1\t" in shell.fine("signs", "A dog and")


BAD: list[tuple[list[str], int, list[str]]] = [
    (["status", "nowhere"], 2, ["nowhere", "curate generate"]),
    (["generate", "new"], 2, ["new", "no curation"]),
    (["generate", "new", "nothing-here"], 2, ["nothing-here", "does not exist"]),
    (["generate", "new", "pictures", "--kind", "zip"], 2, ["--kind", "zip", "cc_sbu_align"]),
    (["generate", "new", "pictures", "--vision", "pockte"], 3, ["pockte", "did you mean 'pocket'"]),
    (["generate", "new", "pictures", "--anyway", "--batch", "0"], 2, ["--batch", "0"]),
    (["generate", "new", "pictures", "--anyway", "--batch", "many"], 2, ["--batch", "many"]),
    (["generate", "new", "pictures", "--anyway", "--top-p", "7"], 2, ["--top-p", "7"]),
    (["generate", "new", "pictures", "--anyway", "--instructions", "no.toml"], 2, ["no.toml", "curate defaults"]),
    (["repair", "work"], 2, ["--repairer", "rules"]),
    (["repair", "work", "--repairer", "rules", "--concurrency", "0"], 2, ["--concurrency", "0"]),
    (["repair", "work", "--repairer", "rules", "--max-cost", "1"], 2, ["--price-in"]),
    (["repair", "work", "--repairer", "rules", "--price-in", "-1"], 2, ["--price-in", "-1"]),
    (["repair", "work", "--repairer", "rules", "--requests-per-second", "0"], 2, ["--requests-per-second"]),
    (["repair", "work", "--repairer", "rules", "--temperature", "9"], 2, ["--temperature", "9"]),
    (["repair", "work", "--repairer", "rules", "--prompts", "no.toml"], 2, ["no.toml"]),
    (["verify", "work"], 2, ["--reviewer"]),
    (["verify", "work", "--reviewer", " "], 2, ["--reviewer"]),
    (["verify", "work", "--reviewer", "anna"], 2, ["curate repair"]),
    (["rules", "work"], 2, ["no repaired text yet", "--partly"]),
    (["export", "work", "--to", "out"], 2, ["curate rules"]),
    (["export", "work"], 2, ["--to"]),
    (["paraphrase", "Hi"], 2, ["too short"]),
    (["paraphrase", "Describe this image.", "--n", "0"], 2, ["--n", "0"]),
    (["defaults", "prompts"], 2, ["prompts", "instructions, repair, kinds, rules"]),
    (["frobnicate"], 2, ["frobnicate"]),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input_is_one_line_that_names_the_way_out(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "pictures", 2)
    generated_folder(tmp_path / "made", 2).path.rename(tmp_path / "work")
    got, out, err = shell(*arguments)
    assert got == code, err
    [line] = err.splitlines()
    assert line.startswith("inquisight: ") and not out
    for word in words:
        assert word in line


def test_the_view_says_when_there_is_no_terminal(shell: Shell, tmp_path: Path) -> None:
    folder = generated_folder(tmp_path, 2).path
    shell.fine("repair", folder, "--repairer", "rules")
    code, _, err = shell("verify", folder, "--reviewer", "anna")
    assert code == 2 and "needs a terminal" in err and "--sheet" in err


@pytest.mark.slow
def test_declaring_and_looking_things_up_imports_no_model_library() -> None:
    code = """
import sys, typer
from training.curation.commands import add_to
app = typer.Typer()
app.callback()(lambda: None)
add_to(app)
for words in (["--help"], ["generate", "--help"], ["signs"], ["defaults", "rules"], ["paraphrase", "Describe this."]):
    typer.main.get_command(app).main(args=["curate", *words], standalone_mode=False)
print("MODULES", sorted(set(sys.modules) & {"torch", "transformers", "langchain", "langchain_core", "openai"}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("MODULES []")


def test_nothing_described_is_no_success(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_text("no picture at all")
    code, out, err = shell("generate", tmp_path / "work", tmp_path / "photos", "--vision", "pocket", "--anyway")
    assert (code, out) == (1, "1 new, 0 texts of 1 pictures; 1 failed, see `inquisight curate status`\n")
    assert "Traceback" not in err
