"""Each test has a home of its own, no model or visitor of another test, and an eye that answers at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.entries import Entry
from core.registry import get_registry
from core.settings import get_settings
from tests.agents.fakes import CountingVision


def _forget() -> None:
    import streamlit as st

    from ui.state.options import get_options

    get_settings.cache_clear()
    get_options.cache_clear()
    st.cache_resource.clear()
    st.cache_data.clear()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of transcripts."""
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("INQUISIGHT_UI_HOST", "127.0.0.1")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "INQUISIGHT_VISION", "INQUISIGHT_QUESTIONER"):
        monkeypatch.delenv(name, raising=False)
    _forget()
    yield tmp_path / "home"
    _forget()


@pytest.fixture
def eye(monkeypatch: pytest.MonkeyPatch) -> CountingVision:
    """A fake eye, registered as `counting` and set as the default; pocket would take seconds to load."""
    made = CountingVision()

    def make(_: str | None = None) -> CountingVision:
        return made

    capabilities = {"follows_instructions": False, "streams": False, "max_images": 1, "languages": ("en",)}
    entry = Entry("vision backend", "counting", make, "Answers at once.", capabilities, "test", "test-package")
    monkeypatch.setitem(get_registry().vision_backends, "counting", entry)
    monkeypatch.setenv("INQUISIGHT_VISION", "counting")
    get_settings.cache_clear()
    return made
