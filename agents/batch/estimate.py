"""Estimate a batch before it begins: pictures, calls, tokens, cost, time. Loads no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from agents.batch.pipeline import PipelineConfig
from agents.interview.protocol import Interview, NeedQuestion, NeedSummary
from agents.llm.usage import LETTERS
from core.datasets.left_out import LeftOut
from core.files.journal import Record
from core.records import Caption, Dialogue, PictureInfo, Turn
from core.text import duration

# Characters of a usual turn if nothing was measured: those of the embedded model and common questioners.
QUESTION, ANSWER, OPENING, SUMMARY = 45, 60, 160, 350
CLAIMS_REQUEST, CLAIMS = 1060, 1200  # the request for the claims of a description, without it, and the reply
_ENOUGH: Final = 5  # pictures of earlier runs that replace the guess


@dataclass(frozen=True, slots=True)
class Estimate:
    """Figures for the remaining pictures."""

    listed: int
    repeated_names: int
    captioned: int
    failed: int
    to_do: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float | None
    left_out: LeftOut  # files of the inputs that are not read
    witnesses: tuple[str, ...]  # that examine each picture
    measured: int  # pictures of earlier runs behind calls, tokens and time; 0: a guess

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"left_out": self.left_out.as_json()}

    def lines(self) -> list[str]:
        """For people."""
        tokens = f"about {self.input_tokens:,} tokens read and {self.output_tokens:,} written"
        basis = (
            f"by what {self.measured:,} pictures of this batch took"
            if self.measured
            else "guessed; after `--limit 20` it goes by what those took"
        )
        twice = f" ({self.repeated_names:,} named more than once)" if self.repeated_names else ""
        lines = [
            f"{self.listed:,} pictures{twice}: {self.captioned:,} captioned, {self.failed:,} failed, "
            f"{self.to_do:,} to do",
            *([str(self.left_out)] if self.left_out else []),
            f"{self.calls:,} calls of the questioner, {tokens}",
        ]
        if self.witnesses:
            lines.append(f"witnesses: {', '.join(self.witnesses)}")
        if self.cost is not None:
            lines.append(f"cost about {self.cost:,.2f}")
        if self.seconds is not None:
            least = "" if self.measured else "at least "
            lines.append(f"time {least}{duration(self.seconds)}")
        return [*lines, f"({basis})"]


def estimate(
    *, listed: int, repeated_names: int, captioned: int, failed: int, to_do: int, config: PipelineConfig,
    rate: float | None, price_in: float | None, price_out: float | None, runs: Sequence[Record],
    left_out: LeftOut | None = None,
) -> Estimate:  # fmt: skip
    """From earlier `runs` of the same batch, else from the lengths of the prompts."""
    pictures = sum(run["captioned"] for run in runs)
    if pictures >= _ENOUGH:
        calls, read, written = (
            sum(run[name] for run in runs) / pictures for name in ("calls", "input_tokens", "output_tokens")
        )
        seconds: float | None = to_do * sum(run["seconds"] for run in runs) / pictures
    else:
        pictures = 0
        claims = config.options.audit != "none" and config.options.claims == "questioner"
        calls = config.options.rounds + claims
        read, written = _tokens(config)
        if claims:
            read, written = read + (CLAIMS_REQUEST + SUMMARY) / LETTERS, written + CLAIMS / LETTERS
        seconds = to_do * calls / rate if rate else None
    cost = None
    if price_in is not None or price_out is not None:
        cost = to_do * (read * (price_in or 0) + written * (price_out or 0)) / 1e6
    return Estimate(
        listed, repeated_names, captioned, failed, to_do, round(to_do * calls), round(to_do * read),
        round(to_do * written), cost, seconds, left_out or LeftOut(), config.options.witnesses, pictures,
    )  # fmt: skip


def _tokens(config: PipelineConfig) -> tuple[float, float]:
    """(input, output) tokens of the questioner for one picture, from the prompts and texts of usual length.

    From the second turn on, each turn lengthens a request by the same number of characters. So the first requests give
    all others: an arithmetic series for the questions, then the request for the summary.
    """
    questions = config.options.rounds - 1
    read = _growing(questions + 1, lambda turns: _letters(config, turns, rounds=turns))
    if questions:
        first = _letters(config, 1, rounds=2)
        second, third = (_letters(config, turns, rounds=turns + 1) for turns in (2, 3))
        later = questions - 1
        read += first + later * second + (third - second) * later * (later - 1) // 2
    return read / LETTERS, (questions * QUESTION + SUMMARY) / LETTERS


def _growing(turns: int, letters: Callable[[int], int]) -> int:
    """`letters(turns)`, extrapolated from two and three turns."""
    if turns <= 3:
        return letters(turns)
    second, third = letters(2), letters(3)
    return second + (turns - 2) * (third - second)


def _letters(config: PipelineConfig, turns: int, *, rounds: int) -> int:
    """Characters of the request of an interview of `rounds` after `turns`."""
    texts = [(OPENING, "opening")] + [(ANSWER, "witness")] * bool(config.options.witnesses)
    texts += [(ANSWER, "questioner")] * (turns - 1)
    spoken = tuple(Turn(question="q" * QUESTION, answer="a" * answer, asked_by=asked_by) for answer, asked_by in texts)
    info = PictureInfo(sha256="", source="", width=1, height=1)
    caption = Caption(picture=info, status="stopped", plain="a", dialogue=Dialogue(turns=spoken))
    need = Interview.resumed(caption, config.prompts, replace(config.options, rounds=rounds, witnesses=())).need
    assert isinstance(need, NeedQuestion | NeedSummary)
    return sum(len(message.content) for message in need.messages)
