"""Make the environment for salesforce-lavis, with uv or else with venv and pip. Started again, it goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from core.errors import BackendError, UsageError, printable
from core.isolated_process import environment as variables_for
from plugins.lavis.environment import EYE, INSTALL, PACKAGE, PINS, Environment, choose

PYTHON: Final = (3, 11)  # tokenizers 0.13, which transformers 4.26 needs, was not built for a newer one
_VERSION: Final = "import sys; print('%d.%d' % sys.version_info[:2])"
Say = Callable[[str], None]


def install(environment: Environment, python: str | None = None, say: Say = print) -> dict[str, str]:
    """Install into `environment` and give back the versions found there. Raises UsageError, BackendError.

    pip's or uv's own progress goes where ours goes.
    """
    state = environment.state
    folder = environment.folder
    if state == "foreign":
        raise UsageError(f"'{printable(folder)}' holds something else; name an empty or new folder with --to.")
    uv = shutil.which("uv")
    if state == "missing":
        _create(environment, python, uv, say)
    elif not environment.python.exists() or _version(str(environment.python)) != _dotted():
        raise UsageError(
            f"'{printable(folder)}' is an environment without a working Python {_dotted()}; remove it, and run "
            f"`{INSTALL}` again."
        )
    elif state == "ready":
        say("everything is there already; checking it")
    else:
        say(f"going on with '{printable(folder)}'")
    if state != "ready":
        environment.unfinish()
        installer = [uv, "pip", "install", "--python", str(environment.python)] if uv else _pip(environment)
        say(f"1/2: the libraries it needs, {PINS.name}")
        _run([*installer, "-r", str(PINS)], "the libraries could not be installed")
        say(f"2/2: {PACKAGE}")
        _run([*installer, "--no-deps", PACKAGE], f"{PACKAGE} could not be installed")
    say("checking: importing lavis")
    versions = check(environment)
    environment.finish(versions)
    choose(environment)
    return versions


def check(environment: Environment) -> dict[str, str]:
    """Import LAVIS over there; the versions found. Raises BackendError."""
    done = subprocess.run(
        [str(environment.python), "-I", "-X", "utf8", str(EYE)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        env=variables_for(os.environ),
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = next(iter(done.stderr.strip().splitlines()[-1:]), f"exit code {done.returncode}")
        raise BackendError(
            f"lavis cannot be imported in '{printable(environment.folder)}': {printable(last)}; remove the folder and "
            f"run `{INSTALL}` again."
        )
    versions = json.loads(lines[-1])
    return {str(name): str(version) for name, version in versions.items()}


def find_python(given: str | None, search: Sequence[str] = ()) -> str:
    """An interpreter of the version that is needed. Raises UsageError."""
    if given is not None:
        found = shutil.which(str(Path(given).expanduser()))
        if found is None:
            raise UsageError(f"--python {printable(given)} is no program; name an interpreter of Python {_dotted()}.")
        version = _version(found)
        if version != _dotted():
            what = f"is Python {version}" if version else "is no Python"
            raise UsageError(f"--python {printable(given)} {what}, but salesforce-lavis needs {_dotted()}.")
        return found
    for candidate in search or (sys.executable, f"python{_dotted()}", "python3", "python"):
        found = shutil.which(candidate)
        if found and _version(found) == _dotted():
            return found
    raise UsageError(
        f"salesforce-lavis needs Python {_dotted()}, and none was found: name one with --python, or install uv, which "
        "fetches it by itself."
    )


def _create(environment: Environment, python: str | None, uv: str | None, say: Say) -> None:
    folder = environment.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise UsageError(f"'{printable(folder)}' cannot be made: {reason}; name another with --to.") from None
    if uv:
        base = find_python(python) if python else _dotted()  # uv finds one of this version, or fetches it
        say(f"making '{printable(folder)}' with uv, Python {base}")
        _run([uv, "venv", "--python", base, str(folder)], "the environment could not be made")
        return
    base = find_python(python)
    say(f"making '{printable(folder)}' with {base}")
    _run([base, "-m", "venv", str(folder)], "the environment could not be made")


def _pip(environment: Environment) -> list[str]:
    return [str(environment.python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]


def _run(command: Sequence[str], failure: str) -> None:
    """Run with the output where ours goes. Raises BackendError."""
    sys.stdout.flush()
    try:
        code = subprocess.run(command, check=False, env=variables_for(os.environ)).returncode
    except OSError as error:
        raise BackendError(f"{failure}: {printable(command[0])} cannot be started ({error.strerror}).") from None
    if code:
        raise BackendError(
            f"{failure} (exit code {code}, its own words are above); `{INSTALL}` again goes on from here."
        )


def _version(python: str) -> str:
    """ "3.11"; empty where it does not run."""
    try:
        done = subprocess.run([python, "-I", "-c", _VERSION], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _dotted() -> str:
    return ".".join(map(str, PYTHON))
