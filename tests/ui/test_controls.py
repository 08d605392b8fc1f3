"""Buttons: a click that was not reached is kept for the next run, and not for ever."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from ui import controls

SCRIPT = """
import streamlit as st
from ui.controls import button
if st.session_state.get("stop"):
    st.stop()
if button("Delete", "delete"):
    st.write("deleted")
"""


def interrupted() -> AppTest:
    """A click whose run ends before the button is reached."""
    app = AppTest.from_string(SCRIPT).run()
    app.session_state["stop"] = True
    app.button(key="delete").click().run()
    assert not app.markdown
    app.session_state["stop"] = False
    return app


def test_a_click_in_an_interrupted_run_counts_once_in_the_next_one() -> None:
    app = interrupted().run()
    assert [one.value for one in app.markdown] == ["deleted"]
    assert not app.run().markdown


def test_a_late_click_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    app = interrupted()
    monkeypatch.setattr(controls, "CLICK_SECONDS", 0.0)
    assert not app.run().markdown
