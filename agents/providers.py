"""Chat providers: what differs between them, which of their errors deserve another try, and how to tell a person.

One policy for all: connection errors, timeouts, HTTP 408, 409, 429 and 5xx are tried again, with `Retry-After`
honoured up to a minute. Whatever would fail the same way again (401, 404, an exhausted quota) is not.
"""

from __future__ import annotations

import logging
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from core.errors import QuestionerError, printable

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

log = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_WAIT: Final = 60.0  # seconds; a provider that asks for more is out of reach for this run


class ContentFilterError(QuestionerError):
    """The provider's content filter withheld the reply: this picture is done, the next may go on."""


class EmptyReplyError(QuestionerError):
    """The model answered with nothing."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What differs between providers: how to install it, where its key comes from, its names for options."""

    extra: str = ""  # of our distribution; without one, the provider's own package is named
    key: str = ""  # environment variable
    max_tokens: str = "max_tokens"
    seed: str = ""  # "" where the provider takes none
    options: str = ""  # the keyword that per-call options are wrapped in
    hosts: tuple[str, ...] = ()  # its own addresses, the only ones that get the key of that variable


PROVIDERS: Final[dict[str, Provider]] = {
    "openai": Provider("openai", "OPENAI_API_KEY", seed="seed", hosts=("openai.com", "azure.com")),
    "anthropic": Provider("anthropic", "ANTHROPIC_API_KEY", hosts=("anthropic.com",)),
    "ollama": Provider("ollama", max_tokens="num_predict", seed="seed", options="options"),
    "huggingface": Provider("huggingface", max_tokens="max_new_tokens", options="pipeline_kwargs"),
    "deepseek": Provider(key="DEEPSEEK_API_KEY", seed="seed"),
    "google_genai": Provider(key="GOOGLE_API_KEY", seed="seed"),
    "groq": Provider(key="GROQ_API_KEY", seed="seed"),
    "mistralai": Provider(key="MISTRAL_API_KEY", seed="random_seed"),
    "openrouter": Provider(key="OPENROUTER_API_KEY", seed="seed"),
    "together": Provider(key="TOGETHER_API_KEY", seed="seed"),
    "xai": Provider(key="XAI_API_KEY", seed="seed"),
}

# What load_questioner leaves on `model.metadata` for ask(); a model made elsewhere has none of it and
# keeps its own retries.
SPEC, PROVIDER, RETRIES, ROOM = (f"inquisight_{word}" for word in ("spec", "provider", "retries", "room"))


def official(provider: str, base_url: str) -> bool:
    """Whether an address belongs to the provider itself, so that the key made for it may go there."""
    host = urlsplit(base_url).hostname or ""
    return any(host == own or host.endswith(f".{own}") for own in PROVIDERS.get(provider, Provider()).hosts)


def is_stranger(model: BaseChatModel) -> bool:
    """Whether `openai:` stands for somebody else's OpenAI-compatible server."""
    base_url = getattr(model, "openai_api_base", None)
    return bool(base_url) and not official("openai", str(base_url))


def retrying(call: Callable[[], T], model: BaseChatModel) -> T:
    """`call()`, again after errors that are worth it, as often as the model was loaded with."""
    retries = (model.metadata or {}).get(RETRIES, 0)
    for attempt in range(retries + 1):
        try:
            return call()
        except QuestionerError:
            raise
        except Exception as error:
            wait = _wait_before_retry(error, attempt)
            if wait is None or attempt == retries:
                raise explained(error, model, tries=attempt + 1) from error
            log.info("%s: %s; trying again in %.1f s", name_of(model), one_line(error, vars(model)), wait)
            time.sleep(wait)
    raise AssertionError("unreachable")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error of any provider's library."""
    for link in _chain(error):
        for value in (
            getattr(link, "status_code", None),
            getattr(getattr(link, "response", None), "status_code", None),
        ):
            if isinstance(value, int) and value >= 400:
                return value
    return None


def _kind(error: BaseException) -> str:
    """ "timeout", "connection", or "" for anything else."""
    names = {base.__name__ for link in _chain(error) for base in type(link).__mro__}
    if any("Timeout" in name for name in names):
        return "timeout"
    return "connection" if names & {"APIConnectionError", "ConnectionError", "TransportError"} else ""


def _codes(error: BaseException) -> str:
    """Machine-readable words of the error body, for the few that decide something."""
    return " ".join(f"{getattr(link, 'code', '')} {getattr(link, 'body', '')}" for link in _chain(error)).lower()


