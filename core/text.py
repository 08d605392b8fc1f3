"""Steps on text of any size that take time in proportion to it: repeat a clean-up, fold what is said over and over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

ROUNDS: Final = 12  # of a clean-up; only a text made for it needs more
_LONGEST_PHRASE: Final = 12  # words


def settled(step: Callable[[str], str], text: str) -> str:
    """Apply `step` until nothing changes, at most `ROUNDS` times: taking one thing away can uncover another."""
    for _ in range(ROUNDS):
        changed = step(text)
        if changed == text:
            break
        text = changed
    return text


def without_loops(words: Sequence[str], keys: Sequence[str], *, signs: bool = True) -> list[str]:
    """`words` with each phrase that is said over and over folded into its last copy.

    `keys` are what the words are compared by. A phrase of one or two words is folded from three copies on ("very, very"
    is speech), a longer one from two. `signs`: also where all keys of the phrase are empty.
    """
    words, keys = list(words), list(keys)
    for size in range(1, _LONGEST_PHRASE + 1):
        needed = 3 if size < 3 else 2
        kept: list[int] = []
        at = 0
        while at < len(words):
            phrase, times = keys[at : at + size], 1
            if at + size * needed <= len(words) and (signs or any(phrase)):
                while keys[at + times * size : at + (times + 1) * size] == phrase:
                    times += 1
            if times >= needed:
                at += (times - 1) * size
            kept.append(at)
            at += 1
        words, keys = [words[place] for place in kept], [keys[place] for place in kept]
    return words
