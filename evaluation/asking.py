"""Put questions about many images to a vision model, in full batches.

A task's questions about one image are a generator: it yields lists of `Ask`, receives their replies and returns the
record to keep. So a question may depend on earlier answers, while images share batches (`agents.batch.vision_queue`).
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Iterable, Iterator, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import ImageOps

from agents.batch.vision_queue import PIXELS, Row, VisionQueue, VisionResult
from agents.llm.calls import ends_all
from core.entries import one_line
from core.errors import BackendError, InquisightError
from core.images.picture import Picture, open_picture
from core.stopping import CalledOff
from core.vision import SHORT_TOKENS, EncodedImage, GenerationOptions, Reply, VisionBackend, VisualQuestion


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about an image or its mirror image; `text=None` asks for the plain caption."""

    text: str | None
    mirrored: bool = False
    tokens: int = SHORT_TOKENS

    @property
    def row(self) -> Row:
        """Which other requests take about as long."""
        return "plain" if self.text is None else "opening" if self.tokens > SHORT_TOKENS else "asked"


Talk = Generator[list[Ask], list[Reply], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of one image: the record that its talk returned, or an error."""

    key: str
    record: dict[str, Any] | None = None
    error: InquisightError | None = None


@dataclass(slots=True, eq=False)
class _Run:
    key: str
    file: Path
    talk: Talk
    asks: list[Ask] = field(default_factory=list)
    replies: list[Reply | None] | None = None  # None: the talk has not begun
    images: dict[bool, EncodedImage] = field(default_factory=dict)  # by whether it is mirrored
    outstanding: int = 0
    pixels: int = 0  # of pictures that wait to be encoded
    error: InquisightError | None = None


def ask_many(
    talks: Iterable[tuple[str, Path, Callable[[], Talk]]], vision: VisionBackend, *, batch: int, max_pixels: int
) -> Iterator[Asked]:
    """Hold the talk about each (key, image file, talk) and yield its result when it ends.

    An image that cannot be opened or answered gives its error. Raises an error that every image would meet.
    """
    asking = _Asking(vision, batch, max_pixels)
    with closing(asking.requests):
        yield from asking.run(iter(talks))


class _Asking:
    def __init__(self, vision: VisionBackend, batch: int, max_pixels: int) -> None:
        self.events: queue.SimpleQueue[tuple[tuple[_Run, bool | int], VisionResult]] = queue.SimpleQueue()
        workers = vision.concurrent_batches
        self.requests = VisionQueue(vision, lambda *event: self.events.put(event), batch=batch, workers=workers)
        self.room = batch * (workers + 2)
        self.max_pixels = max_pixels
        self.pixels = 0  # decoded and waiting

    def run(self, talks: Iterator[tuple[str, Path, Callable[[], Talk]]]) -> Iterator[Asked]:
        under_way, more = 0, True
        while more or under_way:
            while more and under_way < self.room and self.pixels < 2 * PIXELS:
                following = next(talks, None)
                if following is None:
                    more = False
                    break
                key, file, begin = following
                ended = self._advance(_Run(key, file, begin()))
                if ended is None:
                    under_way += 1
                else:
                    yield ended
            if not under_way:
                continue
            (run, what), result = self.events.get()
            self._take(run, what, result)
            if not run.outstanding and (ended := self._advance(run)) is not None:
                under_way -= 1
                yield ended

    def _take(self, run: _Run, what: bool | int, result: VisionResult) -> None:
        """Keep a result: of encoding (`what` is whether the image is mirrored), or of the question at a place."""
        run.outstanding -= 1
        error = result.error
        if isinstance(what, bool):
            self.pixels -= run.pixels
            run.pixels = 0
        if error is None and isinstance(what, bool):
            run.images[what] = result.result
        elif error is None:
            assert run.replies is not None
            run.replies[what] = result.result
        elif isinstance(error, CalledOff) or not isinstance(error, Exception) or ends_all(error):
            raise error
        elif isinstance(error, InquisightError):
            run.error = error
        else:
            run.error = BackendError(f"the vision model failed with {one_line(error)}.")
            run.error.__cause__ = error

    def _advance(self, run: _Run) -> Asked | None:
        """Pass answers on and send what the talk asks next; the result if the talk has ended."""
        while run.error is None:
            if run.replies is None or None not in run.replies:
                try:
                    run.asks = run.talk.send(run.replies)  # type: ignore[arg-type]
                except StopIteration as end:
                    return Asked(run.key, end.value)
                run.replies = [None] * len(run.asks)
            if missing := {ask.mirrored for ask in run.asks} - run.images.keys():
                self._encode(run, missing)
            for place, ask in enumerate([] if missing else run.asks):
                question = VisualQuestion(run.images[ask.mirrored], ask.text, options=GenerationOptions(ask.tokens))
                self.requests.ask((run, place), question, ask.row)
                run.outstanding += 1
            if run.outstanding:
                return None
        return Asked(run.key, error=run.error)

    def _encode(self, run: _Run, variants: Set[bool]) -> None:
        try:
            picture = open_picture(run.file, max_pixels=self.max_pixels)
        except InquisightError as error:
            run.error = error
            return
        run.pixels = picture.width * picture.height
        self.pixels += run.pixels
        for mirrored in sorted(variants):
            self.requests.encode((run, mirrored), mirror(picture) if mirrored else picture)
            run.outstanding += 1


def mirror(picture: Picture) -> Picture:
    """The picture with left and right exchanged, under a hash of its own."""
    return replace(picture, image=ImageOps.mirror(picture.image), sha256=f"mirrored{picture.sha256[:56]}")
