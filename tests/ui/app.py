"""A page of the dashboard without a browser: Streamlit's own AppTest, and what tests do with it again and again."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from ui.state.session import Visitor, visitors

LONG = 30.0


def open_page(name: str) -> AppTest:
    """A session of its own that looks at the page `ui.<name>`."""
    script = f"""
import importlib
from ui.text import show_errors
with show_errors():
    importlib.import_module("ui.pages.{name}").page()
"""
    app = AppTest.from_string(script, default_timeout=LONG)
    app.run()
    assert_well(app)
    return app


def visitor_of(app: AppTest) -> Visitor:
    """Whose session it is."""
    return visitors().get(app.session_state["inquisight.visitor"])


def wait_for_jobs(app: AppTest) -> None:
    """Until the visitor's work is over; then the page as it looks then."""
    for job in visitor_of(app).jobs.all():
        assert job.wait(LONG), f"{job.title} is still at work"
    app.run()
    assert_well(app)


def assert_well(app: AppTest) -> None:
    """Nobody ever sees a stack."""
    assert not app.exception, [one.value for one in app.exception]


def html_of(app: AppTest) -> str:
    """All HTML on the page."""
    return "\n".join(str(one.value) for one in app.get("html"))
