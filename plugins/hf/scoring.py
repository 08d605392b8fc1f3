"""Score short answers with a language model: questions about one picture and all their choices in one row of tokens.

The row begins with what the questions have in common, the picture above all. Each question's own tokens follow, each
with the tokens of its choices behind it. A token attends to its own beginning only, as if nothing else were in the row:

    picture | question 1 | yes | no | question 2 | red | blue

so that one forward pass gives what a pass per choice would give. Letters: N tokens of a row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from core.scoring import spellings
from core.vision import VisualQuestion

QUESTIONS: Final = 16  # in one row
READ_AT_ONCE: Final = 256  # positions whose logits are in memory
_CLOSING: Final = (".", ",", ";", ":", "!", "?", "\n")

Spelt = tuple[int, ...]  # token ids


def by_picture(questions: Sequence[VisualQuestion], most: int = QUESTIONS) -> Iterator[list[int]]:
    """Places of the questions about each picture, at most `most` at a time."""
    groups: dict[str, list[int]] = {}
    for place, question in enumerate(questions):
        groups.setdefault(question.image.key, []).append(place)
    for places in groups.values():
        yield from (places[start : start + most] for start in range(0, len(places), most))


def closing_tokens(texts: Iterable[str], stops: Sequence[str]) -> list[int]:
    """Ids of the tokens that close an answer, or a part of it: punctuation, a new line, the beginning of a stop string.

    `texts`: the text of each token of the vocabulary, in order.
    """
    return [
        number
        for number, text in enumerate(texts)
        if text.startswith((*_CLOSING, *stops)) or (text.strip() and any(stop.startswith(text) for stop in stops))
    ]


def token_texts(tokenizer: Any) -> list[str]:
    """The text of each token of a tokenizer of transformers, as far as `closing_tokens` reads it."""
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    return [
        "\n" if token == "<0x0A>" else str(token or "").replace("Ċ", "\n").replace("Ġ", " ").replace("▁", " ")
        for token in tokens
    ]


def spelt(choice: str, encode: Callable[[str], Sequence[int]]) -> list[Spelt]:
    """The ways to write a choice, in tokens: its spellings, each with and without a blank in front.

    `encode` gives the tokens of a text, without special ones.
    """
    line = tuple(encode("\n"))
    found: dict[Spelt, None] = {}
    for text in spellings(choice):
        found[tuple(encode(text))] = None
        # behind a new line, so that a tokenizer neither adds a blank nor takes one away
        for behind in (tuple(encode(f"\n{text}")), tuple(encode(f"\n {text}"))):
            if line and behind[: len(line)] == line:
                found[behind[len(line) :]] = None
    return [ids for ids in found if ids]


@dataclass(slots=True)
class Question:
    """A question's own tokens, behind what it shares with the others of its row, and the spellings of its choices."""

    length: int
    choices: Sequence[Sequence[Spelt]]


