"""Begin and end of every command: streams, and Ctrl-C without a traceback at any moment.

It imports next to nothing, so that its first line is the first thing a command does:

    if __name__ == "__main__":
        from core.launch import guard, launch

        guard()
        from agents.cli import run

        launch(run, command="caption", program="python -m agents.chatcaptioner")
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


class TerminatedError(KeyboardInterrupt):
    """SIGTERM: as Ctrl-C, with its own exit code."""


def guard() -> None:
    """Leave at once on Ctrl-C or SIGTERM: for imports, and for the end, when there is nothing left to lose."""
    _handle(lambda number, _: os._exit(128 + number))


def launch(run: Callable[..., int], **options: Any) -> NoReturn:
    """Run this process as a command: `run(arguments, **options)` returns the exit code. Does not return.

    `run` imports what it needs when it is called: another distribution may hide our packages, which is reported first.
    """
    guard()
    from core.console.streams import finish_streams, own_streams
    from core.errors import InquisightError
    from core.shadow import check_not_shadowed

    own_streams()
    code = 0
    try:
        check_not_shadowed()
        hook, sys.unraisablehook = sys.unraisablehook, _unraisable
        _handle(_raise)
        try:
            code = run(sys.argv[1:], **options)
            if code == 128 + signal.SIGINT and signal.SIGTERM in _received:  # typer knows only Ctrl-C
                code = 128 + signal.SIGTERM
        finally:
            guard()
            sys.unraisablehook = hook
    except InquisightError as error:
        print(f"inquisight: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt as stopped:
        code = exit_code_of(stopped)
    sys.exit(finish_streams(code))


def exit_code_of(error: BaseException) -> int:
    """128 + the signal of an interrupt that `error` is or came from; 0 where it came from none."""
    seen = 0
    cause: BaseException | None = error
    while cause is not None and seen < 50:
        if isinstance(cause, KeyboardInterrupt):
            return 128 + (signal.SIGTERM if isinstance(cause, TerminatedError) else signal.SIGINT)
        cause, seen = cause.__cause__ or cause.__context__, seen + 1
    return 0


def _handle(handler: Any) -> None:
    """Set `handler` for both signals, but those that whoever started us has told us to ignore (`nohup`, `&`)."""
    for number in _NUMBERS:
        try:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)
        except ValueError:  # not the main thread
            return


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    _received.append(number)
    raise TerminatedError if number == signal.SIGTERM else KeyboardInterrupt


def _unraisable(what: Any) -> None:
    """An interrupt that came while an object was destroyed is lost to Python: raise it again, without a traceback."""
    if isinstance(what.exc_value, KeyboardInterrupt):
        import _thread

        _thread.interrupt_main(signal.Signals(exit_code_of(what.exc_value) - 128))
    else:
        sys.__unraisablehook__(what)
