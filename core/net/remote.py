"""Call a model server: retry transient errors, pace calls, and explain failures in one line.

Connection errors, timeouts and HTTP 408, 409, 429 and 5xx are retried; `Retry-After` is honoured up to a minute. Errors
that would repeat (401, 404, 501, an exhausted quota, a prompt that is too long, a 500 with "not supported") are not.
No client library is imported: errors are read by their attributes (`status_code`, `response`, `body`) and class names.
"""

from __future__ import annotations

import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception, sleep_using_event, stop_after_attempt

from core.errors import InquisightError, printable
from core.net.replies import ReplyError, StreamEndedError
from core.net.server_errors import error_words
from core.stopping import CalledOff, Halt, current_halt, halting

T = TypeVar("T")

LONGEST_WAIT: Final = 60.0  # seconds; longer waits are not worth it

FaultKind = Literal[
    "filter", "key", "missing", "quota", "busy", "length", "failed", "format", "timeout", "connection", "interrupted"
]


@dataclass(frozen=True, slots=True)
class Peer:
    """The server as messages name it; `secrets` are removed from all messages."""

    name: str  # "the questioner openai:gpt-4o"
    address: str = ""  # the base URL, "" for the provider's own
    keys: str = "the API key"  # its source: "OPENAI_API_KEY or INQUISIGHT_API_KEY"
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def at(self) -> str:
        return f" at {without_credentials(self.address)}" if self.address else ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call failed: the kind of failure, and one line for the user."""

    kind: FaultKind
    text: str

    @property
    def for_all(self) -> bool:
        """Whether every call to this server would fail in the same way."""
        return self.kind in {"key", "missing", "quota", "format", "connection"}


# ---- reading an error ----------------------------------------------------------------------------------------------


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _responses(error: BaseException) -> Iterator[Any]:
    found = (getattr(link, "response", None) for link in _chain(error))
    return (response for response in found if getattr(response, "headers", None) is not None)


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error of any client library."""
    for link in _chain(error):
        for source in (link, getattr(link, "response", None)):
            value = getattr(source, "status_code", None)
            if isinstance(value, int) and value >= 400:
                return value
    return None


def redirected_to(error: BaseException) -> str:
    """The address of a redirect without its query; "" if there is none."""
    for response in _responses(error):
        if 300 <= (getattr(response, "status_code", None) or 0) < 400:
            where = str(response.headers.get("location") or "another address").partition("?")[0]
            return printable(without_credentials(where), 120)
    return ""


def network_failure(error: BaseException) -> Literal["timeout", "connection", ""]:
    """The kind of network failure; "" for any other error."""
    names = {base.__name__ for link in _chain(error) for base in type(link).__mro__}
    if any("Timeout" in name for name in names):
        return "timeout"
    return "connection" if names & {"APIConnectionError", "ConnectionError", "TransportError"} else ""


def codes_of(error: BaseException) -> str:
    """The error codes and bodies in lower case, to search for known codes."""
    return " ".join(f"{getattr(link, 'code', '')} {getattr(link, 'body', '')}" for link in _chain(error)).lower()


def retry_after(error: BaseException) -> float | None:
    """Seconds from Retry-After, given as a number or as a date (RFC 9110, section 10.2.3)."""
    from email.utils import parsedate_to_datetime

    values = (response.headers.get("retry-after") for response in _responses(error))
    if (value := next(filter(None, values), None)) is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return float(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()))
    except ValueError:
        return None


def wait_before_retry(error: BaseException, attempt: int) -> float | None:
    """Seconds to wait after failure number `attempt` (from 0); None if the error is not transient."""
    if isinstance(error, InquisightError):  # explained already, after retries
        return None
    status = status_of(error)
    if status is None and not network_failure(error):
        return None
    if status is not None and status not in (408, 409, 429) and status < 500:
        return None
    if status == 429 and "insufficient_quota" in codes_of(error):
        return None
    if status == 501 or (status == 500 and _NEVER.search(f"{codes_of(error)} {server_message(error)}".lower())):
        return None
    asked = retry_after(error)
    if asked is not None:
        return None if asked > LONGEST_WAIT else asked + random.uniform(0, 0.1)
    return min(8.0, 0.5 * 2.0**attempt) * random.uniform(0.75, 1.25)


_NEVER = re.compile(r"not (?:yet )?(?:supported|implemented)|\bunsupported")  # some servers say so with HTTP 500

_TOO_LONG = re.compile(
    r"context.?(?:length|size|window)|maximum context|too many (?:input )?tokens|prompt is too long|"
    r"longer than the maximum model length|exceed\w{0,8} (?:the )?(?:available )?(?:context|maximum)"
)


def explained(error: BaseException, peer: Peer, tries: int = 1, *, midway: bool = False) -> Fault:
    """The error as one line for the user. `midway`: a part of the reply had been received."""
    fault = _explained(error, peer, tries, midway=midway)
    reply = _reply_error(error)
    if reply is None or not reply.from_server or (message := server_message(reply, peer.secrets)) in fault.text:
        return fault
    return Fault(fault.kind, f"{fault.text} It said: {message}")  # in a reply with status 200


