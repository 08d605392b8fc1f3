"""What a person reads of a checked summary: in `caption` and `show`, in a batch's summary, on a page."""

from __future__ import annotations

import io

import pytest

from agents.batch.progress import Tally
from agents.cli.render.interview import InterviewPrinter, replay
from agents.cli.render.output import PlainOutput
from agents.interview.driver import caption_picture, interview_picture
from agents.interview.live import fields_of, view_of
from agents.interview.protocol import InterviewOptions
from core.records import Caption
from tests.agents.fakes import CountingVision, ListQuestioner, picture
from ui.views.interview_view import captions_html, draft_html, removed_html

SEEN = {"Describe this picture in detail.": "A brown dog sits on a green chair."}
CUT_OUT = "It rains <b>hard</b>."
OPTIONS = InterviewOptions(rounds=1)


def captioned(summary: str) -> Caption:
    return caption_picture(picture(), CountingVision(SEEN), ListQuestioner(summary=summary), OPTIONS)


def printed(caption: Caption) -> str:
    out = io.StringIO()
    for event in replay(caption):
        InterviewPrinter(PlainOutput(out)).event(event)
    return out.getvalue()


def test_show_prints_what_was_taken_out_and_who_wrote() -> None:
    text = printed(captioned(f"A brown dog is on a chair. {CUT_OUT}"))
    assert "description: 2 sentences written, 1 taken out, no answer says them" in text
    assert f"taken out: {CUT_OUT}" in text and "written by the rules" not in text
    assert "written by the rules" in printed(captioned(CUT_OUT))
    assert "description:" not in printed(captioned("A brown dog is on a chair."))


def test_a_running_interview_prints_that_a_draft_is_refused() -> None:
    out = io.StringIO()
    printer = InterviewPrinter(PlainOutput(out))
    for event in interview_picture(picture(), CountingVision(SEEN), ListQuestioner(summary=CUT_OUT), OPTIONS):
        printer.event(event)
    assert out.getvalue().count("draft of the description refused: says what no answer says") == 2


def test_a_batch_counts_sentences() -> None:
    tally = Tally(10)
    for summary in ("A brown dog is on a chair.", f"A dog is on a chair. {CUT_OUT}", CUT_OUT):
        tally.count(captioned(summary))
    facts = tally.facts()
    assert (facts["sentences_removed"], facts["summaries_by_rules"]) == (2, 1)
    assert facts["sentences_written"] >= 5


@pytest.mark.parametrize(("removed", "by"), [((CUT_OUT,), "questioner"), ((CUT_OUT,), "rules"), ((), "rules")])
def test_a_page_folds_what_was_taken_out(removed: tuple[str, ...], by: str) -> None:
    html = removed_html(removed, by)
    assert ("1 sentence taken out" in html) == bool(removed) and ("The rules wrote" in html) == (by == "rules")
    assert "<b>" not in html
    assert removed_html((), "questioner") == removed_html((), "") == ""


def test_a_page_calls_a_draft_a_draft_until_it_was_checked() -> None:
    assert "draft, not checked yet" in draft_html("A dog") and draft_html("") == ""
    view = view_of(captioned(f"A dog is on a chair. {CUT_OUT}"))
    assert view.removed == (CUT_OUT,) and view.summary_by == "questioner"
    assert "draft" not in captions_html(view)
    assert fields_of(captioned(CUT_OUT))["summary_by"] == "rules"
