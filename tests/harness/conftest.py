"""Tests with other people's evaluation programs; `make test-harness` installs them into an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

HARNESS = os.environ.get("INQUISIGHT_TEST_HARNESS", "")


@pytest.fixture(scope="session")
def lmms_eval() -> Path:
    """The Python of the environment that has lmms-eval."""
    if not HARNESS:
        pytest.skip("make test-harness installs lmms-eval and runs this")
    return Path(HARNESS) / "bin" / "python"
