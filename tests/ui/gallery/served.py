"""The gallery's routes without a server: Starlette's test client with the cookie of a browser."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ui.gallery.library import folders, libraries_of
from ui.gallery.routes import HEADER, PREFIX, routes
from ui.state.session import COOKIE, Visitor, token_of, visitors


def make_pictures(folder: Path, count: int = 6) -> Path:
    """Pictures p0.png, p1.png ..., every other one with a caption."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (40 + number, 30), (20 * number % 256, 90, 30)).save(folder / f"p{number}.png")
        if number % 2:
            (folder / f"p{number}.txt").write_text(f"A cat, number {number}.\n")
    return folder


class Browser:
    """A browser with a cookie, which has opened folders in the gallery."""

    def __init__(self, *, known: bool = True) -> None:
        mask, token = secrets.token_bytes(4), secrets.token_bytes(16)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(token))
        self.cookie = f"2|{mask.hex()}|{masked.hex()}|1700000000"
        self.client = TestClient(Starlette(routes=routes()), cookies={COOKIE: self.cookie})
        if known:
            self.library = ""

    @property
    def visitor(self) -> Visitor:
        """Whose browser it is."""
        token = token_of({COOKIE: self.cookie})
        assert token is not None
        return visitors().get(token)

    def open(self, root: Path) -> Browser:
        """What the page does."""
        self.library = libraries_of(self.visitor).add(folders().get(root).root)
        return self

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"{PREFIX}/{self.library}/{path}", params=query)

    def post(self, path: str, **body: Any) -> Any:
        return self.client.post(f"{PREFIX}/{self.library}/{path}", json=body, headers={HEADER: "1"})

    def find(self, **query: Any) -> list[str]:
        """The names of the pictures that a query shows."""
        numbers = self.get("find", **query).json()["numbers"]
        rows = self.get("rows", numbers=",".join(map(str, numbers))).json()["rows"]
        return [row["name"] for row in rows]
