"""The ways people go on the pages Chat and History, and what a model's web page may not do, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ui.widgets.web_frame import enclosed, sandbox

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
LONG = 240_000
Visit = Callable[..., Any]

# Every way that a page has to reach an address, each with a name of its own.
ESCAPES = """
<!DOCTYPE html><html><head>
REFRESH
<meta http-equiv="Content-Security-Policy" content="default-src * 'unsafe-inline'">
<base href="ADDRESS/"><link rel="stylesheet" href="ADDRESS/link"><link rel="prefetch" href="ADDRESS/prefetch">
<link rel="preconnect" href="ADDRESS"><link rel="icon" href="ADDRESS/icon">
<style>@import url(ADDRESS/import); body { background: url(ADDRESS/background); }
@font-face { font-family: x; src: url(ADDRESS/font); } p { font-family: x; }</style>
<script src="ADDRESS/script"></script></head>
<body><p id="words">Shop</p><img src="ADDRESS/image"><video src="ADDRESS/video" autoplay></video>
<iframe src="ADDRESS/frame"></iframe><object data="ADDRESS/object"></object><embed src="ADDRESS/embed">
<form action="ADDRESS/form" method="post"><input name="a"><button id="send">send</button></form>
<a id="away" href="ADDRESS/away">away</a><a id="top" target="_top" href="ADDRESS/top">top</a>
<script>
  const attempt = (act) => { try { act(); } catch (error) { /* the next one */ } };
  attempt(() => fetch("ADDRESS/fetch").catch(() => {}));
  attempt(() => { const one = new XMLHttpRequest(); one.open("GET", "ADDRESS/request"); one.send(); });
  attempt(() => navigator.sendBeacon("ADDRESS/beacon", "x"));
  attempt(() => new WebSocket("ADDRESS/socket".replace("http", "ws")));
  attempt(() => new EventSource("ADDRESS/events"));
  attempt(() => new Worker("ADDRESS/worker"));
  attempt(() => window.open("ADDRESS/window"));
  attempt(() => { parent.parent.document.body.dataset.reached = "yes"; });
  attempt(() => { top.location = "ADDRESS/location-top"; });
  setTimeout(() => document.querySelector("form").submit(), 0);
  setTimeout(() => { location = "ADDRESS/location"; }, 50);
</script></body></html>
"""


@pytest.fixture
def stranger() -> Iterator[tuple[str, list[str]]]:
    """A server elsewhere, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("scripts", "refresh"), [(False, True), (True, False), (True, True)])
def test_a_web_page_reaches_neither_the_network_nor_what_is_around_it(
    browser: Any, stranger: tuple[str, list[str]], scripts: bool, refresh: bool
) -> None:
    address, asked = stranger
    html = ESCAPES.replace("REFRESH", '<meta http-equiv="refresh" content="0; url=ADDRESS/refresh">' if refresh else "")
    context = browser.new_context()
    context.set_default_timeout(LONG)
    page = context.new_page()
    page.set_content("<main id='app'></main>")
    inside = page.frame_locator("#app iframe").frame_locator("iframe")

    def left(frame: Any) -> bool:
        """Whether the inner frame tried to go elsewhere, and the outer one's policy put an error page in its place."""
        above = frame.parent_frame and frame.parent_frame.parent_frame
        return frame.url.startswith("chrome-error:") and above == page.main_frame

    with page.expect_event("framenavigated", left):
        page.evaluate(
            """([srcdoc, sandbox]) => {
                const frame = document.createElement("iframe");
                frame.setAttribute("sandbox", sandbox);
                frame.srcdoc = srcdoc;
                document.getElementById("app").appendChild(frame);
            }""",
            [enclosed(html.replace("ADDRESS", address), "A page", scripts=scripts), sandbox(scripts)],
        )
        if not scripts:
            expect(inside.locator("#words")).to_have_text("Shop", timeout=LONG)
            for name in ("send", "top", "away"):
                inside.locator(f"#{name}").click(no_wait_after=True)
    # Our own request comes after everything that the page asked for.
    page.evaluate("(url) => fetch(url, { mode: 'no-cors' })", f"{address}/last")
    assert asked == ["/last"]
    assert page.evaluate("document.body.dataset.reached") is None and len(context.pages) == 1
    context.close()


def test_scripts_work_inside_where_they_are_allowed(browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    shop = (
        "<p id='words'>Shop</p><button onclick=\"document.getElementById('words').textContent = 'sold'\">buy</button>"
    )
    page.set_content(enclosed(shop, "A page", scripts=True))
    inner = page.frame_locator("iframe")
    inner.get_by_role("button").click()
    expect(inner.locator("#words")).to_have_text("sold")
    context.close()


def asked(page: Any, question: str, number: int) -> None:
    box = page.get_by_role("textbox", name="Ask about your images")
    expect(box).to_be_enabled(timeout=LONG)
    box.fill(question)
    box.press("Enter")
    expect(page.get_by_role("button", name=f"Edit question {number}")).to_be_visible(timeout=LONG)


def test_talk_try_again_edit_and_find_it_in_the_history(visit: Visit, photos: dict[str, Path]) -> None:
    page = visit("chat")
    page.locator("input[type=file]").first.set_input_files(str(photos["cat"]))
    asked(page, "What is it?", 1)
    asked(page, "What colour is it?", 2)
    page.get_by_role("button", name="Regenerate answer 2").click()
    expect(page.get_by_text("version 2 of 2")).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Edit question 1").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Question").fill("Is there an animal?")
    dialog.get_by_role("button", name="Ask").click()
    expect(page.locator(".iq-asked")).to_have_text(["1Is there an animal?"], timeout=LONG)
    page.get_by_role("button", name="Previous version of 1").click()
    expect(page.locator(".iq-asked")).to_have_count(2, timeout=LONG)
    page.reload()
    expect(page.locator(".iq-asked")).to_have_count(2, timeout=LONG)
    page.get_by_role("link", name="History").click()
    search = page.get_by_role("textbox", name="Search")
    search.fill("animal")
    search.press("Enter")
    expect(page.get_by_role("button", name="Open")).to_have_count(1, timeout=LONG)
    page.get_by_role("button", name="Open").click()
    page.get_by_role("button", name="Resume in Chat").click()
    expect(page.get_by_role("heading", name="Chat", level=1)).to_be_visible(timeout=LONG)
    expect(page.locator(".iq-asked")).to_have_text(["1Is there an animal?"], timeout=LONG)
    asked(page, "What colour is it?", 2)


@pytest.mark.parametrize("path", ["chat", "history"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_pages_fit_a_phone_too(path: str, scheme: str, visit: Visit) -> None:
    page = visit(path, viewport={"width": 400, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.querySelector('.stMain').scrollWidth") <= 400
