"""Set up standard output and error: UTF-8 in pipes and files, escapes for characters that a terminal lacks.

Lone surrogates (file names that are not UTF-8) and missing characters become `\\uXXXX`, in surrogate pairs as in JSON.
Line ends in pipes and files are `\\n` on every system.
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


class _RecordingFile(io.FileIO):
    """A file that records its last write error, which Python discards."""

    failed: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failed = error
            raise


def own_streams() -> None:
    """`prepare_streams`, and record write errors of standard output for `output_error`."""
    prepare_streams()
    if sys.stdout is not None and not sys.stdout.isatty():
        with suppress(OSError, ValueError):
            raw = io.BufferedWriter(_RecordingFile(sys.stdout.fileno(), "wb", closefd=False))
            sys.stdout = io.TextIOWrapper(raw, "utf-8", _ERRORS, newline="\n")


def prepare_streams() -> None:
    """Set up the streams of this process before any output."""
    codecs.register_error(_ERRORS, _escape)
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream, _ERRORS, newline="\n")
    _reconfigure(sys.stdin, "surrogateescape")


def finish_streams(code: int) -> int:
    """Flush the streams and return the exit code: `code`, or another one if standard output failed."""
    if (error := output_error()) is not None:
        _discard(sys.stdout)
        if isinstance(error, BrokenPipeError):  # `inquisight history | head`: the reader has enough
            code = EXIT_PIPE
        else:
            _say(f"inquisight: standard output cannot be written: {why(error)}")
            code = code or EXIT_OUTPUT
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except (OSError, ValueError):
        _discard(sys.stderr)
        code = code or EXIT_OUTPUT
    return code


def output_error() -> OSError | None:
    """The write error of standard output, if any."""
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
        _discard(sys.stderr)


def _reconfigure(stream: Any, errors: str, **more: str) -> None:
    if not hasattr(stream, "reconfigure"):
        return
    if stream.isatty():
        stream.reconfigure(errors=errors)
    else:
        stream.reconfigure(encoding="utf-8", errors=errors, **more)


def _discard(stream: Any) -> None:
    """Redirect a failed stream to /dev/null, so that Python does not report it again at exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError, AttributeError):
        return


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Codec error handler: `\\uXXXX` for each UTF-16 unit that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end
