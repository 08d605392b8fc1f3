"""What a batch computes by itself grows with its length and no faster: operations are counted, never seconds."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.batch import estimate as estimates
from agents.batch.estimate import ANSWER, OPENING, QUESTION, SUMMARY, estimate
from agents.batch.pipeline import PipelineConfig
from agents.cli.main import run
from agents.interview.prompts import Prompts
from agents.interview.protocol import Finished, Interview, InterviewOptions, NeedAnswer, NeedQuestion, NeedSummary
from agents.llm.usage import LETTERS
from agents.text.cleaning import AskedQuestions, is_repeated, question_key
from core.records import Caption, Dialogue, PictureInfo, Turn
from tests.agents.batch.making import make_pictures

PROMPTS = Prompts.load()


# --- the estimate ----------------------------------------------------------------------------------------------------


def turn_by_turn(how: PipelineConfig) -> tuple[float, float]:
    """(read, written): every request written out, as the estimate was made before it had a formula."""
    read = written = 0
    turns: tuple[Turn, ...] = ()
    for number in range(how.options.rounds):
        answer = "a" * (ANSWER if number else OPENING)
        turns += (Turn(question="q" * QUESTION, answer=answer, asked_by="questioner" if number else "opening"),)
        info = PictureInfo(sha256="", source="", width=1, height=1)
        caption = Caption(picture=info, status="stopped", plain="a", dialogue=Dialogue(turns=turns))
        need = Interview.resumed(caption, how.prompts, how.options).need
        if isinstance(need, NeedQuestion | NeedSummary):
            read += sum(len(message.content) for message in need.messages)
            written += QUESTION if isinstance(need, NeedQuestion) else SUMMARY
    return read / LETTERS, written / LETTERS


@pytest.mark.parametrize("language", [None, "German"])
@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5, 10, 30, 101])
def test_the_numbers_are_those_of_every_request_written_out(rounds: int, language: str | None) -> None:
    how = PipelineConfig(InterviewOptions(rounds=rounds, language=language), PROMPTS)
    assert estimates._tokens(how) == turn_by_turn(how)


def test_a_million_rounds_take_as_many_requests_as_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Counter[str]()
    resumed = Interview.resumed.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Interview], caption: Caption, *rest: Any) -> Interview:
        made["interviews"] += 1
        made["turns"] += len(caption.dialogue.turns)
        return resumed(cls, caption, *rest)  # type: ignore[no-any-return]

    monkeypatch.setattr(Interview, "resumed", classmethod(counted))
    counts: dict[str, Any] = {"listed": 1, "repeated_names": 0, "captioned": 0, "failed": 0, "to_do": 300_000}
    how = PipelineConfig(InterviewOptions(rounds=1_000_000), PROMPTS)
    found = estimate(**counts, config=how, rate=None, price_in=1.0, price_out=1.0, runs=[])
    assert made["interviews"] <= 5 and made["turns"] <= 15
    assert found.calls == 300_000 * 1_000_000 and found.input_tokens > 300_000 * 1_000_000**2


@pytest.mark.parametrize("rounds", ["3000", "1000000"])
def test_the_command_answers_however_many_rounds(
    tmp_path: Path, rounds: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    make_pictures(tmp_path / "photos", 2)
    words = ["batch", str(tmp_path / "photos"), "--out", str(tmp_path / "out.jsonl"), "--rounds", rounds, "--dry-run"]
    assert run(words) == 0
    assert f"{2 * int(rounds):,} calls of the questioner" in capsys.readouterr().out


# --- a long interview ------------------------------------------------------------------------------------------------


def operations(rounds: int) -> Counter[str]:
    """Calls of each of our functions in an interview of so many rounds, each step of a generator counted."""
    root = str(Path(__file__).resolve().parents[3]) + "/"
    counts: Counter[str] = Counter()

    def count(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call":
            return
        if code.co_name == "__init__" and code.co_filename == "<string>":  # a dataclass
            counts[type(frame.f_locals["self"]).__name__] += 1
        elif code.co_filename.startswith(root) and "/.venv/" not in code.co_filename:
            counts[f"{code.co_filename.removeprefix(root)}:{code.co_name}"] += 1

    interview = Interview(PROMPTS, InterviewOptions(rounds=rounds, repeats=2))
    sys.setprofile(count)
    try:
        while not isinstance(need := interview.need, Finished):
            number = len(interview.dialogue.turns)
            if isinstance(need, NeedQuestion):
                interview.feed(f"What is the colour of thing number {number} beside lamp {number * 7}?")
            elif isinstance(need, NeedAnswer):
                interview.feed(f"It is colour {number}.")
            else:
                interview.feed("A thing with colours.")
    finally:
        sys.setprofile(None)
    assert len(interview.dialogue.turns) == rounds
    return counts


def test_the_bookkeeping_of_an_interview_grows_with_its_rounds() -> None:
    question_key.cache_clear()
    few, many = operations(150), operations(300)
    inherent = {"Message", "TaskTurn", "core/tasks.py:<genexpr>"}
    grew = {name: (few[name], many[name]) for name in many if many[name] > 2.2 * few[name] + 50}
    assert set(grew) <= inherent, grew
    assert many["Message"] < 300 * 300 * 2, "a request is put together once for each question"


# --- questions that were asked ----------------------------------------------------------------------------------------


def one_by_one(question: str, earlier: list[str]) -> bool:
    """The rule, written out for each pair of questions."""
    key = question_key(question)
    for other in map(question_key, earlier):
        if key == other:
            return True
        short, long = sorted((key, other), key=len)
        if len(short) >= 4 and len(long) == len(short) + 1:
            rest = iter(long)
            if all(word in rest for word in short):
                return True
    return False


QUESTIONS = st.lists(st.sampled_from("cat red lamp dog hat tree the is".split()), max_size=7).map(" ".join)


@given(QUESTIONS, st.lists(QUESTIONS, max_size=8))
def test_a_repeated_question_is_found_as_by_comparing_it_with_each(question: str, earlier: list[str]) -> None:
    assert is_repeated(question, earlier) == (question in AskedQuestions(earlier)) == one_by_one(question, earlier)


def test_a_person_s_corrections_leave_the_count_right() -> None:
    interview = Interview(PROMPTS, InterviewOptions(rounds=6))
    interview.feed("A thing.")
    interview.feed("A red lamp on a table, a dog and a hat.")
    for question in ("What is on the table?", "Where is the dog?", "Who wears the hat?"):
        interview.feed(question)
        interview.feed("It is there.")
    assert interview.asked == 4
    interview.correct(1, "A cup.", go_on=True)
    assert interview.asked == 2
    interview.feed("Where is the dog?")  # it may be asked again: the turn is gone
    assert interview.pending == "Where is the dog?"
    interview.feed("Under the table.")
    interview.inject("Is it night?")
    interview.feed("No.")
    assert interview.asked == 3 and len(interview.dialogue.turns) == 4
    interview.feed("What is on the table?")
    assert interview.asking.texts == ("What is on the table?",)


def test_claims_by_the_questioner_cost_a_call_for_each_picture() -> None:
    counts: dict[str, Any] = {"listed": 10, "repeated_names": 0, "captioned": 0, "failed": 0, "to_do": 10}
    options = InterviewOptions(rounds=3, audit="mark"), InterviewOptions(rounds=3, audit="mark", claims="questioner")
    rules, asked = (
        estimate(**counts, config=PipelineConfig(one, PROMPTS), rate=None, price_in=1.0, price_out=1.0, runs=[])
        for one in options
    )
    assert asked.calls == rules.calls + 10
    assert asked.input_tokens > rules.input_tokens and asked.output_tokens > rules.output_tokens
