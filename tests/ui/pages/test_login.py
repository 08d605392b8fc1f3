"""The door: who may enter, and what they find behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.app import LONG, assert_well
from ui.server.app import PAGES, pages_for
from ui.state.options import UiOptions, get_options
from ui.views.login import MAX_FAILURES

APP = Path(__file__).resolve().parents[3] / "ui" / "server" / "app.py"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eye: object) -> AppTest:
    """The dashboard behind a password."""
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    monkeypatch.setenv("INQUISIGHT_UI_PASSWORD_FILE", str(secret))
    get_options.cache_clear()
    app = AppTest.from_file(str(APP), default_timeout=LONG).run()
    assert_well(app)
    return app


def give(app: AppTest, password: str) -> None:
    app.text_input[0].set_value(password)
    app.button[0].click().run()
    assert_well(app)


def test_without_the_password_there_is_nothing_but_the_door(locked: AppTest) -> None:
    assert [one.label for one in locked.text_input] == ["Password"] and not locked.file_uploader
    give(locked, "open barley")
    assert [one.value for one in locked.error] == ["Wrong password."] and not locked.file_uploader


def test_with_it_one_is_in(locked: AppTest) -> None:
    give(locked, "open sesame")
    assert locked.title[0].value == "Interview" and locked.file_uploader


@pytest.mark.slow
def test_nobody_tries_for_ever(locked: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.views.login._address", lambda: "192.0.2.7")  # AppTest has none
    monkeypatch.setattr("ui.views.login.PAUSE", 3600.0)
    for _ in range(MAX_FAILURES):
        give(locked, "wrong")
    give(locked, "open sesame")
    assert "Too many" in locked.error[0].value and not locked.file_uploader


def test_a_password_file_that_went_away_lets_nobody_in(locked: AppTest, tmp_path: Path) -> None:
    (tmp_path / "secret").unlink()
    give(locked, "")
    assert "cannot read its password file" in locked.error[0].value and not locked.file_uploader


def test_what_belongs_to_the_machine_is_not_for_everybody() -> None:
    everything = [place.name for place in PAGES]
    assert [place.name for place in pages_for(UiOptions())] == everything
    anywhere = UiOptions(host="0.0.0.0")
    for options in (anywhere, UiOptions(host="0.0.0.0", password_file=Path("x")), UiOptions(oidc=True)):
        assert [place.name for place in pages_for(options)] == [
            "interview",
            "chat",
            "video",
            "compare",
            "gallery",
            "history",
        ]


def test_every_page_has_a_file() -> None:
    for place in PAGES:
        assert (APP.parents[1] / "pages" / f"{place.name}.py").is_file()
