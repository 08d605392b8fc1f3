"""The page History in a real browser: addresses, titles, the way back, and names for screen readers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.ui.browser.test_interview_browser import LONG, described, start, upload
from tests.ui.browser.test_several_browser import names

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
Visit = Callable[..., Any]


def test_each_transcript_has_an_address_and_one_comes_back_to_ones_place(
    visit: Visit, server: str, photos: dict[str, Path], tmp_path: Path
) -> None:
    files = []
    for number in range(6):
        files.append(tmp_path / f"my_cat_{number}.jpg")
        Image.open(photos["cat"]).resize((200 + number, 150)).save(files[-1])
    page = visit()
    upload(page, *files)
    start(page)
    rows = page.locator("[class*=st-key-row-]")
    for number in range(6):
        expect(rows.nth(number)).to_contain_text("finished", timeout=LONG)
    described(page)
    page.get_by_role("link", name=re.compile("^Transcript")).click()
    page.get_by_role("button", name="Back to the list").wait_for()
    assert re.search(r"/history\?id=[0-9a-f]{64}$", page.url), page.url
    expect(page).to_have_title(re.compile(r"^my_cat_\d\.jpg · Inquisight$"))

    page.goto(f"{server}/history", timeout=LONG)
    expect(page).to_have_title("History · Inquisight")
    button = page.get_by_role("button", name="Open my_cat_1.jpg", exact=True)
    button.scroll_into_view_if_needed(timeout=LONG)
    box = page.get_by_role("textbox", name="Search")
    box.fill("cat")
    box.press("Enter")
    button.click()
    back = page.get_by_role("button", name="Back to the list")
    back.wait_for()
    expect(page).to_have_title("my_cat_1.jpg · Inquisight")
    address = page.url
    back.click()
    expect(page).to_have_title("History · Inquisight")
    expect(button).to_be_focused(timeout=LONG)
    expect(button).to_be_in_viewport()
    expect(box).to_have_value("cat")
    button.click()
    back.wait_for()
    page.go_back()
    expect(button).to_be_visible(timeout=LONG)
    expect(page).to_have_title("History · Inquisight")
    assert not [name for name in names(page) if "\\_" in name]

    other = visit(address.removeprefix(f"{server}/"))
    expect(other.get_by_role("heading", name="my_cat_1.jpg")).to_be_visible(timeout=LONG)
    other.goto(f"{server}/history?id=abc123", timeout=LONG)
    expect(other.get_by_text("There is no transcript 'abc123' that you may read")).to_be_visible(timeout=LONG)


@pytest.mark.parametrize(
    ("path", "title"),
    [("", "Interview"), ("chat", "Chat"), ("video", "Video"), ("compare", "Compare"), ("train", "Train"),
     ("curate", "Curate"), ("plugins", "Plugins and models")],
)  # fmt: skip
def test_each_tab_says_what_it_is(visit: Visit, path: str, title: str) -> None:
    page = visit(path)
    expect(page).to_have_title(f"{title} · Inquisight", timeout=LONG)
    here = [name for name in names(page) if name.startswith(("Remove", "Stop", "Open ", "Dismiss"))]
    assert len(here) == len(set(here)) and not [name for name in names(page) if "\\_" in name]
