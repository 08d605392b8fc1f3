"""The pages Gallery and Interview in Firefox, by WebDriver BiDi.

apt-get install firefox-esr
make test-firefox          # with a version of Playwright that Firefox ESR understands
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browser.gallery.conftest import LONG, ROOT, Dashboard, make_pictures
from tests.ui.browser.gallery.test_gallery_editing import card, until_text

sync_api: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = sync_api.expect


@pytest.fixture(scope="module")
def browser(wanted: None) -> Iterator[Any]:
    """Firefox without a window, in place of Chromium."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("apt-get install firefox-esr, to test in Firefox")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.firefox.launch(channel="moz-firefox", executable_path=program)
        try:
            launched.new_context().close()
        except sync_api.Error as error:
            launched.close()
            if "unknown command" in str(error):
                pytest.skip("make test-firefox: this Playwright sends a command that this Firefox does not know")
            raise
        yield launched
        launched.close()


@pytest.mark.parametrize("width", [1280, 400])
def test_the_gallery(dashboard: Callable[..., Dashboard], visitor: Any, tmp_path: Path, width: int) -> None:
    folder = make_pictures(tmp_path / "pictures", 12)
    page = visitor(dashboard(folder).start(), viewport={"width": width, "height": 800})
    card(page, "p001.jpg").get_by_text("No caption").click()
    page.get_by_role("textbox", name="Caption of p001.jpg").fill("Written in Firefox")
    page.keyboard.press("Control+Enter")
    until_text(folder / "p001.txt", "Written in Firefox", page)
    expect(card(page, "p001.jpg")).to_contain_text("Saved", timeout=LONG)
    page.get_by_role("button", name="Undo").click()
    expect(card(page, "p001.jpg")).to_contain_text("No caption", timeout=LONG)
    page.get_by_role("button", name="Redo").click()
    until_text(folder / "p001.txt", "Written in Firefox", page)
    page.get_by_role("button", name="Find and replace").click()
    form = page.get_by_role("dialog", name="Find and replace")
    form.get_by_role("textbox", name="Find").fill("cat")
    form.get_by_role("textbox", name="Replace with").fill("dog")
    form.get_by_role("button", name="Replace").click()
    until_text(folder / "p000.txt", "A dog beside the number 0.", page)
    card(page, "p000.jpg").focus()
    page.keyboard.press("o")
    view = page.get_by_role("dialog", name="Picture")
    view.get_by_text("Versions").click()
    expect(view.locator(".versions li").last).to_contain_text("A cat beside", timeout=LONG)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_interview(dashboard: Callable[..., Dashboard], visitor: Any, tmp_path: Path) -> None:
    folder = make_pictures(tmp_path / "pictures", 1)
    page = visitor(dashboard(folder).start())
    page.goto(f"{page.url.rstrip('/')}/interview")
    page.get_by_role("heading", name="Interview", level=1).wait_for(timeout=LONG)
    page.locator("input[type=file]").first.set_input_files(str(ROOT / "examples" / "photos" / "cat.jpg"))
    page.get_by_role("button", name=re.compile("^Start")).click(timeout=LONG)
    expect(page.get_by_role("button", name="Caption (TXT)")).to_be_visible(timeout=LONG)
    expect(page.locator(".iq-caption.summary")).to_contain_text("cat", timeout=LONG)
