"""Videos of moving shapes, and a vision model that knows what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from core.entries import Entry
from core.registry import get_registry
from core.settings import get_settings

if TYPE_CHECKING:
    from tests.agents.video.clips import DrawnEye


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> DrawnEye:
    """The vision model that knows what the videos show, registered and set as the default."""
    from tests.agents.video.clips import DrawnEye

    made = DrawnEye()
    capabilities = {"follows_instructions": False, "streams": False, "max_images": 1, "languages": ("en",)}
    entry = Entry("vision backend", "drawn", lambda _=None: made, "Sees what is drawn.", capabilities, "test", "test")
    monkeypatch.setitem(get_registry().vision_backends, "drawn", entry)
    monkeypatch.setenv("INQUISIGHT_VISION", "drawn")
    get_settings.cache_clear()
    return made


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An apple from the start to 4 s, a ball from 2 s; six seconds."""
    from tests.agents.video.clips import film, scene

    frames = scene(("apple", 0, 4), ("ball", 2, 9))
    return film(tmp_path_factory.mktemp("clips") / "clip.mp4", frames).read_bytes()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two seconds of an apple on grey, two seconds of a ball on white."""
    from tests.agents.video.clips import film, scene

    first = scene(("apple", 0, 9), seconds=2)
    second = scene(("ball", 0, 9), seconds=2, ground=(250, 250, 250))
    return film(tmp_path_factory.mktemp("clips") / "scenes.mp4", first + second).read_bytes()
