"""What a person reads of a questioner that is helped: in `caption` and `show`, in a batch's summary, on a page."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from agents.batch.progress import Tally
from agents.cli.caption import make_interviewer
from agents.cli.render.interview import InterviewPrinter, replay
from agents.cli.render.output import PlainOutput
from agents.cli.requests import CaptionRequest
from agents.interview.driver import caption_picture, interview_picture
from agents.interview.protocol import InterviewOptions
from core.entries import Entry
from core.errors import UsageError
from core.records import Caption
from core.registry import get_registry
from core.settings import get_settings
from tests.agents.batch.making import HashedEye, batch, make_pictures, register
from tests.agents.fakes import CountingVision, ListQuestioner, picture
from ui.views.interview_view import refused_html

JUNK = "I'm sorry, <b>I'm</b> sorry."
OPTIONS = InterviewOptions(rounds=3, repeats=1)
SCENE = {"Describe this picture in detail.": "A brown dog sits on a green chair."}


def helped() -> Caption:
    """The caption of an interview in which the rules asked the first question."""
    model = ListQuestioner(questions=[JUNK, JUNK, "What breed is the dog?"])
    return caption_picture(picture(), CountingVision(SCENE), model, OPTIONS, seed=1)


def test_show_prints_who_asked_and_what_was_refused() -> None:
    caption = helped()
    out = io.StringIO()
    for event in replay(caption):
        InterviewPrinter(PlainOutput(out)).event(event)
    text = out.getvalue()
    assert text.count("refused, apology: I'm sorry") == 3
    assert text.count("[asked by the rules]") == 1
    assert "questions: 4 proposed, 3 refused; asked by the questioner 1, by the rules 1" in text
    assert text.index("refused, apology") < text.index("[asked by the rules]")


def test_a_running_interview_prints_the_same() -> None:
    model = ListQuestioner(questions=[JUNK, JUNK, "What breed is the dog?"])
    live, saved = io.StringIO(), io.StringIO()
    printer = InterviewPrinter(PlainOutput(live))
    for event in interview_picture(picture(), CountingVision(SCENE), model, OPTIONS, seed=1):
        printer.event(event)
    for event in replay(helped()):
        InterviewPrinter(PlainOutput(saved)).event(event)
    dialogue = [text.getvalue().partition("at a glance")[0] for text in (live, saved)]
    assert dialogue[0] == dialogue[1]


def test_a_page_folds_what_was_refused() -> None:
    html = refused_html(helped().refused)
    assert html.startswith("<details") and "3 refused questions" in html
    assert "<b>" not in html and "&lt;b&gt;" in html and "apology" in html
    assert refused_html(()) == ""


def test_a_tally_knows_a_weak_questioner() -> None:
    tally, good = Tally(10), caption_picture(picture(), CountingVision(SCENE), ListQuestioner(), OPTIONS)
    assert not good.questioner_failed
    tally.count(helped())
    assert tally.weak
    for _ in range(4):
        tally.count(good)
    assert not tally.weak, "one in five"
    tally.count(helped())
    assert tally.weak and (tally.unasked, tally.captioned) == (2, 6)
    facts = tally.facts()
    assert facts["questions_refused"] == 6 and facts["questions_by_rules"] == 2 and facts["questioner_failed"] == 2


@pytest.mark.parametrize("fallback", [None, "none"])
def test_a_batch_warns_of_a_weak_questioner_and_counts(
    fallback: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    make_pictures(tmp_path / "photos", 3)
    register(monkeypatch, HashedEye())
    weak = Entry(
        "questioner", "weak", lambda _: ListQuestioner(questions=[JUNK] * 99), "for tests", {}, "tests", "tests"
    )
    monkeypatch.setitem(get_registry().questioners, "weak", weak)
    fields: dict[str, Any] = {"questioner": "weak", "fallback": fallback, "out": Path("captions.jsonl")}
    assert batch("photos", **fields) == 0
    out, err = capsys.readouterr()
    turns = 1 if fallback else 4
    by_rules = 3 * (turns - 1)
    assert "the questioner had no usable question in 3 of 3 pictures; take another --questioner" in err
    refused = 9 * max(turns - 1, 1)
    assert f"questions of this run: {refused} proposed, {refused} refused, {by_rules} asked by the rules" in out
    rows = [json.loads(line) for line in Path("captions.jsonl").read_text("utf-8").splitlines()]
    assert [len(row["dialogue"]) for row in rows] == [turns] * 3
    asked = [turn["asked_by"] for turn in rows[0]["dialogue"]]
    assert asked == ["opening", *["fallback"] * (turns - 1)]
    get_settings.cache_clear()


def test_options_of_asking_reach_the_interview_and_are_kept() -> None:
    request = CaptionRequest(pictures=("a.png",), rounds=6, min_rounds=4, fallback="none", asking="guided")
    options = make_interviewer(request).plan.options
    assert (options.min_rounds, options.fallback, options.asking) == (4, "none", "guided")
    options = make_interviewer(CaptionRequest(pictures=("a.png",))).plan.options
    assert (options.min_rounds, options.fewest_rounds, options.fallback, options.asking) == (
        None,
        5,
        "scripted",
        "free",
    )
    for wrong in ({"min_rounds": 11}, {"fallback": "gpt"}, {"asking": "loud"}):
        with pytest.raises(UsageError):
            make_interviewer(CaptionRequest(pictures=("a.png",), **wrong))
