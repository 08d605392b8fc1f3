"""The login page: a password, or a login with a provider."""

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
MAX_FAILURES: Final = 5
PAUSE: Final = 60.0  # seconds without a further attempt, after MAX_FAILURES wrong passwords from one address


class FailedLogins:
    """Wrong passwords by address, to prevent guessing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[str, list[float]] = {}

    def blocked(self, address: str) -> bool:
        """Whether the address has to wait."""
        return len(self._recent(address)) >= MAX_FAILURES

    def add(self, address: str) -> None:
        """Count one."""
        self._recent(address, time.monotonic())

    def _recent(self, address: str, *new: float) -> list[float]:
        with self._lock:
            limit = time.monotonic() - PAUSE
            self._times.setdefault(address, []).extend(new)
            recent = {one: [at for at in times if at > limit] for one, times in self._times.items()}
            self._times = {one: times for one, times in recent.items() if times}
            return self._times.get(address, [])


@st.cache_resource(show_spinner=False)
def _failures() -> FailedLogins:
    return FailedLogins()


def admit() -> Visitor | None:
    """The visitor, or None if the login page was drawn instead of a page."""
    options, one = get_options(), visitor()
    if options.oidc and not _logged_in(options):
        return None
    if options.password_file is not None and not one.admitted and not _knows_password(options, one):
        return None
    return one


def _logged_in(options: UiOptions) -> bool:
    if not st.user.get("is_logged_in"):
        st.title("Inquisight")
        st.write("Image captions from a dialogue of two models: one asks, one sees.")
        st.button("Log in", on_click=st.login, type="primary", icon=":material/login:")
        return False
    address = str(st.user.get("email") or "").casefold()
    if not options.allow or any(fnmatch.fnmatchcase(address, one.casefold()) for one in options.allow):
        return True
    st.title("Inquisight")
    st.error("This account has no access; log in with another one.", icon=":material/lock:")
    st.button("Log out", on_click=st.logout)
    return False


def _address() -> str:
    return str(st.context.ip_address or "")


def _knows_password(options: UiOptions, one: Visitor) -> bool:
    st.title("Inquisight")
    with st.form("password", border=False):
        given = st.text_input("Password", type="password", autocomplete="current-password")
        if not st.form_submit_button("Log in", type="primary"):
            return False
    if _failures().blocked(_address()):
        st.error("Too many wrong passwords; try again in a minute.", icon=":material/lock_clock:")
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
    _failures().add(_address())
    st.error("Wrong password.", icon=":material/lock:")
    return False
