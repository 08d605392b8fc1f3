"""Parse server-sent events from bytes as they arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, read leniently: comments,
events without data and malformed lines are skipped. If a server omits the empty line between events, their data is
returned together, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

WHOLE: Final = 4 << 20  # bytes that are kept of a reply that is no stream
_END = re.compile(rb"\r\n|\n|\r")


class Events:
    """Iterate once over the data of each event. `rest` is the other content, such as a reply without streaming."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._found = False
        self._other: list[bytes] = []
        self._size = 0

    @property
    def rest(self) -> bytes:
        return b"\n".join(self._other)

    def __iter__(self) -> Iterator[str]:
        held: list[str] = []
        for line in _lines(self._chunks):
            if line.startswith(b"data:"):
                self._found = True
                self._other.clear()
                if data := line[5:].strip().decode("utf-8", "replace"):
                    held.append(data)
            elif not line.strip():
                if held:
                    yield "\n".join(held)
                held.clear()
            elif not self._found and not line.startswith((b":", b"event:", b"id:", b"retry:")) and self._size < WHOLE:
                self._other.append(line)
                self._size += len(line)
        if held:
            yield "\n".join(held)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines without their ends (LF, CR or both), in linear time."""
    begun: list[bytes] = []
    after_cr = False
    for chunk in chunks:
        if after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        after_cr = chunk.endswith(b"\r") if chunk else after_cr
        *whole, last = _END.split(chunk)
        for line in whole:
            yield b"".join([*begun, line])
            begun.clear()
        if last:
            begun.append(last)
    if begun:
        yield b"".join(begun)
