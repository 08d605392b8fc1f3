"""`inquisight doctor` as people run it: text to paste, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.hardware import _within_limit
from tests.agents.plugin_on_disk import Shell
from tests.servers import model_server

pytestmark = pytest.mark.slow
SECRET = "sk-do-not-print-me"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.environment |= {"HF_HUB_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    return shell


def test_a_good_installation(shell: Shell) -> None:
    shell.environment |= {"OPENAI_API_KEY": SECRET, "INQUISIGHT_API_KEY": SECRET, "INQUISIGHT_VISON": "pocket"}
    done = shell.run("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    sections = [line for line in done.stdout.splitlines() if line and not line.startswith(" ")]
    assert sections[0].startswith("Inquisight ") and sections[-1] == "Problems"
    assert done.stdout.endswith("Problems\n  none\n")
    for words in ("blocks (default)", "curt (default)", "blocks-for-tests 1.0  loaded", "keys ", "pip install"):
        assert words in done.stdout
    assert "INQUISIGHT_API_KEY, OPENAI_API_KEY" in done.stdout
    assert "INQUISIGHT_VISON is no setting of Inquisight" in done.stdout
    assert SECRET not in done.stdout and str(shell.folder) not in done.stdout


def test_json(shell: Shell) -> None:
    shell.environment["OPENAI_API_KEY"] = SECRET
    done = shell.run("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["format"] == 1 and report["problems"] == []
    assert report["keys"]["OPENAI_API_KEY"] is True and report["keys"]["ANTHROPIC_API_KEY"] is False
    assert {"blocks", "pocket"} <= {one["name"] for one in report["vision"]}
    assert SECRET not in done.stdout and str(shell.folder) not in done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("INQUISIGHT_VISION", "minigpt4:nowhere", "the vision model minigpt4:nowhere: minigpt4:nowhere does not exist"),
        ("INQUISIGHT_QUESTIONER", "anthropic", "the questioner anthropic: "),
        ("INQUISIGHT_SEED", "often", "INQUISIGHT_SEED='often': "),
        ("INQUISIGHT_HOME", "/dev/null/home", "'/dev/null' is not a folder that can be written"),
    ],
)
def test_what_is_broken_has_exit_code_1(shell: Shell, variable: str, value: str, problem: str) -> None:
    done = shell.run("doctor", environment={variable: value})
    assert (done.returncode, done.stderr) == (1, "")
    assert problem in done.stdout.split("\nProblems\n")[1]


def test_servers_are_asked_on_request(shell: Shell) -> None:
    with model_server("secret-key-1") as server:
        shell.environment |= {"INQUISIGHT_BASE_URL": f"{server}/v1", "INQUISIGHT_API_KEY": "secret-key-1"}
        assert "\nServers\n" not in shell.run("doctor").stdout
        done = shell.run("doctor", "--connect")
        assert done.returncode == 0 and "answers, with 2 models" in done.stdout
        done = shell.run("doctor", "--connect", environment={"INQUISIGHT_QUESTIONER": "openai:gone"})
        assert done.returncode == 1 and "it answers, but has no model 'gone'; it has " in done.stdout
        done = shell.run("doctor", "--connect", environment={"INQUISIGHT_API_KEY": "another-key-1"})
        assert done.returncode == 0 and "refuses the key (status 401)" in done.stdout  # no default model is there
        assert "another-key-1" not in done.stdout
    done = shell.run("doctor", "--connect", environment={"INQUISIGHT_QUESTIONER": "openai:gone"})
    assert done.returncode == 1 and "the server of the questioner: nothing answers at 127.0.0.1" in done.stdout


def test_a_broken_plugin_is_a_problem(shell: Shell) -> None:
    (shell.folder / "site" / "blocks_plugin.py").write_text("import gone")
    done = shell.run("doctor", environment={"INQUISIGHT_VISION": "pocket", "INQUISIGHT_QUESTIONER": "scripted"})
    assert done.returncode == 1
    assert "the plugin blocks of blocks-for-tests: ModuleNotFoundError: No module named 'gone'" in done.stdout


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_broken_package_is_named_even_if_nothing_else_can_be_told(shell: Shell, options: tuple[str, ...]) -> None:
    (shell.folder / "site" / "huggingface_hub.py").write_text("raise ImportError('no such symbol')")
    done = shell.run("doctor", *options)
    assert (done.returncode, done.stderr) == (1, "")
    assert "ImportError: no such symbol" in done.stdout


def test_the_memory_of_a_container(tmp_path: Path) -> None:
    for name, text in {"max": "4000\n", "current": "3000\n", "stat": "anon 900\ninactive_file 2000\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert _within_limit(9000, 8000, tmp_path) == (4000, 3000)
    (tmp_path / "memory.max").write_text("max\n")
    assert _within_limit(9000, 8000, tmp_path) == (9000, 8000)
