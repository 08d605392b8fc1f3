"""The audit at the end of an interview: claims, what is left of the description, and that nothing is lost."""

from __future__ import annotations

import pytest

from agents.audit.rewrite import false_claims
from agents.interview.calls import described_options
from agents.interview.driver import caption_picture, interview_picture
from agents.interview.events import Audited, Done
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from core.errors import BackendError, UsageError
from core.images.picture import open_picture
from core.records import Caption
from core.registry import get_registry
from core.vision import VisionBackend
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


def test_a_vision_model_that_fails_ends_the_interview_with_what_it_has(
    pocket: VisionBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise BackendError("no scores today.")

    monkeypatch.setattr(type(pocket), "score", fail)
    with pytest.raises(BackendError, match="no scores today") as caught:
        caption(pocket, audit="mark")
    partial = caught.value.partial
    assert isinstance(partial, Caption) and partial.dialogue.turns and partial.status == "failed"


@pytest.mark.parametrize("wrong", [{"audit": "all"}, {"audit": "mark", "threshold": 1.5}])
def test_options_are_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        options(**wrong)
