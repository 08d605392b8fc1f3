"""The ways people go on the page Interview, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
LONG = 120_000
Visit = Callable[..., Any]


def upload(page: Any, *files: Path) -> None:
    page.locator("input[type=file]").first.set_input_files([str(file) for file in files])
    expect(page.get_by_role("button", name=re.compile("^Start"))).to_be_enabled(timeout=LONG)


def start(page: Any) -> None:
    page.get_by_role("button", name=re.compile("^Start")).click()


def described(page: Any) -> None:
    """Wait for the end of the interview."""
    expect(page.get_by_role("button", name="Caption (TXT)")).to_be_visible(timeout=LONG)


def answers(page: Any) -> Any:
    return page.locator(".iq-turn .iq-a:not(.iq-dots)")


def questions_wanted(page: Any, number: int) -> None:
    page.get_by_text("Settings", exact=True).click()
    box = page.get_by_role("spinbutton", name="Questions", exact=True)
    box.fill(str(number))
    box.press("Enter")
    page.keyboard.press("Escape")


def test_upload_watch_and_take_home(visit: Visit, photos: dict[str, Path]) -> None:
    asked: list[str] = []
    page = visit()
    page.on("request", lambda request: asked.append(request.url))
    upload(page, photos["cat"])
    start(page)
    expect(answers(page).first).to_be_visible(timeout=LONG)
    described(page)
    for title in ("Caption", "Direct caption", "First answer"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Caption (TXT)").click()
    assert download.value.suggested_filename == "cat.txt"
    said = Path(download.value.path()).read_text("utf-8").strip()
    shown = page.locator(".iq-caption.summary").inner_text()
    assert said.split()[0] in shown
    alt = page.locator("[data-testid=stImage] img").first.get_attribute("alt")
    assert alt == said, "those who do not see the picture hear its description"
    own = page.url.split("/")[2]
    strangers = [url for url in asked if url.startswith("http") and url.split("/")[2] != own]
    assert strangers == [], "nothing is asked of anybody else"


def choose_eye(page: Any, name: str) -> None:
    page.locator("[data-test-script-state=notRunning]").wait_for()  # a page that is being drawn closes its lists
    box = page.get_by_role("combobox", name="Vision model")
    box.click()
    page.get_by_role("option", name=name, exact=True).click()
    expect(box).to_have_value(name)


def test_stop_and_go_on(visit: Visit, photos: dict[str, Path], allowed: Path) -> None:
    page = visit()
    choose_eye(page, "patient")
    upload(page, photos["cat"])
    allowed.write_text("4")
    start(page)
    expect(answers(page).first).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Stop", exact=True).click()
    allowed.unlink()
    expect(page.get_by_text(re.compile("^Stopped after"))).to_be_visible(timeout=LONG)
    changes = page.get_by_role("button", name=re.compile("^Correct answer"))
    before = changes.count()
    page.get_by_role("button", name="Resume").click()
    expect(changes.nth(before)).to_be_visible(timeout=LONG)  # one more than before
    described(page)


def test_a_reload_loses_nothing(visit: Visit, photos: dict[str, Path], allowed: Path) -> None:
    page = visit()
    choose_eye(page, "patient")
    upload(page, photos["coffee"])
    allowed.write_text("4")
    start(page)
    expect(answers(page).first).to_be_visible(timeout=LONG)
    first = answers(page).first.inner_text()
    page.reload()
    expect(answers(page).first).to_have_text(first, timeout=LONG)
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_visible(timeout=LONG)
    allowed.unlink()
    described(page)


def test_ask_in_between_and_put_an_answer_right(visit: Visit, photos: dict[str, Path]) -> None:
    page = visit()
    upload(page, photos["cat"])
    start(page)
    described(page)
    box = page.get_by_role("textbox", name="Ask your own question")
    box.fill("Is there a dog?")
    box.press("Enter")
    expect(page.get_by_text("Is there a dog?").first).to_be_visible(timeout=LONG)
    expect(page.get_by_text("your question").first).to_be_visible(timeout=LONG)
    described(page)
    page.get_by_role("button", name="Correct answer 1", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Correct answer").fill("There is a zebra in a river.")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("corrected by you")).to_be_visible(timeout=LONG)
    described(page)
    expect(answers(page).first).to_contain_text("There is a zebra in a river.")
    expect(page.locator(".iq-caption").last).to_contain_text("zebra")


def test_two_visitors_never_see_each_others_pictures(visit: Visit, photos: dict[str, Path]) -> None:
    one, other = visit(), visit()
    upload(one, photos["cat"])
    upload(other, photos["coffee"])
    start(one)
    start(other)
    described(one)
    described(other)
    for mine, theirs, page in (("cat.jpg", "coffee.jpg", one), ("coffee.jpg", "cat.jpg", other)):
        page.reload()
        described(page)
        expect(page.get_by_text(re.compile(re.escape(mine))).first).to_be_visible()
        assert theirs not in page.content()
    pictures = [page.locator("[data-testid=stImage] img").first.get_attribute("src") for page in (one, other)]
    assert pictures[0] != pictures[1]
    third = visit()
    assert "cat.jpg" not in third.content() and "coffee.jpg" not in third.content()


def test_paste_a_picture_larger_than_the_limit(visit: Visit) -> None:
    """The browser scales it down: noise of 3,000 x 3,000 pixels takes more than 20 MB as a PNG."""
    page = visit()
    page.get_by_role("radio", name="Paste").click()
    box = page.get_by_role("textbox", name=re.compile("Paste an image"))
    box.evaluate(
        """async (box) => {
            const canvas = document.createElement("canvas");
            canvas.width = canvas.height = 3000;
            const context = canvas.getContext("2d");
            const pixels = context.createImageData(3000, 3000);
            let state = 1;
            for (let at = 0; at < pixels.data.length; at += 4) {
                state ^= state << 13; state ^= state >>> 17; state ^= state << 5;  // xorshift32
                const value = state >>> 0;
                for (let part = 0; part < 3; part++) { pixels.data[at + part] = (value >>> (8 * part)) & 255; }
                pixels.data[at + 3] = 255;
            }
            context.putImageData(pixels, 0, 0);
            const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
            if (blob.size < 20e6) { throw new Error("only " + blob.size); }
            const files = new DataTransfer();
            files.items.add(new File([blob], "pasted.png", { type: "image/png" }));
            box.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true }));
        }"""
    )
    expect(page.get_by_text(re.compile(r"pasted\.jpg \("))).to_be_visible(timeout=LONG)


def test_paste_a_picture(visit: Visit, photos: dict[str, Path]) -> None:
    page = visit()
    page.get_by_role("radio", name="Paste").click()
    box = page.get_by_role("textbox", name=re.compile("^Paste an image here"))
    expect(box).to_be_visible(timeout=LONG)
    data = list(photos["coffee"].read_bytes())
    # What Ctrl+V does to the page: headless Chromium has no clipboard that a test could fill with a picture.
    box.evaluate(
        """(box, data) => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(data)], "pasted.jpg", { type: "image/jpeg" }));
            box.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files, bubbles: true, cancelable: true }));
        }""",
        data,
    )
    expect(page.get_by_text(re.compile(r"pasted\.jpg \("))).to_be_visible(timeout=LONG)


def test_copy_the_description(visit: Visit, photos: dict[str, Path]) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    upload(page, photos["cat"])
    questions_wanted(page, 2)
    start(page)
    described(page)
    page.get_by_role("button", name="Copy caption").click()
    expect(page.get_by_text("copied", exact=True)).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied and copied.split()[0] in page.locator(".iq-caption.summary").inner_text()


def test_a_file_that_is_no_picture_is_a_sentence(visit: Visit, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.png"
    wrong.write_text("these are notes")
    page = visit()
    page.locator("input[type=file]").first.set_input_files(str(wrong))
    alert = page.get_by_role("alert").filter(has_text="notes.png")
    expect(alert).to_be_visible(timeout=LONG)
    assert "Traceback" not in page.content()


@pytest.mark.parametrize("path", ["", "compare", "plugins"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(path: str, scheme: str, visit: Visit) -> None:
    page = visit(path, viewport={"width": 400, "height": 800}, color_scheme=scheme)
    wide = page.evaluate("document.querySelector('.stMain').scrollWidth")
    assert wide <= 400
    background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    dark = sum(map(int, re.findall(r"\d+", background)[:3])) < 384
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_stop_stays_in_view_on_a_phone(visit: Visit, photos: dict[str, Path], allowed: Path, scheme: str) -> None:
    page = visit(viewport={"width": 400, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
    choose_eye(page, "patient")
    upload(page, photos["cat"])
    allowed.write_text("6")
    start(page)
    expect(answers(page).nth(3)).to_be_visible(timeout=LONG)
    header = page.locator("[data-testid=stHeader]").bounding_box()
    bar = page.locator(":has(> [class*=st-key-running-])").last
    assert _background(bar) == _background(page.locator(".stApp")), "dialogue that scrolls below it does not show"
    for share in (0.5, 1):
        page.locator(".stMain").evaluate("(one, share) => { one.scrollTop = share * one.scrollHeight; }", share)
        stop = page.get_by_role("button", name="Stop")
        expect(stop).to_be_in_viewport(ratio=1)
        words = page.locator("[class*=st-key-running-] p").first
        expect(words).to_be_in_viewport(ratio=1)
        box, button = words.bounding_box(), stop.bounding_box()
        assert box["y"] >= header["y"] + header["height"], "the header of the page covers nothing of it"
        assert box["x"] + box["width"] <= button["x"] and button["x"] + button["width"] <= 400
    allowed.unlink()
    described(page)


def _background(part: Any) -> str:
    return str(part.evaluate("(one) => getComputedStyle(one).backgroundColor"))


def test_with_the_keyboard_alone(visit: Visit, photos: dict[str, Path]) -> None:
    page = visit()
    upload(page, photos["cat"])
    questions_wanted(page, 2)
    button = page.get_by_role("button", name=re.compile("^Start"))
    button.focus()
    page.keyboard.press("Enter")
    described(page)
    change = page.get_by_role("button", name="Correct answer 1", exact=True)
    change.focus()
    outline = change.evaluate("one => getComputedStyle(one).outlineStyle")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible(timeout=LONG)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert outline


def test_compare_two_questioners(visit: Visit, photos: dict[str, Path]) -> None:
    page = visit("compare")
    page.locator("input[type=file]").first.set_input_files(str(photos["cat"]))
    expect(page.get_by_role("button", name="Compare", exact=True)).to_be_enabled(timeout=LONG)
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_role("heading", name="pocket")).to_be_visible(timeout=LONG)
    expect(page.get_by_role("button", name="All captions (ZIP)")).to_be_visible(timeout=LONG)
