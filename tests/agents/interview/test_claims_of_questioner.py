"""The questioner reads the claims of a description for its audit: alone, in a batch, over HTTP, after a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.batch.pipeline import InterviewTask, Outcome, PipelineConfig, interview_many
from agents.claims.extract import extract_claims
from agents.interview.calls import described_options
from agents.interview.driver import caption_picture
from agents.interview.options import audit_options
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.llm.questioners import load_questioner
from core.errors import QuestionerError, UsageError
from core.records import Caption
from core.registry import get_registry
from core.settings import Settings
from core.tasks import CLAIMS, Task
from tests.agents.fakes import CountingVision, ListQuestioner, picture
from tests.servers.raw import raw_server, said, whole

SAYS = "A red car is on the left. Two dogs run."
OPTIONS = InterviewOptions(rounds=1, audit="mark", claims="questioner")


def vision() -> CountingVision:
    return CountingVision({Prompts.load().text("answerer.opening"): SAYS})


def reply(text: str) -> str:
    """What a good model replies about a caption."""
    claims = [
        {"id": at, "kind": one.kind, "words": text[one.start : one.end], "of": one.parent}
        for at, one in enumerate(extract_claims(text))
    ]
    return json.dumps({"claims": claims})


def good(messages: list[Any], _: dict[str, Any]) -> str:
    task = Task.from_kwargs(messages[-1].additional_kwargs)
    assert task is not None
    return reply(task.text)


def test_the_claims_are_the_questioners_and_the_record_says_so() -> None:
    found = caption_picture(picture(), vision(), ListQuestioner(claims=good), OPTIONS, seed=3)
    assert found.claims and {claim.claims_by for claim in found.claims} == {"questioner"}
    assert all(claim.verdict for claim in found.claims)
    assert found.claim_counts is not None and found.claim_counts.by_rules == 0
    assert found.options["claims"] == "questioner"
    assert Caption.from_json(found.to_json()) == found


def test_the_rules_find_what_the_questioner_does_not() -> None:
    found = caption_picture(picture(), vision(), ListQuestioner(claims="Sorry, I cannot."), OPTIONS, seed=3)
    plain = caption_picture(picture(), vision(), ListQuestioner(), InterviewOptions(rounds=1, audit="mark"), seed=3)
    assert found.claims == plain.claims and {claim.claims_by for claim in found.claims} == {"rules"}
    assert found.claim_counts is not None and found.claim_counts.by_rules == found.claim_counts.sentences == 2
    assert plain.claim_counts is None and "claims" not in plain.options
    assert "claim_counts" not in plain._content() and "claims_by" not in plain._content()["claims"][0]


def test_a_questioner_that_follows_rules_is_not_asked() -> None:
    scripted = get_registry().create_questioner("scripted")
    found = caption_picture(picture(), vision(), scripted, OPTIONS, seed=3)
    assert found.claims == extract_and_judge(found) and found.claim_counts is None


def extract_and_judge(found: Caption) -> tuple[Any, ...]:
    verdicts = {one.start: one for one in found.claims}
    assert verdicts
    keep = ("verdict", "score", "question", "turns", "evidence")
    return tuple(
        claim.model_copy(update={name: getattr(judged, name) for name in keep})
        for claim, judged in zip(extract_claims(found.summary), found.claims, strict=True)
    )


def test_a_batch_gives_what_one_picture_alone_gives() -> None:
    some = [picture("orange"), picture("green"), picture("blue")]
    config = PipelineConfig(OPTIONS, Prompts.load(), seed=1, batch=2, concurrency=2)
    tasks = [InterviewTask(number, one) for number, one in enumerate(some)]
    found = list(interview_many(tasks, vision(), ListQuestioner(claims=good), config))
    assert len(found) == 3
    for outcome in found:
        assert isinstance(outcome, Outcome) and outcome.error is None
        alone = caption_picture(some[outcome.tag], vision(), ListQuestioner(claims=good), OPTIONS, seed=1)
        assert outcome.caption.claims == alone.claims and outcome.caption.claim_counts == alone.claim_counts
        assert outcome.caption.claims[0].claims_by == "questioner"


def test_a_questioner_that_fails_at_the_claims_keeps_the_description_and_is_resumed_with_the_same_seed() -> None:
    broken, mended = ListQuestioner(claims=QuestionerError("nobody answers.")), ListQuestioner(claims=good)
    with pytest.raises(QuestionerError, match="nobody answers") as caught:
        caption_picture(picture(), vision(), broken, OPTIONS, seed=5)
    partial = caught.value.partial
    assert isinstance(partial, Caption) and partial.summary
    assert partial.unaudited == "nobody answers." and not partial.claims
    found = caption_picture(picture(), vision(), mended, OPTIONS, seed=5, earlier=partial)
    uninterrupted = caption_picture(picture(), vision(), ListQuestioner(claims=good), OPTIONS, seed=5)
    assert found.finished and found.claims == uninterrupted.claims
    assert mended.calls[-1][1]["seed"] == broken.calls[-1][1]["seed"]


def test_over_http_the_server_gets_the_caption_without_the_image_and_a_seed() -> None:
    with raw_server() as server:
        server.answers["reader"] = [whole(said(text)) for text in (SAYS, "What?", f"Here:\n{reply(SAYS)}")]
        settings = Settings(timeout=20.0, max_retries=0, base_url=server.url)
        found = caption_picture(picture(), vision(), load_questioner("openai:reader", settings), OPTIONS, seed=3)
        _, first, again = server.requests("reader")
    assert {claim.claims_by for claim in found.claims} == {"questioner"} and found.summary == SAYS
    assert SAYS in first["messages"][-1]["content"] and first["seed"] != again["seed"]
    assert all(isinstance(message["content"], str) for message in first["messages"] + again["messages"])
    assert "inquisight" not in json.dumps(first), "the task does not leave the machine"


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="claims must be rules or questioner"):
        InterviewOptions(claims="nobody")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--claims only means something together with --audit"):
        audit_options(None, None, claims="questioner")
    assert audit_options("mark", None, {"claims": "questioner"}) == {"audit": "mark", "claims": "questioner"}
    assert "claims" not in described_options(InterviewOptions(audit="mark"), Prompts.load())


def test_a_task_of_claims_goes_to_and_from_plain_values() -> None:
    task = Task(CLAIMS, text=SAYS)
    assert Task.from_kwargs(json.loads(json.dumps(task.to_kwargs()))) == task