def _wait_before_retry(error: BaseException, attempt: int) -> float | None:
    """Seconds to wait, or None where another try is not worth it."""
    status = _status(error)
    if status is None and not _kind(error):
        return None
    if status is not None and status not in (408, 409, 429) and status < 500:
        return None
    if status == 429 and "insufficient_quota" in _codes(error):
        return None
    asked = _retry_after(error)
    if asked is not None:
        return None if asked > LONGEST_WAIT else asked + random.uniform(0, 0.1)
    return min(8.0, 0.5 * 2.0**attempt) * random.uniform(0.75, 1.25)


def _retry_after(error: BaseException) -> float | None:
    """Seconds from Retry-After, given as a number or as a date (RFC 9110, section 10.2.3)."""
    from email.utils import parsedate_to_datetime

    for link in _chain(error):
        headers = getattr(getattr(link, "response", None), "headers", None)
        value = headers.get("retry-after") if headers is not None else None
        if not value:
            continue
        try:
            return max(0.0, float(value))
        except ValueError:
            try:
                return float(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()))
            except ValueError:
                return None
    return None


def explained(error: BaseException, model: BaseChatModel, tries: int = 1, *, midway: bool = False) -> QuestionerError:
    """The one line a person gets for a provider's error. `midway`: part of the reply had been heard."""
    if isinstance(error, QuestionerError):
        return error
    name, status, kind = name_of(model), _status(error), _kind(error)
    where = getattr(model, "openai_api_base", None) or getattr(model, "base_url", None)
    at = f" at {where}" if where else ""
    said = one_line(error, vars(model))
    often = f" after {tries} tries" if tries > 1 else ""
    if status == 400 and "content_filter" in _codes(error):
        return ContentFilterError(f"{name} refused the request: the provider's content filter stopped it.")
    if status in (401, 403):
        key = PROVIDERS.get((model.metadata or {}).get(PROVIDER, ""), Provider()).key
        own = f"{key} or INQUISIGHT_API_KEY" if key and not is_stranger(model) else "INQUISIGHT_API_KEY"
        return QuestionerError(f"{name}{at} does not accept the key (HTTP {status}); check {own}.")
    if status == 404:
        return QuestionerError(f"{name}{at} was not found (HTTP 404): {said}; check the model's name and the base URL.")
    if status == 429:
        if "insufficient_quota" in _codes(error):
            return QuestionerError(
                f"{name}: the account's quota is used up (HTTP 429); add credit or choose another one."
            )
        asked = _retry_after(error)
        wish = f" and asks to wait {asked:.0f} s" if asked else ""
        return QuestionerError(f"{name} has too many requests{often} (HTTP 429){wish}; try later or set a lower rate.")
    if status is not None:
        return QuestionerError(f"{name} failed{often} (HTTP {status}): {said}")
    if kind == "timeout":
        return QuestionerError(f"{name}{at} did not answer in time{often}; raise INQUISIGHT_TIMEOUT or try later.")
    if kind == "connection" and midway:
        return QuestionerError(f"{name}{at} broke off in the middle of its reply; try again.")
    if kind == "connection":
        return QuestionerError(f"{name}{at} cannot be reached{often}; is the server running and the address right?")
    return QuestionerError(f"{name} failed: {type(error).__name__}: {said}")


def name_of(model: BaseChatModel) -> str:
    return f"the questioner {(model.metadata or {}).get(SPEC) or type(model).__name__}"


_SECRET = re.compile(r"(?i)\b(?:sk|pk|rk|hf|gsk|xai|key|AIza)[-_][\w\-*.]{4,}|\bAIza[\w\-]{10,}|bearer\s+\S+")


def one_line(error: BaseException, holder: Mapping[str, Any]) -> str:
    """The provider's own message: one line, shortened, without anything that looks like a key.

    `holder` is whatever was built with keys: a model's fields or its constructor's arguments.
    """
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None  # some libraries keep the envelope
    message = inner.get("message") if isinstance(inner, dict) else None
    text = " ".join(str(message or error or type(error).__name__).split())
    values = [value.get_secret_value() if isinstance(value, SecretStr) else value for value in holder.values()]
    secrets = [value for name, value in zip(holder, values, strict=True) if "key" in name and isinstance(value, str)]
    for secret in secrets + [os.environ.get(provider.key, "") for provider in PROVIDERS.values() if provider.key]:
        if len(secret) > 5:
            text = text.replace(secret, "[key]")
    text = _SECRET.sub("[key]", text)
    return printable(text, 200)
