"""Standard output and error: UTF-8 into pipes and files, and visible escapes where a terminal lacks a character.

A lone surrogate (a file name that is not UTF-8) and what a terminal cannot show become `\\uXXXX`, in pairs where JSON
has pairs, so that JSON stays JSON. Line ends are `\\n` in pipes and files on every system.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import Any, Final

from core.errors import printable, why

EXIT_OUTPUT: Final = 74  # EX_IOERR of sysexits.h
EXIT_PIPE: Final = 141  # 128 + SIGPIPE, as shells report it
_ERRORS: Final = "inquisight.escape"


class _Noting(io.FileIO):
    """A file that remembers that it could not be written: Python forgets what it could not write."""

    failed: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failed = error
            raise


def own_streams() -> None:
    """`prepare_streams` for a process of ours, which can say later that standard output failed, and why."""
    prepare_streams()
    if sys.stdout is not None and not sys.stdout.isatty():
        with suppress(OSError, ValueError):
            raw = io.BufferedWriter(_Noting(sys.stdout.fileno(), "wb", closefd=False))
            sys.stdout = io.TextIOWrapper(raw, "utf-8", _ERRORS, newline="\n")


def prepare_streams() -> None:
    """Set up the streams of this process; to be called before anything is written."""
    codecs.register_error(_ERRORS, _escape)
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream, _ERRORS, newline="\n")
    _reconfigure(sys.stdin, "surrogateescape")


def finish_streams(code: int) -> int:
    """Write what is still waiting; `code`, or another one where standard output cannot take it. One line says why."""
    if (error := output_error()) is not None:
        _give_up(sys.stdout)
        if isinstance(error, BrokenPipeError):  # `inquisight history | head`: the reader has enough
            code = EXIT_PIPE
        else:
            _say(f"inquisight: standard output cannot be written: {why(error)}")
            code = code or EXIT_OUTPUT
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        _give_up(sys.stderr)
        code = code or EXIT_OUTPUT
    return code


def output_error() -> OSError | None:
    """Why standard output could not be written; None where all is well so far."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return error
    except ValueError:  # closed by somebody else
        return OSError("it is closed")
    return getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "failed", None)


def _say(line: str) -> None:
    try:
        print(printable(line, None), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _give_up(sys.stderr)


def _reconfigure(stream: Any, errors: str, **more: str) -> None:
    if not hasattr(stream, "reconfigure"):
        return
    if stream.isatty():
        stream.reconfigure(errors=errors)
    else:
        stream.reconfigure(encoding="utf-8", errors=errors, **more)


def _give_up(stream: Any) -> None:
    """Let what is left go nowhere; Python would complain of it again at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: `\\uXXXX` for each UTF-16 unit of what cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end
