"""The gallery in a real browser: scrolling, selection, captions edited in place, find and replace, undo, uploads."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browser.gallery.conftest import LONG, Dashboard, make_pictures

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
expect.set_options(timeout=60_000)

FOCUSED = """(function deep(root) {
    const one = root.activeElement;
    return one && one.shadowRoot ? deep(one.shadowRoot) : one && one.getAttribute("role");
})(document)"""


def card(page: Any, name: str) -> Any:
    return page.get_by_role("gridcell", name=re.compile(rf"^{re.escape(name)}\."))


def until_text(path: Path, text: str, page: Any) -> None:
    """Wait for a text file."""
    for _ in range(400):
        if path.exists() and path.read_text("utf-8").strip() == text:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{path.name} is {path.read_text('utf-8') if path.exists() else 'missing'}, not {text}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_pictures(tmp_path / "pictures")


@pytest.fixture
def page(dashboard: Callable[..., Dashboard], visitor: Callable[..., Any], folder: Path) -> Any:
    return visitor(dashboard(folder).start())


def test_captions_are_edited_in_place(page: Any, folder: Path) -> None:
    expect(card(page, "p000.jpg")).to_contain_text("A cat beside the number 0.")
    card(page, "p001.jpg").get_by_text("No caption").click()
    box = page.get_by_role("textbox", name="Caption of p001.jpg")
    box.fill("Written by hand, ü")
    box.press("Control+Enter")
    expect(card(page, "p001.jpg")).to_contain_text("Saved")
    expect(card(page, "p001.jpg")).to_contain_text("edited")
    assert (folder / "p001.txt").read_text("utf-8") == "Written by hand, ü\n"
    # Escape cancels
    page.keyboard.press("Enter")
    box.fill("Not this")
    box.press("Escape")
    expect(card(page, "p001.jpg")).to_contain_text("Written by hand, ü")
    # leaving the field saves
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Caption of p002.jpg").fill("By leaving it")
    page.get_by_role("heading", level=1).click()
    until_text(folder / "p002.txt", "By leaving it", page)
    assert (folder / "p001.txt").read_text("utf-8") == "Written by hand, ü\n"
    page.get_by_role("button", name="Undo").click()
    expect(card(page, "p002.jpg")).to_contain_text("No caption")
    assert not (folder / "p002.txt").exists() or not (folder / "p002.txt").read_text().strip()


def test_nothing_typed_is_lost_by_a_reload(page: Any, folder: Path) -> None:
    card(page, "p001.jpg").get_by_text("No caption").click()
    page.get_by_role("textbox", name="Caption of p001.jpg").press_sequentially("Half a sent")
    page.reload()
    expect(card(page, "p001.jpg")).to_contain_text("Half a sent", timeout=LONG)
    until_text(folder / "p001.txt", "Half a sent", page)


def test_what_another_program_wrote_meanwhile_is_shown(page: Any, folder: Path) -> None:
    card(page, "p000.jpg").get_by_text("A cat").click()
    box = page.get_by_role("textbox", name="Caption of p000.jpg")
    box.fill("Mine")
    (folder / "p000.txt").write_text("Of another program.\n")
    box.press("Control+Enter")
    expect(page.get_by_text("This caption was changed elsewhere")).to_be_visible()
    assert (folder / "p000.txt").read_text() == "Of another program.\n"
    box = page.get_by_role("textbox", name="Caption of p000.jpg")
    expect(box).to_have_value("Mine")  # offered again
    box.press("Control+Enter")
    until_text(folder / "p000.txt", "Mine", page)


def test_selection_by_mouse_and_keys(page: Any) -> None:
    status = page.get_by_role("status").filter(has_text="pictures")
    at = {"position": {"x": 120, "y": 100}}
    card(page, "p001.jpg").click(**at)
    expect(status).to_have_text("40 pictures, 1 selected")
    card(page, "p004.jpg").click(modifiers=["Shift"], **at)
    expect(status).to_have_text("40 pictures, 4 selected")
    card(page, "p002.jpg").click(modifiers=["Control"], **at)
    expect(status).to_have_text("40 pictures, 3 selected")
    expect(card(page, "p002.jpg")).to_have_attribute("aria-selected", "false")
    page.keyboard.press("Control+a")
    expect(status).to_have_text("40 pictures, 40 selected")
    page.keyboard.press("Escape")
    expect(status).to_have_text("40 pictures")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowDown")
    expect(card(page, "p000.jpg")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(card(page, "p039.jpg")).to_be_focused()
    page.get_by_role("button", name="Select all").click()
    expect(status).to_have_text("40 pictures, 40 selected")


def test_filters_and_order(page: Any) -> None:
    show = page.get_by_role("combobox", name="Show")
    expect(show.locator("option").nth(1)).to_have_text("No caption (30)")
    show.select_option("none")
    status = page.get_by_role("status").filter(has_text="pictures")
    expect(status).to_have_text("30 pictures of 40")
    show.select_option("all")
    page.get_by_role("searchbox", name="Contains").fill("NUMBER 12")
    expect(page.get_by_role("gridcell")).to_have_count(1)
    page.reload()  # the filter stays
    expect(page.get_by_role("searchbox", name="Contains")).to_have_value("NUMBER 12")
    expect(page.get_by_role("gridcell")).to_have_count(1)
    page.get_by_role("searchbox", name="Contains").fill("")
    page.get_by_role("checkbox", name="reversed").check()
    expect(page.get_by_role("gridcell").first).to_have_attribute("aria-label", re.compile(r"^p039\.jpg"))


def test_find_and_replace_with_a_preview_and_undo(page: Any, folder: Path) -> None:
    page.get_by_role("button", name="Find and replace").click()
    form = page.get_by_role("dialog", name="Find and replace")
    expect(form).to_contain_text("all 40 pictures shown")
    form.get_by_role("textbox", name="Find").fill("cat")
    form.get_by_role("textbox", name="Replace with").fill("dog")
    expect(form).to_contain_text("10 captions change.")
    expect(form.locator("ins").first).to_have_text("dog")
    assert "cat" in (folder / "p000.txt").read_text()
    form.get_by_role("button", name="Replace").click()
    expect(card(page, "p000.jpg")).to_contain_text("A dog beside")
    assert (folder / "p036.txt").read_text() == "A dog beside the number 36.\n"
    # of the selection only
    card(page, "p004.jpg").click(position={"x": 120, "y": 100})
    page.get_by_role("button", name="Prefix").click()
    form = page.get_by_role("dialog", name="prefix")
    form.get_by_role("textbox", name="Prefix").fill("ohwx dog, ")
    expect(form).to_contain_text("1 caption changes.")
    form.get_by_role("button", name="Change").click()
    expect(card(page, "p004.jpg")).to_contain_text("ohwx dog, A dog")
    page.get_by_role("button", name="Undo").click()
    expect(card(page, "p004.jpg")).not_to_contain_text("ohwx")
    page.get_by_role("button", name="Undo").click()
    expect(card(page, "p000.jpg")).to_contain_text("A cat beside")
    assert (folder / "p036.txt").read_text() == "A cat beside the number 36.\n"


def test_redo_trim_and_versions(page: Any, folder: Path) -> None:
    card(page, "p000.jpg").get_by_text("A cat").click()
    page.get_by_role("textbox", name="Caption of p000.jpg").fill("Two  blanks")
    page.keyboard.press("Control+Enter")
    until_text(folder / "p000.txt", "Two  blanks", page)
    page.get_by_role("button", name="Trim").click()
    form = page.get_by_role("dialog", name="Remove superfluous spaces")
    expect(form).to_contain_text("1 caption changes.")
    form.get_by_role("button", name="Trim").click()
    until_text(folder / "p000.txt", "Two blanks", page)
    page.get_by_role("button", name="Undo").click()
    until_text(folder / "p000.txt", "Two  blanks", page)
    page.get_by_role("button", name="Redo").click()
    until_text(folder / "p000.txt", "Two blanks", page)
    card(page, "p000.jpg").focus()
    page.keyboard.press("Control+z")
    until_text(folder / "p000.txt", "Two  blanks", page)
    page.keyboard.press("Control+y")
    until_text(folder / "p000.txt", "Two blanks", page)
    page.keyboard.press("o")
    view = page.get_by_role("dialog", name="Picture")
    view.get_by_text("Versions").click()
    first = view.locator(".versions li").last
    expect(first).to_contain_text("A cat beside the number 0.")
    expect(view.locator(".versions li").first).to_contain_text("now")
    first.get_by_role("button", name="Restore").click()
    until_text(folder / "p000.txt", "A cat beside the number 0.", page)
    expect(view.get_by_role("textbox", name="Caption")).to_have_value("A cat beside the number 0.")
    expect(view.locator(".versions li").first).to_contain_text("the first text again")


def test_the_full_view_by_keys(page: Any, folder: Path) -> None:
    card(page, "p000.jpg").click(position={"x": 120, "y": 100})
    page.keyboard.press("o")
    view = page.get_by_role("dialog", name="Picture")
    expect(view.get_by_role("heading")).to_have_text("p000.jpg")
    page.keyboard.press("ArrowRight")
    expect(view.get_by_role("heading")).to_have_text("p001.jpg")
    box = view.get_by_role("textbox", name="Caption")
    box.fill("From the full view")
    page.keyboard.press("PageDown")
    expect(view.get_by_role("heading")).to_have_text("p002.jpg")
    until_text(folder / "p001.txt", "From the full view", page)
    page.keyboard.press("Escape")
    expect(view).not_to_be_visible()
    expect(card(page, "p002.jpg")).to_be_focused()


def test_narrow_and_by_the_keyboard_alone(dashboard: Callable[..., Dashboard], visitor: Any, folder: Path) -> None:
    page = visitor(dashboard(folder).start(), viewport={"width": 400, "height": 800})
    page.get_by_role("gridcell").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.get_by_role("searchbox", name="Contains").focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused == "gridcell":
            break
    assert focused == "gridcell"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("By keys")
    page.keyboard.press("Control+Enter")
    until_text(folder / "p001.txt", "By keys", page)


def test_visitors_upload_and_see_only_their_own(
    dashboard: Callable[..., Dashboard], visitor: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    where = dashboard(Path(), "--password-file", str(secret)).start()
    pages = []
    for number in range(2):
        page = visitor(where, "gallery", password="open sesame")
        files = sorted(folder.glob("*.jpg"))[20 * number : 20 * number + 20]
        page.locator("input[type=file]").set_input_files([str(file) for file in files])
        expect(page.get_by_role("status").filter(has_text="20 pictures")).to_be_visible()
        pages.append(page)
    expect(card(pages[0], "p000.jpg")).to_be_visible()
    expect(card(pages[0], "p020.jpg")).to_have_count(0)
    expect(card(pages[1], "p020.jpg")).to_be_visible()
    pages[0].reload()
    expect(card(pages[0], "p000.jpg")).to_be_visible()
