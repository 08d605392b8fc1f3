"""Which server an OpenAI-compatible model is asked at, and which key may go there.

A key goes only to the address that it was configured with:

    INQUISIGHT_VISION_API_KEY   INQUISIGHT_VISION_BASE_URL, or OpenAI itself where that is not set (vision models alone)
    INQUISIGHT_API_KEY          INQUISIGHT_BASE_URL, or OpenAI itself where that is not set
    OPENAI_API_KEY              OPENAI_BASE_URL (or OPENAI_API_BASE), and OpenAI itself

An address that is typed in a model's name gets none of them. `key_env=VARIABLE` in a model's name counts where the
owner typed that name on the command line (`typed_by_owner`), and nowhere else: not in the dashboard, in a worker of a
cluster, or in a name that comes from a transcript.
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
# Sent by OpenAI's client with every request, wherever it goes; they name an account.
_ACCOUNT: Final = {
    "openai-organization": ("OPENAI_ORG_ID", "OPENAI_ORGANIZATION"),
    "openai-project": ("OPENAI_PROJECT_ID",),
}
_HOST: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*(%[a-z0-9_.-]+)?")
_typed: list[str] = []  # see `typed_by_owner`


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go and with which key; `why` says where the address came from."""

    address: str
    key: str = field(repr=False)  # "": none
    keys: str  # where a key for it is looked for, in words
    why: str
    typed: bool = False  # the address came with the model's name

    @property
    def official(self) -> bool:
        """Whether it is OpenAI's own or Azure's, which name a few parameters differently from other servers."""
        return speaks_openai(self.address)

    @property
    def needs_key(self) -> bool:
        """Whether the server is known to answer nothing without a key, and there is none."""
        return is_openai(self.address) and not self.key

    @property
    def server(self) -> str:
        """Host and port, for people and transcripts."""
        parts = urlsplit(self.address)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    def client_options(self, *, asynchronous: bool = False) -> dict[str, Any]:
        """Arguments for an httpx client: it follows no redirect, and sends no account and no key but this one.

        A redirect would send the pictures, and headers that carry keys, to an address that nobody chose.
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
    """The address and its key. `typed` and `key_env` are what the model's name `spec` says. Raises UsageError."""
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
    """Raise UsageError where this is no address that can be called, may be read in two ways, or holds a password."""
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
    """Whether anything before the host could be a user name or password."""
    return "@" in re.split(r"[/?#]", address.partition("//")[2], maxsplit=1)[0]


def same_address(one: str, other: str) -> bool:
    """Whether both are the same scheme, host, port and path, however they are written."""
    return _parts(one) == _parts(other)


def _parts(address: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(address.strip())
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", address, 0, ""
    return parts.scheme, parts.hostname or "", port, parts.path.rstrip("/")


def _fits(address: str, *homes: str | None) -> bool:
    """Whether it is one of these addresses; None stands for OpenAI itself."""
    return any(same_address(home, address) if home else is_openai(address) for home in homes)


def is_openai(address: str) -> bool:
    """Whether only OpenAI itself can be at this address: encrypted, at its host or below, at the usual port."""
    scheme, host, port, _ = _parts(address)
    return scheme == "https" and port == 443 and _below(host, "openai.com")


def speaks_openai(address: str) -> bool:
    """Whether a server names parameters as OpenAI does. Says nothing of whose it is: anybody can rent one at Azure."""
    host = urlsplit(address).hostname or ""
    return _below(host, "openai.com") or _below(host, "azure.com")


def _below(host: str, owner: str) -> bool:
    return host == owner or host.endswith(f".{owner}")


# ---- keys ----------------------------------------------------------------------------------------------------------


@contextmanager
def typed_by_owner(arguments: Iterable[str]) -> Iterator[None]:
    """For as long as this lasts, `key_env` counts in models named in `arguments`, which were typed at a terminal.

    It counts in the owner's INQUISIGHT_VISION and INQUISIGHT_QUESTIONER as well. For the command line alone.
    """
    before = _typed[:]
    _typed[:] = [*arguments, *(os.environ.get(f"INQUISIGHT_{name}", "") for name in ("VISION", "QUESTIONER"))]
    try:
        yield
    finally:
        _typed[:] = before


def _named_key(variable: str, spec: str, address: str) -> str:
    """The key in `variable`, where the owner typed `spec`; says where it is sent. Raises UsageError."""
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
    """Raise UsageError unless `name` looks like a variable that holds a key; it is not shown, since it may be one."""
    if name and not re.fullmatch(r"[A-Za-z0-9_]*_API_KEY", name):
        raise UsageError("key_env must name a variable that ends in _API_KEY, such as TOGETHER_API_KEY.")


def refuse_keys(names: Sequence[str]) -> None:
    """Raise UsageError where a key itself was typed in a model's name."""
    if {"api_key", "key"} & set(names):
        raise UsageError(
            "a key does not belong in the model's name, which is kept in transcripts; set INQUISIGHT_VISION_API_KEY or "
            "INQUISIGHT_API_KEY, or name the variable that holds it: key_env=TOGETHER_API_KEY."
        )


def _openai_variables() -> list[tuple[str, str]]:
    found = [(name, os.environ.get(name, "").strip()) for name in ADDRESSES]
    return [(name, value) for name, value in found if value][:1]


def _openai_addresses() -> list[str]:
    """The address that OPENAI_API_KEY belongs to beside OpenAI itself; none where no variable names one."""
    return [value for _, value in _openai_variables()]


def _ambient_headers() -> dict[str, set[str]]:
    """Headers that OpenAI's client takes from the environment, with their values."""
    found = {name: {os.environ.get(one, "") for one in variables} - {""} for name, variables in _ACCOUNT.items()}
    for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip().lower(), set()).add(value.strip())
    return found


def _secret(value: Any) -> str:
    return value.get_secret_value().strip() if value is not None else ""
