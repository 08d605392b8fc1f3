"""The audit at the end of an interview: claims, what is left of the description, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.audit.rewrite import false_claims
from agents.interview.calls import described_options
from agents.interview.driver import caption_picture, interview_picture
from agents.interview.events import (
    Audited,
    Done,
    Event,
    Failed,
    InterviewStopped,
    QuestionAsked,
    SummaryWritten,
)
from agents.interview.live import LiveInterview
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from core.errors import BackendError, UsageError
from core.images.picture import open_picture
from core.records import Caption
from core.registry import get_registry
from core.store.transcripts import TranscriptStore
from core.vision import VisionBackend
from tests.agents.fakes import ListQuestioner
from tests.processes import ROOT

CAT = ROOT / "examples" / "photos" / "cat.jpg"


@pytest.fixture(scope="module")
def pocket() -> VisionBackend:
    return get_registry().create_vision("pocket")


def options(**more: object) -> InterviewOptions:
    return InterviewOptions(rounds=4, **more)  # type: ignore[arg-type]


def caption(pocket: VisionBackend, **more: object) -> Caption:
    return caption_picture(open_picture(CAT), pocket, get_registry().create_questioner("scripted"), options(**more))


def test_claims_come_with_verdicts_and_turns(pocket: VisionBackend) -> None:
    found = caption(pocket, audit="mark")
    assert found.claims and not found.audited
    cat = next(claim for claim in found.claims if claim.kind == "thing")
    assert (cat.about, cat.verdict) == ("cat", "supported")
    assert cat.turns and all("cat" in found.dialogue.turns[number - 1].answer.lower() for number in cat.turns)
    assert found.summary[cat.start : cat.end]
    assert Caption.from_json(found.to_json()) == found
    assert found.seconds["audit"] > 0 and found.options["audit"] == "mark"


def test_false_claims_are_taken_out_and_the_summary_stays(pocket: VisionBackend) -> None:
    found = caption(pocket, audit="drop", threshold=0.9999)
    assert false_claims(found.claims)
    assert found.audited and found.text == found.audited != found.summary
    events = list(
        interview_picture(
            open_picture(CAT),
            pocket,
            get_registry().create_questioner("scripted"),
            options(audit="drop", threshold=0.9999),
        )
    )
    audited = next(event for event in events if isinstance(event, Audited))
    assert isinstance(events[-1], Done) and events[-1].caption.audited == audited.text


def test_without_an_audit_nothing_changes(pocket: VisionBackend) -> None:
    found = caption(pocket)
    assert not found.claims and not found.audited and "audit" not in found.options
    assert "threshold" not in described_options(InterviewOptions(), Prompts.load())


@pytest.fixture
def without_audit(pocket: VisionBackend) -> Caption:
    """A caption whose audit failed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(pocket), "score", failing(BackendError("no scores today.")))
        with pytest.raises(BackendError, match="no scores today") as caught:
            caption(pocket, audit="mark")
    assert isinstance(caught.value.partial, Caption)
    return caught.value.partial


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def resumed(earlier: Caption, pocket: VisionBackend) -> Iterator[Event]:
    return interview_picture(open_picture(CAT), pocket, ListQuestioner(), options(audit="mark"), earlier=earlier)


def test_an_audit_that_fails_leaves_a_complete_description(without_audit: Caption) -> None:
    found = without_audit
    assert (found.status, found.error, found.unaudited) == ("complete", None, "no scores today.")
    assert found.summary and found.dialogue.turns and not found.claims and not found.finished
    assert Caption.from_json(found.to_json()) == found


def test_only_the_audit_is_resumed(pocket: VisionBackend, without_audit: Caption) -> None:
    events = list(resumed(Caption.from_json(without_audit.to_json()), pocket))
    assert not any(isinstance(event, QuestionAsked | SummaryWritten) for event in events)
    last = events[-1]
    assert type(last) is Done and last.caption.finished and last.caption.claims
    assert last.caption.summary == without_audit.summary and last.caption.dialogue == without_audit.dialogue
    assert last.caption.ended_because == without_audit.ended_because


def test_an_error_that_is_not_ours_is_named_as_the_vision_models(
    pocket: VisionBackend, without_audit: Caption, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(pocket), "score", failing(ZeroDivisionError("no weights")))
    *_, last = resumed(without_audit, pocket)
    assert isinstance(last, Failed) and last.caption.unaudited == "pocket failed: ZeroDivisionError: no weights"


def test_an_audit_that_is_stopped_can_be_resumed(
    pocket: VisionBackend, without_audit: Caption, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(pocket), "score", failing(KeyboardInterrupt()))
        *_, last = resumed(without_audit, pocket)
    assert isinstance(last, InterviewStopped) and last.caption.status == "complete"
    assert last.caption.unaudited == "stopped"
    *_, last = resumed(last.caption, pocket)
    assert type(last) is Done and last.caption.finished


def test_the_store_finds_it_and_replaces_it_by_the_checked_one(
    tmp_path: Path, pocket: VisionBackend, without_audit: Caption
) -> None:
    store = TranscriptStore(tmp_path / "history.sqlite")
    store.add(without_audit)
    assert store.find_partial(without_audit.run_key) == without_audit
    begun = without_audit.model_copy(update={"status": "stopped", "summary": "", "unaudited": ""})
    store.add(begun)
    assert store.count() == 2, "a new run that has only begun replaces no description"
    other = without_audit.model_copy(update={"summary": "Another one.", "unaudited": ""})
    store.add(other)
    assert store.count() == 2 and store.find_partial(without_audit.run_key) == without_audit
    *_, last = resumed(without_audit, pocket)
    assert isinstance(last, Done) and last.caption.run_key != without_audit.run_key, "another questioner"
    checked = last.caption.model_copy(update={"questioner": without_audit.questioner})
    store.add(checked)
    assert store.find_partial(without_audit.run_key) is None and store.count() == 2


def test_the_summary_is_saved_before_the_audit(tmp_path: Path, pocket: VisionBackend) -> None:
    store, saved = TranscriptStore(tmp_path / "history.sqlite"), list[Caption]()

    def save(one: Caption) -> str:
        saved.append(one)
        return store.add(one)

    *_, last = interview_picture(open_picture(CAT), pocket, ListQuestioner(), options(audit="mark"), save=save)
    assert isinstance(last, Done) and last.caption.finished
    before = saved[-2]
    assert (before.status, before.unaudited, before.summary) == ("complete", "stopped", last.caption.summary)
    assert [one.id for one in store.recent()] == [last.caption.id]


def test_a_live_interview_checks_again(pocket: VisionBackend, without_audit: Caption) -> None:
    live = LiveInterview(
        without_audit.picture,
        lambda: open_picture(CAT),
        lambda: pocket,
        ListQuestioner,
        options(audit="mark"),
        earlier=without_audit,
    )
    assert live.view.state == "complete"
    assert not any(isinstance(event, SummaryWritten) for event in live.run())
    assert live.view.caption is not None and live.view.caption.finished


@pytest.mark.parametrize("wrong", [{"audit": "all"}, {"audit": "mark", "threshold": 1.5}])
def test_options_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        options(**wrong)