@dataclass(slots=True)
class ScoredRow:
    """The layout of one row: `shared` tokens, then each question with its choices. Positions count from 0."""

    shared: int
    questions: Sequence[Question]
    parents: list[int] = field(default_factory=lambda: [0])  # of each part; part 0 is what is shared
    parts: list[int] = field(default_factory=list)  # part of each token
    positions: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # where each question's own tokens begin
    spots: list[list[list[int]]] = field(default_factory=list)  # where each spelling of a question's choices begins

    def __post_init__(self) -> None:
        self._append(0, 0, self.shared)
        for question in self.questions:
            self.starts.append(len(self.parts))
            own = self._part(0, self.shared, question.length)
            end = self.shared + question.length
            self.spots.append([[self._part(own, end, len(ids)) for ids in choice] for choice in question.choices])
        begin = {part: at for at, part in reversed(list(enumerate(self.parts)))}
        self.spots = [[[begin[part] for part in choice] for choice in question] for question in self.spots]

    def _part(self, parent: int, position: int, length: int) -> int:
        self.parents.append(parent)
        self._append(len(self.parents) - 1, position, length)
        return len(self.parents) - 1

    def _append(self, part: int, position: int, length: int) -> None:
        self.parts += [part] * length
        self.positions += range(position, position + length)

    def __len__(self) -> int:
        return len(self.parts)

    def visible(self, device: Any = None) -> Tensor:
        """(N, N) of bool: which tokens each token attends to."""
        count = len(self.parents)
        within = torch.eye(count, dtype=torch.bool)
        for part, parent in enumerate(self.parents):  # a parent comes before its parts
            within[part] |= within[parent]
        parts = torch.tensor(self.parts)
        return (within[parts][:, parts] & torch.ones(len(parts), len(parts), dtype=torch.bool).tril()).to(device)

    def fill(self, shared: Tensor, own: Sequence[Tensor], embed: Callable[[Tensor], Tensor]) -> Tensor:
        """The embeddings (N, hidden) of the row: of what is shared, of each question, and of its choices."""
        row = shared.new_zeros(len(self), shared.shape[-1])
        row[: self.shared] = shared
        for question, start, tokens, spots in zip(self.questions, self.starts, own, self.spots, strict=True):
            row[start : start + question.length] = tokens
            for choice, begins in zip(question.choices, spots, strict=True):
                for ids, begin in zip(choice, begins, strict=True):
                    row[begin : begin + len(ids)] = embed(torch.tensor(ids, device=row.device)).to(row.dtype)
        return row

    def scores(self, logits: Callable[[Tensor], Tensor], closing: Tensor) -> list[tuple[float, ...]]:
        """Log-probabilities of each question's choices.

        `logits(places)` gives (places, V) of what follows the tokens at these places; `closing`: ids of the tokens that
        may follow a choice.
        """
        reads: list[int] = []
        targets: list[int] = []  # -1: any closing token
        for question, start, spots in zip(self.questions, self.starts, self.spots, strict=True):
            for choice, begins in zip(question.choices, spots, strict=True):
                for ids, begin in zip(choice, begins, strict=True):
                    reads += [start + question.length - 1, *range(begin, begin + len(ids))]
                    targets += [*ids, -1]
        found = iter(_read(reads, targets, logits, closing))
        return [
            tuple(either([sum(next(found) for _ in range(len(ids) + 1)) for ids in choice]) for choice in each.choices)
            for each in self.questions
        ]


def _read(reads: list[int], targets: list[int], logits: Callable[[Tensor], Tensor], closing: Tensor) -> list[float]:
    """The log-probability of each target behind its place; the logits of a place are computed once."""
    wanted: dict[int, list[int]] = {}
    for number, place in enumerate(reads):
        wanted.setdefault(place, []).append(number)
    values = [0.0] * len(reads)
    places = list(wanted)
    for start in range(0, len(places), READ_AT_ONCE):
        group = places[start : start + READ_AT_ONCE]
        odds = logits(torch.tensor(group)).float().log_softmax(-1)
        close = odds[:, closing.to(odds.device)].logsumexp(-1).tolist()
        numbers = [(row, number) for row, place in enumerate(group) for number in wanted[place]]
        found = odds[[row for row, _ in numbers], [targets[number] for _, number in numbers]].tolist()
        for (row, number), value in zip(numbers, found, strict=True):
            values[number] = close[row] if targets[number] < 0 else value
    return values


def whole(odds: Tensor, ids: Spelt, closing: Tensor) -> float:
    """The log-probability of tokens and a closing one, given log-probabilities (len(ids) + 1 or more, V)."""
    steps = odds[torch.arange(len(ids)), list(ids)].sum()
    return float(steps + odds[len(ids), closing.to(odds.device)].logsumexp(-1))


def either(odds: Sequence[float]) -> float:
    """The log-probability of any of several spellings; -inf if there is none."""
    return float(torch.tensor([*odds, -torch.inf], dtype=torch.float64).logsumexp(0))


def padded_visible(rows: Sequence[ScoredRow], longest: int, device: Any = None) -> Tensor:
    """(rows, 1, longest, longest) of bool; padding on the right attends to itself, and nothing to it."""
    visible = torch.eye(longest, dtype=torch.bool, device=device).repeat(len(rows), 1, 1)
    for place, row in enumerate(rows):
        visible[place, : len(row), : len(row)] = row.visible(device)
    return visible[:, None]


def padded_positions(rows: Sequence[ScoredRow], longest: int, device: Any = None) -> Tensor:
    """(rows, longest)."""
    return torch.tensor([[*row.positions, *[0] * (longest - len(row))] for row in rows], device=device)
