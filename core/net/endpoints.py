"""Choose the address and the key of an OpenAI-compatible server.

A key is sent only to the address that it was configured with:

    INQUISIGHT_VISION_API_KEY   INQUISIGHT_VISION_BASE_URL, or OpenAI if that is not set (vision models only)
    INQUISIGHT_API_KEY          INQUISIGHT_BASE_URL, or OpenAI if that is not set
    OPENAI_API_KEY              OPENAI_BASE_URL (or OPENAI_API_BASE), and OpenAI

An address in a model's name gets none of them, but a key that was given for exactly this name (`give_key`), as the
dashboard's page "Set up a model" does. `key_env=VARIABLE` in a model's name is accepted only if the user typed
that name on the command line (`typed_by_owner`): not in the dashboard, in a worker of a cluster, or from a transcript.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from core.errors import UsageError, printable

if TYPE_CHECKING:
    from core.settings import Settings

log = logging.getLogger("inquisight")

OFFICIAL: Final = "https://api.openai.com/v1"
ADDRESSES: Final = ("OPENAI_BASE_URL", "OPENAI_API_BASE")  # the second is LangChain's and older
# Headers with which OpenAI's client names an account in every request, to any server.
_ACCOUNT: Final = {
    "openai-organization": ("OPENAI_ORG_ID", "OPENAI_ORGANIZATION"),
    "openai-project": ("OPENAI_PROJECT_ID",),
}
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*(%[a-z0-9_.-]+)?")
_typed: list[str] = []  # see `typed_by_owner`
_given: dict[str, tuple[str, str]] = {}  # model's name: (its address, the key); see `give_key`


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address and the key of a server; `why` names the source of the address."""

    address: str
    key: str = field(repr=False)  # "": none
    keys: str  # the possible sources of its key, in words
    why: str
    typed: bool = False  # the address is part of the model's name

    @property
    def official(self) -> bool:
        """Whether it is OpenAI or Azure, which name a few parameters differently."""
        return speaks_openai(self.address)

    @property
    def needs_key(self) -> bool:
        """Whether the server requires a key and there is none."""
        return is_openai(self.address) and not self.key

    @property
    def server(self) -> str:
        """Host and port, for messages and transcripts."""
        parts = urlsplit(self.address)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def client_options(self, *, asynchronous: bool = False) -> dict[str, Any]:
        """Arguments for an httpx client that follows no redirect and sends no other key or account.

        A redirect would send pictures and keys to an address that nobody chose.
        """
        ours = not self.typed and _fits(self.address, None, *_openai_addresses())
        ambient = {} if ours else _ambient_headers()

        def clean(request: Any) -> None:
            for name, values in ambient.items():
                if request.headers.get(name) in values:
                    del request.headers[name]
            if "authorization" not in request.headers:
                request.headers["authorization"] = f"Bearer {self.key or 'none'}"

        async def clean_later(request: Any) -> None:
            clean(request)

        hooks = {"request": [clean_later if asynchronous else clean]}
        return {"follow_redirects": False, "event_hooks": hooks, "proxy": os.environ.get("OPENAI_PROXY") or None}


def find_endpoint(
    settings: Settings, *, vision: bool = False, typed: str = "", key_env: str = "", spec: str = ""
) -> Endpoint:
    """Find the address and its key; `typed` and `key_env` come from the model's name `spec`. Raises UsageError."""
    places = [("base_url", typed), ("INQUISIGHT_BASE_URL", settings.base_url or "")]
    if vision:
        places.insert(1, ("INQUISIGHT_VISION_BASE_URL", settings.vision_base_url or ""))
    places += _openai_variables()
    name, address = next((place for place in places if place[1]), ("no base URL was given", OFFICIAL))
    check_address(address, name)
    why = "base_url was given with the model" if typed else name
    if key_env:
        return Endpoint(address, _named_key(key_env, spec, address), key_env, why, bool(typed))
    way_out = f"{'INQUISIGHT_VISION_API_KEY or ' if vision else ''}INQUISIGHT_API_KEY with its base URL"
    if typed and (key := _given_key(spec, address)):
        return Endpoint(address, key, "the page 'Set up a model'", why, True)
    if typed:
        return Endpoint(address, "", f"{way_out} (an address in the model's name gets no configured key)", why, True)
    keys = {
        "OPENAI_API_KEY": (os.environ.get("OPENAI_API_KEY", "").strip(), _fits(address, None, *_openai_addresses())),
        "INQUISIGHT_API_KEY": (_secret(settings.api_key), _fits(address, settings.base_url)),
    }
    if vision:
        keys["INQUISIGHT_VISION_API_KEY"] = (_secret(settings.vision_api_key), _fits(address, settings.vision_base_url))
    fitting = {name: key for name, (key, fit) in keys.items() if fit}
    key = next(filter(None, reversed(fitting.values())), "")
    return Endpoint(address, key, " or ".join(fitting) or way_out, why)


# ---- addresses -----------------------------------------------------------------------------------------------------


