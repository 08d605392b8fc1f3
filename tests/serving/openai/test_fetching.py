"""Web addresses: off by default; then allowed hosts, public addresses, no redirects, bounded."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from core.errors import UsageError
from serving.openai.fetching import Fetcher
from tests.pictures import encoded
from tests.serving.openai.serving_world import serving


class Site(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['host']} {self.path}")
        if self.path == "/away.png":
            self.send_response(302)
            self.send_header("Location", "/red.png")
            self.end_headers()
            return
        data = encoded("red") if self.path == "/red.png" else b"x" * 200_000
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    Site.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"localhost:{server.server_address[1]}"
        server.shutdown()


def test_a_picture_of_an_allowed_host(site: str) -> None:
    with serving(fetch=Fetcher(["localhost"], private=True)) as served:
        url = {"type": "image_url", "image_url": {"url": f"http://{site}/red.png"}}
        body = {"model": "colours", "messages": [{"role": "user", "content": [url]}]}
        assert "rgb(255, 0, 0)" in served.post(body).json()["choices"][0]["message"]["content"]
    assert Site.asked == [f"{site} /red.png"]


@pytest.mark.parametrize(
    ("hosts", "path", "says"),
    [
        (["example.org"], "red.png", "not among those allowed"),
        (["*.localhost"], "red.png", "not among those allowed"),
        (["localhost"], "red.png", "not a public one"),
        (["*"], "red.png", "not a public one"),
    ],
)
def test_refused_before_anything_is_sent(site: str, hosts: list[str], path: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Fetcher(hosts)(f"http://{site}/{path}")
    assert not Site.asked


def test_redirects_and_sizes(site: str) -> None:
    fetch = Fetcher(["localhost"], private=True, most=100_000)
    with pytest.raises(UsageError, match="answered with status 302"):
        fetch(f"http://{site}/away.png")
    with pytest.raises(UsageError, match="larger than the 100,000 bytes allowed"):
        fetch(f"http://{site}/large.png")


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "::1",
        "fc00::1",
        "::ffff:10.0.0.1",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
    ],
)
def test_addresses_that_are_not_public(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the name has a public address besides."""
    found = [(0, 0, 0, "", (one, 0)) for one in ("93.184.216.34", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
    with pytest.raises(UsageError, match="not a public one"):
        Fetcher(["*"])("http://example.org/x.png")


@pytest.mark.parametrize("url", ["http://", "http://user:pw@example.org/x", "http://exa mple.org", "http://[::1/x"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Fetcher(["example.org"])(url)
    assert "pw" not in str(caught.value)
