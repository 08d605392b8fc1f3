"""A model is set up in a real browser, with a real server of models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers import model_server
from tests.ui.browser.conftest import LONG

KEY = "sk-in-the-browser-42"
Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def models() -> Iterator[str]:
    with model_server(KEY) as address:
        yield address


def test_set_up_a_model_and_describe_a_picture_with_it(visit: Visit, models: str) -> None:
    from playwright.sync_api import expect

    page = visit("setup")
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda data: sent.append(str(data))))
    page.reload()
    page.get_by_role("textbox", name="Address").fill(models)
    page.get_by_role("textbox", name="Model").fill("sees")
    page.get_by_role("textbox", name="Key").fill(KEY)
    page.get_by_role("button", name="Test").first.click()
    expect(page.get_by_text(f"write {models}/v1", exact=False)).to_be_visible(timeout=LONG)
    page.get_by_role("textbox", name="Address").fill(f"{models}/v1")
    page.get_by_role("textbox", name="Key").fill(KEY)
    page.get_by_role("button", name="Test").first.click()
    page.get_by_role("button", name="Add model").click(timeout=LONG)
    expect(page.get_by_text(re.compile("was added: choose it"))).to_be_visible(timeout=LONG)
    assert page.get_by_role("textbox", name="Key").input_value() == ""
    assert KEY not in page.content() and not any(KEY in frame for frame in sent), "the server never sends a key back"
    page.reload()
    expect(page.get_by_text("key until the dashboard ends").or_(page.get_by_text("key in the system"))).to_be_visible(
        timeout=LONG
    )
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text(re.compile("was removed, and its key deleted"))).to_be_visible(timeout=LONG)
