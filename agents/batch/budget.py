"""A limit on what several threads hold at the same time."""

from __future__ import annotations

import threading


class Budget:
    """At most `limit` units are taken at a time; a single larger request always fits."""

    def __init__(self, limit: int) -> None:
        self.limit, self._taken = limit, 0
        self._changed = threading.Condition()
        self._closed = False

    def take(self, size: int = 1) -> bool:
        """Wait until `size` units are free, and take them; False if it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._taken or self._taken + size <= self.limit)
            self._taken += size
            return not self._closed

    def give_back(self, size: int = 1) -> None:
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    def close(self) -> None:
        """Let waiting threads go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
