"""A chat model by name, asked for one repair at a time, with its calls and tokens counted."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Protocol

from core.errors import QuestionerError
from core.net.budgets import MORE
from core.net.remote import Pace
from core.stopping import current_halt

# Failures that belong to one text; any other one would meet the next text as well.
OF_THE_TEXT: Final = frozenset({"ContentFilterError", "EmptyReplyError"})


@dataclass(slots=True)
class Usage:
    """What was asked of a provider. Calls without token counts are those it gave none for."""

    calls: int = 0
    uncounted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, other: Usage) -> None:
        self.calls += other.calls
        self.uncounted += other.uncounted
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens

    def record(self) -> dict[str, int]:
        return {
            "calls": self.calls,
            "uncounted": self.uncounted,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }

    @classmethod
    def of(cls, record: dict[str, Any]) -> Usage:
        """Read what `record` wrote, of which anything may be missing."""
        return cls(*(int(record.get(name) or 0) for name in cls().record()))


@dataclass(frozen=True, slots=True)
class RepairReply:
    """What came back: a text, or the error; and what it took."""

    text: str = ""
    error: QuestionerError | None = None
    usage: Usage = field(default_factory=Usage)
    truncated: bool = False  # cut at the limit of tokens, also where it was asked for once more

    @property
    def is_outage(self) -> bool:
        """Whether the model could not be reached or used at all, so that the text is not to blame."""
        return self.error is not None and type(self.error).__name__ not in OF_THE_TEXT


class Mender(Protocol):
    """Something that repairs texts. Called from several threads at once."""

    name: str

    def __call__(self, brief: str, request: str, *, seed: int, max_tokens: int) -> RepairReply: ...


class ChatMender:
    """Any chat model that `--questioner` takes. Raises UsageError or RegistryError where the name means nothing."""

    def __init__(self, name: str, *, temperature: float = 0.0, requests_per_second: float | None = None) -> None:
        self.name = name
        self._temperature = temperature
        from agents.llm.questioners import ask_reply, load_questioner  # imports LangChain

        self._model = load_questioner(name, temperature=temperature)
        self._ask = ask_reply
        self._pace = Pace(requests_per_second)

    def __call__(self, brief: str, request: str, *, seed: int, max_tokens: int) -> RepairReply:
        from langchain_core.messages import HumanMessage, SystemMessage

        self._pace.wait(current_halt())
        counter, variable = _counter()
        token = variable.set(counter)
        try:
            messages = [SystemMessage(brief), HumanMessage(request)]
            reply = self._ask(
                self._model, messages, max_tokens=max_tokens, retry_tokens=MORE * max_tokens,
                temperature=self._temperature, seed=seed,
            )  # fmt: skip
        except QuestionerError as error:
            return RepairReply(error=error, usage=counter.usage())
        finally:
            variable.reset(token)
        return RepairReply(reply.text, usage=counter.usage(), truncated=reply.truncated)


def _counter() -> tuple[Any, ContextVar[Any]]:
    """A fresh counter, and the variable through which LangChain finds it in this thread's calls."""
    kind, variable = _counting()
    return kind(), variable


@lru_cache(maxsize=1)
def _counting() -> tuple[type[Any], ContextVar[Any]]:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tracers.context import register_configure_hook

    class Counter(BaseCallbackHandler):
        """Counts every call that went out, retries too, and the tokens that the provider reports for them."""

        def __init__(self) -> None:
            self._calls = self._counted = self._read = self._written = 0

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self._calls += 1

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            message = getattr(response.generations[0][0], "message", None) if response.generations else None
            found = getattr(message, "usage_metadata", None)
            if found:
                self._counted += 1
                self._read += int(found.get("input_tokens") or 0)
                self._written += int(found.get("output_tokens") or 0)

        def usage(self) -> Usage:
            calls = max(self._calls, 1)  # a model that is no BaseChatModel calls nobody back
            return Usage(calls, calls - self._counted, self._read, self._written)

    variable: ContextVar[Any] = ContextVar("inquisight_curation_calls", default=None)
    register_configure_hook(variable, inheritable=True)
    return Counter, variable
