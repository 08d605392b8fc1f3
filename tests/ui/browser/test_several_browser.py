"""Several pictures on the page Interview in a real browser: what is in view, has the focus, and is announced."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from tests.ui.browser.test_interview_browser import LONG, choose_eye, described, start, upload

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
Visit = Callable[..., Any]
NARROW = {"viewport": {"width": 400, "height": 800}}


@pytest.fixture
def three(photos: dict[str, Path], tmp_path: Path) -> list[Path]:
    """Photographs whose names would be Markdown."""
    files = [tmp_path / name for name in ("my_first_cat.jpg", "_DSC2_.jpg", "a [b](c) 3.jpg")]
    Image.open(photos["cat"]).save(files[0])
    Image.open(photos["coffee"]).save(files[1])
    ImageOps.mirror(Image.open(photos["cat"])).save(files[2])
    return files


def in_view(page: Any, place: str) -> bool:
    """Whether the upper edge of it is within the window."""
    top = page.evaluate(f"document.querySelector('{place}').getBoundingClientRect().top")
    return bool(0 <= top <= 250)


def names(page: Any) -> list[str]:
    """Of all buttons, as a screen reader has them."""
    tree = page.locator("body").aria_snapshot()
    return re.findall(r'button "((?:[^"\\]|\\.)*)"', tree)


def test_the_dialogue_comes_into_view_and_the_page_follows(visit: Visit, three: list[Path], allowed: Path) -> None:
    page = visit(**NARROW)
    choose_eye(page, "patient")
    upload(page, *three)
    allowed.write_text("1")
    start(page)
    talk = page.locator(".st-key-talk")
    expect(talk).to_contain_text("Image 1 of 3: my_first_cat.jpg", timeout=LONG)
    page.wait_for_function("document.activeElement.closest('.st-key-talk') !== null")
    page.wait_for_function("document.querySelector('.st-key-talk').getBoundingClientRect().top < 250")
    assert in_view(page, ".st-key-talk")
    rows = page.locator("[class*=st-key-row-]")
    expect(rows.nth(1)).to_contain_text("waiting, 1 ahead")
    expect(rows.nth(2)).to_contain_text("waiting, 2 ahead")
    here = names(page)
    removes = [name for name in here if name.startswith("Remove ")]
    assert len(removes) == len(set(removes)) == 3 and removes[0] == "Remove my_first_cat.jpg"
    assert not [name for name in here if "\\_" in name or "\\[" in name]
    page.get_by_role("button", name=removes[1], exact=True).click()
    expect(rows).to_have_count(2)
    page.wait_for_function("document.activeElement !== document.body")
    expect(rows.nth(0)).to_contain_text("running")
    expect(rows.nth(1)).to_contain_text("waiting, 1 ahead")
    live = page.locator("[role=log][aria-label='New answers']")
    expect(live).to_have_attribute("aria-live", "polite")
    allowed.unlink()
    expect(talk).to_contain_text("Image 2 of 2: a [b](c) 3.jpg", timeout=LONG)
    described(page)
    expect(live).to_contain_text("Caption:", timeout=LONG)
    expect(rows.nth(0)).to_contain_text("finished")
    rows.nth(0).get_by_role("button", name="my_first_cat.jpg", exact=True).click()
    expect(talk).to_contain_text("Image 1 of 2", timeout=LONG)


def test_who_writes_a_question_is_not_led_away(visit: Visit, three: list[Path], allowed: Path) -> None:
    page = visit()
    choose_eye(page, "patient")
    upload(page, *three[:2])
    allowed.write_text("1")
    start(page)
    talk = page.locator(".st-key-talk")
    expect(talk).to_contain_text("Image 1 of 2", timeout=LONG)
    box = page.get_by_role("textbox", name="Ask your own question")
    box.press_sequentially("Is there ")
    expect(page.get_by_role("button", name="Follow")).to_be_visible(timeout=LONG)
    allowed.unlink()
    expect(page.locator("[class*=st-key-row-]").nth(1)).to_contain_text("finished", timeout=LONG)
    expect(talk).to_contain_text("Image 1 of 2")
    expect(box).to_have_value("Is there ")
    box.press_sequentially("a dog?")
    box.press("Enter")
    expect(talk.get_by_text("Is there a dog?").first).to_be_visible(timeout=LONG)
