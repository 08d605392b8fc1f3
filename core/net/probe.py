"""Find out whether an OpenAI-compatible server answers at an address, and say in plain words what is wrong.

found = probe(endpoint)
found.problem      # "" or a sentence: nothing listens there, the key is refused, the address lacks /v1 ...
found.models       # the names that the server lists; empty if it lists none
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

from core.errors import UsageError, printable
from core.net.endpoints import Endpoint
from core.net.server_errors import error_words

SECONDS: Final = 10.0
MAX_BYTES: Final = 4_000_000  # of the list of models
OLLAMA_PORT: Final = ":11434"
NOT_COMPATIBLE: Final = "not as an OpenAI-compatible server"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server said to `GET models`."""

    problem: str = ""
    """A sentence with the way out; "" if nothing is known to be wrong."""
    models: tuple[str, ...] = ()
    better: str = ""
    """An address at which the server answers, if the given one only lacks /v1."""


def probe(endpoint: Endpoint, *, seconds: float = SECONDS) -> Probe:
    """Ask the server for its models, with its key. Raises UsageError if an optional part is missing."""
    found = _ask(endpoint, seconds)
    address = endpoint.address.rstrip("/")
    if NOT_COMPATIBLE in found.problem and not address.endswith("/v1"):
        below = f"{address}/v1"
        if not _ask(replace(endpoint, address=below), seconds).problem:
            return Probe(f"{printable(endpoint.server, 80)} answers at another address: write {below}", better=below)
    return found


def _ask(endpoint: Endpoint, seconds: float) -> Probe:
    try:
        import httpx
    except ImportError:
        raise UsageError("this needs an optional part: pip install 'inquisight[openai]'") from None
    url = endpoint.address.rstrip("/") + "/models"
    server = printable(endpoint.server, 80)
    try:
        with (
            httpx.Client(**endpoint.client_options(), timeout=seconds) as client,
            client.stream("GET", url) as answer,
        ):
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    break
    except httpx.ConnectTimeout:
        return Probe(f"{server} cannot be reached: no answer within {seconds:g} seconds; check the address")
    except httpx.TimeoutException:
        return Probe(f"{server} takes connections, but said nothing within {seconds:g} seconds")
    except httpx.ConnectError as error:
        return Probe(_no_connection(str(error), endpoint))
    except httpx.HTTPError as error:
        return Probe(f"{server} does not speak HTTP as expected ({type(error).__name__}); check address and port")
    return _judge(endpoint, answer.status_code, body, answer.headers.get("location", ""))


def _no_connection(said: str, endpoint: Endpoint) -> str:
    server, lower = printable(endpoint.server, 80), said.lower()
    if "certificate" in lower:
        return f"{server} has a certificate that is not trusted on this machine"
    if "ssl" in lower or "record layer" in lower:
        return f"{server} does not speak HTTPS; write http:// instead of https://"
    if any(words in lower for words in ("name or service", "nodename", "getaddrinfo", "name resolution", "no address")):
        return f"the host {server} is unknown; check the address"
    hint = "start Ollama (`ollama serve`)" if OLLAMA_PORT in endpoint.address else "start the server, or check the port"
    return f"nothing answers at {server}: {hint}"


def _judge(endpoint: Endpoint, status: int, body: bytes, location: str) -> Probe:
    server = printable(endpoint.server, 80)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if status in (401, 403):
        what = "refuses the key" if endpoint.key else "wants a key, and none was given"
        return Probe(f"{server} {what} (status {status})")
    if 300 <= status < 400:
        where = f": {printable(location, 120)}" if location else ""
        return Probe(f"{server} redirects, which is not followed; write the address that it names{where}")
    if status >= 500:
        said = printable(error_words(value if value is not None else body[:2000].decode("utf-8", "replace")), 160)
        more = f": {said}" if said else ""
        return Probe(f"{server} answers, but with an error of its own (status {status}){more}")
    rows = value.get("data") if isinstance(value, dict) else None
    if status == 200 and isinstance(rows, list):
        names = [str(row["id"]) for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
        return Probe(models=tuple(printable(name, 120) for name in names))
    return Probe(f"{server} answers, but {NOT_COMPATIBLE}; most addresses end in /v1")
