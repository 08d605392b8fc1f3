"""Load a questioner by name, and ask it.

`load_questioner("scripted")`, `load_questioner("openai:gpt-4o-mini")`, `load_questioner("openai:qwen3",
base_url="http://localhost:8000/v1")` give a LangChain `BaseChatModel`. `ask_reply` and `reply_pieces` call one, with
the same pacing, retries and one-line errors for every provider.

`agents/llm/providers.py` describes the providers, `core/net/remote.py` what is retried and how errors read.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from agents.llm.providers import (
    CALLED,
    KEYS,
    PROVIDER,
    PROVIDERS,
    RATE,
    REASONED,
    RETRIES,
    SPEC,
    ContentFilterError,
    EmptyReplyError,
    Provider,
    explained,
    is_other_server,
    name_of,
    peer_of,
    retrying,
    secrets_in,
    server_of,
)
from agents.llm.usage import Meter, counting
from core.errors import QuestionerError, RegistryError, UsageError
from core.files.model_folder import weight_files
from core.net.budgets import budgets_of
from core.net.endpoints import Endpoint, check_key_env, find_endpoint, refuse_keys
from core.net.remote import server_message
from core.net.replies import REASONING_FIELDS, ReplyPart, ReplyReader, content_part, reason_of, why_empty
from core.vision import Reply

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from core.settings import Settings

__all__ = ["ContentFilterError", "EmptyReplyError", "ask_reply", "load_questioner", "reply_pieces"]

TEMPERATURE: Final = 0.6  # ChatCaptioner's
_EXAMPLES: Final = "openai:gpt-4o-mini, ollama:llama3.2 or anthropic:claude-sonnet-4-5"


def load_questioner(
    spec: str,
    settings: Settings | None = None,
    *,
    seed: int | None = None,
    base_url: str | None = None,
    temperature: float = TEMPERATURE,
) -> BaseChatModel:
    """A chat model by name: our registry first ("scripted", plugins), then LangChain's `init_chat_model`.

    `spec` is a registered name or "provider:model", for any provider LangChain knows. `openai:` takes the address of a
    compatible server from the settings, from `base_url`, or from its name: "openai:qwen3?base_url=http://HOST:8000/v1".
    An address from the last two gets no configured key (`core.net.endpoints`); give `settings` the pair to send one.
    Raises UsageError for a name that means nothing and for a missing package or key, RegistryError for a broken plugin,
    BackendError for a folder that holds no model.
    """
    from core.registry import get_registry
    from core.settings import get_settings

    settings = settings or get_settings()
    registry = get_registry()
    provider_name, colon, model_name = spec.partition(":")
    if provider_name in registry.questioners or not (colon or provider_name in PROVIDERS):
        try:
            model: BaseChatModel = registry.create_questioner(spec)
        except RegistryError as error:
            if provider_name in registry.questioners:
                raise
            raise RegistryError(f"{error} Language models are written provider:model, such as {_EXAMPLES}.") from error
        if seed is not None and "seed" in type(model).model_fields:
            model = model.model_copy(update={"seed": seed})
        model.metadata = {**(model.metadata or {}), SPEC: spec}
        return model

    if not (provider_name and model_name):
        raise UsageError(f"the questioner {spec!r} is incomplete; write provider:model, such as {_EXAMPLES}.")
    provider = PROVIDERS.get(provider_name, Provider())
    model_name, typed = _parts_of(spec, provider_name, model_name)
    if base_url:
        typed = {**typed, "base_url": base_url}
    ours: dict[str, Any] = {SPEC: spec, PROVIDER: provider_name, RETRIES: settings.max_retries}
    ours[RATE] = settings.requests_per_second
    options = _options(provider_name, settings, temperature)
    if provider_name == "openai":
        endpoint = _endpoint_of(spec, settings, typed)
        ours[KEYS] = endpoint.keys
        options["api_key"] = endpoint.key or "none"  # local servers want none, but the client insists on one
    missing = "" if provider_name == "openai" or os.environ.get(provider.key) else provider.key
    if seed is not None and provider.seed:
        options[provider.seed] = seed
    if provider_name == "huggingface" and os.path.lexists(folder := Path(model_name).expanduser()):
        weight_files(folder, "huggingface:", hub=True)  # before a library reports it in many lines
    try:
        from langchain.chat_models import init_chat_model

        if provider_name == "openai":
            importlib.import_module("langchain_openai")  # it may be missing, and ours loaded before
            from agents.llm.openai_chat import OpenAIChat

            model = OpenAIChat(model=model_name, **options, **_connection(endpoint))
        else:
            model = init_chat_model(model_name, model_provider=provider_name, **options)
    except ImportError as error:
        key = f" and a key: set {missing}" if missing else ""
        raise UsageError(_missing_package(spec, provider, error) + key) from error
    except Exception as error:
        if str(error).startswith("Unsupported provider"):
            raise UsageError(
                f"the questioner {spec!r} names no known provider {provider_name!r}; write {_EXAMPLES}, or a "
                f"registered name: {', '.join(sorted(registry.questioners))}."
            ) from error
        if not missing:
            said = server_message(error, secrets_in(options))
            raise UsageError(f"the questioner {spec!r} cannot be made: {said}") from error
    if missing:  # some clients fail only at the first question
        raise UsageError(f"the questioner {spec!r} needs a key: set {missing}.")
    model.metadata = {**(model.metadata or {}), **ours}
    return model


def _parts_of(spec: str, provider: str, model: str) -> tuple[str, dict[str, str]]:
    """A model's name without the options behind its question mark, and these. Raises UsageError."""
    name, mark, query = model.partition("?")
    if not mark:
        return model, {}
    given = dict(parse_qsl(query, keep_blank_values=True))
    refuse_keys(list(given))
    if provider != "openai":
        raise UsageError(
            f"the questioner {spec!r} takes no options; an address and a key of its provider are variables."
        )
    if not name or set(given) - {"base_url", "key_env"}:
        raise UsageError(f"the questioner {spec!r} takes base_url and key_env behind its name, and nothing else.")
    check_key_env(given.get("key_env", ""))
    return name, given


