"""The visitors of the dashboard; everything that belongs to one is an attribute of its `Visitor`.

A visitor is a browser, identified by the random token in the cookie that Streamlit sets against cross-site requests.
Work and uploads therefore survive a reload and are shared by the tabs of one browser, and by nobody who is sent the
address. Without that cookie (tests, or protection switched off) a visitor lasts as long as the session.

    me = visitor()
    me.jobs.start(...)                      # ui.state.jobs
    me.images.add(...)                      # ui.state.images
    state = me.keep("history", Search)      # created once, still there after a reload
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import streamlit as st

from ui.state.images import ImageStore
from ui.state.jobs import Jobs
from ui.state.options import get_options

T = TypeVar("T")

COOKIE: Final = "_streamlit_xsrf"
IDLE_SECONDS: Final = 6 * 3600.0  # a visitor without a request for longer is forgotten
AWAY_SECONDS: Final = 600.0  # the same if MAX_VISITORS or MAX_BYTES is exceeded
MAX_VISITORS: Final = 400
MAX_BYTES: Final = 1_000_000_000  # of all visitors' images
_SESSION: Final = "inquisight.visitor"


class Visitor:
    """One visitor's jobs, images, and the states of pages."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.jobs = Jobs()
        self.images = ImageStore()
        self.admitted = False  # has given the password
        self.transcripts: set[str] = set()
        """Ids of the transcripts this visitor has made; see `may_see`."""
        self.on_forgotten: list[Callable[[], object]] = []
        """Called when the visitor is forgotten."""
        self.seen = time.monotonic()
        self._kept: dict[str, Any] = {}
        self._lock = threading.RLock()

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """The visitor's object `name`, created by `make` on first use."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            value: T = self._kept[name]
            return value

    def may_see(self, id: str) -> bool:
        """Whether the visitor may read a transcript of the store: its own, or any with the right to see all."""
        return get_options().may_see_all_transcripts or id in self.transcripts


class Visitors:
    """All visitors of this server, by the digest of their token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Visitor] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, token: str) -> Visitor:
        """The visitor with that token, a new one if unknown."""
        with self._lock:
            self._forget_idle()
            one = self._known.setdefault(token, Visitor(token))
            one.seen = time.monotonic()
            return one

    def find(self, token: str) -> Visitor | None:
        """The visitor with that token, None if unknown."""
        one = self._known.get(token)
        if one is not None:
            one.seen = time.monotonic()
        return one

    def _forget_idle(self) -> None:
        now = time.monotonic()
        held = sum(one.images.nbytes for one in self._known.values())
        for one in sorted(self._known.values(), key=lambda one: one.seen):
            full = len(self._known) > MAX_VISITORS or held > MAX_BYTES
            if now - one.seen > (AWAY_SECONDS if full else IDLE_SECONDS) and not one.jobs.active():
                held -= one.images.nbytes
                del self._known[one.token]
                for act in one.on_forgotten:
                    threading.Thread(target=act, daemon=True).start()


@st.cache_resource(show_spinner=False)
def visitors() -> Visitors:
    """The visitors of this server."""
    return Visitors()


def visitor() -> Visitor:
    """The visitor whose page this script run draws."""
    token = token_of(st.context.cookies)
    if token is None:
        token = str(st.session_state.setdefault(_SESSION, secrets.token_hex(16)))
    return visitors().get(token)


def token_of(cookies: Mapping[str, str]) -> str | None:
    """A name for the browser that sent `cookies`; None if its cookie is missing or malformed.

    The cookie is `2|mask|token ^ mask|time`: the mask changes with every response, the token stays (Tornado's format,
    which Streamlit keeps). Only the token's digest is used.
    """
    parts = cookies.get(COOKIE, "").strip("\"'").split("|")
    if len(parts) != 4 or parts[0] != "2":
        return None
    try:
        mask, masked = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except ValueError:
        return None
    if len(mask) != 4 or len(masked) < 16:
        return None
    token = bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))
    return hashlib.sha256(b"inquisight visitor " + token).hexdigest()
