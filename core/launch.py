"""Start and end of every command: output streams, and Ctrl-C without a traceback.

It imports almost nothing, so that `guard` runs before any slow import:

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
    """SIGTERM: like Ctrl-C, with its own exit code."""


def guard() -> None:
    """Exit immediately on Ctrl-C or SIGTERM; for imports and for the end of a command."""
    _handle(lambda number, _: os._exit(128 + number))


def launch(run: Callable[..., int], **options: Any) -> NoReturn:
    """Run this process as a command: `run(arguments, **options)` returns the exit code. Does not return.

    `run` imports its modules when it is called, after the check that no other distribution shadows our packages.
    """
    guard()
    share_cores()
    from core.console.shadow import check_not_shadowed
    from core.console.streams import finish_streams, own_streams
    from core.errors import InquisightError

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


def share_cores() -> None:
    """Let PyTorch's threads that have no work sleep soon, so that other threads and programs get the cores.

    GNU OpenMP, with which PyTorch is built on Linux, else lets them wait in a loop, 300,000 times, at each layer of a
    model; where another thread needs the core, that doubles the CPU time of a caption. 1,000 is its own default for
    more threads than cores. What the environment says already stays. Call it before PyTorch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def exit_code_of(error: BaseException) -> int:
    """128 + the signal that caused `error`; 0 if none did."""
    seen = 0
    cause: BaseException | None = error
    while cause is not None and seen < 50:
        if isinstance(cause, KeyboardInterrupt):
            return 128 + (signal.SIGTERM if isinstance(cause, TerminatedError) else signal.SIGINT)
        cause, seen = cause.__cause__ or cause.__context__, seen + 1
    return 0


def _handle(handler: Any) -> None:
    """Set `handler` for both signals, except for those that the parent process ignores (`nohup`, `&`)."""
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
    """Raise an interrupt again that occurred in a destructor, where Python would only print it."""
    if isinstance(what.exc_value, KeyboardInterrupt):
        import _thread

        _thread.interrupt_main(signal.Signals(exit_code_of(what.exc_value) - 128))
    else:
        sys.__unraisablehook__(what)
