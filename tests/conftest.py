"""What every test begins with: no settings or keys of whoever runs it, and an empty home folder."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import setuptools  # noqa: F401 - before anything imports distutils: then PyTorch's compiler could not import it any more

# Several test processes share the cores. Threads of PyTorch that wait for each other there cost many times what they
# gain; read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.pictures import encoded


def pytest_configure(config: pytest.Config) -> None:
    """Forget the settings of whoever runs the tests, before anything reads them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C, tests press it
    kept = {"INQUISIGHT_HOME"} if os.environ.get("INQUISIGHT_TEST_LAVIS") else set()
    for name in [*os.environ]:
        ours = name.startswith("INQUISIGHT_") and not name.startswith("INQUISIGHT_TEST_")
        if (ours or name.endswith(("_API_KEY", "_BASE_URL"))) and name not in kept:
            del os.environ[name]
    os.environ["INQUISIGHT_WITNESS"] = "none"  # tests of witnesses name them; in all others they would only cost time
    if not kept:
        home = tempfile.TemporaryDirectory(prefix="inquisight-tests-")
        config.add_cleanup(home.cleanup)
        os.environ["INQUISIGHT_HOME"] = home.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what `tests/slow.txt` names (`tests/list_slow.py` writes it)."""
    slow = set(Path(__file__).with_name("slow.txt").read_text("utf-8").split())
    for item in items:
        if item.nodeid.partition("[")[0] in slow:
            item.add_marker("slow")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the transcripts and settings of one test."""
    from core.settings import get_settings

    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield tmp_path / "home"
    get_settings.cache_clear()


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Makes the bytes of a PNG of one colour: `png("orange", (64, 48))`."""
    return encoded
