"""Create the environment for salesforce-lavis, with uv or with venv and pip. An interrupted installation resumes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from core.errors import BackendError, UsageError, printable, why
from core.isolated.environment import foreign_environment
from plugins.lavis.environment import INSTALL, PACKAGE, PINS, WORKER, Environment, choose

PYTHON: Final = "3.11"  # tokenizers 0.13, which transformers 4.26 needs, has no wheels for newer ones
_VERSION: Final = "import sys; print('%d.%d' % sys.version_info[:2])"
Say = Callable[[str], None]


def install(environment: Environment, python: str | None = None, say: Say = print) -> dict[str, str]:
    """Install into `environment` and return the versions found there. Raises UsageError, BackendError.

    The output of pip or uv goes to this process's output.
    """
    state, folder = environment.state, environment.folder
    if state == "foreign":
        raise UsageError(f"'{printable(folder)}' holds something else; name an empty or new folder with --to.")
    uv = shutil.which("uv")
    if state == "missing":
        _create(environment, python, uv, say)
    elif not environment.python.exists() or _version(str(environment.python)) != PYTHON:
        raise UsageError(
            f"'{printable(folder)}' is an environment without a working Python {PYTHON}; remove it, and run "
            f"`{INSTALL}` again."
        )
    else:
        say(
            "everything is there already; checking it" if state == "ready" else f"continuing with '{printable(folder)}'"
        )
    if state != "ready":
        environment.unfinish()
        interpreter = str(environment.python)
        pip = [interpreter, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
        command = [uv, "pip", "install", "--python", interpreter] if uv else pip
        # Two libraries have no wheels; their builds, which compile nothing, must not get a newer setuptools.
        say("1/3: setuptools")
        _run([*command, "-c", str(PINS), "setuptools"], "setuptools could not be installed")
        say(f"2/3: the libraries it needs, {PINS.name}")
        _run([*command, "--no-build-isolation", "-r", str(PINS)], "the libraries could not be installed")
        say(f"3/3: {PACKAGE}")
        _run([*command, "--no-deps", PACKAGE], f"{PACKAGE} could not be installed")
    say("checking: importing lavis")
    versions = check(environment)
    environment.finish(versions)
    choose(environment)
    return versions


def check(environment: Environment) -> dict[str, str]:
    """Import LAVIS in `environment` and return the versions found. Raises BackendError."""
    done = _captured([str(environment.python), "-I", "-X", "utf8", str(WORKER)])
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = next(iter(done.stderr.strip().splitlines()[-1:]), f"exit code {done.returncode}")
        raise BackendError(
            f"lavis cannot be imported in '{printable(environment.folder)}': {printable(last)}; remove the folder and "
            f"run `{INSTALL}` again."
        )
    return {str(name): str(version) for name, version in json.loads(lines[-1]).items()}


def find_python(given: str | None, search: Sequence[str] = ()) -> str:
    """Find an interpreter of version `PYTHON`. Raises UsageError."""
    if given is not None:
        found = shutil.which(str(Path(given).expanduser()))
        if found is None:
            raise UsageError(f"--python {printable(given)} is no program; name an interpreter of Python {PYTHON}.")
        version = _version(found)
        if version != PYTHON:
            what = f"is Python {version}" if version else "is no Python"
            raise UsageError(f"--python {printable(given)} {what}, but salesforce-lavis needs {PYTHON}.")
        return found
    for candidate in search or (sys.executable, f"python{PYTHON}", "python3", "python"):
        found = shutil.which(candidate)
        if found and _version(found) == PYTHON:
            return found
    raise UsageError(
        f"salesforce-lavis needs Python {PYTHON}, and none was found: name one with --python, or install uv, which "
        "fetches it by itself."
    )


def _create(environment: Environment, python: str | None, uv: str | None, say: Say) -> None:
    folder = environment.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"'{printable(folder)}' cannot be made: {why(error)}; name another with --to.") from None
    try:
        base = find_python(python)
    except UsageError:
        if python is not None or not uv:
            raise
        base = PYTHON  # uv downloads it
    say(f"making '{printable(folder)}' with {base}" + (" by uv" if uv else ""))
    command = [uv, "venv", "--python", base] if uv else [base, "-m", "venv"]
    _run([*command, str(folder)], "the environment could not be made")


def _run(command: Sequence[str], failure: str) -> None:
    """Run pip, uv or venv with its output shown. Raises BackendError."""
    sys.stdout.flush()
    try:
        code = subprocess.run(command, check=False, env=foreign_environment(os.environ, installs=True)).returncode
    except OSError as error:
        raise BackendError(f"{failure}: {printable(command[0])} cannot be started ({why(error)}).") from None
    if code:
        raise BackendError(
            f"{failure} (exit code {code}, see its output above); check the connection to the package index and the "
            f"free disk space, then run `{INSTALL}` again, which continues here."
        )


def _version(python: str) -> str:
    """The version of an interpreter, "3.11"; empty if it does not run."""
    try:
        done = _captured([python, "-I", "-c", _VERSION], timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _captured(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        env=foreign_environment(os.environ),
        **options,
    )
