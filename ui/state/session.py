"""Who is visiting. Everything that belongs to a visitor hangs on a `Visitor`, and nothing of it is global.

A visitor is a browser: the random token in the cookie that Streamlit sets against cross-site requests tells one from
another. So work and pictures survive a page reload and are shared by the tabs of one browser, but not by somebody who
is sent the address. Without that cookie (tests, or protection switched off) a visitor lasts as long as the session.

    me = visitor()
    me.jobs.start(...)               # ui.state.jobs
    me.shelf.add(...)                # ui.state.pictures
    desk = me.keep("chat", ChatDesk) # made once, there again after a reload
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import streamlit as st

from ui.state.jobs import Jobs
from ui.state.options import get_options
from ui.state.pictures import Shelf

T = TypeVar("T")

COOKIE: Final = "_streamlit_xsrf"
IDLE_SECONDS: Final = 6 * 3600.0  # a visitor who was away for longer is forgotten
AWAY_SECONDS: Final = 600.0  # ... or for longer than this, where there are too many or their pictures fill too much
MOST: Final = 400
MOST_BYTES: Final = 1_000_000_000
_SESSION: Final = "inquisight.visitor"


class Visitor:
    """One visitor's work, pictures and whatever pages keep for them."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.jobs = Jobs()
        self.shelf = Shelf()
        self.admitted = False  # has given the password
        self.transcripts: set[str] = set()
        """Ids of the transcripts this visitor has made; see `may_see`."""
        self.seen = time.monotonic()
        self._kept: dict[str, Any] = {}
        self._lock = threading.RLock()

    def keep(self, name: str, make: Callable[[], T]) -> T:
        """The visitor's own `name`, made by `make` when it is first asked for."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            value: T = self._kept[name]
            return value

    def forget(self, name: str) -> None:
        """Make it anew when it is next asked for."""
        with self._lock:
            self._kept.pop(name, None)

    def made(self, id: str | None) -> None:
        """Remember a transcript as this visitor's own."""
        if id:
            self.transcripts.add(id)

    def may_see(self, id: str) -> bool:
        """Whether a transcript of the store may be shown: one's own, or any for who may see all of them."""
        return get_options().may_see_all_transcripts or id in self.transcripts


class Visitors:
    """All visitors of this server, by the digest of their token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Visitor] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, token: str) -> Visitor:
        """The visitor with that token, a new one if need be."""
        with self._lock:
            self._tidy()
            one = self._known.get(token)
            if one is None:
                one = self._known[token] = Visitor(token)
            one.seen = time.monotonic()
            return one

    def _tidy(self) -> None:
        now = time.monotonic()
        for token, one in list(self._known.items()):
            if now - one.seen > IDLE_SECONDS and not one.jobs.active():
                del self._known[token]
        away = sorted(
            (one for one in self._known.values() if now - one.seen > AWAY_SECONDS and not one.jobs.active()),
            key=lambda one: one.seen,
        )
        held = sum(one.shelf.nbytes for one in self._known.values())
        for one in away:
            if len(self._known) <= MOST and held <= MOST_BYTES:
                break
            held -= one.shelf.nbytes
            del self._known[one.token]


@st.cache_resource(show_spinner=False)
def visitors() -> Visitors:
    """Those of this server."""
    return Visitors()


def visitor() -> Visitor:
    """The visitor whose page this script run draws."""
    token = token_of(st.context.cookies)
    if token is None:
        token = str(st.session_state.setdefault(_SESSION, secrets.token_hex(16)))
    return visitors().get(token)


def token_of(cookies: Mapping[str, str]) -> str | None:
    """A name for the browser that sent `cookies`; None where its cookie is missing or not as Streamlit writes it.

    The cookie is `2|mask|token ^ mask|time`: the mask changes with every answer, the token stays (Tornado's format,
    which Streamlit keeps). Only its digest is used from here on.
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