def _reply_error(error: BaseException) -> ReplyError | None:
    return next((link for link in _chain(error) if isinstance(link, ReplyError)), None)


def _explained(error: BaseException, peer: Peer, tries: int, *, midway: bool) -> Fault:
    name, status, network = peer.name, status_of(error), network_failure(error)
    message = server_message(error, peer.secrets)
    often = f" after {tries} tries" if tries > 1 else ""
    if status == 400 and re.search(r"content_filter|content_policy|responsibleaipolicy", codes_of(error)):
        return Fault("filter", f"{name} refused the request: the provider's content filter stopped it.")
    if status in (401, 403):
        return Fault("key", f"{name}{peer.at} does not accept the key (HTTP {status}); check {peer.keys}.")
    if status == 404:
        hint = "check the model's name and the base URL"
        return Fault("missing", f"{name}{peer.at} was not found (HTTP 404): {message}; {hint}.")
    if status == 429:
        if "insufficient_quota" in codes_of(error):
            return Fault("quota", f"{name}: the account's quota is used up (HTTP 429); add credit or choose another.")
        asked = retry_after(error)
        wait = f" and asks to wait {asked:.0f} s" if asked else ""
        return Fault("busy", f"{name} has too many requests{often} (HTTP 429){wait}; try later or set a lower rate.")
    if status in (400, 413, 422) and (status == 413 or _TOO_LONG.search(f"{codes_of(error)} {message}".lower())):
        return Fault("length", f"{name} cannot read that much at once (HTTP {status}): {message}")
    if where := redirected_to(error):
        return Fault(
            "missing", f"{name}{peer.at} redirects to {where}, which is not followed; name that address itself."
        )
    if status is not None:
        return Fault("failed", f"{name} failed{often} (HTTP {status}): {message}")
    if any(isinstance(link, StreamEndedError) for link in _chain(error)):
        midway = True
    if (reply := _reply_error(error)) is not None:
        return _strange(reply, peer)
    if network == "timeout":
        return Fault(
            "timeout", f"{name}{peer.at} did not answer in time{often}; raise INQUISIGHT_TIMEOUT or try later."
        )
    if network == "connection" and midway:
        return Fault("interrupted", f"{name}{peer.at} broke off in the middle of its reply; try again.")
    if network == "connection":
        hint = "is the server running and the address right?"
        return Fault("connection", f"{name}{peer.at} cannot be reached{often}; {hint}")
    if type(error).__name__ in _UNREADABLE:  # raised by a client library for an unexpected reply
        return Fault("failed", f"{name}{peer.at} gave a reply that cannot be read ({type(error).__name__}: {message}).")
    return Fault("failed", f"{name} failed: {type(error).__name__}: {message}")


_UNREADABLE: Final = frozenset(
    "TypeError KeyError IndexError AttributeError ValidationError JSONDecodeError UnicodeDecodeError "
    "UnicodeEncodeError RecursionError APIResponseValidationError".split()
)


def _strange(error: ReplyError, peer: Peer) -> Fault:
    """A reply with status 200 that contains an error or is malformed."""
    message = server_message(error, peer.secrets)
    if error.from_server:
        source = f" (from {without_credentials(peer.address)})" if peer.address else ""
        return Fault("failed", f"{peer.name} failed: {message}{source}")
    hint = "; check the base URL, which ends in /v1 for most servers" if error.shapeless else ""
    return Fault(
        "format" if error.shapeless else "failed",
        f"{peer.name}{peer.at} answered with something that is not OpenAI's format: {message.rstrip('.')}{hint}.",
    )


def for_all(error: BaseException) -> bool:
    """Whether every call would fail in the same way: wrong key, server not reachable, no credit."""
    if getattr(error, "for_all", False):
        return True
    if isinstance(error, InquisightError):
        cause = error.__cause__
        return cause is not None and not isinstance(cause, InquisightError) and explained(cause, Peer("")).for_all
    return False


# ---- keeping secrets -----------------------------------------------------------------------------------------------

_SECRET = re.compile(r"(?i)\b(?:sk|pk|rk|hf|gsk|xai|key|AIza)[-_][\w\-*.]{4,}|\bAIza[\w\-]{10,}|bearer\s+\S+")
_CREDENTIALS = re.compile(r"(?i)(\bhttps?://)[^/@\s]*@")


def without_credentials(text: str) -> str:
    """Remove user names and passwords from the addresses in `text`."""
    return _CREDENTIALS.sub(r"\1", text)


def redacted(text: str, secrets: Sequence[str] = ()) -> str:
    """Replace `secrets` and everything that looks like a key, and remove passwords from addresses."""
    for secret in secrets:
        if len(secret) > 5:
            text = text.replace(secret, "[key]")
    return without_credentials(_SECRET.sub("[key]", text))


def server_message(error: BaseException, secrets: Sequence[str] = ()) -> str:
    """The server's own message: one line, shortened, redacted. An HTML page is named by its title."""
    body = getattr(error, "body", None)
    if body is None:
        first = error.args[0] if error.args else None
        body = first if isinstance(first, dict | list) else str(error)
    text = error_words(body) or (type(error).__name__ if isinstance(body, str) else "an error without a message")
    return printable(redacted(text, secrets), 200)


