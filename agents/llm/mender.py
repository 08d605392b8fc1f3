"""Ask a chat model for one text repair at a time, with its calls and tokens counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from agents.llm.providers import ContentFilterError, EmptyReplyError
from agents.llm.usage import Meter
from core.errors import QuestionerError
from core.net.budgets import MORE
from core.net.remote import Pace
from core.records import TokenUsage
from core.stopping import current_halt


@dataclass(frozen=True, slots=True)
class RepairReply:
    """The repaired text or the error, and the calls it took."""

    text: str = ""
    error: QuestionerError | None = None
    usage: TokenUsage = field(default_factory=TokenUsage)
    truncated: bool = False  # cut at the limit of tokens, also when requested once more

    @property
    def is_outage(self) -> bool:
        """Whether the model could not be reached or used at all, so that the text is not the cause."""
        return self.error is not None and not isinstance(self.error, ContentFilterError | EmptyReplyError)


class Mender(Protocol):
    """Something that repairs texts. Called from several threads at once."""

    name: str

    def __call__(self, brief: str, request: str, *, seed: int, max_tokens: int) -> RepairReply: ...


class ChatMender:
    """Any chat model that `--questioner` takes. Raises UsageError or RegistryError for an unknown name."""

    def __init__(self, name: str, *, temperature: float = 0.0, requests_per_second: float | None = None) -> None:
        from agents.llm.questioners import load_questioner  # imports LangChain

        self.name = name
        self._temperature = temperature
        self._model = load_questioner(name, temperature=temperature)
        self._pace = Pace(requests_per_second)

    def __call__(self, brief: str, request: str, *, seed: int, max_tokens: int) -> RepairReply:
        from langchain_core.messages import HumanMessage, SystemMessage

        from agents.llm.questioners import ask_reply

        self._pace.wait(current_halt())
        meter = Meter()
        try:
            reply = ask_reply(
                self._model, [SystemMessage(brief), HumanMessage(request)], max_tokens=max_tokens,
                retry_tokens=MORE * max_tokens, temperature=self._temperature, seed=seed, meter=meter,
            )  # fmt: skip
        except QuestionerError as error:
            return RepairReply(error=error, usage=meter.counts)
        return RepairReply(reply.text, usage=meter.counts, truncated=reply.truncated)
