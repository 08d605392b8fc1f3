"""`inquisight new-plugin`: each kind of package installs, passes its tests, is listed and works by name."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from agents.cli import run
from agents.cli.new_plugin.command import KINDS, LONGEST, write_package
from tests.test_third_party_plugin import ROOT, Environment

LONG = "night-owl_of-the-old-barn-abcd"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with a plugin of each kind: the vision model new-vision, the questioner new-questioner, ..."""
    made = Environment(tmp_path_factory.mktemp("fresh"))
    packages = [made.folder / "written" / kind for kind in KINDS]
    for kind, package in zip(KINDS, packages, strict=True):
        assert run(["new-plugin", f"new-{kind}", "--kind", kind, "--folder", str(package)]) == 0
    made.install(*packages)
    image = Image.new("RGB", (48, 32), (40, 70, 210))
    image.paste((255, 255, 255), (0, 0, 12, 8))
    image.save(made.folder / "sea.png")
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_it_passes_the_tests_it_inherits(environment: Environment, kind: str) -> None:
    folder = environment.source(Path(kind))
    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder))
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout and "skipped" not in done.stdout


def test_plugins_lists_them_without_a_problem(environment: Environment) -> None:
    done = environment.inquisight("plugins")
    assert done.returncode == 0 and "left out" not in done.stdout, done.stdout
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    listed = {(row[1], row[3]) for row in rows if row[2]}
    assert listed >= {(f"new-{kind}", f"inquisight-new-{kind}") for kind in KINDS}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("caption", "--vision", "new-vision", "--questioner", "new-questioner", "sea.png"), "mostly blue"),
        (("examine", "--witness", "new-witness", "sea.png"), "bright part"),
        (("caption", "--vision", "new-vision:x", "sea.png"), "takes no argument"),
    ],
)
def test_it_works_by_name(environment: Environment, command: tuple[str, ...], words: str) -> None:
    done = environment.inquisight(*command)
    assert words in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_the_trainer_has_a_command(environment: Environment) -> None:
    for label in ("sea", "sand"):
        (environment.folder / "pictures" / label).mkdir(parents=True)
        Image.new("RGB", (8, 8), {"sea": "blue", "sand": "wheat"}[label]).save(
            environment.folder / "pictures" / label / "1.png"
        )
    (environment.folder / "recipe.toml").write_text('pictures = "pictures"\n', encoding="utf-8")
    done = environment.inquisight("train-new-trainer", "recipe.toml", "--out", "model")
    assert done.stdout.strip() == str(Path("model", "model.json")), done.stderr
    wrong = environment.inquisight("train-new-trainer", "missing.toml", "--out", "model")
    assert wrong.returncode != 0 and "missing.toml" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.parametrize("name", ["a", LONG])
def test_the_code_is_formatted_and_has_nothing_to_complain_about(tmp_path: Path, name: str) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed")
    for kind in KINDS:
        write_package(name, kind, tmp_path / kind)
        for arguments in (
            ["check", "--select", "I"],  # the order of imports, as in a project of its own
            ["check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "I001"],
            ["format", "--diff"],
        ):
            done = subprocess.run(
                [*ruff, *arguments, "--no-cache", "."],
                cwd=tmp_path / kind,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_are_right(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    for kind in KINDS:
        write_package(f"new-{kind}", kind, tmp_path / kind)
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache")]
    folders = [str(tmp_path / kind / part) for kind in KINDS for part in ("src", "tests")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *folders],
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_what_to_type_next_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["new-plugin", LONG, "--kind", "witness"]) == 0
    printed = capsys.readouterr().out
    folder = f"inquisight-{LONG}"
    assert f"pip install -e ./{folder}\n" in printed and f"--witness {LONG}" in printed
    assert (tmp_path / folder / "pyproject.toml").is_file() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("Owl", "vision", "lower-case letters"),
        ("2owl", "vision", "beginning with a letter"),
        ("owl-", "vision", "'owl-' cannot be the name"),
        ("a.b", "vision", "'a.b' cannot be the name"),
        ("../owl", "vision", "'../owl' cannot be the name"),
        ("", "vision", "'' cannot be the name"),
        ("猫", "vision", "cannot be the name"),
        ("o" * (LONGEST + 1), "vision", f"at most {LONGEST}"),
        ("none", "witness", "--witness"),
        ("ollama", "questioner", "--questioner"),
        ("pocket", "vision", "vision backend of inquisight"),
        ("stage1", "vision", "trainer of inquisight"),
        ("evaluation", "witness", "plugin of inquisight"),
        ("owl", "eye", "take vision, questioner, witness or trainer"),
    ],
)
def test_wrong_names_and_kinds_end_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str, words: str
) -> None:
    folder = tmp_path / "new"
    assert run(["new-plugin", "--kind", kind, "--folder", str(folder), "--", name]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, file = tmp_path / "mine", tmp_path / "file"
    folder.mkdir()
    file.write_text("mine", encoding="utf-8")
    for taken, words in ((folder, "exists already"), (file, "exists already"), (file / "below", "cannot be written")):
        assert run(["new-plugin", "owl", "--kind", "vision", "--folder", str(taken)]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1
    assert not list(folder.iterdir()) and file.read_text(encoding="utf-8") == "mine"
