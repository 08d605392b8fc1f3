"""Parse what follows `openai:`: model and options of its endpoint. Address and key: `core/net/endpoints.py`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal, Self, get_args
from urllib.parse import parse_qsl

from core.errors import UsageError, printable
from core.net.endpoints import check_address, check_key_env, refuse_keys

EXAMPLE: Final = "openai:gpt-4o-mini or 'openai:qwen?base_url=http://localhost:8000/v1'"

Format = Literal["auto", "jpeg", "png"]
Detail = Literal["", "auto", "low", "high"]


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """How an endpoint is used. On the command line: `openai:MODEL?base_url=http://localhost:8000/v1&max_side=768`."""

    base_url: str = ""  # "": INQUISIGHT_VISION_BASE_URL, INQUISIGHT_BASE_URL, OPENAI_BASE_URL, then OpenAI's own
    key_env: str = ""  # variable that holds this endpoint's key, such as TOGETHER_API_KEY; on the command line alone
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
            refuse_keys([name])
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
        check_key_env(self.key_env)
        if self.base_url:
            check_address(self.base_url, "base_url")