def check_address(address: str, name: str) -> None:
    """Raise UsageError if the address is invalid or ambiguous, or contains a password."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    strange = any(not "!" <= letter <= "~" or letter == "\\" for letter in address)
    if _has_password(address):
        raise UsageError(
            f"{name} holds a user name or password; leave it out of the address and set the key that belongs to it."
        )
    if strange or not _HOST.fullmatch(host) or not address.lower().startswith(("http://", "https://")):
        raise UsageError(
            f"{name}={printable(address, 80)!r} is no web address; write http://HOST:PORT/v1 or https://HOST/v1."
        )


def _has_password(address: str) -> bool:
    """Whether the address may contain a user name or password."""
    return "@" in re.split(r"[/?#]", address.partition("//")[2], maxsplit=1)[0]


def same_address(one: str, other: str) -> bool:
    """Whether scheme, host, port and path are the same."""
    return _parts(one) == _parts(other)


def _parts(address: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(address.strip())
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", address, 0, ""
    return parts.scheme, parts.hostname or "", port, parts.path.rstrip("/")


def _fits(address: str, *homes: str | None) -> bool:
    """Whether it is one of these addresses; None means OpenAI."""
    return any(same_address(home, address) if home else is_openai(address) for home in homes)


def is_openai(address: str) -> bool:
    """Whether the address is certainly OpenAI: HTTPS, its domain, the default port."""
    scheme, host, port, _ = _parts(address)
    return scheme == "https" and port == 443 and _below(host, "openai.com")


def speaks_openai(address: str) -> bool:
    """Whether a server uses OpenAI's parameter names. It may belong to anybody, since Azure hosts them for rent."""
    host = urlsplit(address).hostname or ""
    return _below(host, "openai.com") or _below(host, "azure.com")


def _below(host: str, owner: str) -> bool:
    return host == owner or host.endswith(f".{owner}")


# ---- keys ----------------------------------------------------------------------------------------------------------


@contextmanager
def typed_by_owner(arguments: Iterable[str]) -> Iterator[None]:
    """Accept `key_env` in models named in `arguments`, which the user typed on the command line.

    Also accepts it in INQUISIGHT_VISION and INQUISIGHT_QUESTIONER.
    """
    before = _typed[:]
    _typed[:] = [*arguments, *(os.environ.get(f"INQUISIGHT_{name}", "") for name in ("VISION", "QUESTIONER"))]
    try:
        yield
    finally:
        _typed[:] = before


def give_key(spec: str, address: str, key: str) -> None:
    """Send `key` with requests of the model `spec`, whose name holds `address`, in this process; "" forgets it.

    Another name gets no key, even with the same address: who may name models must not spend the owner's credit.
    """
    if key:
        _given[spec] = (address, key)
    else:
        _given.pop(spec, None)


@contextmanager
def trying_key(spec: str, address: str, key: str) -> Iterator[None]:
    """Use another key for the model `spec` inside the block; "": the one that was given before."""
    before = _given.get(spec)
    if key:
        give_key(spec, address, key)
    try:
        yield
    finally:
        if key and before is not None:
            _given[spec] = before
        elif key:
            _given.pop(spec, None)


def _given_key(spec: str, address: str) -> str:
    home, key = _given.get(spec, ("", ""))
    return key if key and same_address(home, address) else ""


def _named_key(variable: str, spec: str, address: str) -> str:
    """The key in `variable`, if the user typed `spec`; logs its destination. Raises UsageError."""
    if not spec or not any(spec in (one, one.partition("=")[2]) for one in _typed):
        raise UsageError(
            "key_env counts only in a model that you type on the command line; set INQUISIGHT_VISION_BASE_URL and "
            "INQUISIGHT_VISION_API_KEY for a vision model, INQUISIGHT_BASE_URL and INQUISIGHT_API_KEY for a questioner."
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"key_env names {variable}, but that variable is not set.")
    host = urlsplit(address)
    log.warning("the key in %s is sent to %s://%s", variable, host.scheme, printable(host.netloc, 120))
    return key


def check_key_env(name: str) -> None:
    """Raise UsageError unless `name` looks like a key's variable; it is not shown, since it may be a key."""
    if name and not re.fullmatch(r"[A-Za-z0-9_]*_API_KEY", name):
        raise UsageError("key_env must name a variable that ends in _API_KEY, such as TOGETHER_API_KEY.")


def refuse_keys(names: Sequence[str]) -> None:
    """Raise UsageError if a model's name contains a key."""
    if {"api_key", "key"} & set(names):
        raise UsageError(
            "a key does not belong in the model's name, which is kept in transcripts; set INQUISIGHT_VISION_API_KEY or "
            "INQUISIGHT_API_KEY, or name the variable that holds it: key_env=TOGETHER_API_KEY."
        )


def _openai_variables() -> list[tuple[str, str]]:
    found = [(name, os.environ.get(name, "").strip()) for name in ADDRESSES]
    return [(name, value) for name, value in found if value][:1]


def _openai_addresses() -> list[str]:
    """The address in OpenAI's variables, to which OPENAI_API_KEY may be sent, if any."""
    return [value for _, value in _openai_variables()]


def _ambient_headers() -> dict[str, set[str]]:
    """Headers that OpenAI's client reads from the environment, with their values."""
    found = {name: {os.environ.get(one, "") for one in variables} - {""} for name, variables in _ACCOUNT.items()}
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), set()).add(value.strip())
    return found


def _secret(value: Any) -> str:
    return value.get_secret_value().strip() if value is not None else ""
