"""Exit codes, and errors as one line on standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from core.console.silence import debugging
from core.errors import InquisightError, printable

EXIT_INTERRUPTED = 130
EXIT_UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h


def complain(error: BaseException, about: str = "") -> int:
    """Print `error` as one line on standard error, with INQUISIGHT_DEBUG=1 its traceback too; returns the exit code."""
    text = str(error)
    code = getattr(error, "exit_code", EXIT_UNEXPECTED)
    if not isinstance(error, InquisightError):
        if hasattr(error, "format_message"):  # typer's own usage errors
            text = f"{error.format_message()} (see --help)"
        else:
            text = f"unexpected {type(error).__name__}: {error}; set INQUISIGHT_DEBUG=1 to see where it comes from"
    if debugging():
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    line = " ".join(text.split())
    print(f"inquisight: {about}{printable(line, limit=1000)}", file=sys.stderr, flush=True)
    return int(code)


def common_exit_code(codes: Sequence[int]) -> int:
    """The exit code of a command: 0 without failures, the failures' code if all have the same one, else 1."""
    return (codes[0] if len(set(codes)) == 1 else 1) if codes else 0
