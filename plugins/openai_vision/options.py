"""What stands behind `openai:`: the model and options of one endpoint, and which key may go there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Self, get_args
from urllib.parse import parse_qsl, urlsplit

from core.errors import UsageError, printable
from core.remote import OPENAI_HOSTS, belongs_to
from core.settings import Settings

OFFICIAL: Final = "https://api.openai.com/v1"
EXAMPLE: Final = "openai:gpt-4o-mini or 'openai:qwen?base_url=http://localhost:8000/v1'"

Format = Literal["auto", "jpeg", "png"]
Detail = Literal["", "auto", "low", "high"]


@dataclass(frozen=True, slots=True)
class Options:
    """How an endpoint is used. On the command line: `openai:MODEL?base_url=http://localhost:8000/v1&max_side=768`."""

    base_url: str = ""  # "": INQUISIGHT_VISION_BASE_URL, INQUISIGHT_BASE_URL, OPENAI_BASE_URL, then OpenAI's own
    key_env: str = ""  # name of the variable that holds this endpoint's key, such as TOGETHER_API_KEY
    max_side: int = 1024  # pixels; a larger picture is scaled down before it is sent
    format: Format = "auto"  # "auto": PNG where it is the smaller one, else JPEG
    detail: Detail = ""  # OpenAI's `detail` of a picture; "": not sent
    workers: int = 8  # requests at a time

    @classmethod
    def parse(cls, argument: str | None) -> tuple[str, Self]:
        """ "MODEL?name=value&..." as model and options. Raises UsageError."""
        model, _, query = (argument or "").partition("?")
        if not model:
            raise UsageError(f"openai needs a model: write {EXAMPLE}.")
        known = {one.name for one in fields(cls)}
        given: dict[str, Any] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name in {"api_key", "key"}:
                raise UsageError(
                    "a key does not belong in the model's name, which is kept in transcripts; set "
                    "INQUISIGHT_VISION_API_KEY, or name the variable that holds it: key_env=TOGETHER_API_KEY."
                )
            if name not in known:
                raise UsageError(
                    f"openai has no option {printable(name, 40)!r}; it has {', '.join(sorted(known))}, as in {EXAMPLE}."
                )
            if name in {"max_side", "workers"}:
                if not value.isascii() or not value.isdigit():
                    raise UsageError(f"{name}={printable(value, 40)!r} is not a whole number.")
                given[name] = int(value)
            else:
                given[name] = value
        return model, cls(**given)

    def __post_init__(self) -> None:
        ranges = {"max_side": (32, 8192), "workers": (1, 256)}
        for name, (least, most) in ranges.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"{name} is {getattr(self, name)}, but must be between {least} and {most}.")
        for name, allowed in (("format", get_args(Format)), ("detail", get_args(Detail))):
            if getattr(self, name) not in allowed:
                words = ", ".join(word for word in allowed if word)
                raise UsageError(f"{name}={printable(getattr(self, name), 40)!r} is not known; choose one of {words}.")
        if self.key_env and not re.fullmatch(r"[A-Za-z0-9_]*_API_KEY", self.key_env):
            # the value is not shown: it may be a key
            raise UsageError("key_env must name a variable that ends in _API_KEY, such as TOGETHER_API_KEY.")
        if self.base_url:
            _check(self.base_url, "base_url")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go and with which key; `why` says where the address came from."""

    address: str
    key: str
    keys: str  # where a key for it is looked for, in words
    why: str

    @property
    def official(self) -> bool:
        """Whether it is OpenAI's own, which names a few things differently from its likenesses."""
        return belongs_to(self.address, OPENAI_HOSTS)

    @property
    def server(self) -> str:
        """Host and port, for people and transcripts."""
        parts = urlsplit(self.address)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @classmethod
    def find(cls, options: Options, settings: Settings) -> Self:
        """The address and its key. A key goes nowhere but to the server it was made for. Raises UsageError."""
        elsewhere = os.environ.get("OPENAI_BASE_URL", "").strip()
        if options.base_url:
            address, why = options.base_url, "base_url was given with the model"
        elif settings.vision_base_url:
            address, why = settings.vision_base_url, "INQUISIGHT_VISION_BASE_URL"
        elif settings.base_url:
            address, why = settings.base_url, "INQUISIGHT_BASE_URL"
        elif elsewhere:
            address, why = elsewhere, "OPENAI_BASE_URL"
        else:
            address, why = OFFICIAL, "no base URL was given"
        _check(address, why if why.isupper() else "base_url")

        if options.key_env:
            key = os.environ.get(options.key_env, "").strip()
            if not key:
                raise UsageError(f"key_env names {options.key_env}, but that variable is not set.")
            return cls(address, key, options.key_env, why)
        official = belongs_to(address, OPENAI_HOSTS)
        eyes = settings.vision_base_url is None or _origin(settings.vision_base_url) == _origin(address)
        theirs = official or bool(elsewhere) and _origin(elsewhere) == _origin(address)
        # without an address of its own it is for whoever asks, once the eye has one
        home = settings.base_url
        ours = _origin(home) == _origin(address) if home else settings.vision_base_url is None
        places = {"INQUISIGHT_VISION_API_KEY": eyes, "INQUISIGHT_API_KEY": ours, "OPENAI_API_KEY": theirs}
        keys = " or ".join(name for name, fits in reversed(places.items()) if fits) or "key_env"
        secrets = [settings.vision_api_key if eyes else None, settings.api_key if ours else None]
        found = [secret.get_secret_value() for secret in secrets if secret]
        found += [os.environ.get("OPENAI_API_KEY", "").strip()] * theirs
        key = next(filter(None, found), "")
        if official and not key:
            raise UsageError(f"openai needs a key for {printable(urlsplit(address).hostname)}: set {keys}.")
        return cls(address, key, keys, why)


def _check(address: str, name: str) -> None:
    """Raises UsageError where this is no address that can be called, or it holds a password."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise UsageError(
            f"{name}={printable(address, 80)!r} is no web address; write http://HOST:PORT/v1 or https://HOST/v1."
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"{name} holds a user name or password for {printable(host, 80)}; leave it out of the address and set "
            "INQUISIGHT_VISION_API_KEY."
        )


def _origin(address: str) -> tuple[str, str, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname or "", parts.port
