"""What witnesses found, in a real browser: boxes over the image, a switch, the history, a choice of witnesses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browser.test_interview_browser import LONG, described, start, upload

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
Visit = Callable[..., Any]
IMAGE = "[data-testid=stImage] img"


def switch(page: Any) -> Any:
    return page.get_by_role("switch", name="Show what was found")


def toggled(page: Any) -> None:
    """Turn the switch, and wait for the other image."""
    before = page.locator(IMAGE).first.get_attribute("src")
    page.get_by_text("Show what was found", exact=True).click()
    expect(page.locator(IMAGE).first).not_to_have_attribute("src", before, timeout=LONG)


def test_boxes_can_be_switched_and_are_in_the_history(visit: Visit, photos: dict[str, Path]) -> None:
    page = visit()
    upload(page, photos["cat"])
    start(page)
    described(page)
    expect(page.get_by_text("Which things can be made out, and where?").first).to_be_visible()
    expect(page.get_by_text("answered by detector").first).to_be_visible()
    expect(switch(page)).to_be_checked()
    drawn, alt = (page.locator(IMAGE).first.get_attribute(name) for name in ("src", "alt"))
    toggled(page)
    expect(switch(page)).not_to_be_checked()
    assert page.locator(IMAGE).first.get_attribute("alt") == alt, "its description stays"
    toggled(page)
    assert page.locator(IMAGE).first.get_attribute("src") == drawn
    page.get_by_role("link", name="History").click()
    page.get_by_role("button", name=re.compile("^Open cat")).first.click()
    expect(page.get_by_text("answered by detector").first).to_be_visible(timeout=LONG)
    expect(switch(page)).to_be_checked()
    toggled(page)


def test_witnesses_can_be_left_out(visit: Visit, photos: dict[str, Path]) -> None:
    page = visit()
    page.get_by_text("Settings", exact=True).click()
    box = page.locator("[data-testid=stMultiSelect]").filter(has_text="Witnesses")
    expect(box.get_by_text("detector", exact=True)).to_be_visible()
    while (remove := box.get_by_role("button", name=re.compile("^Remove "))).count():
        count = remove.count()
        remove.first.click()
        expect(remove).to_have_count(count - 1, timeout=LONG)
    upload(page, photos["cat"])
    start(page)
    described(page)
    expect(page.get_by_text("Which things can be made out, and where?")).to_have_count(0)
    expect(switch(page)).to_have_count(0)