def _endpoint_of(spec: str, settings: Settings, typed: dict[str, str]) -> Endpoint:
    """The endpoint of an `openai:` questioner. Raises UsageError."""
    endpoint = find_endpoint(settings, typed=typed.get("base_url", ""), key_env=typed.get("key_env", ""), spec=spec)
    if endpoint.needs_key:
        raise UsageError(f"the questioner {spec!r} needs a key: set {endpoint.keys}.")
    return endpoint


def _connection(endpoint: Endpoint) -> dict[str, Any]:
    """Arguments of ChatOpenAI: its address, and HTTP clients that connect to nothing else."""
    from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

    return {
        "base_url": endpoint.address,
        "http_client": DefaultHttpxClient(**endpoint.client_options()),
        "http_async_client": DefaultAsyncHttpxClient(**endpoint.client_options(asynchronous=True)),
        "openai_proxy": None,  # the clients have it
        "stream_usage": endpoint.official,  # which other servers may not know
    }


def _options(provider: str, settings: Settings, temperature: float) -> dict[str, Any]:
    """Constructor arguments; providers' own retries are switched off, since `ask` retries and paces all alike."""
    options: dict[str, Any] = {"temperature": temperature}
    if provider == "huggingface":
        plainly = {"trust_remote_code": False}  # else it asks on the terminal
        return options | {"backend": "pipeline", "do_sample": temperature > 0, "model_kwargs": plainly}
    if provider == "ollama":
        return options | {"client_kwargs": {"timeout": settings.timeout}}
    return options | {"timeout": settings.timeout, "max_retries": 0}


def _missing_package(spec: str, provider: Provider, error: ImportError) -> str:
    if provider.extra:
        return f"the questioner {spec!r} needs an optional part: pip install 'inquisight[{provider.extra}]'"
    package = re.search(r"pip install ([\w\-]+)", str(error))
    return f"the questioner {spec!r} needs a package: pip install {package[1] if package else error.name or '?'}"


def check_questioner(spec: str, settings: Settings | None = None) -> None:
    """Raise an error for a name, package, key or folder that cannot work, without importing or calling anything.

    Raises UsageError, RegistryError, BackendError.
    """
    from core.registry import get_registry
    from core.settings import get_settings

    registry = get_registry()
    provider_name, colon, model_name = spec.partition(":")
    if provider_name in registry.questioners or not (colon or provider_name in PROVIDERS):
        registry.check("questioner", spec)
        return
    if not (provider_name and model_name):
        raise UsageError(f"the questioner {spec!r} is incomplete; write provider:model, such as {_EXAMPLES}.")
    provider = PROVIDERS.get(provider_name, Provider())
    _, typed = _parts_of(spec, provider_name, model_name)
    if provider.extra and importlib.util.find_spec(f"langchain_{provider_name}") is None:
        raise UsageError(_missing_package(spec, provider, ImportError()))
    if provider_name == "openai":
        _endpoint_of(spec, settings or get_settings(), typed)
    elif provider.key and not os.environ.get(provider.key):
        raise UsageError(f"the questioner {spec!r} needs a key: set {provider.key}.")
    if provider_name == "huggingface" and os.path.lexists(folder := Path(model_name).expanduser()):
        weight_files(folder, "huggingface:", hub=True)


def ask_reply(model: BaseChatModel, messages: Sequence[BaseMessage], **options: Any) -> Reply:
    """The model's whole reply, without its reasoning. Options and errors as for `reply_pieces`."""
    *_, reply = reply_pieces(model, messages, stream=False, **options)
    assert isinstance(reply, Reply)
    return reply


