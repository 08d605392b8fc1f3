"""Exit codes, and an error as one line on standard error."""

from __future__ import annotations

import sys

from core.console.silence import debugging
from core.errors import InquisightError, printable

EXIT_INTERRUPTED = 130


EXIT_UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h


def complain(error: BaseException, about: str = "") -> int:
    """One line on standard error for `error`, its traceback too with INQUISIGHT_DEBUG=1; gives back the exit code."""
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
