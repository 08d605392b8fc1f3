"""Settings come from the environment; a wrong one is named with its value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from core.settings import get_settings, load_settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith("INQUISIGHT_"):
            monkeypatch.delenv(name)


def test_defaults_work_offline() -> None:
    settings = load_settings()
    assert (settings.vision, settings.questioner, settings.rounds, settings.history) == ("pocket", "scripted", 10, 1)
    assert settings.seed is None and settings.load_plugins is None and not settings.strict_plugins
    assert settings.database_url.startswith("sqlite:///") and settings.database_url.endswith("transcripts.sqlite")


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("INQUISIGHT_ROUNDS", "3")
    monkeypatch.setenv("INQUISIGHT_STRICT_PLUGINS", "1")
    monkeypatch.setenv("INQUISIGHT_LOAD_PLUGINS", "")
    monkeypatch.setenv("INQUISIGHT_SEED", "")
    settings = load_settings()
    assert (settings.rounds, settings.strict_plugins, settings.load_plugins, settings.seed) == (3, True, "", None)
    assert settings.database_url == f"sqlite:///{tmp_path / 'transcripts.sqlite'}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROUNDS", "many"),
        ("ROUNDS", "0"),
        ("HISTORY", "-2"),
        ("SEED", "1.5"),
        ("TIMEOUT", "nan"),
        ("REQUESTS_PER_SECOND", "0"),
        ("BASE_URL", "localhost:8000"),
        ("VISION_BASE_URL", "localhost:8000"),
        ("STRICT_PLUGINS", "perhaps\x1b[2J"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"INQUISIGHT_{name}", value)
    with pytest.raises(UsageError) as caught:
        load_settings()
    message = str(caught.value)
    assert f"INQUISIGHT_{name}" in message and value.partition("\x1b")[0] in message and message.isprintable()
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["api_key", "vision_api_key"])
def test_a_key_is_never_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"INQUISIGHT_{name.upper()}", "sk-very-secret")
    settings = load_settings()
    assert "very-secret" not in f"{settings!r} {settings} {settings.model_dump_json()}"
    assert getattr(settings, name).get_secret_value() == "sk-very-secret"


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    get_settings.cache_clear()
    try:
        first = get_settings()
        monkeypatch.setenv("INQUISIGHT_ROUNDS", "4")
        assert get_settings() is first
        get_settings.cache_clear()
        assert get_settings().rounds == 4
    finally:
        get_settings.cache_clear()
