"""One model on one OpenAI-compatible server: what is sent, what comes back, and what its errors mean.

The wire format is OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), which its likenesses
speak too, each a little differently: what one of them does not know is left out once it has said so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from core.endpoints import OFFICIAL, Endpoint
from core.errors import BackendError, printable
from core.remote import (
    CalledOff,
    Pace,
    Peer,
    explained,
    retrying,
    said_by,
    status_of,
    tries_of,
    without_thoughts,
)
from core.settings import Settings
from core.vision import GenerationOptions, Reply

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger("inquisight")

THINKING_TOKENS: Final = 2000  # room for a reasoning model that spent a whole budget before its first word
NOTICED: Final = 3.0  # seconds of waiting after which a person wonders why nothing happens
# What a server may not know or not allow; it is left out when the server says so.
_OPTIONAL: Final = ("temperature", "top_p", "seed", "stream_options", "max_completion_tokens", "max_tokens")


class ContentFilterError(BackendError):
    """The provider's content filter stopped the request or its answer: this picture is done, others may go on."""


class EndpointError(BackendError):
    """The server could not be used; `for_all`: any other request would fail in the same way."""

    def __init__(self, message: str, *, for_all: bool = False) -> None:
        super().__init__(message)
        self.for_all = for_all


class Server:
    """`model` at `endpoint`, under the limits of `settings`. Thread-safe."""

    def __init__(self, model: str, endpoint: Endpoint, settings: Settings) -> None:
        from openai import DefaultHttpxClient, OpenAI

        self.model, self.endpoint, self.retries = model, endpoint, settings.max_retries
        address = "" if endpoint.address == OFFICIAL else endpoint.address
        secrets = (endpoint.key,) if endpoint.key else ()
        self.peer = Peer(f"the eye openai:{printable(model, 80)}", address, endpoint.keys, secrets)
        self.pace = Pace(settings.requests_per_second)
        # Local servers want no key, but the client insists on one. Retries are ours, the same for every server.
        self.client: OpenAI = OpenAI(
            api_key=endpoint.key or "none",
            base_url=endpoint.address,
            timeout=settings.timeout,
            max_retries=0,
            http_client=DefaultHttpxClient(**endpoint.client_options()),
        )
        self._lock = threading.Lock()
        self._refused: set[str] = set()  # of _OPTIONAL
        self._thinks = False
        self._counts = {"requests": 0, "input_tokens": 0, "output_tokens": 0}

    @property
    def counts(self) -> dict[str, int]:
        """Requests sent and tokens as the server counted them, pictures included."""
        with self._lock:
            return dict(self._counts)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    # ---- answers ---------------------------------------------------------------------------------------------------

    def pieces(self, messages: list[Any], options: GenerationOptions) -> Iterator[str | Reply]:
        """Pieces of the answer as they come, then the whole of it. Raises BackendError.

        A request is repeated only while nothing of its answer has been heard.
        """
        for budget in self._budgets(options):
            listening = _Listening()
            heard = ""
            for piece in _trimmed(without_thoughts(self._listen(messages, options, budget, listening))):
                heard += piece
                yield piece
            reply = Reply(heard, listening.reason, *listening.usage)
            if not self._again(reply, budget):
                break
        self._check(reply, messages)
        yield reply

    def reply(self, messages: list[Any], options: GenerationOptions, stop: threading.Event | None = None) -> Reply:
        """One answer. Raises BackendError; CalledOff where `stop` was set before it was asked for."""
        for budget in self._budgets(options):
            completion = self._send(messages, options, budget, stop)
            self._count(getattr(completion, "usage", None))
            choices = getattr(completion, "choices", None)
            if not choices:
                raise self._strange()
            message = choices[0].message
            text = "".join(_trimmed(without_thoughts(iter([message.content or ""]))))
            reason = "content_filter" if getattr(message, "refusal", None) and not text else choices[0].finish_reason
            reply = Reply(text, reason or "", *_tokens(getattr(completion, "usage", None)))
            if not self._again(reply, budget):
                break
        self._check(reply, messages)
        return reply

    def _budgets(self, options: GenerationOptions) -> tuple[int, ...]:
        """How many tokens an answer may have; a model that thinks before it speaks gets more room at once."""
        asked = max(options.max_new_tokens, 1)
        return (asked + THINKING_TOKENS,) if self._thinks else (asked, asked + THINKING_TOKENS)

    def _again(self, reply: Reply, budget: int) -> bool:
        """Whether the budget was spent before the first word, so that another try with more room is worth it."""
        if reply.text or reply.reason != "length" or budget > THINKING_TOKENS:
            return False
        self._thinks = True
        return True

    def _check(self, reply: Reply, messages: list[Any]) -> None:
        """Raises ContentFilterError or BackendError where the empty answer has a cause that can be named."""
        if reply.text:
            return
        if reply.reason == "content_filter":
            raise ContentFilterError(f"{self.peer.name} withheld its answer: the provider's content filter stopped it.")
        if reply.reason == "length":
            raise BackendError(f"{self.peer.name} used up all its tokens before its first word; it thinks too much.")
        asked = messages[-1]["content"]
        words = asked if isinstance(asked, str) else asked[-1].get("text", "")
        log.warning("%s answered with nothing to '%s'", self.peer.name, printable(words, 80))

    # ---- the wire --------------------------------------------------------------------------------------------------

    def _parameters(self, options: GenerationOptions, budget: int, *, stream: bool) -> dict[str, Any]:
        given: dict[str, Any] = {"temperature": options.temperature}
        if options.temperature > 0:
            given["top_p"] = options.top_p
        if options.seed is not None:
            given["seed"] = options.seed
        if stream:
            given["stream_options"] = {"include_usage": True}
        # OpenAI's newer models refuse the older name, many other servers do not know the newer one
        names = ["max_tokens", "max_completion_tokens"]
        if self.endpoint.official:
            names.reverse()
        with self._lock:
            given |= dict.fromkeys([name for name in names if name not in self._refused][:1], budget)
            return {name: value for name, value in given.items() if name not in self._refused}

    def _send(
        self,
        messages: list[Any],
        options: GenerationOptions,
        budget: int,
        stop: threading.Event | None = None,
        *,
        stream: bool = False,
    ) -> Any:
        """One completion, or the open stream of one. Raises BackendError."""

        def call() -> Any:
            while True:
                parameters = self._parameters(options, budget, stream=stream)
                try:
                    with self._lock:
                        self._counts["requests"] += 1
                    return self.client.chat.completions.create(
                        model=self.model, messages=messages, stream=stream, **parameters
                    )
                except Exception as error:
                    if not self._leave_out(error, parameters):
                        raise

        try:
            return retrying(call, retries=self.retries, pace=self.pace, stop=stop, notify=self._tell_wait)
        except CalledOff:
            raise
        except Exception as error:
            raise self._failure(error) from error

    def _leave_out(self, error: BaseException, parameters: dict[str, Any]) -> bool:
        """Whether the server refused one of the options that it can do without; it is not sent again."""
        if status_of(error) not in (400, 422):
            return False
        named = str(getattr(error, "param", None) or "")
        said = f"{getattr(error, 'code', '')} {said_by(error)}".lower()
        if not any(word in said for word in ("unsupported", "not supported", "unrecognized", "unexpected", "extra")):
            return False
        for name in _OPTIONAL:
            if name in parameters and (named == name or not named and name in said):
                with self._lock:
                    self._refused.add(name)
                log.info("%s takes no %s: it is left out", self.peer.name, name)
                return True
        return False

    def _tell_wait(self, error: BaseException, seconds: float) -> None:
        said = said_by(error, self.peer.secrets)
        level = logging.WARNING if seconds >= NOTICED else logging.INFO
        log.log(level, "%s: %s; trying again in %.0f s", self.peer.name, said, seconds)

    def _failure(self, error: BaseException, *, midway: bool = False) -> BackendError:
        fault = explained(error, self.peer, tries_of(error), midway=midway)
        if fault.kind == "filter":
            return ContentFilterError(fault.text)
        text = fault.text
        if fault.kind == "length":
            text = f"{text.rstrip('.')}; send fewer or smaller pictures (max_side=512), or less text."
        return EndpointError(text, for_all=fault.for_all)

    def _listen(
        self, messages: list[Any], options: GenerationOptions, budget: int, listening: _Listening
    ) -> Iterator[str]:
        """Pieces of text; what else the stream tells goes to `listening`. Raises BackendError."""
        opened = self._send(messages, options, budget, stream=True)
        try:
            for chunk in opened:
                listening.chunks += 1
                if usage := getattr(chunk, "usage", None):
                    listening.usage = _tokens(usage)
                    self._count(usage)
                for choice in chunk.choices:
                    listening.reason = choice.finish_reason or listening.reason
                    if getattr(choice.delta, "refusal", None):
                        listening.reason = "content_filter"
                    if choice.delta and choice.delta.content:
                        yield choice.delta.content
        except Exception as error:
            raise self._failure(error, midway=True) from error
        finally:
            opened.close()
        if not listening.chunks:
            raise self._strange()

    def _strange(self) -> BackendError:
        return EndpointError(
            f"{self.peer.name}{self.peer.at} answered with something that is not OpenAI's format; check the base URL, "
            "which ends in /v1 for most servers.",
            for_all=True,
        )

    def _count(self, usage: Any) -> None:
        read, written = _tokens(usage)
        with self._lock:
            self._counts["input_tokens"] += read or 0
            self._counts["output_tokens"] += written or 0


class _Listening:
    """What a stream tells besides its text."""

    def __init__(self) -> None:
        self.reason = ""
        self.chunks = 0
        self.usage: tuple[int | None, int | None] = (None, None)


def _tokens(usage: Any) -> tuple[int | None, int | None]:
    return getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)


def _trimmed(pieces: Iterator[str]) -> Iterator[str]:
    """Without blanks at both ends."""
    held, begun = "", False
    for piece in pieces:
        text = held + piece if begun else (held + piece).lstrip()
        shown = text.rstrip()
        held = text[len(shown) :]
        if shown:
            begun = True
            yield shown
