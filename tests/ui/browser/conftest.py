"""A real dashboard and a real browser: Debian's Chromium, driven by Playwright for Python.

    apt-get install chromium && pip install playwright          # the package alone; it downloads no browser
    make test-browser

Minutes long, so they run where INQUISIGHT_TEST_BROWSER=1 asks for them. INQUISIGHT_CHROMIUM names another browser.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
LONG = 120_000  # milliseconds; waiting ends at once when the thing is there


def chromium() -> str:
    """The browser's program, "" where there is none."""
    named = os.environ.get("INQUISIGHT_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "") or ""


# As a plugin package installs itself: pocket, whose answers wait while a file says how many are allowed.
PATIENT = """
import os, pathlib, time

from core import hookimpl
from plugins.pocket.backend import PocketBackend

ALLOWED = pathlib.Path(os.environ["PATIENT_FILE"])
given = 0


class Patient(PocketBackend):
    @property
    def name(self):
        return "patient"

    def replies(self, questions):
        global given
        while ALLOWED.exists() and given >= int(ALLOWED.read_text() or 0):
            time.sleep(0.02)
        given = given + len(questions) if ALLOWED.exists() else 0
        return super().replies(questions)


@hookimpl
def register_vision_backends(register):
    register("patient", "patient_eye:Patient", description="pocket, as slow as a test wants it.",
             capabilities={"follows_instructions": False, "streams": True, "max_images": 1, "languages": ("en",)})
"""


def install(folder: Path) -> None:
    """What pip leaves of a package."""
    (folder / "patient_eye.py").write_text(PATIENT)
    about = folder / "patient_eye-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: patient-eye\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[inquisight]\npatient = patient_eye\n")


@pytest.fixture(scope="session")
def allowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that says after how many answers the eye `patient` waits until the file is gone."""
    return tmp_path_factory.mktemp("patient") / "allowed"


@pytest.fixture(scope="session")
def wanted() -> None:
    """Skips where nobody asked for a browser."""
    if os.environ.get("INQUISIGHT_TEST_BROWSER", "") in ("", "0"):
        pytest.skip("INQUISIGHT_TEST_BROWSER=1 runs the tests in a browser")


@pytest.fixture(scope="session")
def server(wanted: None, allowed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `inquisight ui` answers, with the embedded eye and a home of its own."""
    home = tmp_path_factory.mktemp("home")
    install(allowed.parent)
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", "ui", "--port", "0", "--no-browser"],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")},
            "INQUISIGHT_HOME": str(home),
            "INQUISIGHT_LOAD_PLUGINS": "patient",
            "PYTHONPATH": os.pathsep.join([str(allowed.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PATIENT_FILE": str(allowed),
            "HF_HUB_OFFLINE": "1",
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("Inquisight is at "), "the dashboard did not start"
        yield said.removeprefix("Inquisight is at ").partition(" ")[0]
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def browser(wanted: None) -> Iterator[Any]:
    """Chromium without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright, to test in a browser")
    program = chromium()
    if not program:
        pytest.skip("apt-get install chromium, to test in a browser")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Any, server: str) -> Iterator[Callable[..., Any]]:
    """Opens a page as a visitor of its own: other cookies, other storage."""
    contexts = []

    def open_as_somebody(path: str = "", **how: Any) -> Any:
        context = browser.new_context(**how)
        contexts.append(context)
        context.set_default_timeout(LONG)
        page = context.new_page()
        page.goto(f"{server}/{path}", timeout=LONG)
        page.get_by_role("heading", level=1).wait_for(timeout=LONG)
        return page

    yield open_as_somebody
    for context in contexts:
        context.close()


@pytest.fixture
def photos() -> dict[str, Path]:
    """Photographs of the source."""
    return {path.stem: path for path in (ROOT / "examples" / "photos").glob("*.jpg")}
