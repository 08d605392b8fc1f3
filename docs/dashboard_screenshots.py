"""Pictures of every page of the dashboard: light, dark, and as narrow as a phone.

    python -m docs.dashboard_screenshots                             all of them, into docs/screenshots
    python -m docs.dashboard_screenshots interview compare --out /tmp/pictures --only light

Starts `inquisight ui` with a home of its own, goes the ways that people go, and takes the pictures. Needs Chromium
(`apt-get install chromium`, or INQUISIGHT_CHROMIUM) and Playwright's Python package.
"""

from __future__ import annotations

import argparse
import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
PHOTOS: Final = ROOT / "examples" / "photos"
PATIENCE: Final = 240_000  # milliseconds
WORLD: Final = "runs/pocket"  # what the pages Curate and Train show, below the folder that the dashboard starts in
MOST_HIGH: Final = 2400  # pixels of a picture
HIGH: Final = {
    "interview": 860,
    "train": 1250,
    "video": 1500,
}  # of pages whose end says no more than their beginning, where they are wide
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 400, "height": 860}, "color_scheme": "light", "device_scale_factor": 2},
}


def start(page: Any) -> None:
    """The first page before an image is added."""
    page.get_by_text("An example of a result").wait_for()
    page.get_by_role("radio", name="Example").click()
    page.get_by_role("button", name="image Coffee").wait_for()


def interview(page: Any) -> None:
    """A picture, and what two models say about it, with a question in between."""
    _upload(page, "street.jpg")
    page.get_by_role("button", name=re.compile("^Start")).click()
    page.get_by_role("button", name="Caption (TXT)").wait_for()
    box = page.get_by_role("textbox", name="Ask your own question")
    box.fill("Is there a car?")
    box.press("Enter")
    page.get_by_text("your question").first.wait_for()
    page.get_by_role("button", name="Caption (TXT)").wait_for()


def compare(page: Any) -> None:
    """One picture, one column per model."""
    _upload(page, "coffee.jpg")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_role("button", name="All captions (ZIP)").wait_for()


def chat(page: Any) -> None:
    """Questions about a picture, one of them asked otherwise."""
    _upload(page, "cat.jpg")
    box = page.get_by_role("textbox", name="Ask about your images")
    for number, question in enumerate(("What is it?", "What colour is it?"), start=1):
        box.fill(question)
        box.press("Enter")
        page.get_by_role("button", name=f"Edit question {number}").wait_for()
    page.get_by_role("button", name="Regenerate answer 2").click()
    page.get_by_text("version 2 of 2").wait_for()
    page.get_by_role("button", name="Transcript (JSON)").wait_for()


def video(page: Any) -> None:
    """The example film, told, with one of its frames chosen."""
    page.get_by_role("radio", name="Example").click()
    page.get_by_role("button", name="A cat and a cup of coffee").click()
    page.get_by_text(re.compile(r"^example\.webm")).first.wait_for()
    page.get_by_role("button", name=re.compile("^Start")).click()
    page.get_by_role("button", name="Contact sheet").wait_for()
    page.get_by_role("button", name=re.compile("^Frame 4 at ")).click()
    page.get_by_text(re.compile("^Frame 4 at ")).first.wait_for()
    page.wait_for_function("document.querySelector('video').readyState > 1 && !document.querySelector('video').seeking")


def history(page: Any) -> None:
    """Two interviews and a chat, each kept when it was made."""
    address = page.url.rpartition("/")[0]
    page.goto(address, timeout=PATIENCE)
    page.get_by_role("heading", level=1).wait_for()
    interview(page)
    page.goto(f"{address}/chat", timeout=PATIENCE)
    page.get_by_role("heading", name="Chat", level=1).wait_for()
    chat(page)
    page.goto(f"{address}/history", timeout=PATIENCE)
    page.get_by_role("button", name="Open").first.wait_for()
    page.get_by_role("checkbox").nth(1).check(force=True)
    page.get_by_role("button", name="Delete 1 selected").wait_for()


def gallery(page: Any) -> None:
    """A folder of which the models have captioned some pictures."""
    _fill(page, "Folder of pictures", _photographs())
    page.get_by_role("gridcell").first.wait_for()
    page.get_by_role("combobox", name="Show").locator("option").nth(1).wait_for(state="attached")
    if page.get_by_role("gridcell", name="No caption").count():
        page.get_by_role("button", name="Caption", exact=True).click()
        form = page.get_by_role("dialog", name="Caption pictures")
        form.get_by_label("Estimate").wait_for()
        form.get_by_role("button", name="Start").click()
    page.get_by_text("Last run:").wait_for()
    page.get_by_role("gridcell").nth(1).click(position={"x": 120, "y": 90})
    page.wait_for_timeout(2000)  # the thumbnails are in a shadow tree


def gallery_view(page: Any) -> None:
    """One of them, large."""
    gallery(page)
    page.keyboard.press("o")
    page.get_by_role("dialog", name="Picture").get_by_text("Dialogue:").wait_for()
    page.wait_for_timeout(2000)


