"""Every page by axe-core's rules (https://github.com/dequelabs/axe-core), and a way through with the keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browser.test_interview_browser import LONG, described, start, upload

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
Axe: Any = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python, which holds axe-core"
).Axe
Visit = Callable[..., Any]
PATHS = ("", "chat", "video", "compare", "history", "gallery", "curate", "train", "setup", "plugins")


def serious(page: Any) -> list[str]:
    """The violations that keep somebody from using the page, each with its first element."""
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=LONG)
    page.mouse.move(0, 0)
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary'][:200]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_no_page_has_a_serious_violation(visit: Visit, path: str, scheme: str) -> None:
    page = visit(path, color_scheme=scheme, reduced_motion="reduce")
    assert serious(page) == []


@pytest.mark.parametrize("how", [{"color_scheme": "dark"}, {"viewport": {"width": 400, "height": 860}}])
def test_a_finished_interview_has_no_serious_violation(
    visit: Visit, photos: dict[str, Path], how: dict[str, Any]
) -> None:
    page = visit(reduced_motion="reduce", **how)
    upload(page, photos["cat"])
    start(page)
    described(page)
    assert serious(page) == []
    page.get_by_role("link", name=re.compile("^Transcript")).click()
    page.get_by_role("button", name="Back to the list").wait_for()
    assert serious(page) == []


def test_an_example_is_captioned_and_edited_with_the_keyboard_alone(visit: Visit) -> None:
    page = visit(viewport={"width": 400, "height": 860})
    page.get_by_text("An example of a result").wait_for()

    def tab_to(name: str, role: str = "button") -> None:
        wanted = page.get_by_role(role, name=re.compile(name)).first
        wanted.wait_for()
        for _ in range(80):
            page.keyboard.press("Tab")
            if wanted.evaluate("one => one === document.activeElement"):
                return
        raise AssertionError(f"{name} is not reached with the Tab key")

    tab_to("^Upload$", "radio")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    if page.get_by_role("button", name=re.compile("Coffee$")).count() == 0:
        page.keyboard.press("Space")
    tab_to("(?<!: )Coffee$")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("^coffee.jpg")).first.wait_for()
    tab_to("^play_arrow Start$|^Start$")
    page.keyboard.press("Enter")
    described(page)
    tab_to("Edit the caption$")
    page.keyboard.press("Enter")
    box = page.get_by_role("dialog").get_by_role("textbox", name="Caption")
    box.wait_for()
    if not box.evaluate("one => one === document.activeElement"):
        tab_to("^Caption$", "textbox")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("An espresso in a red cup.")
    tab_to("^Save$")
    page.keyboard.press("Enter")
    expect(page.locator(".iq-caption.summary")).to_contain_text("An espresso in a red cup.", timeout=LONG)
