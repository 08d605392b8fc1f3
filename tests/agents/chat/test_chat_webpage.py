"""The web page in an answer: found however it is wrapped, never made up, and written over nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.chat.html_answer import Page, check_out, find_page, write_beside, write_new
from core.errors import UsageError

WHOLE = "<!DOCTYPE html>\n<html>\n  <body>\n    <h1>Shop</h1>\n  </body>\n</html>"


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"Here you are:\n\n```html\n{WHOLE}\n```\nHave fun with <b>it</b>!",
        f"```\n{WHOLE}\n```",
        f"First the style:\n```css\nh1 {{ color: red }}\n```\nThen:\n```HTML\n{WHOLE}\n```",
        f"Here: {WHOLE} and that is all.",
        f"```html\n{WHOLE}",
    ],
)
def test_a_whole_page_is_found_however_it_is_wrapped(text: str) -> None:
    assert find_page(text) == Page(WHOLE + "\n", whole=True)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("```html\n<!DOCTYPE html>\n<html><body><h1>Sh", "<!DOCTYPE html>\n<html><body><h1>Sh\n"),
        ("<html><body><p>cut", "<html><body><p>cut\n"),
        ("Take this: <div class='a'><h1>Shop</h1></div> Good?", "<div class='a'><h1>Shop</h1></div>\n"),
        ("```html\n<form><input type=text></form>\n```", "<form><input type=text></form>\n"),
    ],
)
def test_a_part_of_a_page_is_told_from_a_whole_one(text: str, html: str) -> None:
    assert find_page(text) == Page(html, whole=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I see a sketch with a title and two buttons.",
        "if a < b and c > d then <nothing>",
        "```python\nprint('<x>')\n```",
        "I <3 html",
    ],
)
def test_no_page_is_made_up(text: str) -> None:
    assert find_page(text) is None


@settings(deadline=None)
@given(st.text(alphabet="<>/`\n htmlbodydiv!e", max_size=200))
def test_no_answer_breaks_it(text: str) -> None:
    page = find_page(text)
    assert page is None or page.html.strip() in text


def test_default_names_do_not_replace_anything(tmp_path: Path) -> None:
    names = [write_beside("my sketch.v1", WHOLE, tmp_path).name for _ in range(3)]
    assert names == ["my-sketch.v1.html", "my-sketch.v1-2.html", "my-sketch.v1-3.html"]
    assert (tmp_path / names[0]).read_text("utf-8") == WHOLE
    assert write_beside("../..", WHOLE, tmp_path) == tmp_path / "page.html"


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("mine", "utf-8")
    with pytest.raises(UsageError, match="exists already"):
        check_out(file)
    with pytest.raises(UsageError, match="exists already"):
        write_new(file, WHOLE)
    assert file.read_text("utf-8") == "mine"
    (tmp_path / "link.html").symlink_to(tmp_path / "nowhere.html")
    with pytest.raises(UsageError, match="exists already"):
        check_out(tmp_path / "link.html")
    with pytest.raises(UsageError, match="folder"):
        check_out(tmp_path / "no" / "page.html")
    with pytest.raises(UsageError, match="cannot be written"):
        write_new(tmp_path / "no" / "page.html", WHOLE)
