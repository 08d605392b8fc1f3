"""Chat providers: their differences, and their errors in one line.

`core/net/remote.py` decides which errors are retried and reports them without keys.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import SecretStr

from core.errors import QuestionerError
from core.net import endpoints, remote

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

log = logging.getLogger(__name__)
T = TypeVar("T")


class ContentFilterError(QuestionerError):
    """The provider's content filter withheld the reply; other pictures may pass."""


class EmptyReplyError(QuestionerError):
    """The model answered with nothing."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider: its package, the variable of its key, its names for options."""

    extra: str = ""  # of our distribution; without one, the provider's own package is named
    key: str = ""  # environment variable
    max_tokens: str = "max_tokens"
    seed: str = ""  # "" if the provider takes none
    options: str = ""  # the keyword that per-call options are wrapped in
    addresses: tuple[str, ...] = ()  # environment variables with the address that gets the key


# `core.net.endpoints` finds the address of `openai`; the other clients read their variables.
PROVIDERS: Final[dict[str, Provider]] = {
    "openai": Provider("openai", "OPENAI_API_KEY", seed="seed", addresses=endpoints.ADDRESSES),
    "anthropic": Provider("anthropic", "ANTHROPIC_API_KEY", addresses=("ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL")),
    "ollama": Provider("ollama", max_tokens="num_predict", seed="seed", options="options", addresses=("OLLAMA_HOST",)),
    "huggingface": Provider("huggingface", max_tokens="max_new_tokens", options="pipeline_kwargs"),
    # by itself LangChain would send OPENAI_API_KEY to Azure
    "azure_openai": Provider(key="AZURE_OPENAI_API_KEY", seed="seed", addresses=("AZURE_OPENAI_ENDPOINT",)),
    "deepseek": Provider(key="DEEPSEEK_API_KEY", seed="seed", addresses=("DEEPSEEK_API_BASE",)),
    "google_genai": Provider(key="GOOGLE_API_KEY", seed="seed", addresses=("GOOGLE_GEMINI_BASE_URL",)),
    "groq": Provider(key="GROQ_API_KEY", seed="seed", addresses=("GROQ_API_BASE", "GROQ_BASE_URL")),
    "mistralai": Provider(key="MISTRAL_API_KEY", seed="random_seed", addresses=("MISTRAL_BASE_URL",)),
    "openrouter": Provider(key="OPENROUTER_API_KEY", seed="seed", addresses=("OPENROUTER_API_BASE",)),
    "together": Provider(key="TOGETHER_API_KEY", seed="seed", addresses=("TOGETHER_API_BASE",)),
    "xai": Provider(key="XAI_API_KEY", seed="seed", addresses=("XAI_API_BASE",)),
}

# What load_questioner stores in `model.metadata`; a model made elsewhere has none of it and keeps its own retries.
SPEC, PROVIDER, RETRIES, KEYS, RATE = (f"inquisight_{word}" for word in ("spec", "provider", "retries", "keys", "rate"))

# In a message's additional_kwargs, from `agents.llm.openai_chat`: reasoning or a tool call absent from its text.
REASONED, CALLED = "inquisight_reasoned", "inquisight_called"


def key_variables() -> tuple[str, ...]:
    """The environment variables of all providers: each one's key, and the addresses that it belongs to."""
    return tuple(filter(None, (name for one in PROVIDERS.values() for name in (one.key, *one.addresses))))


def is_other_server(model: BaseChatModel) -> bool:
    """Whether an `openai:` model is on another OpenAI-compatible server."""
    base_url = getattr(model, "openai_api_base", None)
    return bool(base_url) and not endpoints.speaks_openai(str(base_url))


def name_of(model: BaseChatModel) -> str:
    return f"the questioner {(model.metadata or {}).get(SPEC) or type(model).__name__}"


def peer_of(model: BaseChatModel) -> remote.Peer:
    """The model as messages name it, with the keys that must not appear in one."""
    metadata = model.metadata or {}
    keys = metadata.get(KEYS) or PROVIDERS.get(metadata.get(PROVIDER, ""), Provider()).key or "its key"
    address = str(getattr(model, "openai_api_base", None) or getattr(model, "base_url", None) or "")
    address = "" if address == endpoints.OFFICIAL else address
    return remote.Peer(name_of(model), address, keys, secrets_in(vars(model)))


def server_of(model: BaseChatModel) -> str:
    """The server's address, or a name for it if the provider's client has its own."""
    client: Any = getattr(model, "root_client", None)  # of ChatOpenAI and its likenesses
    address = getattr(client, "base_url", None) or getattr(model, "base_url", None)
    return str(address or (model.metadata or {}).get(PROVIDER) or type(model).__name__)


def secrets_in(holder: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys in a model's fields or arguments, and all keys in the environment."""
    values = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in holder.items()
    }
    held = [value for name, value in values.items() if "key" in name and isinstance(value, str)]
    return (*held, *(os.environ.get(provider.key, "") for provider in PROVIDERS.values() if provider.key))


def retrying(call: Callable[[], T], model: BaseChatModel) -> T:
    """`call()`, with the retries that the model was loaded with. Raises QuestionerError."""

    def report(error: BaseException, seconds: float) -> None:
        peer = peer_of(model)
        log.info("%s: %s; trying again in %.1f s", peer.name, remote.server_message(error, peer.secrets), seconds)

    metadata = model.metadata or {}
    pace = remote.pace_of(server_of(model), metadata.get(RATE))
    try:
        return remote.retrying(call, retries=metadata.get(RETRIES, 0), pace=pace, notify=report)
    except Exception as error:
        fault = explained(error, model)
        if fault is error:
            raise
        raise fault from error


def explained(error: BaseException, model: BaseChatModel, *, midway: bool = False) -> QuestionerError:
    """A provider's error in one line. `midway`: part of the reply had been received."""
    if isinstance(error, QuestionerError):
        return error
    fault = remote.explained(error, peer_of(model), remote.tries_of(error), midway=midway)
    return ContentFilterError(fault.text) if fault.kind == "filter" else QuestionerError(fault.text)