# ---- calling -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Hold:
    """The time before which no thread calls a server, on the server's request."""

    until: float = 0.0


class Pace:
    """Limits calls to `rate` per second over all threads; a wait requested by the server applies to all of them.

    `hold` is shared by all paces of a server. `clock` returns seconds; `sleep` waits until the event is set at most.
    """

    def __init__(
        self,
        rate: float | None = None,
        *,
        hold: Hold | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float, threading.Event], object] = lambda seconds, stop: stop.wait(seconds),
    ) -> None:
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0
        self._hold = hold or Hold()
        self._lock = threading.Lock()
        self._clock, self._sleep = clock, sleep

    def wait(self, stop: threading.Event | None = None) -> None:
        """Wait for this caller's turn or for `stop`, and for a hold that begins meanwhile."""
        stop = stop or threading.Event()
        while not stop.is_set():
            with self._lock:
                now = self._clock()
                turn = max(now, self._next, self._hold.until)
                if turn <= now:
                    self._next = now + self._gap
                    return
            self._sleep(turn - now, stop)

    def hold(self, seconds: float) -> None:
        """Let no caller start within this many seconds."""
        with _paces_lock:
            self._hold.until = max(self._hold.until, self._clock() + seconds)


_paces: dict[tuple[str, float | None], Pace] = {}
_holds: dict[str, Hold] = {}
_paces_lock = threading.Lock()


def pace_of(server: str, rate: float | None = None) -> Pace:
    """The pace of all calls of this process to a server at this rate; holds are shared by all rates.

    `server` is an address, of which scheme, host and port count, or any other name.
    """
    with _paces_lock:
        name = origin(server)
        hold = _holds.setdefault(name, Hold())
        return _paces.setdefault((name, rate), Pace(rate, hold=hold))


def origin(server: str) -> str:
    """Scheme, host and port of an address; any other name unchanged."""
    try:
        parts = urlsplit(server)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return server
    return f"{parts.scheme}://{parts.hostname}:{port}".lower() if parts.hostname else server


def retrying(
    call: Callable[[], T],
    *,
    retries: int,
    pace: Pace,
    stop: threading.Event | None = None,
    notify: Callable[[BaseException, float], None] | None = None,
) -> T:
    """`call()` at its pace, with retries after transient errors. `notify` gets each error and the wait after it.

    Raises the last error, with its `tries` set, or CalledOff if `stop` (by default the halt of this thread's work) was
    set before a call.
    """
    halt = stop or current_halt() or threading.Event()

    def attempt() -> T:
        pace.wait(halt)
        if halt.is_set():
            raise CalledOff
        return call()

    def wait(state: RetryCallState) -> float:
        error = _error_of(state)
        seconds = wait_before_retry(error, state.attempt_number - 1) or 0.0
        if retry_after(error) is not None:
            pace.hold(seconds)  # for all callers, even if this one does not retry
        return seconds

    policy = Retrying(
        retry=retry_if_exception(lambda error: wait_before_retry(error, 0) is not None),
        wait=wait,
        stop=stop_after_attempt(retries + 1),
        sleep=sleep_using_event(halt),
        before_sleep=lambda state: notify(_error_of(state), state.upcoming_sleep) if notify else None,
        reraise=True,
    )
    try:
        return policy(attempt)
    except Exception as error:
        error.tries = policy.statistics["attempt_number"]  # type: ignore[attr-defined]
        raise


def _error_of(state: RetryCallState) -> BaseException:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert error is not None
    return error


def tries_of(error: BaseException) -> int:
    """How often `retrying` had called before it raised `error`."""
    return int(getattr(error, "tries", 1))


def concurrently(
    calls: Sequence[Callable[[threading.Event], T]], *, workers: int, give_up: Callable[[BaseException], bool]
) -> list[T | BaseException | None]:
    """The results of `calls` in order, from at most `workers` threads; an exception is the result of a failed call.

    Each call gets an event that is set after an error for which `give_up` is true, or when the caller is interrupted.
    Calls that had not started by then are None or CalledOff. The threads are daemons, so that an interrupted program
    does not wait for a server.
    """
    results: list[T | BaseException | None] = [None] * len(calls)
    if not calls:
        return results
    stop = Halt(current_halt())
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()
    for place in range(len(calls)):
        waiting.put(place)

    def work() -> None:
        while not stop.is_set():
            try:
                place = waiting.get_nowait()
            except queue.Empty:
                break
            try:
                with halting(stop):
                    results[place] = calls[place](stop)
            except BaseException as error:  # noqa: BLE001 - handed to the caller in the result
                results[place] = error
                if give_up(error):
                    stop.set()
        ended.put(None)

    count = min(max(workers, 1), len(calls))
    for number in range(count):
        threading.Thread(target=work, daemon=True, name=f"remote-{number}").start()
    try:
        for _ in range(count):
            ended.get()
    except BaseException:
        stop.set()
        raise
    return results
