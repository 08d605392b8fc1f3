"""Options of the dashboard, and the way through the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from core.net.listening import is_local
from ui.state.options import UiOptions


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local and UiOptions(host=host).single_user is local


def test_options_go_through_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = UiOptions(
        host="0.0.0.0",
        password_file=tmp_path / "secret",
        oidc=True,
        allow=("*@example.org", "me@example.com"),
        vision=("pocket",),
        questioner=("scripted",),
        models=2,
        upload_mb=7,
        visitors_may_use_server_paths=True,
    )
    for name, value in options.to_environment().items():
        monkeypatch.setenv(name, value)
    assert UiOptions.from_environment() == options
    monkeypatch.setenv("INQUISIGHT_UI_UPLOAD_MB", "many")
    with pytest.raises(UsageError, match="INQUISIGHT_UI_UPLOAD_MB='many'"):
        UiOptions.from_environment()
