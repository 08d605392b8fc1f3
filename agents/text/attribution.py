"""Attribute the words of a description to the turns of the dialogue.

    for piece in added_by_turns(caption.summary, caption.dialogue.turns):
        piece.text, piece.turn          # the pieces joined are the description; turn 3, or None

A word is added by the first certain turn that contains it: in its answer, or in its question if the answer only
affirms or denies ("Is it raining?" "Yes."). Words of the opening answer are no addition, and neither are words that no
turn contains. Words are compared without their plural; nothing is understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agents.text.cleaning import certain_part
from core import nouns
from core.records import Turn

_CJK: Final = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD: Final = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’-][^\W_{_CJK}]+)*")
_SPELLING: Final = {"gray": "grey", "color": "colour", "colored": "coloured", "center": "centre"}
# Words without content; one between two marked words is marked with them.
_SMALL: Final = frozenset(
    (
        "a an the this that these those there here it its they them their he she his her who which what where when how "
        "is are was were be been being has have had do does did will would can could may might must should "
        "of in on at to from by with without for as into onto and or but not no nor so than then also too very more "
        "most some any all both each other one i we you picture image photo photograph shows show shown seen see "
        "visible yes"
    ).split()
)
_SHORT_REPLY: Final = re.compile(r"^\W*(?:yes|no|yeah|yep|nope|correct|indeed|true|false)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AttributedText:
    """A stretch of a description. `turn`: the number, from 1, of the turn that added it."""

    text: str
    turn: int | None = None


def added_by_turns(text: str, turns: Sequence[Turn]) -> tuple[AttributedText, ...]:
    """`text` cut into pieces by the turn that added them; joined they are `text`."""
    sources = _sources(turns)
    pieces: list[AttributedText] = []
    start = 0  # of the piece that is being made
    turn: int | None = None
    end = 0  # of the last word that belongs to it for certain
    for begin, stop, word in _words(text):
        if word in _SMALL and word not in sources:
            continue
        source = sources.get(word)
        if source != turn:
            # Text between two pieces belongs to neither; it stays unmarked.
            cut = end if turn is not None else begin
            pieces.append(AttributedText(text[start:cut], turn))
            if turn is not None and source is not None:
                pieces.append(AttributedText(text[cut:begin]))
                cut = begin
            start, turn = cut if source is None else begin, source
            if source is not None and cut != begin:
                pieces.append(AttributedText(text[cut:begin]))
        end = stop
    pieces.append(AttributedText(text[start : end if turn is not None else len(text)], turn))
    if turn is not None:
        pieces.append(AttributedText(text[end:]))
    return tuple(piece for piece in pieces if piece.text)


def _sources(turns: Sequence[Turn]) -> dict[str, int | None]:
    """For each word the first turn that contains it; None for the words of the opening answer."""
    found: dict[str, int | None] = {}
    numbered = [(number, turn) for number, turn in enumerate(turns, start=1) if turn.certainty == "sure"]
    numbered.sort(key=lambda each: each[1].asked_by != "opening")  # the opening answer is what all else is added to
    for number, turn in numbered:
        said = certain_part(turn.answer)
        if _SHORT_REPLY.match(said):
            said = f"{turn.question} {said}"
        for _, _, word in _words(said):
            if word not in _SMALL:
                found.setdefault(word, None if turn.asked_by == "opening" else number)
    return found


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    """(begin, end, what it is compared by) of each word. Scripts without spaces are compared by pairs of characters."""
    for match in _WORD.finditer(text):
        word = match[0].casefold().replace("’", "'").removesuffix("'s")
        if len(word) == 1 and re.match(rf"[{_CJK}]", word):
            word = text[match.start() : match.start() + 2]
        word = _SPELLING.get(word, word)
        yield match.start(), match.end(), nouns.singular(word)
