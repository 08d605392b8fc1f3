"""A run from the gallery in a real browser, with the real batch engine: pause, reload, `kill -9` of the server."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browser.gallery.conftest import LONG, Dashboard, make_pictures

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
COUNT = 10
SOME = "23"  # answers: enough for some of the captions, not for all


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_pictures(tmp_path / "pictures", COUNT)
    for text in folder.glob("*.txt"):
        text.unlink()
    return folder


def start(page: Any) -> None:
    page.get_by_role("gridcell").first.wait_for()
    page.get_by_role("button", name="Caption", exact=True).click()
    form = page.get_by_role("dialog", name="Caption pictures")
    expect(form.get_by_label("Estimate")).to_contain_text(f"Pictures: {COUNT}", timeout=LONG)
    form.get_by_role("button", name="Start").click()
    expect(form).not_to_be_visible(timeout=LONG)


def captioned(folder: Path) -> dict[str, str]:
    return {one.stem: one.read_text("utf-8") for one in folder.glob("*.txt") if one.read_text("utf-8").strip()}


def wait_for(page: Any, folder: Path, least: int) -> None:
    for _ in range(1200):
        if len(captioned(folder)) >= least:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"only {len(captioned(folder))} captions")


def journal(home: Path) -> list[dict[str, Any]]:
    [path] = home.glob("gallery/*/runs/*/captions.jsonl.work/journal.jsonl")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def check_all(folder: Path, home: Path) -> None:
    """Every picture has the caption of the journal, each was captioned once, and saved once."""
    from core.captions.folder import CaptionFolder

    records = [one for one in journal(home) if one["kind"] == "done"]
    assert Counter(Path(one["key"]).stem for one in records) == Counter({f"p{n:03}": 1 for n in range(COUNT)})
    texts = captioned(folder)
    with CaptionFolder(folder) as captions:
        captions.refresh()
        for one in records:
            caption = one["caption"]
            text = caption["audited"] or caption["summary"] or caption["opening"] or caption["plain"]
            stem = Path(one["key"]).stem
            assert texts[stem].strip() == text.strip()
            assert len(captions.versions(f"{stem}.jpg")) == 1


def test_a_run_is_paused_and_goes_on_after_a_reload(
    dashboard: Callable[..., Dashboard], visitor: Callable[..., Any], folder: Path, allowed: Path
) -> None:
    allowed.write_text(SOME)
    page = visitor(dashboard(folder).start())
    start(page)
    wait_for(page, folder, 1)
    expect(page.get_by_text(re.compile(rf"^[1-9]\d* of {COUNT}"))).to_be_visible(timeout=LONG)
    expect(page.get_by_role("gridcell", name="No caption")).not_to_have_count(COUNT, timeout=LONG)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Continue")).to_be_visible(timeout=LONG)
    some = len(captioned(folder))
    assert 0 < some < COUNT
    page.reload()
    expect(page.get_by_text(re.compile(f"^{some} of {COUNT}, paused"))).to_be_visible(timeout=LONG)
    allowed.unlink()
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_text(f"Last run: {COUNT} captioned")).to_be_visible(timeout=LONG)
    wait_for(page, folder, COUNT)
    expect(page.get_by_role("gridcell", name="No caption")).to_have_count(0, timeout=LONG)


def test_pause_stays_in_view_on_a_phone(
    dashboard: Callable[..., Dashboard], visitor: Callable[..., Any], folder: Path, allowed: Path
) -> None:
    allowed.write_text(SOME)
    phone = {"width": 400, "height": 800}
    page = visitor(dashboard(folder).start(), viewport=phone, reduced_motion="reduce")
    start(page)
    pause = page.get_by_role("button", name="Pause")
    header = page.locator("[data-testid=stHeader]").bounding_box()
    for share in (0, 0.5, 1):
        page.locator(".stMain").evaluate("(one, share) => { one.scrollTop = share * one.scrollHeight; }", share)
        expect(pause).to_be_in_viewport(ratio=1, timeout=LONG)
        box = pause.bounding_box()
        assert box["y"] >= header["y"] + header["height"], "the header of the page does not cover it"
        at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
        assert pause.evaluate("(one, at) => one.contains(document.elementFromPoint(...at))", at), "it is on top"
    pause.click()
    expect(page.get_by_role("button", name="Continue")).to_be_visible(timeout=LONG)
    allowed.unlink()


@pytest.mark.parametrize("runs", [False, True], ids=["server", "server and run"])
def test_after_a_kill_of_the_server_the_run_goes_on(
    dashboard: Callable[..., Dashboard], visitor: Callable[..., Any], folder: Path, allowed: Path, runs: bool
) -> None:
    allowed.write_text(SOME)
    served = dashboard(folder)
    page = visitor(served.start())
    start(page)
    wait_for(page, folder, 1)
    served.kill(runs=runs)
    assert bool(served.batches()) is not runs
    assert len(captioned(folder)) < COUNT
    allowed.unlink()
    served.start()  # at the same address: the page connects again by itself
    page.reload()
    expect(page.get_by_text(f"Last run: {COUNT} captioned")).to_be_visible(timeout=LONG)
    wait_for(page, folder, COUNT)
    check_all(folder, served.home)


def test_what_a_person_edits_while_a_run_works_stays(
    dashboard: Callable[..., Dashboard], visitor: Callable[..., Any], folder: Path, allowed: Path
) -> None:
    allowed.write_text(SOME)
    page = visitor(dashboard(folder).start())
    start(page)
    wait_for(page, folder, 1)
    card = page.get_by_role("gridcell", name=re.compile(r"^p009\.jpg"))
    page.get_by_role("gridcell").first.focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.type("Mine")
    page.keyboard.press("Control+Enter")
    expect(card).to_contain_text("Saved", timeout=LONG)
    allowed.unlink()
    expect(page.get_by_text("edited by people meanwhile and kept")).to_be_visible(timeout=LONG)
    assert captioned(folder)["p009"] == "Mine\n"
    page.keyboard.press("o")
    view = page.get_by_role("dialog", name="Picture")
    expect(view).to_contain_text("Caption of the model")
    expect(view).to_contain_text("Dialogue: 2 questions")
