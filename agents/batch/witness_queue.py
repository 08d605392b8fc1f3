"""Pictures of running interviews that wait for the witnesses; a thread examines them, several at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from agents.batch.vision_queue import PIXELS
from agents.witnesses.examination import Examined, Find, examine_pictures
from core.images.picture import Picture
from core.stopping import CalledOff, Halt, halting

MOST: Final = 4  # pictures at a time; more gain nothing and delay the first interviews
Receive = Callable[[Any, Examined | CalledOff], None]


class WitnessQueue:
    """Takes pictures from any thread; its thread calls `receive(sender, Examined)` for each, CalledOff after `halt`."""

    def __init__(
        self, names: Sequence[str], receive: Receive, find: Find | None = None, halt: Halt | None = None
    ) -> None:
        self.names, self._receive, self._find = names, receive, find
        self._over = Halt(halt)
        self._waiting: deque[tuple[Any, Picture]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="witnesses")
        self._thread.start()

    def put(self, sender: Any, picture: Picture) -> None:
        """Examine a picture."""
        with self._changed:
            self._waiting.append((sender, picture))
            self._changed.notify()

    def close(self, seconds: float = 10.0) -> None:
        """End the work; wait that long for pictures under way."""
        self._over.set()
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _work(self) -> None:
        with halting(self._over):
            while some := self._take():
                pictures = [picture for _, picture in some]
                results: Sequence[Examined | CalledOff]
                try:
                    if self._over.is_set():
                        raise CalledOff
                    results = examine_pictures(self.names, pictures, self._find)
                except CalledOff as error:
                    results = [error] * len(some)
                for (sender, _), result in zip(some, results, strict=True):
                    self._receive(sender, result)

    def _take(self) -> list[tuple[Any, Picture]]:
        """The next pictures, fewer if they are large; none once it is closed."""
        with self._changed:
            while not (self._waiting or self._closed):
                self._changed.wait()
            some: list[tuple[Any, Picture]] = []
            pixels = 0
            while self._waiting and not self._closed and len(some) < MOST:
                picture = self._waiting[0][1]
                pixels += picture.width * picture.height
                if some and pixels > PIXELS:
                    break
                some.append(self._waiting.popleft())
            return some
