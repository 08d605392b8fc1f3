"""What a person sees while a batch runs, and what an estimate is made of."""

from __future__ import annotations

import io
import time

import pytest

from agents.batch.estimate import estimate
from agents.batch.pipeline import PipelineConfig
from agents.batch.progress import EVERY, Tally, shown
from agents.cli.render.audit import counts_line
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.llm.usage import Meter
from core.records import Caption, ClaimCounts, PictureInfo, TokenUsage
from core.text import duration


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_speed_and_time_left_follow_what_happens_now(clock: Clock) -> None:
    tally = Tally(total=1000, before=100, began=clock.now)
    assert tally.left is None, "nobody knows yet"
    for _ in range(100):  # one per second
        clock.now += 1
        tally.captioned += 1
        tally.tick()
    assert tally.speed == pytest.approx(1.0, rel=0.05) and tally.left == pytest.approx(800, rel=0.05)
    for _ in range(300):  # then three
        clock.now += 1 / 3
        tally.captioned += 1
        tally.tick()
    assert tally.speed == pytest.approx(3.0, rel=0.05) and tally.left == pytest.approx(500 / 3, rel=0.05)
    tally.captioned = 900
    assert tally.left == 0


def test_plain_lines_now_and_then_where_there_is_no_terminal(clock: Clock) -> None:
    out, meter = io.StringIO(), Meter()
    tally = Tally(5000, 10, meter=meter, price_in=1.0, price_out=10.0, began=clock.now)
    with shown(tally, out) as display:
        for _ in range(100):
            clock.now += 1
            tally.captioned += 2
            meter.add(read=1000, written=100, guessed=True)
            display.update()
        tally.failed += 1
        tally.repeated += 2
        clock.now += EVERY
        display.update()
    told = out.getvalue().splitlines()
    assert len(told) == 4, "one each half minute"
    assert told[0].startswith("inquisight: 70 of 5,000, 2.0 pictures/s, 30 calls, 33.0k tokens (guessed), cost 0.06")
    assert told[0].endswith("41 min left") and "\x1b" not in out.getvalue()
    assert "2 repeated, 1 failed" in told[-1]


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "160")
    out = Terminal()
    tally = Tally(50, 10)
    with shown(tally, out) as display:
        tally.captioned += 5
        display._last = 0.0
        display.update()
        display.line("[bold]a line of its own")
    text = out.getvalue()
    assert "15/50" in text and "pictures/" in text and "inquisight: [bold]a line of its own" in text


def test_workers_elsewhere_are_counted() -> None:
    tally = Tally(10)
    assert "worker" not in " ".join(tally.words())
    tally.meter.more(TokenUsage(calls=3), "a")
    assert tally.words()[1:] == ["3 calls", "1 worker"]
    tally.meter.more(TokenUsage(calls=2), "b")
    tally.meter.more(TokenUsage(), "a")
    assert tally.words()[1:] == ["5 calls", "2 workers"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h"), (400_000, "4.6 days")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def run(**fields: float) -> dict[str, float]:
    return {"captioned": 10, "seconds": 20.0, "calls": 95, "input_tokens": 5000, "output_tokens": 500} | fields


def test_estimates_go_by_what_was_measured_and_else_by_the_prompts() -> None:
    how = PipelineConfig(InterviewOptions(rounds=10), Prompts.load())
    counts = {"listed": 200, "repeated_names": 3, "captioned": 90, "failed": 10, "to_do": 100}
    guess = estimate(**counts, config=how, rate=5.0, price_in=1.0, price_out=2.0, runs=[run(captioned=4)])
    assert (guess.measured, guess.calls, guess.seconds) == (0, 1000, 200.0)
    assert guess.input_tokens > guess.output_tokens > 1000
    assert guess.cost == pytest.approx((guess.input_tokens + 2 * guess.output_tokens) / 1e6, rel=1e-3)
    longer = estimate(
        **counts,
        config=PipelineConfig(InterviewOptions(rounds=20), Prompts.load()),
        rate=None,
        price_in=None,
        price_out=None,
        runs=[],
    )
    assert longer.input_tokens > 2 * guess.input_tokens, "every question is asked with the whole talk before it"
    assert longer.seconds is None and longer.cost is None

    measured = estimate(**counts, config=how, rate=5.0, price_in=1.0, price_out=None, runs=[run(), run(seconds=10.0)])
    assert (measured.measured, measured.calls, measured.seconds) == (20, 950, 150.0)
    assert (measured.input_tokens, measured.output_tokens) == (50_000, 5_000)
    assert measured.cost == pytest.approx(0.05)
    assert measured.lines() == [
        "200 pictures (3 named more than once): 90 captioned, 10 failed, 100 to do",
        "950 calls of the questioner, about 50,000 tokens read and 5,000 written",
        "cost about 0.05",
        "time 2 min",
        "(by what 20 pictures of this batch took)",
    ]


def test_the_claims_that_the_questioner_read_are_summed_up() -> None:
    tally = Tally(total=2)
    counts = ClaimCounts(proposed=9, dropped=2, sentences=3, by_rules=1)
    info = PictureInfo(sha256="", source="", width=1, height=1)
    for some in (counts, None, counts):
        tally.count(Caption(picture=info, claim_counts=some))
    assert tally.claims_read == ClaimCounts(proposed=18, dropped=4, sentences=6, by_rules=2)
    assert "18 proposed, 4 dropped; the rules found those of 2 of 6 sentences" in counts_line(tally.claims_read)
