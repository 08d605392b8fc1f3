"""Which servers `inquisight doctor --connect` asks."""

from __future__ import annotations

import pytest

from agents.doctor import servers
from agents.doctor.servers import Server, ask_servers
from core.net.endpoints import Endpoint
from core.net.probe import Probe
from core.settings import Settings


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked; each has the model `qwen`."""
    found: list[str] = []

    def answer(endpoint: Endpoint, *, seconds: float) -> Probe:
        found.append(endpoint.address)
        return Probe(models=("qwen:latest",))

    monkeypatch.setattr(servers, "probe", answer)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    return found


def test_nothing_is_configured(asked: list[str]) -> None:
    assert ask_servers(Settings()) == [] and asked == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("", "http://localhost:11434/v1"),
        ("10.0.0.1", "http://10.0.0.1:11434/v1"),
        ("http://10.0.0.1:9/", "http://10.0.0.1:9/v1"),
        ("https://ollama.example", "https://ollama.example/v1"),
    ],
)
def test_ollama(asked: list[str], monkeypatch: pytest.MonkeyPatch, host: str, address: str) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    assert ask_servers(Settings(questioner="ollama:qwen")) == [Server("questioner", address, 1, "", True)]
    assert asked == [address]


def test_the_address_in_a_name(asked: list[str]) -> None:
    [found] = ask_servers(Settings(vision="openai:other?base_url=http://localhost:8/v1&max_side=100"))
    assert asked == ["http://localhost:8/v1"] and found.chosen
    assert found.problem == "it answers, but has no model 'other'; it has qwen:latest"


def test_openai_is_not_asked_without_a_key(asked: list[str]) -> None:
    [found] = ask_servers(Settings(questioner="openai:gpt-4o-mini"))
    assert asked == [] and found.problem.startswith("it needs a key: set OPENAI_API_KEY")


def test_an_address_that_is_none(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "localhost:port")
    [found] = ask_servers(Settings(questioner="ollama:qwen"))
    assert "is no web address" in found.problem
    [found] = ask_servers(Settings(questioner="openai:qwen?base_url=nonsense"))
    assert asked == [] and "is no web address" in found.problem
