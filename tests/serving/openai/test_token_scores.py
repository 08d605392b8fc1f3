"""`logprobs` of generated answers, through OpenAI's own client."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import openai
import pytest
from openai import OpenAI

from core.registry import get_registry
from core.scoring import ScoredToken
from core.vision import Reply, VisualQuestion
from plugins.vlm.backend import TransformersBackend
from serving.openai.names import public_name
from tests.plugins.vlm.tiny_vlm import FAMILIES
from tests.serving.openai.serving_world import ColourVision, Served, asking, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory: Path = tmp_path_factory.mktemp("llava")
    FAMILIES["llava"](directory)
    with serving(TransformersBackend(str(directory))) as one:
        yield one


def ask(served: Served, text: str = "Why 猫?", **fields: Any) -> Any:
    client = OpenAI(base_url=f"{served.address}/v1", api_key="none", max_retries=0)
    return client.chat.completions.create(
        model=public_name(served.vision.name),
        messages=asking(text),  # type: ignore[arg-type]
        max_tokens=12,
        **fields,
    )


def test_every_token_of_an_answer_has_its_score(served: Served) -> None:
    [choice] = ask(served, logprobs=True, top_logprobs=5).choices
    content = choice.logprobs.content
    assert "".join(token.token for token in content).strip() == choice.message.content
    assert b"".join(bytes(token.bytes) for token in content).decode().strip() == choice.message.content
    for token in content:
        best = [one.logprob for one in token.top_logprobs]
        assert len(best) == 5 and best == sorted(best, reverse=True) and token.logprob == best[0], "greedy"
        assert sum(map(math.exp, best)) <= 1 + 1e-4
    [plain] = ask(served).choices
    assert plain.logprobs is None and plain.message.content == choice.message.content
    [alone] = ask(served, logprobs=True).choices
    assert [one.logprob for one in alone.logprobs.content] == pytest.approx([one.logprob for one in content], abs=1e-3)
    assert not any(one.top_logprobs for one in alone.logprobs.content)


def test_a_stream_has_the_scores_of_each_piece(served: Served) -> None:
    [whole] = ask(served, logprobs=True, top_logprobs=2).choices
    chunks = [chunk.choices[0] for chunk in ask(served, logprobs=True, top_logprobs=2, stream=True)]
    pieces = [one for one in chunks if one.logprobs is not None]
    assert len(pieces) == len(whole.logprobs.content) and all(len(one.logprobs.content) == 1 for one in pieces)
    assert "".join(one.delta.content or "" for one in chunks) == whole.message.content
    assert [one.logprobs.content[0].token for one in pieces] == [one.token for one in whole.logprobs.content]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_ends_the_scores_as_well(served: Served, stream: bool) -> None:
    [whole] = ask(served, logprobs=True).choices
    stop = whole.message.content[4:6]
    made = ask(served, logprobs=True, stop=[stop], stream=stream)
    choices = [chunk.choices[0] for chunk in made] if stream else made.choices
    text = "".join((one.delta if stream else one.message).content or "" for one in choices)
    tokens = [token.token for one in choices if one.logprobs for token in one.logprobs.content]
    assert text and text == whole.message.content.split(stop)[0]
    assert "".join(tokens).lstrip().startswith(text) and len(tokens) < len(whole.logprobs.content)


def test_several_choices_have_their_own_scores(served: Served) -> None:
    choices = ask(served, logprobs=True, top_logprobs=1, n=3, temperature=1.5, seed=1).choices
    assert len({choice.message.content for choice in choices}) > 1
    for choice in choices:
        assert "".join(token.token for token in choice.logprobs.content).strip() == choice.message.content
        assert all(token.logprob <= token.top_logprobs[0].logprob + 1e-6 for token in choice.logprobs.content)


def test_a_model_without_scores_says_so() -> None:
    with serving() as colours, pytest.raises(openai.BadRequestError, match="colours reports logprobs only of answers"):
        ask(colours, logprobs=True)


def test_pocket_reports_what_its_language_model_wrote() -> None:
    with serving(get_registry().create_vision("pocket")) as served:
        [choice] = ask(served, "Describe this picture.", logprobs=True, top_logprobs=3).choices
        assert "".join(token.token for token in choice.logprobs.content).strip() == choice.message.content
        [brief] = ask(served, "Is there a dog? Answer yes or no.", logprobs=True, top_logprobs=2).choices
        [token] = brief.logprobs.content
        assert token.token == brief.message.content and {one.token for one in token.top_logprobs} == {"Yes", "No"}


class RewritingVision(ColourVision):
    """A fake that says it reports tokens, and shows other words than those it wrote."""

    reports_tokens: ClassVar[bool] = True

    def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
        token = ScoredToken("It is a cat.", -0.5)
        return [Reply("Something is there.", "stop", 3, 1, (token,)) for _ in questions]


def test_words_that_rules_have_changed_are_named() -> None:
    with serving(RewritingVision()) as served:
        answer = ask(served, logprobs=True)
        assert answer.inquisight["logprobs_of"] == "what the model wrote: It is a cat."
        assert [token.token for token in answer.choices[0].logprobs.content] == ["It is a cat."]
        first, *chunks = [chunk.choices[0] for chunk in ask(served, logprobs=True, stream=True)]
        assert first.delta.content == "" and chunks[0].delta.content == "Something is there."
        assert chunks[0].logprobs.content[0].logprob == -0.5