def curate(page: Any) -> None:
    """A text under review, with one error ticked by its key."""
    _fill(page, "Folder with curations", _world())
    _fill(page, "Your name", "Ada")
    page.get_by_role("button", name=re.compile("^Draw the sample|invented")).first.wait_for()
    draw = page.get_by_role("button", name="Draw the sample")
    if draw.count():
        draw.click()
    page.get_by_role("button", name=re.compile("invented")).wait_for()
    page.locator("[data-testid=stImage] img").first.wait_for()
    page.keyboard.press("t")
    page.get_by_role("button", name="Save, next").wait_for()


def train(page: Any) -> None:
    """Two trainings over each other."""
    _fill(page, "Folder with training runs", _world())
    page.get_by_text("Sample outputs").first.wait_for()
    page.get_by_role("combobox", name="Training runs").click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.get_by_role("heading", level=1).click()
    page.get_by_text("Sample outputs of from-nothing").wait_for()
    page.get_by_text("Sample outputs of from-pocket").wait_for()
    page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg)").first.wait_for()


@lru_cache(maxsize=1)
def _place() -> Path:
    """The folder that the dashboard is started in. Pictures show its name: a short one, where that is free."""
    place = Path(tempfile.gettempdir()) / "inquisight"
    try:
        place.mkdir(0o700)
    except FileExistsError:
        place = Path(tempfile.mkdtemp(prefix="inquisight-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


@lru_cache(maxsize=1)
def _world() -> str:
    """A curation and two trainings, made when they are first needed; where, as somebody would type it."""
    from docs.dashboard_world import make

    make(_place() / WORLD)
    return WORLD


@lru_cache(maxsize=1)
def _photographs() -> str:
    """A folder of pictures, three of them without a caption; where, as somebody would type it."""
    from docs.dashboard_world import make_pictures

    for number, path in enumerate(make_pictures(_place() / "photos")):
        if number in (0, 1, 5):
            path.with_suffix(".txt").unlink()
    return "photos"


def _fill(page: Any, name: str, value: str) -> None:
    box = page.get_by_role("textbox", name=name)
    box.fill(value)
    box.press("Enter")


def setup(page: Any) -> None:
    """The form for a server's model, filled in."""
    for name, value in (("Address", "http://localhost:8000/v1"), ("Model", "Qwen/Qwen3-VL-8B-Instruct")):
        page.get_by_role("textbox", name=name).fill(value)  # Enter would begin the test
    page.get_by_role("heading", level=1).click()
    page.get_by_role("button", name="Test").first.wait_for()


def just_open(page: Any) -> None:
    """The page as it is when it is opened."""


PAGES: Final[dict[str, Callable[[Any], None]]] = {
    "start": start,
    "interview": interview,
    "chat": chat,
    "video": video,
    "compare": compare,
    "gallery": gallery,
    "gallery-view": gallery_view,
    "history": history,
    "curate": curate,
    "train": train,
    "setup": setup,
    "plugins": just_open,
}


def _upload(page: Any, name: str) -> None:
    page.locator("input[type=file]").first.set_input_files(str(PHOTOS / name))
    page.get_by_text(re.compile(rf"^{re.escape(name)}")).first.wait_for()


@contextmanager
def dashboard(home: str) -> Iterator[str]:
    """Where it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", "ui", "--port", "0", "--no-browser"],
        cwd=_place(),
        env={
            **os.environ,
            "INQUISIGHT_HOME": home,
            "INQUISIGHT_ROUNDS": "6",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("Inquisight is at ").partition(" ")[0]
    finally:
        process.terminate()
        process.wait(60)


def take(browser: Any, where: str, name: str, look: str, out: Path) -> Path:
    """One picture of one page."""
    context = browser.new_context(**LOOKS[look], reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        page.goto(f"{where}/{'' if name in ('start', 'interview') else name.partition('-')[0]}", timeout=PATIENCE)
        page.get_by_role("heading", level=1).wait_for()
        PAGES[name](page)
        page.wait_for_function("!document.querySelector('[data-testid=stSkeleton], [data-testid=stSpinner]')")
        page.wait_for_function("[...document.images].every((one) => one.complete)")
        page.mouse.move(0, 0)
        high = page.evaluate("document.querySelector('.stMain').scrollHeight")
        most = MOST_HIGH if look == "narrow" else HIGH.get(name, MOST_HIGH)
        page.set_viewport_size({"width": LOOKS[look]["viewport"]["width"], "height": min(most, max(860, int(high)))})
        page.evaluate("document.querySelector('.stMain').scrollTop = 0")
        file = out / f"{name}-{look}.png"
        page.screenshot(path=str(file), animations="disabled")
        return file
    finally:
        context.close()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(PAGES)} [all]")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--only", choices=list(LOOKS), help="one look [all]")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.pages if name not in PAGES]
    if unknown:
        parser.error(f"there is no page {unknown[0]!r}; there is {', '.join(PAGES)}")
    program = os.environ.get("INQUISIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("this needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    arguments.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="inquisight-screenshots-") as home,
        dashboard(home) as where,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name in arguments.pages or PAGES:
            for look in [arguments.only] if arguments.only else LOOKS:
                print(take(browser, where, name, look, arguments.out), flush=True)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
