"""Call one model on an OpenAI-compatible server: requests, replies and errors.

The format is OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat). Compatible servers differ
a little: an option that a server rejects is not sent again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from core.errors import BackendError, printable
from core.net.budgets import budgets_of
from core.net.endpoints import OFFICIAL, Endpoint
from core.net.remote import Peer, explained, pace_of, retrying, server_message, status_of, tries_of
from core.net.replies import ReplyReader, part_of, read_stream, why_empty
from core.settings import Settings
from core.stopping import CalledOff
from core.vision import GenerationOptions, Reply
from plugins.openai_vision.scores import TOP, TokenOdds, token_odds

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger("inquisight")
T = TypeVar("T")

NOTICED: Final = 3.0  # seconds of waiting that are reported
# Options that a server may reject; they are then left out.
_OPTIONAL: Final = ("temperature", "top_p", "seed", "stream_options", "max_completion_tokens", "max_tokens")
_SCORED: Final[dict[str, Any]] = {"logprobs": True, "top_logprobs": TOP}


class ContentFilterError(BackendError):
    """The provider's content filter stopped the request or its answer; other pictures may pass."""


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
        self.peer = Peer(f"the vision model openai:{printable(model, 80)}", address, endpoint.keys, secrets)
        self.pace = pace_of(endpoint.address, settings.requests_per_second)
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
        self._budgets = budgets_of(endpoint.address, model)
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

        A request is repeated only while nothing of its answer has been shown.
        """
        asked = max(options.max_new_tokens, 1)
        budget: int | None = self._budgets.first(asked)
        while budget is not None:
            opened = self._open(messages, options, budget)
            yield from _trimmed(self._listen(opened))
            budget = self._budgets.again(opened.reader, asked, budget)
        yield self._checked(opened.reader, messages)

    def reply(
        self,
        messages: list[Any],
        options: GenerationOptions,
        stop: threading.Event | None = None,
        *,
        odds: Callable[[tuple[TokenOdds, ...]], None] | None = None,
    ) -> Reply:
        """One answer. Raises BackendError, and CalledOff if `stop` is set before the request.

        A cut answer is requested once more with `options.retry_tokens`; if that fails, it stays as it is. `odds`
        receives the log-probabilities of its tokens, none if the server gives none.
        """
        asked, more = max(options.max_new_tokens, 1), options.retry_tokens
        budget: int | None = self._budgets.first(asked, more)
        reader: ReplyReader | None = None
        while budget is not None:
            try:
                reader = self._whole(messages, options, budget, stop, odds)
            except (BackendError, CalledOff):
                if reader is None or not reader.reply.text:
                    raise
                break
            budget = self._budgets.again(reader, asked, budget, more)
        assert reader is not None
        return self._checked(reader, messages)

    def _whole(
        self,
        messages: list[Any],
        options: GenerationOptions,
        budget: int,
        stop: threading.Event | None,
        odds: Callable[[tuple[TokenOdds, ...]], None] | None,
    ) -> ReplyReader:
        def call() -> ReplyReader:
            reader = self._budgets.reader()
            body = self._send(messages, options, budget, scored=odds is not None).content
            reader.take(part_of(body))
            reader.finish()
            if odds is not None:  # those of reasoning say nothing about the answer
                odds(() if reader.reasoned else token_odds(body))
            return reader

        reader = self._tried(call, stop)
        self._count(reader.reply)
        return reader

    def _checked(self, reader: ReplyReader, messages: list[Any]) -> Reply:
        """The reply. Raises ContentFilterError or BackendError if it is empty for a known reason."""
        reply = reader.reply
        if reply.text:
            return reply
        if reply.reason == "content_filter":
            raise ContentFilterError(f"{self.peer.name} withheld its answer: the provider's content filter stopped it.")
        if reader.reasoned or reader.called or reply.truncated:
            raise BackendError(f"{self.peer.name}{self.peer.at} {why_empty(reader)}")
        asked = messages[-1]["content"]
        words = asked if isinstance(asked, str) else asked[-1].get("text", "")
        log.warning("%s answered with nothing to '%s'", self.peer.name, printable(words, 80))
        return reply

    # ---- the wire --------------------------------------------------------------------------------------------------

    def _parameters(self, options: GenerationOptions, budget: int, *, stream: bool, scored: bool) -> dict[str, Any]:
        given: dict[str, Any] = {"temperature": options.temperature, **(_SCORED if scored else {})}
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
        *,
        stream: bool = False,
        scored: bool = False,
    ) -> Any:
        """The raw response to one request; a stream's body is not read yet. Raises the client's errors."""
        while True:
            parameters = self._parameters(options, budget, stream=stream, scored=scored)
            try:
                with self._lock:
                    self._counts["requests"] += 1
                return self.client.chat.completions.with_raw_response.create(
                    model=self.model, messages=messages, stream=stream, **parameters
                ).http_response
            except Exception as error:
                if not self._leave_out(error, parameters):
                    raise

    def _tried(self, call: Callable[[], T], stop: threading.Event | None = None) -> T:
        """`call()`, with retries after temporary errors. Raises BackendError, and CalledOff."""
        try:
            return retrying(call, retries=self.retries, pace=self.pace, stop=stop, notify=self._report_wait)
        except CalledOff:
            raise
        except Exception as error:
            raise self._failure(error) from error

    def _leave_out(self, error: BaseException, parameters: dict[str, Any]) -> bool:
        """Whether the server rejected an optional parameter, which is then not sent again."""
        if status_of(error) not in (400, 422):
            return False
        named = str(getattr(error, "param", None) or "")
        said = f"{getattr(error, 'code', '')} {server_message(error)}".lower()
        if "logprobs" in parameters and "logprobs" in f"{named} {said}":  # some servers allow fewer than `TOP`
            with self._lock:
                self._refused |= _SCORED.keys()
            log.info("%s gives no log-probabilities: answers are scored by their words", self.peer.name)
            return True
        if not any(word in said for word in ("unsupported", "not supported", "unrecognized", "unexpected", "extra")):
            return False
        for name in _OPTIONAL:
            if name in parameters and (named == name or not named and name in said):
                with self._lock:
                    self._refused.add(name)
                log.info("%s takes no %s: it is left out", self.peer.name, name)
                return True
        return False

    def _report_wait(self, error: BaseException, seconds: float) -> None:
        said = server_message(error, self.peer.secrets)
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

    def _open(self, messages: list[Any], options: GenerationOptions, budget: int) -> _Opened:
        """A stream, read up to the first piece of its answer. Raises BackendError."""

        def call() -> _Opened:
            response = self._send(messages, options, budget, stream=True)
            try:
                reader = self._budgets.reader()
                pieces = read_stream(response.iter_bytes(), reader)
                return _Opened(response, reader, next(pieces, ""), pieces)
            except BaseException:
                response.close()
                raise

        return self._tried(call)

    def _listen(self, opened: _Opened) -> Iterator[str]:
        """The pieces of an opened stream. Raises BackendError."""
        try:
            yield opened.first
            yield from opened.pieces
        except Exception as error:
            raise self._failure(error, midway=True) from error
        finally:
            opened.response.close()
            self._count(opened.reader.reply)

    def _count(self, reply: Reply) -> None:
        with self._lock:
            self._counts["input_tokens"] += reply.input_tokens or 0
            self._counts["output_tokens"] += reply.output_tokens or 0


@dataclass(frozen=True, slots=True)
class _Opened:
    """A stream whose first piece has arrived."""

    response: Any
    reader: ReplyReader
    first: str
    pieces: Iterator[str]


def _trimmed(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces without blanks at both ends of the text."""
    held: list[str] = []  # blanks, which may be the last ones
    begun = False
    for piece in pieces:
        shown = piece.rstrip() if begun else piece.strip()
        if not shown:
            held += [piece] if begun else []
            continue
        end = piece[len(piece.rstrip()) :]
        yield "".join([*held, shown])
        held, begun = [end] if end else [], True
