"""Count interviews: one row of figures for each questioner, and the rows as a table."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agents.claims.summaries import unsupported_sentences
from agents.interview.turns import usable
from agents.text.cleaning import question_key
from benchmarks.questioners.interviews import Held
from core.records import Caption, Turn
from core.text import sentences

_EMPTY: Final = frozenset("yes no not nothing none i see".split())


@dataclass(frozen=True, slots=True)
class Row:
    """What one questioner did over all pictures."""

    questioner: str
    pictures: int = 0
    failed: int = 0
    least_turns: int = 0  # of all interviews; without the turns of witnesses
    turns: int = 0
    accepted: int = 0  # questions of the questioner that were asked
    refused: int = 0
    fallback: int = 0  # questions that the rules asked in its place
    informative: int = 0  # of the answers to accepted questions
    sentences: int = 0  # of the summaries that the questioner wrote and that stayed
    taken_out: int = 0  # sentences that no certain answer supports
    unsupported: int = 0  # such sentences that stayed
    by_rules: int = 0  # summaries that the rules wrote in its place
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0  # of the questioner
    reasons: dict[str, int] = field(default_factory=dict)  # of refusals, the most frequent first
    errors: tuple[str, ...] = ()


def count(questioner: str, held: Sequence[Held]) -> Row:
    """The row of one questioner."""
    captions = [one.caption for one in held]
    turns = [_asked(caption) for caption in captions]
    return Row(
        questioner,
        pictures=len(held),
        failed=sum(caption.status != "complete" for caption in captions),
        least_turns=min(turns, default=0),
        turns=sum(turns),
        accepted=sum(map(len, map(accepted, captions))),
        refused=sum(len(one.refused) for one in held),
        fallback=sum(turn.asked_by == "fallback" for caption in captions for turn in caption.dialogue.turns),
        informative=sum(map(informative, captions)),
        sentences=sum(len(sentences(caption.summary)) for caption in captions if caption.summary_by != "rules"),
        taken_out=sum(len(caption.removed) for caption in captions),
        unsupported=sum(map(len, map(_unsupported, captions))),
        by_rules=sum(caption.summary_by == "rules" for caption in captions),
        calls=sum(one.usage.calls for one in held),
        input_tokens=sum(one.usage.input_tokens for one in held),
        output_tokens=sum(one.usage.output_tokens for one in held),
        seconds=round(sum(caption.seconds.get("language", 0.0) for caption in captions), 1),
        reasons=dict(Counter(reason for one in held for reason, _ in one.refused).most_common()),
        errors=tuple(sorted({caption.error for caption in captions if caption.error})),
    )


def accepted(caption: Caption) -> list[Turn]:
    """The turns whose question the questioner asked."""
    return [turn for turn in caption.dialogue.turns if turn.asked_by == "questioner"]


def sample(held: Sequence[Held], number: int, seed: int) -> list[tuple[str, str, str]]:
    """(file name, question, answer) of `number` accepted questions, drawn at random, for a person to read."""
    turns = [(one.caption.picture.source, turn) for one in held for turn in accepted(one.caption)]
    drawn = random.Random(seed).sample(turns, min(number, len(turns)))
    return [(Path(source).name, turn.question, turn.answer) for source, turn in drawn]


def informative(caption: Caption) -> int:
    """Answers to the questioner that are certain and have a content word that neither question nor earlier turns have.

    A denial such as "No, there is no dog." has none; so has a repetition of what was said before.
    """
    known: set[str] = set()
    found = 0
    for turn in caption.dialogue.turns:
        words = set(question_key(turn.answer)) - _EMPTY
        new = words - known - set(question_key(turn.question))
        found += bool(turn.asked_by == "questioner" and turn.certainty == "sure" and new)
        known |= words
    return found


def _unsupported(caption: Caption) -> list[str]:
    turns = usable(caption.dialogue.turns)
    return [one.text for one in unsupported_sentences(caption.summary, turns)] if turns else []


def _asked(caption: Caption) -> int:
    return sum(turn.asked_by != "witness" for turn in caption.dialogue.turns)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, one line for each questioner."""
    heads: dict[str, Callable[[Row], object]] = {
        "questioner": lambda row: f"`{row.questioner}`",
        "turns, least / mean": lambda row: f"{row.least_turns} / {row.turns / max(row.pictures, 1):.1f}",
        "accepted": lambda row: row.accepted,
        "refused": lambda row: row.refused,
        "fallback": lambda row: row.fallback,
        "informative": lambda row: row.informative,
        "sentences": lambda row: row.sentences,
        "taken out": lambda row: row.taken_out,
        "unsupported": lambda row: row.unsupported,
        "by rules": lambda row: row.by_rules,
        "calls": lambda row: row.calls,
        "tokens read / written": lambda row: f"{row.input_tokens} / {row.output_tokens}",
        "seconds": lambda row: f"{row.seconds:.0f}",
        "failed": lambda row: row.failed,
    }
    lines = [" | ".join(heads), "|".join(["---", *["---:"] * (len(heads) - 1)])]
    lines += [" | ".join(str(show(row)) for show in heads.values()) for row in rows]
    return "\n".join(f"| {line} |" if number != 1 else f"|{line}|" for number, line in enumerate(lines))


def refusals(rows: Sequence[Row]) -> str:
    """Why replies were refused, as a Markdown table with one line for each questioner; "" if none was."""
    total = sum((Counter(row.reasons) for row in rows), Counter[str]())
    names = [name for name, _ in total.most_common()]
    if not names:
        return ""
    lines = ["| " + " | ".join(["refused as", *names]) + " |", "|---|" + "---:|" * len(names)]
    lines += [
        f"| `{row.questioner}` | " + " | ".join(str(row.reasons.get(name, 0)) for name in names) + " |" for row in rows
    ]
    return "\n".join(lines)
