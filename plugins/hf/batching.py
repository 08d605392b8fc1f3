"""Helpers of vision backends: cache encoded pictures, batch questions, remove control tokens."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from core.images.picture import Picture
from core.text import settled
from core.vision import EncodedImage, GenerationOptions, VisualQuestion

T = TypeVar("T")


class KnownPictures:
    """A cache of encoded pictures by sha256, up to `limit` bytes; `size` returns the bytes of one."""

    def __init__(self, limit: int, size: Callable[[EncodedImage], int]) -> None:
        self.limit = limit
        self.size = size
        self.nbytes = 0
        self._lock = threading.Lock()
        self._known: OrderedDict[str, EncodedImage] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def encode(
        self, pictures: Sequence[Picture], encode: Callable[[list[Picture]], list[EncodedImage]], batch: int
    ) -> list[EncodedImage]:
        """One value per picture, in order; `encode` gets each unknown picture once, at most `batch` at a time."""
        found: dict[str, EncodedImage] = {}
        new: dict[str, Picture] = {}
        with self._lock:
            for picture in pictures:
                if picture.sha256 in self._known:
                    self._known.move_to_end(picture.sha256)
                    found[picture.sha256] = self._known[picture.sha256]
                else:
                    new[picture.sha256] = picture
        waiting = list(new.values())
        for start in range(0, len(waiting), batch):
            group = waiting[start : start + batch]
            for picture, image in zip(group, encode(group), strict=True):
                found[picture.sha256] = image
                self._keep(image)
        return [found[picture.sha256] for picture in pictures]

    def _keep(self, image: EncodedImage) -> None:
        with self._lock:
            if image.sha256 in self._known:
                return
            self._known[image.sha256] = image
            self.nbytes += self.size(image)
            while self.nbytes > self.limit and self._known:
                _, oldest = self._known.popitem(last=False)
                self.nbytes -= self.size(oldest)

    def clear(self) -> None:
        with self._lock:
            self._known.clear()
            self.nbytes = 0


def in_groups(questions: Sequence[VisualQuestion], size: int) -> Iterator[tuple[GenerationOptions, list[int]]]:
    """Indices of questions with equal options, at most `size` at a time, grouped by picture."""
    groups: dict[GenerationOptions, list[int]] = {}
    for index, question in enumerate(questions):
        groups.setdefault(question.options, []).append(index)
    for options, indices in groups.items():
        first: dict[str, int] = {}
        for index in indices:
            first.setdefault(questions[index].image.key, len(first))
        indices.sort(key=lambda index: first[questions[index].image.key])
        for start in range(0, len(indices), size):
            yield options, indices[start : start + size]


def answered_in_groups(
    questions: Sequence[VisualQuestion], size: int, answer: Callable[[list[int], GenerationOptions], Iterable[T]]
) -> list[T]:
    """One answer per question, in order; `answer` gets the indices of a group and their options."""
    answers: dict[int, T] = {}
    for options, places in in_groups(questions, size):
        answers.update(zip(places, answer(places, options), strict=True))
    return [answers[place] for place in range(len(questions))]


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The special tokens of a tokenizer as text, the longest first."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {str(token) for token in added if getattr(token, "special", False)}
    special |= {str(token) for token in tokenizer.all_special_tokens}
    return tuple(sorted((token for token in special if token.strip()), key=lambda token: (-len(token), token)))


def without(text: str, marks: Iterable[str], pattern: str = "") -> str:
    """`text` without `marks` and matches of `pattern` (ignoring case), stripped."""
    either = "|".join([*map(re.escape, marks), *([pattern] if pattern else [])])
    return unmarked(text, re.compile(either, re.IGNORECASE)).strip() if either else text.strip()


def unmarked(text: str, marks: re.Pattern[str]) -> str:
    """`text` without any match of `marks`.

    Removing one mark can join two halves of another one, so this is repeated `core.text.ROUNDS` times; a text that
    still has marks is cut at the first of them.
    """
    text = settled(lambda value: marks.sub("", value), text)
    left = marks.search(text)
    return text[: left.start()] if left else text
