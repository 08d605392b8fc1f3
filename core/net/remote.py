"""Talking to a model behind a network: which errors deserve another try, how to pace calls, how to tell a person.

One policy for all who call a server: connection errors, timeouts, HTTP 408, 409, 429 and 5xx are tried again, with
`Retry-After` honoured up to a minute. Whatever would fail the same way again (401, 404, 501, an exhausted quota, a
prompt that is too long, a 500 that says "not supported") is not. No client library is imported here; errors are read
by what they carry (`status_code`, `response`, `body`) and by the names of their classes, which the libraries of this
field share.
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

from core.errors import InquisightError, printable
from core.net.replies import ReplyError, StreamEndedError
from core.net.server_errors import error_words
from core.stopping import CalledOff, Halt, current_halt, halting

T = TypeVar("T")

LONGEST_WAIT: Final = 60.0  # seconds; a server that asks for more is out of reach for this run

FaultKind = Literal[
    "filter", "key", "missing", "quota", "busy", "length", "failed", "format", "timeout", "connection", "interrupted"
]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is talked to, as messages name it. `secrets` never appear in one."""

    name: str  # "the questioner openai:gpt-4o"
    address: str = ""  # the base URL, "" for the provider's own
    keys: str = "the API key"  # where the key comes from: "OPENAI_API_KEY or INQUISIGHT_API_KEY"
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def at(self) -> str:
        return f" at {without_credentials(self.address)}" if self.address else ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a call failed: what kind of failure, and one line for a person."""

    kind: FaultKind
    text: str

    @property
    def for_all(self) -> bool:
        """Whether any other call to this peer would fail in the same way."""
        return self.kind in {"key", "missing", "quota", "format", "connection"}


# ---- reading an error ----------------------------------------------------------------------------------------------


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error of any client library."""
    for link in _chain(error):
        for value in (
            getattr(link, "status_code", None),
            getattr(getattr(link, "response", None), "status_code", None),
        ):
            if isinstance(value, int) and value >= 400:
                return value
    return None


def redirected_to(error: BaseException) -> str:
    """The address that the server redirects to, without its query; "" where it does not."""
    for link in _chain(error):
        response: Any = getattr(link, "response", None)
        if response is not None and 300 <= (getattr(response, "status_code", None) or 0) < 400:
            where = str(response.headers.get("location") or "another address").partition("?")[0]
            return printable(without_credentials(where), 120)
    return ""


def network_failure(error: BaseException) -> Literal["timeout", "connection", ""]:
    """What happened on the way to the server; "" for anything else."""
    names = {base.__name__ for link in _chain(error) for base in type(link).__mro__}
    if any("Timeout" in name for name in names):
        return "timeout"
    return "connection" if names & {"APIConnectionError", "ConnectionError", "TransportError"} else ""


def codes_of(error: BaseException) -> str:
    """Machine-readable words of the error's body, in lower case, for the few that decide something."""
    return " ".join(f"{getattr(link, 'code', '')} {getattr(link, 'body', '')}" for link in _chain(error)).lower()


def retry_after(error: BaseException) -> float | None:
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


def wait_before_retry(error: BaseException, attempt: int) -> float | None:
    """Seconds to wait after failure number `attempt` (from 0), or None where another try is not worth it."""
    if isinstance(error, InquisightError):  # it has been explained already, so whoever did that has tried again
        return None
    status = status_of(error)
    if status is None and not network_failure(error):
        return None
    if status is not None and status not in (408, 409, 429) and status < 500:
        return None
    if status == 429 and "insufficient_quota" in codes_of(error):
        return None
    if status == 501 or (status == 500 and _NEVER.search(f"{codes_of(error)} {said_by(error)}".lower())):
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
    """The one line a person gets. `midway`: a part of the reply had been heard."""
    fault = _explained(error, peer, tries, midway=midway)
    reply = _reply_error(error)
    if reply is None or not reply.said or (said := said_by(reply, peer.secrets)) in fault.text:
        return fault
    return Fault(fault.kind, f"{fault.text} It said: {said}")  # in a reply with status 200


def _reply_error(error: BaseException) -> ReplyError | None:
    return next((link for link in _chain(error) if isinstance(link, ReplyError)), None)


def _explained(error: BaseException, peer: Peer, tries: int, *, midway: bool) -> Fault:
    name, status, network = peer.name, status_of(error), network_failure(error)
    said = said_by(error, peer.secrets)
    often = f" after {tries} tries" if tries > 1 else ""
    if status == 400 and re.search(r"content_filter|content_policy|responsibleaipolicy", codes_of(error)):
        return Fault("filter", f"{name} refused the request: the provider's content filter stopped it.")
    if status in (401, 403):
        return Fault("key", f"{name}{peer.at} does not accept the key (HTTP {status}); check {peer.keys}.")
    if status == 404:
        hint = "check the model's name and the base URL"
        return Fault("missing", f"{name}{peer.at} was not found (HTTP 404): {said}; {hint}.")
    if status == 429:
        if "insufficient_quota" in codes_of(error):
            return Fault("quota", f"{name}: the account's quota is used up (HTTP 429); add credit or choose another.")
        asked = retry_after(error)
        wish = f" and asks to wait {asked:.0f} s" if asked else ""
        return Fault("busy", f"{name} has too many requests{often} (HTTP 429){wish}; try later or set a lower rate.")
    if status in (400, 413, 422) and (status == 413 or _TOO_LONG.search(f"{codes_of(error)} {said}".lower())):
        return Fault("length", f"{name} cannot read that much at once (HTTP {status}): {said}")
    if where := redirected_to(error):
        return Fault(
            "missing", f"{name}{peer.at} redirects to {where}, which is not followed; name that address itself."
        )
    if status is not None:
        return Fault("failed", f"{name} failed{often} (HTTP {status}): {said}")
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
    if type(error).__name__ in _UNREADABLE:  # out of a client library, from a reply whose shape it did not expect
        return Fault("failed", f"{name}{peer.at} gave a reply that cannot be read ({type(error).__name__}: {said}).")
    return Fault("failed", f"{name} failed: {type(error).__name__}: {said}")


