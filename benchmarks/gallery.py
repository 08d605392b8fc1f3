"""The gallery with ten thousand pictures in a real browser: first screen, scrolling, memory; and many visitors at once.

    python -m benchmarks.gallery                       10,000 pictures, then 20 visitors with uploads of their own
    python -m benchmarks.gallery --pictures 1000 --visitors 4 --json

The pictures are made, each different. Needs Chromium and Playwright's Python package. The figures depend on the
machine; exit code 1 means that a visitor got something of another one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
from PIL import Image, ImageDraw

ROOT: Final = Path(__file__).resolve().parents[1]
PATIENCE: Final = 300_000  # milliseconds
UPLOADS: Final = 6  # pictures of each visitor
SHOWN: Final = """() => {
  const root = [...document.querySelectorAll("*")].map((one) => one.shadowRoot)
    .find((one) => one?.querySelector(".grid"));
  if (!root) { return false; }
  const box = root.querySelector(".scroller").getBoundingClientRect();
  const seen = [...root.querySelectorAll(".card img")].filter((one) => {
    const place = one.getBoundingClientRect();
    return place.bottom > box.top && place.top < Math.min(box.bottom, innerHeight);
  });
  return seen.length > 0 && seen.every((one) => one.complete && one.naturalWidth > 0);
}"""
SCROLLER: Final = """[...document.querySelectorAll("*")].map((one) => one.shadowRoot)
  .find((one) => one?.querySelector(".grid")).querySelector(".scroller")"""
JUMP: Final = f"""(share) => {{
  const one = {SCROLLER};
  one.scrollTop = share * (one.scrollHeight - one.clientHeight);
}}"""
LABELS: Final = "(all) => all.map((one) => one.getAttribute('aria-label'))"
SMOOTH: Final = f"""() => new Promise((done) => {{
  const scroller = {SCROLLER}, gaps = [];
  let last = performance.now(), left = 240;
  const step = (now) => {{
    gaps.push(now - last);
    last = now;
    scroller.scrollTop += 60;
    if (--left) {{ requestAnimationFrame(step); }} else {{ done(gaps.slice(1)); }}
  }};
  requestAnimationFrame(step);
}})"""


def make_pictures(folder: Path, count: int, seed: int = 0) -> None:
    """Different JPEGs of 640 x 480 pixels, half of them with a caption."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    for number in range(count):
        image = Image.new("RGB", (640, 480), tuple(chance.randrange(256) for _ in range(3)))
        draw = ImageDraw.Draw(image)
        for _ in range(5):
            x, y, r = chance.randrange(640), chance.randrange(480), chance.randrange(20, 160)
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(chance.randrange(256) for _ in range(3)))
        draw.text((20, 20), f"{seed}-{number}", fill="white", font_size=60)
        image.save(folder / f"s{seed}-{number:05}.jpg", quality=80)
        if number % 2:
            (folder / f"s{seed}-{number:05}.txt").write_text(f"Circles on a plain colour, picture {number} of many.\n")


@contextmanager
def dashboard(home: Path, *arguments: str) -> Iterator[tuple[str, psutil.Process]]:
    """(address, process) of `inquisight ui`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INQUISIGHT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", "ui", *arguments, "--port", "0", "--no-browser"],
        cwd=ROOT,
        env={**kept, "INQUISIGHT_HOME": str(home), "INQUISIGHT_LOAD_PLUGINS": "", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise SystemExit("the dashboard did not start; what it said stands above")
        yield said.removeprefix("Inquisight is at ").partition(" ")[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def megabytes(process: psutil.Process) -> float:
    """Resident memory of a process and its children; pages that they share count for each."""
    found = [process, *process.children(recursive=True)]
    return float(round(sum(one.memory_info().rss for one in found if one.is_running()) / 1e6, 1))


def browser_memory() -> float:
    """Proportional memory of this browser's processes, in MB."""
    mine = psutil.Process().children(recursive=True)
    return float(round(sum(one.memory_full_info().pss for one in mine if "chrom" in one.name()) / 1e6, 1))


def shown(page: Any) -> float:
    """Milliseconds until every thumbnail in sight is drawn."""
    began = time.perf_counter()
    page.wait_for_function(SHOWN, timeout=PATIENCE)
    return (time.perf_counter() - began) * 1000


def scroll_to(page: Any, share: float) -> float:
    """Milliseconds from a jump to the thumbnails there."""
    page.evaluate(JUMP, share)
    page.wait_for_timeout(40)  # the rows are drawn with the next frame
    return 40 + shown(page)


