"""The door of the dashboard: a password or a login, where its owner wants one."""

from __future__ import annotations

import fnmatch
import hmac
import logging
import threading
import time
from typing import Final

import streamlit as st

from core.errors import InquisightError
from ui.state.options import UiOptions, get_options
from ui.state.session import Visitor, visitor

log = logging.getLogger("inquisight.ui")
TRIES: Final = 5
PAUSE: Final = 60.0  # seconds without a further try, after TRIES wrong ones from one address


class Tries:
    """Wrong passwords by address, so that nobody can go through a dictionary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: dict[str, list[float]] = {}

    def left(self, address: str) -> int:
        """How many more are allowed now."""
        with self._lock:
            recent = [moment for moment in self._wrong.get(address, ()) if time.monotonic() - moment < PAUSE]
            self._wrong[address] = recent
            if not recent:
                del self._wrong[address]
            return TRIES - len(recent)

    def wrong(self, address: str) -> None:
        """Count one."""
        with self._lock:
            now = time.monotonic()
            self._wrong = {one: moments for one, moments in self._wrong.items() if now - moments[-1] < PAUSE}
            self._wrong.setdefault(address, []).append(now)


@st.cache_resource(show_spinner=False)
def _tries() -> Tries:
    return Tries()


def admit() -> Visitor | None:
    """The visitor, or None where a door was drawn instead of a page."""
    options, one = get_options(), visitor()
    if options.oidc and not _logged_in(options):
        return None
    if options.password_file is not None and not one.admitted and not _knows_the_password(options, one):
        return None
    return one


def _logged_in(options: UiOptions) -> bool:
    if st.user.get("is_logged_in"):
        address = str(st.user.get("email") or "")
        if not options.allow or any(fnmatch.fnmatchcase(address.casefold(), one.casefold()) for one in options.allow):
            return True
        st.title("Inquisight")
        st.error("This account may not enter here; log in with another one.", icon=":material/lock:")
        st.button("Log out", on_click=st.logout)
        return False
    st.title("Inquisight")
    st.write("Two models talk about a picture: one asks, one sees.")
    st.button("Log in", on_click=st.login, type="primary", icon=":material/login:")
    return False


def _address() -> str:
    return str(st.context.ip_address or "")


def _knows_the_password(options: UiOptions, one: Visitor) -> bool:
    st.title("Inquisight")
    with st.form("password", border=False):
        given = st.text_input("Password", type="password", autocomplete="current-password")
        sent = st.form_submit_button("Enter", type="primary")
    if not sent:
        return False
    address = _address()
    if _tries().left(address) <= 0:
        st.error("Too many wrong passwords; wait a minute and try again.", icon=":material/lock_clock:")
        return False
    try:
        password = options.password()
    except InquisightError as error:
        log.error("%s", error)
        st.error("The dashboard cannot read its password file; ask its owner.", icon=":material/lock:")
        return False
    if hmac.compare_digest(given.encode(), password.encode()):
        one.admitted = True
        st.rerun()
    _tries().wrong(address)
    st.error("That is not the password.", icon=":material/lock:")
    return False
