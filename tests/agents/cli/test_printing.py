"""What is shown of an interview, in a terminal and elsewhere."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agents.cli.render.interview import InterviewPrinter, Printer, QuietPrinter, replay, show_status
from agents.cli.render.output import PlainOutput, TerminalOutput
from agents.interview.driver import interview_picture
from agents.interview.events import Waiting
from agents.interview.protocol import InterviewOptions
from core.console.status import Status
from core.records import Caption, Dialogue, PictureInfo, QuestionCounts, RefusedQuestion, Turn
from tests.agents.fakes import CountingVision, ListQuestioner, picture


def shown(kind: type[PlainOutput | TerminalOutput | QuietPrinter], caption: Caption) -> str:
    out = io.StringIO()
    printer: Printer
    if kind is TerminalOutput:
        console = Console(file=out, width=80, force_terminal=True, color_system=None, highlight=False)
        printer = InterviewPrinter(TerminalOutput(out, console))
    elif kind is PlainOutput:
        printer = InterviewPrinter(PlainOutput(out))
    else:
        printer = QuietPrinter(out)
    for event in replay(caption):
        printer.event(event)
    return out.getvalue()


def caption_with(text: str, source: str = "x.png") -> Caption:
    return Caption(
        picture=PictureInfo(sha256="0" * 64, source=source, width=3, height=2),
        plain=text,
        opening=text,
        summary=text,
        dialogue=Dialogue(turns=(Turn(question=text, answer=text), Turn(question="q?", answer="", certainty="unsure"))),
        refused=(RefusedQuestion(text=text, reason=text, step=1),),
        questions=QuestionCounts(proposed=2, refused=1),
        vision={"name": "v", "revision": "1"},
        questioner={"name": "q"},
        ended_because="rounds",
    )


@given(
    st.text(max_size=60)
    | st.sampled_from(["[bold]x[/]", "[/]", "\x1b]0;title\x07", "[link=http://x]y", "\u202egpj.exe"])
)
def test_nothing_that_is_shown_moves_the_terminal(text: str) -> None:
    for kind in (PlainOutput, TerminalOutput, QuietPrinter):
        output = shown(kind, caption_with(text, source=text))
        assert "\x1b" not in output and "\x07" not in output and "\u202e" not in output


def test_markup_in_an_answer_is_text() -> None:
    assert "[bold]red[/]" in shown(TerminalOutput, caption_with("[bold]red[/]"))


def test_an_unsure_answer_is_marked_and_an_empty_one_is_visible() -> None:
    for kind in (PlainOutput, TerminalOutput):
        assert "(nothing)  [unsure: not used]" in shown(kind, caption_with("a"))


def test_quiet_is_one_line_per_picture_and_nothing_for_half_an_interview() -> None:
    assert shown(QuietPrinter, caption_with("a\nb")).count("\n") == 1
    assert shown(QuietPrinter, caption_with("a").model_copy(update={"status": "failed"})) == ""


def test_what_was_answered_before_a_failure_is_shown_when_going_on() -> None:
    half = caption_with("a duck").model_copy(update={"status": "failed", "summary": ""})
    out = io.StringIO()
    printer = InterviewPrinter(PlainOutput(out))
    options = InterviewOptions(rounds=3)
    for event in interview_picture(picture(), CountingVision(), ListQuestioner(), options, earlier=half):
        printer.event(event)
    assert "  1 Q  a duck" in out.getvalue() and "  3 Q" in out.getvalue()


def test_progress_is_for_terminals_and_cleans_up_after_itself() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    silent, alive = io.StringIO(), Terminal()
    for stream in (silent, alive):
        status = Status(stream, prefix="2/3 cat.png: ")
        show_status(status, Waiting("asking"))
        status.clear()
    assert silent.getvalue() == ""
    assert "2/3 cat.png: thinking of a question" in alive.getvalue()
    assert alive.getvalue().endswith("\r\x1b[2K")