def large_folder(browser: Any, count: int) -> dict[str, Any]:
    """The figures of one folder."""
    facts: dict[str, Any] = {"pictures": count}
    with tempfile.TemporaryDirectory(prefix="inquisight-gallery-") as name:
        folder, home = Path(name) / "pictures", Path(name) / "home"
        make_pictures(folder, count)
        with dashboard(home, str(folder)) as (where, process):
            facts["server_mb_before"] = megabytes(process)
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            for visit in ("first", "second"):
                began = time.perf_counter()
                page.goto(where)
                page.get_by_role("gridcell").first.wait_for()
                shown(page)
                facts[f"{visit}_screen_s"] = round(time.perf_counter() - began, 2)
            chance = random.Random(1)
            places = [chance.random() for _ in range(12)]
            for kind in ("new", "cached"):
                took = [scroll_to(page, place) for place in places]
                facts[f"jump_{kind}_ms_median"] = round(statistics.median(took))
                facts[f"jump_{kind}_ms_worst"] = round(max(took))
            scroll_to(page, 0.5)
            gaps = sorted(page.evaluate(SMOOTH))
            facts["smooth_frame_ms_median"] = round(statistics.median(gaps), 1)
            facts["smooth_frame_ms_95th"] = round(gaps[int(0.95 * len(gaps))], 1)
            began = time.perf_counter()
            page.get_by_role("combobox", name="Show").select_option("none")
            page.get_by_role("status").filter(has_text=f"of {count:,}").wait_for()
            facts["filter_ms"] = round((time.perf_counter() - began) * 1000)
            page.get_by_role("combobox", name="Show").select_option("all")
            facts["cells_in_page"] = page.get_by_role("gridcell").count()
            facts["server_mb"], facts["browser_mb"] = megabytes(process), browser_memory()
            for place in range(100):
                scroll_to(page, place / 99)
            facts["server_mb_after_100_jumps"] = megabytes(process)
            facts["browser_mb_after_100_jumps"] = browser_memory()
            cached = list((home / "thumbnails").rglob("*.jpg"))
            facts["thumbnails_made"] = len(cached)
            context.close()
    return facts


def many_visitors(browser: Any, count: int) -> dict[str, Any]:
    """Everybody uploads, then tries to get what is the others'."""
    facts: dict[str, Any] = {"visitors": count, "uploads_each": UPLOADS}
    leaks: list[str] = []
    with tempfile.TemporaryDirectory(prefix="inquisight-gallery-") as name:
        secret = Path(name) / "secret"
        secret.write_text("open sesame\n")
        secret.chmod(0o600)
        with dashboard(Path(name) / "home", "--password-file", str(secret)) as (where, process):
            pages: list[Any] = []
            asked: list[set[str]] = [set() for _ in range(count)]
            contexts = [browser.new_context(viewport={"width": 900, "height": 700}) for _ in range(count)]
            began = time.perf_counter()
            for number, context in enumerate(contexts):
                context.set_default_timeout(PATIENCE)
                page = context.new_page()
                page.on("request", lambda request, number=number: asked[number].add(request.url))
                page.goto(f"{where}/gallery")
                page.get_by_role("textbox", name="Password").fill("open sesame")
                page.get_by_role("button", name="Log in").click()
                page.get_by_role("navigation").first.wait_for()
                page.goto(f"{where}/gallery")
                pages.append(page)
            for number, page in enumerate(pages):
                page.get_by_role("grid", name="Pictures").wait_for(state="attached")
                files = Path(name) / f"own-{number}"
                make_pictures(files, UPLOADS, seed=number + 1)
                page.locator("input[type=file]").set_input_files([str(one) for one in files.glob("*.jpg")])
            for number, page in enumerate(pages):
                page.get_by_role("status").filter(has_text=f"{UPLOADS} pictures").wait_for()
                shown(page)
                names = page.get_by_role("gridcell").evaluate_all(LABELS)
                leaks += [f"{number} sees {one}" for one in names if not one.startswith(f"s{number + 1}-")]
            facts["all_uploaded_and_shown_s"] = round(time.perf_counter() - began, 1)
            facts["server_mb"] = megabytes(process)
            own = [_library(urls) for urls in asked]
            tried = 0
            for number, page in enumerate(pages):
                for other, library in enumerate(own):
                    if other == number:
                        continue
                    for path in ("thumbnail/0", "picture/0", "find", "rows?numbers=0", "details/0"):
                        status = page.evaluate(
                            "(url) => fetch(url).then((one) => one.status)", f"{where}/gallery-data/{library}/{path}"
                        )
                        tried += 1
                        if status != 404:
                            leaks.append(f"{number} got {path} of {other}: {status}")
            facts["forged_requests"] = tried
            for context in contexts:
                context.close()
    facts["leaks"] = leaks
    return facts


def _library(urls: set[str]) -> str:
    return next(found[1] for url in urls if (found := re.search(r"/gallery-data/([0-9a-f]{32})/", url)))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    program = os.environ.get("INQUISIGHT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("this needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    facts: dict[str, Any] = {"cores": len(os.sched_getaffinity(0))}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        if arguments.pictures:
            facts |= large_folder(browser, arguments.pictures)
        if arguments.visitors:
            facts["several"] = many_visitors(browser, arguments.visitors)
        browser.close()
    lines = [f"{name}: {value}" for name, value in facts.items()]
    print(json.dumps(facts) if arguments.json else "\n".join(lines))
    return int(bool(facts.get("several", {}).get("leaks")))


if __name__ == "__main__":
    sys.exit(main())
