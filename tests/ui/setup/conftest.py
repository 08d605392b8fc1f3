"""A server with models behind a key, and a fake keyring."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.net import endpoints
from tests.servers import model_server
from tests.ui.setup.keyrings import FakeKeyring, in_use

KEY = "sk-right-0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address, without /v1, of a server that wants KEY."""
    with model_server(KEY) as address:
        yield address


@pytest.fixture(scope="module")
def open_server() -> Iterator[str]:
    """The same without a key, as Ollama is."""
    with model_server() as address:
        yield address


@pytest.fixture(autouse=True)
def ring() -> Iterator[FakeKeyring]:
    """The keyring of the machine, a fake."""
    with in_use(FakeKeyring()) as fake:
        assert isinstance(fake, FakeKeyring)
        yield fake
    endpoints._given.clear()
