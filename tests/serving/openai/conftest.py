from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.openai.serving_world import Served, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """A server for tests that leave it as it was."""
    with serving() as served:
        yield served