def reply_pieces(
    model: BaseChatModel,
    messages: Sequence[BaseMessage],
    *,
    max_tokens: int | None = None,
    retry_tokens: int | None = None,
    enough: Callable[[str], bool] | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    meter: Meter | None = None,
    stream: bool = True,
) -> Iterator[str | Reply]:
    """The reply in pieces as they come, if `stream`, then the Reply. A call is retried until its first piece is shown.

    A reply cut at `max_tokens` is requested once more with `retry_tokens`, if given and the text is not `enough`; if
    that fails, the cut one stays. `meter` counts the calls. The Reply's text is that of the pieces, unless they turn
    out late to be reasoning. Raises ContentFilterError, EmptyReplyError, or QuestionerError with one line without keys.
    """
    metadata = model.metadata or {}
    budgets = budgets_of(server_of(model), name_of(model))
    asked = max_tokens if RETRIES in metadata else None  # a model made elsewhere is called once
    budget = max_tokens if asked is None else budgets.first(asked, retry_tokens)
    reader: ReplyReader | None = None
    while True:
        try:
            call = call_options(model, budget, temperature, seed)
            if meter is not None:
                call["config"] = {"callbacks": [counting(meter)]}
            reader, pieces = _open(model, list(messages), call, budgets.reader, stream)
            for piece in pieces:
                if stream and piece:
                    yield piece
        except QuestionerError:
            if reader is None or not reader.reply.text:
                raise
            break  # the cut reply is all there is
        budget = None if asked is None or budget is None else budgets.again(reader, asked, budget, retry_tokens, enough)
        if budget is None:
            break
    if reader.reply.text:
        yield reader.reply
        return
    if reader.reason == "content_filter":
        raise ContentFilterError(f"{name_of(model)} withheld its reply: the provider's content filter stopped it.")
    raise EmptyReplyError(f"{name_of(model)}{peer_of(model).at} {why_empty(reader)}")


def _open(
    model: BaseChatModel,
    messages: list[BaseMessage],
    call: dict[str, Any],
    new_reader: Callable[[], ReplyReader],
    stream: bool,
) -> tuple[ReplyReader, Iterator[str]]:
    """A reply and its pieces. Raises QuestionerError, after retries where they can help."""

    def start() -> tuple[ReplyReader, str, Iterator[str]]:
        reader = new_reader()
        replies = model.stream(messages, **call) if stream else iter([model.invoke(messages, **call)])
        pieces = _pieces(replies, reader)
        return reader, next(pieces, ""), pieces

    reader, first, rest = retrying(start, model)

    def pieces() -> Iterator[str]:
        yield first
        try:
            yield from rest
        except Exception as error:
            raise explained(error, model, midway=True) from error

    return reader, pieces()


def _pieces(messages: Iterator[Any], reader: ReplyReader) -> Iterator[str]:
    """The text of messages or chunks as they come; `reader` has the whole reply at the end."""
    for message in messages:
        yield from reader.take(part_of_message(message))
        if reader.full:
            break
    yield from reader.finish()


def read_message(message: Any) -> ReplyReader:
    """The reply in a whole LangChain message."""
    reader = ReplyReader()
    reader.take(part_of_message(message))
    reader.finish()
    return reader


def part_of_message(message: Any) -> ReplyPart:
    """What a LangChain message, or a chunk of one, adds to a reply; for any provider."""
    beside, metadata = message.additional_kwargs, message.response_metadata
    part = content_part(message.content)
    ends = (metadata.get(name) for name in ("finish_reason", "stop_reason", "done_reason"))
    refused = bool(beside.get("refusal")) and not part.text.strip()
    calls = ("tool_calls", "tool_call_chunks", "invalid_tool_calls")
    return ReplyPart(
        part.text,
        part.reasoned or any(beside.get(name) for name in (REASONED, *REASONING_FIELDS)),
        part.called
        or any(beside.get(name) for name in (CALLED, "function_call", "tool_calls"))
        or any(getattr(message, name, None) for name in calls),
        reason="content_filter" if refused else part.reason or next(filter(None, map(reason_of, ends)), ""),
    )


def call_options(
    model: BaseChatModel, max_tokens: int | None, temperature: float | None, seed: int | None
) -> dict[str, Any]:
    """Per-call options under the names the provider uses. A model of unknown make gets the common names."""
    name = (model.metadata or {}).get(PROVIDER, "")
    provider = PROVIDERS.get(name, Provider())
    options: dict[str, Any] = {}
    if max_tokens is not None:
        options[provider.max_tokens] = max_tokens
    if temperature is not None:
        options["temperature"] = temperature
    if seed is not None and provider.seed:
        options[provider.seed] = seed
    if seed is not None and not name and "seed" in type(model).model_fields:
        options["seed"] = seed
    if name == "huggingface":
        if seed is not None:
            from transformers import set_seed

            set_seed(seed)
        options["return_full_text"] = False
    if name == "ollama" and options:
        options = {
            key: getattr(model, key) for key in ("temperature", "seed") if getattr(model, key) is not None
        } | options
    if name == "openai" and max_tokens is not None and is_other_server(model):
        # LangChain sends max_completion_tokens, which many compatible servers ignore; they know the older name.
        options["extra_body"] = {"max_tokens": max_tokens}
    return {provider.options: options} if provider.options and options else options
