"""Ask the servers that the environment names for their models: `inquisight doctor --connect`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from core.errors import InquisightError
from core.net.endpoints import OFFICIAL, Endpoint, check_address, find_endpoint
from core.net.probe import probe
from core.settings import Settings

OLLAMA: Final = "http://localhost"
OLLAMA_PORT: Final = 11434
SECONDS: Final = 5.0
_KINDS: Final = (("vision model", True), ("questioner", False))


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and whether it answers."""

    purpose: str
    """The kind of model that it serves."""
    address: str
    models: int = 0
    problem: str = ""
    """A sentence if it does not answer, or does not have the default model."""
    chosen: bool = False
    """Whether commands use one of its models without an option."""


def ask_servers(settings: Settings) -> list[Server]:
    """Ask each configured server once per kind of model, with its own key."""
    found = []
    for kind, vision in _KINDS:
        spec = settings.vision if vision else settings.questioner
        provider, _, rest = spec.partition(":")
        name, _, query = rest.partition("?")
        options = dict(parse_qsl(query)) if provider == "openai" else {}
        chosen = provider in ("openai", "ollama")
        try:
            endpoint = _endpoint(settings, provider, options, spec, vision=vision)
            if chosen or endpoint.address != OFFICIAL:
                found.append(_ask(kind, endpoint, name if chosen else "", chosen=chosen))
        except InquisightError as error:
            if chosen:
                found.append(Server(kind, "", problem=str(error), chosen=True))
    return found


def _endpoint(settings: Settings, provider: str, options: dict[str, str], spec: str, *, vision: bool) -> Endpoint:
    if provider == "ollama":
        host = os.environ.get("OLLAMA_HOST", "").strip() or OLLAMA
        check_address(host if "://" in host else f"http://{host}", "OLLAMA_HOST")
        address = (host if "://" in host else f"http://{host}").rstrip("/")
        port = "" if urlsplit(address).port or address.startswith("https:") else f":{OLLAMA_PORT}"
        return Endpoint(f"{address}{port}/v1", "", "", "OLLAMA_HOST")
    typed, key_env = options.get("base_url", ""), options.get("key_env", "")
    return find_endpoint(settings, vision=vision, typed=typed, key_env=key_env, spec=spec)


def _ask(kind: str, endpoint: Endpoint, name: str, *, chosen: bool) -> Server:
    if endpoint.needs_key:
        return Server(kind, endpoint.address, problem=f"it needs a key: set {endpoint.keys}", chosen=chosen)
    said = probe(endpoint, seconds=SECONDS)
    problem = said.problem
    if not problem and name and said.models and not {name, f"{name}:latest"} & set(said.models):
        problem = f"it answers, but has no model '{name}'; it has {', '.join(said.models[:5])}"
    return Server(kind, endpoint.address, len(said.models), problem, chosen)