_UNREADABLE: Final = frozenset(
    "TypeError KeyError IndexError AttributeError ValidationError JSONDecodeError UnicodeDecodeError "
    "UnicodeEncodeError RecursionError APIResponseValidationError".split()
)


def _strange(error: ReplyError, peer: Peer) -> Fault:
    """A reply with status 200 that holds an error, or has not the shape of one."""
    said = said_by(error, peer.secrets)
    if error.said:
        source = f" (from {without_credentials(peer.address)})" if peer.address else ""
        return Fault("failed", f"{peer.name} failed: {said}{source}")
    hint = "; check the base URL, which ends in /v1 for most servers" if error.shapeless else ""
    return Fault(
        "format" if error.shapeless else "failed",
        f"{peer.name}{peer.at} answered with something that is not OpenAI's format: {said.rstrip('.')}{hint}.",
    )


def for_all(error: BaseException) -> bool:
    """Whether any other call would fail in the same way: a wrong key, a server that is not there, no credit."""
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
    """`text` with user names and passwords taken out of the addresses in it."""
    return _CREDENTIALS.sub(r"\1", text)


def redacted(text: str, secrets: Sequence[str] = ()) -> str:
    """`text` without `secrets`, without anything else that looks like a key, and without passwords in addresses."""
    for secret in secrets:
        if len(secret) > 5:
            text = text.replace(secret, "[key]")
    return without_credentials(_SECRET.sub("[key]", text))


def said_by(error: BaseException, secrets: Sequence[str] = ()) -> str:
    """The server's own message: one line, shortened, redacted. An HTML page is named by its title."""
    body = getattr(error, "body", None)
    if body is None:
        first = error.args[0] if error.args else None
        body = first if isinstance(first, dict | list) else str(error)
    text = error_words(body) or (type(error).__name__ if isinstance(body, str) else "an error without a message")
    return printable(redacted(text, secrets), 200)


# ---- calling -------------------------------------------------------------------------------------------------------


class Hold:
    """Until when nobody calls a server, because it asked for that."""

    def __init__(self) -> None:
        self.until = 0.0
        self._lock = threading.Lock()

    def extend(self, until: float) -> None:
        """Not before `until`, and not before what held already."""
        with self._lock:
            self.until = max(self.until, until)


class Pace:
    """At most `rate` calls per second from all threads together; a wait that the server asked for holds for all.

    `hold` is shared by all paces of a server. `clock` gives seconds; `sleep` waits, at most until the event is set.
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
        """Until it is this caller's turn, or `stop` is set. A hold that begins meanwhile is waited for, too."""
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
        """Nobody's turn comes within so many seconds."""
        self._hold.extend(self._clock() + seconds)


_paces: dict[tuple[str, float | None], Pace] = {}
_holds: dict[str, Hold] = {}
_paces_lock = threading.Lock()


def pace_of(server: str, rate: float | None = None) -> Pace:
    """The pace of all calls that this process makes to a server at this rate. What it asks to wait holds at any rate.

    `server` is an address, of which scheme, host and port count, or any other name for what is called.
    """
    with _paces_lock:
        name = origin(server)
        hold = _holds.setdefault(name, Hold())
        return _paces.setdefault((name, rate), Pace(rate, hold=hold))


def origin(server: str) -> str:
    """Scheme, host and port of an address; what is none as it is."""
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
    """`call()` at its pace, again after errors that are worth it. `notify` hears of each wait.

    Raises the last error, with its `tries` set, or CalledOff where `stop` (by default the halt of this thread's work)
    was set before a call.
    """
    stop = current_halt() if stop is None else stop
    for attempt in range(retries + 1):
        pace.wait(stop)
        if stop is not None and stop.is_set():
            raise CalledOff
        try:
            return call()
        except Exception as error:
            wait = wait_before_retry(error, attempt)
            asked = retry_after(error) if wait is not None else None
            if asked is not None and wait is not None:
                pace.hold(wait)  # for everybody, also where this call is not made again
            if wait is None or attempt == retries:
                error.tries = attempt + 1  # type: ignore[attr-defined]
                raise
            if notify:
                notify(error, wait)
            if asked is None:
                (stop or threading.Event()).wait(wait)
    raise AssertionError("unreachable")


def tries_of(error: BaseException) -> int:
    """How often `retrying` had called before it raised `error`."""
    return int(getattr(error, "tries", 1))


def concurrently(
    calls: Sequence[Callable[[threading.Event], T]], *, workers: int, give_up: Callable[[BaseException], bool]
) -> list[T | BaseException | None]:
    """The results of `calls` in order, made by at most `workers` threads; an exception stands for a call that failed.

    Each call is handed an event that is set once the others' work is in vain: after an error for which `give_up` is
    true, or when the caller is interrupted. Calls that had not begun by then are None or CalledOff. The threads are
    daemons, so that an interrupted program need not wait for a server.
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
