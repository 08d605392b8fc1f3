"""Make the environment for salesforce-lavis, with uv or else with venv and pip. Started again, it goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.errors import BackendError, UsageError, printable
from core.isolated.environment import foreign_environment
from plugins.lavis.environment import EYE, INSTALL, PACKAGE, PINS, Environment, choose

PYTHON: Final = (3, 11)  # tokenizers 0.13, which transformers 4.26 needs, was not built for a newer one
# How pip and uv say that nobody answered; the last one stands for an index that had nothing to give.
_NO_INDEX: Final = re.compile(
    r"connection|connect error|error sending request|timed out|name resolution|dns error|unreachable|"
    r"from versions: none", re.IGNORECASE
)  # fmt: skip
_PROBE_SECONDS: Final = 120.0
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
        installer = _installer(environment, uv)
        # Two of the libraries have no wheels; their builds, which compile nothing, shall not get a newer setuptools.
        say("1/3: setuptools")
        installer.add(["-c", str(PINS), "setuptools"], "setuptools could not be installed")
        say(f"2/3: the libraries it needs, {PINS.name}")
        installer.add(["--no-build-isolation", "-r", str(PINS)], "the libraries could not be installed")
        say(f"3/3: {PACKAGE}")
        installer.add(["--no-deps", PACKAGE], f"{PACKAGE} could not be installed")
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
        env=foreign_environment(os.environ),
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
    base = _base(python, fetches=uv is not None)
    say(f"making '{printable(folder)}' with {base}" + (" by uv" if uv else ""))
    make = [uv, "venv", "--python", base] if uv else [base, "-m", "venv"]
    if _code([*make, str(folder)], failure := "the environment could not be made"):
        raise BackendError(f"{failure}; its own words are above.")


def _base(python: str | None, *, fetches: bool) -> str:
    """A Python that is here, or its version for uv, which fetches it. Raises UsageError."""
    try:
        return find_python(python)
    except UsageError:
        if python is not None or not fetches:
            raise
        return _dotted()


@dataclass(frozen=True, slots=True)
class _Installer:
    """pip or uv, aimed at an environment. `again`: how it asks the index anew without changing anything."""

    command: Sequence[str]
    again: Sequence[str]

    def add(self, what: Sequence[str], failure: str) -> None:
        """Install; the program's own words go where ours go. Raises BackendError."""
        code = _code([*self.command, *what], failure)
        if code and self.finds_no_index():
            raise BackendError(
                f"{failure}: no package index answers (PyPI, or the one that pip and uv are set up with); check the "
                f"connection, then run `{INSTALL}` again: it goes on from here."
            )
        if code:
            raise BackendError(
                f"{failure} (exit code {code}, its own words are above); `{INSTALL}` again goes on from here."
            )

    def finds_no_index(self) -> bool:
        """Whether a package that surely exists cannot be found either, for want of a connection."""
        try:
            done = subprocess.run(
                [*self.command, *self.again, "--dry-run", "--no-deps", PACKAGE],
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=_PROBE_SECONDS,
                env=foreign_environment(os.environ, installs=True),
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode != 0 and _NO_INDEX.search(done.stdout + done.stderr) is not None


def _installer(environment: Environment, uv: str | None) -> _Installer:
    python = str(environment.python)
    if uv:
        return _Installer([uv, "pip", "install", "--python", python], ["--no-cache", "--reinstall"])
    return _Installer(
        [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install"],
        ["--no-cache-dir", "--ignore-installed", "--retries", "1", "--timeout", "15"],
    )


def _code(command: Sequence[str], failure: str) -> int:
    """The exit code; the output goes where ours goes. Raises BackendError where it cannot be started."""
    sys.stdout.flush()
    try:
        return subprocess.run(command, check=False, env=foreign_environment(os.environ, installs=True)).returncode
    except OSError as error:
        raise BackendError(f"{failure}: {printable(command[0])} cannot be started ({error.strerror}).") from None


def _version(python: str) -> str:
    """ "3.11"; empty where it does not run."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _VERSION],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=foreign_environment(os.environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _dotted() -> str:
    return ".".join(map(str, PYTHON))
