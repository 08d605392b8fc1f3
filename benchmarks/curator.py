"""A day of somebody who captions a folder, played in a real browser: minutes and clicks of each step.

    python -m training.photographs.fetch data/photographs
    python -m benchmarks.curator data/photographs --pictures 300
    python -m benchmarks.curator data/photographs --pictures 30 --alt       alt text for the pictures of a web page

The steps: caption all, look at the unsure ones, edit ten, replace a word, add a trigger word, export for a trainer, and
read the XMP sidecars with exiftool. The folder is copied. Typing takes as long as a fast typist needs. Needs Chromium,
Playwright's Python package and exiftool.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agents.captions.export import FORMATS
from benchmarks.gallery import PATIENCE, dashboard
from core.datasets.folders import find_pictures

LETTER: Final = 60  # milliseconds that a letter takes to type
LONGEST: Final = 3 * 3600 * 1000  # milliseconds of a run


@dataclass
class Step:
    """What one step took."""

    name: str
    clicks: int = 0
    keys: int = 0
    seconds: float = 0.0
    outcome: str = ""


@dataclass
class Person:
    """Counts clicks and keys."""

    page: Any
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """One step."""
        step = Step(name)
        self.steps.append(step)
        began = time.perf_counter()
        yield step
        step.seconds = time.perf_counter() - began
        print(f"{name}: {step.seconds:.0f} s, {step.clicks} clicks, {step.keys} keys. {step.outcome}", flush=True)

    def click(self, target: Any, **how: Any) -> None:
        """One click."""
        target.click(**how)
        self.steps[-1].clicks += 1

    def choose(self, box: Any, value: str) -> None:
        """A choice from a list: two clicks."""
        box.select_option(value)
        self.steps[-1].clicks += 2

    def press(self, *keys: str) -> None:
        """Keys one after another."""
        for key in keys:
            self.page.keyboard.press(key)
        self.steps[-1].keys += len(keys)

    def type(self, text: str) -> None:
        """A text, letter by letter."""
        self.page.keyboard.type(text, delay=LETTER)
        self.steps[-1].keys += len(text)


def caption_all(me: Person, count: int, style: str = "") -> None:
    """Have the models describe every picture."""
    page = me.page
    with me.step("caption all") as step:
        me.click(page.get_by_role("button", name="Caption", exact=True))
        form = page.get_by_role("dialog", name="Caption pictures")
        if style:
            me.click(form.get_by_role("combobox", name="Text"))
            me.click(page.get_by_role("option", name=style))
        form.get_by_label("Estimate").wait_for()
        me.click(form.get_by_role("button", name="Start"))
        page.get_by_text("Last run:").wait_for(timeout=LONGEST)
        step.outcome = str(page.get_by_text("Last run:").inner_text())
        assert f"{count:,} captioned" in step.outcome.replace("Last run: ", "") or "could not" in step.outcome


def edit_ten(me: Person, show: str, words: str) -> None:
    """Filter, then edit ten captions in place, by the keyboard."""
    page = me.page
    with me.step(f"show '{show}' and edit ten") as step:
        me.choose(page.get_by_role("combobox", name="Show"), show)
        page.wait_for_timeout(1000)
        step.outcome = str(page.get_by_role("status").filter(has_text="picture").first.inner_text())
        page.get_by_role("gridcell").first.wait_for()
        me.click(page.get_by_role("gridcell").first.locator(".caption"))
        for number in range(10):
            me.press("End")
            me.type(f" {words}")
            if number < 9:
                me.press("PageDown")  # saves, and edits the next one
        me.press("Control+Enter")
        page.get_by_text("Saved").last.wait_for()
        me.choose(page.get_by_role("combobox", name="Show"), "edited")
        page.get_by_role("status").filter(has_text="10 pictures of").wait_for()
        me.choose(page.get_by_role("combobox", name="Show"), "all")


def change(me: Person, button: str, values: dict[str, str], done: str) -> None:
    """Find and replace, or a prefix, with a look at the preview."""
    page = me.page
    with me.step(button.lower()) as step:
        me.click(page.get_by_role("button", name=button, exact=True))
        form = page.locator("dialog.bulk")
        for label, text in values.items():
            me.click(form.get_by_role("textbox", name=label))
            me.type(text)
        form.locator("ins, del").first.wait_for()
        step.outcome = str(form.locator(".preview > p").inner_text())
        me.click(form.get_by_role("button", name=done))
        page.get_by_role("status").filter(has_text="changed. Undo").wait_for()


def export(me: Person, label: str, to: Path) -> Path:
    """Download one format."""
    page = me.page
    with me.step(f"export {label}") as step:
        me.click(page.get_by_role("button", name="Export", exact=True))
        form = page.get_by_role("dialog", name="Export captions")
        me.click(form.get_by_role("combobox", name="Format"))
        me.click(page.get_by_role("option", name=label, exact=True))
        form.get_by_text(next(one.about for one in FORMATS.values() if one.label == label)).wait_for()
        with page.expect_download(timeout=PATIENCE) as download:
            me.click(form.get_by_role("link", name="Download"))
        data = to / str(download.value.suggested_filename)
        download.value.save_as(data)
        step.outcome = f"{data.stat().st_size / 1e6:.1f} MB"
        me.click(form.get_by_role("button", name="Close"))
        form.wait_for(state="hidden")
    return data


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--alt", action="store_true", help="write alt text")
    arguments = parser.parse_args()
    program = os.environ.get("INQUISIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("this needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory(prefix="inquisight-curator-") as name, sync_playwright() as playwright:
        folder = Path(name) / "pictures"
        folder.mkdir()
        chosen = find_pictures([arguments.folder])[: arguments.pictures]
        for path in chosen:
            shutil.copy(path, folder / path.name)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        with dashboard(Path(name) / "home", str(folder)) as (where, _):
            context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            page.goto(where)
            page.get_by_role("gridcell").first.wait_for()
            me = Person(page)
            play(me, folder, len(chosen), alt=arguments.alt, scratch=Path(name))
        browser.close()
    total = Step("in all")
    for step in me.steps:
        total.clicks += step.clicks
        total.keys += step.keys
        total.seconds += step.seconds
    waiting = me.steps[0].seconds
    print(f"in all: {total.seconds / 60:.1f} minutes, of which {(total.seconds - waiting) / 60:.1f} at the screen; "
          f"{total.clicks} clicks, {total.keys} keys")  # fmt: skip
    return 0


def play(me: Person, folder: Path, count: int, *, alt: bool, scratch: Path) -> None:
    """All steps."""
    caption_all(me, count, "Alt text" if alt else "")
    if alt:
        edit_ten(me, "captioned", "In the shop.")
        data = export(me, "CSV", scratch)
        longest = max(len(one.read_text("utf-8").strip()) for one in folder.glob("*.txt"))
        print(f"{data.name}: {data.stat().st_size:,} bytes; the longest text has {longest} characters")
        return
    edit_ten(me, "unsure", "Seen from near by.")
    change(me, "Find and replace", {"Find": "picture", "Replace with": "photograph"}, "Replace")
    change(me, "Prefix", {"Prefix": "ohwx style, "}, "Change")
    data = export(me, "Pictures with text files", scratch)
    with zipfile.ZipFile(data) as archive:
        names = archive.namelist()
        texts = [archive.read(one).decode() for one in names if one.endswith(".txt")]
    assert len(texts) == count and all(one.startswith("ohwx style, ") for one in texts)
    print(f"{data.name}: {len(names)} files, {len(texts)} of them captions that begin with the trigger word")
    data = export(me, "XMP sidecars", scratch)
    with zipfile.ZipFile(data) as archive:
        archive.extractall(scratch / "xmp")
    if program := shutil.which("exiftool"):
        done = subprocess.run([program, "-j", "-q", "-Description", "-r", "-ext", "xmp", str(scratch / "xmp")],
                              capture_output=True, check=True)  # fmt: skip
        read = [one["Description"] for one in json.loads(done.stdout)]
        assert sorted(read) == sorted(one.strip() for one in texts)
        print(f"exiftool reads {len(read)} sidecars, each with the caption of the page")


if __name__ == "__main__":
    sys.exit(main())
