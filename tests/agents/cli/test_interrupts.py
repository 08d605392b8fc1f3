"""Ctrl-C and SIGTERM at any moment: no traceback, the right exit code, and what was done is kept."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agents.plugin_on_disk import Shell

# Sends the signal from within: when a module is imported, when Python runs its last functions, or when it waits for
# threads at its end. Nothing here depends on the clock.
_HOOK = """
import atexit, os, signal, sys, threading

AT, NUMBER = os.environ.get("INTERRUPT_AT", ""), int(os.environ.get("INTERRUPT_WITH", "2"))

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == AT:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), NUMBER)
        return None

def at_the_end():
    threading.main_thread().join()
    os.kill(os.getpid(), NUMBER)
    threading.Event().wait(60)  # Python waits for this thread, unless the signal ends it

if AT == "atexit":
    atexit.register(lambda: os.kill(os.getpid(), NUMBER))
elif AT == "threads":
    threading.Thread(target=at_the_end).start()
elif AT:
    sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    (tmp_path / "site" / "sitecustomize.py").write_text(_HOOK, "utf-8")
    made.picture()
    return made


def run(shell: Shell, *arguments: str, module: str = "agents.cli", **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a Python that was started for it, since the hook belongs to the start."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=shell.folder,
        env=shell.environment | more,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        check=False,
    )


def interrupted(
    shell: Shell, at: str, *arguments: str, module: str = "agents.cli", number: int = 2, **more: str
) -> str:
    """What a command that gets the signal there prints on standard output."""
    environment = {"INTERRUPT_AT": at, "INTERRUPT_WITH": str(int(number)), **more}
    done = run(shell, *arguments, module=module, **environment)
    assert done.returncode == 128 + number, (at, done.returncode, done.stderr[-600:])
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr[-600:]
    assert done.stderr.count("\n") <= 2, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("at", "number"),
    [
        ("typer", signal.SIGINT),
        ("typer", signal.SIGTERM),
        ("core.registry", signal.SIGINT),
        ("agents.cli.caption", signal.SIGTERM),
        ("PIL.Image", signal.SIGINT),
        ("sqlalchemy", signal.SIGINT),
        ("pydantic", signal.SIGINT),
    ],
)
def test_while_modules_are_imported(shell: Shell, at: str, number: int) -> None:
    interrupted(shell, at, "caption", "red.png", number=number)


@pytest.mark.parametrize(
    ("module", "at"),
    [
        ("agents.chatcaptioner", "agents.cli"),
        ("agents.chat", "core.errors"),
        ("agents.batch", "typer"),
        ("agents.video", "typer"),
        ("training.run", "torch"),
        ("training.curation.processes", "core.datasets.left_out"),
        ("ui.server.serve", "streamlit.web.cli"),
        ("inquisight", "agents.cli.main"),
    ],
)
def test_every_way_in(shell: Shell, module: str, at: str) -> None:
    interrupted(shell, at, "--help", module=module)


def test_while_a_model_library_is_imported(shell: Shell) -> None:
    for at in ("torch", "torch.nn"):
        interrupted(shell, at, "caption", "red.png", "--vision", "pocket")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", ["atexit", "threads"])
def test_after_the_last_line(shell: Shell, at: str, number: int) -> None:
    printed = interrupted(shell, at, "caption", "red.png", "--quiet", number=number)
    assert printed.startswith("The picture shows"), "all that was said is there"
    assert "red.png" in shell.run("history").stdout


def test_in_the_middle_what_was_done_is_kept(shell: Shell) -> None:
    done = shell.run("caption", "red.png", "--questioner", "interrupted")
    assert done.returncode == 130 and "Traceback" not in done.stderr
    Path(shell.environment["MENDED"]).touch()
    again = shell.run("caption", "red.png", "--questioner", "interrupted")
    assert again.returncode == 0 and "going on after 3 answers" in again.stderr
