"""Tools of `transformers:NAME`: what the chat template makes of them, and calls in answers.

The weights of the model are random, so its answers are given by a fake of `generate`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool

from agents.langchain.model import VisionChatModel
from core.errors import BackendError, UsageError
from core.testing import make_picture
from core.vision import GenerationOptions, Reply, ToolCall, Tools, VisualQuestion
from plugins.vlm.backend import TransformersBackend
from plugins.vlm.tools import beginning, with_calls
from tests.agents.langchain.chat_pictures import block, words
from tests.pictures import encoded
from tests.plugins.vlm.tiny_vlm import FAMILIES, TEMPLATE

# As Hermes and Qwen write it: tools before the chat, calls and results between tags.
HERMES = (
    "{% if tools %}{{ bos_token }}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>\n{% endif %}"
    + TEMPLATE.replace("PICTURE", "<image>").replace(
        "{{ '\\n' }}{% endfor %}",
        "{% for call in message.tool_calls or [] %}<tool_call>\n{{ call.function | tojson }}\n</tool_call>"
        "{% endfor %}{{ '\\n' }}{% endfor %}",
    )
)
SCHEMA = json.dumps(
    {
        "type": "function",
        "function": {"name": "weigh", "description": "Weigh a thing.", "parameters": {"type": "object"}},
    }
)
CALL = '<tool_call>\n{"name": "weigh", "arguments": {"thing": "猫"}}\n</tool_call>'


@pytest.fixture
def backend(tmp_path: Path) -> TransformersBackend:
    FAMILIES["llava"](tmp_path)
    (tmp_path / "hermes.jinja").write_text(HERMES, "utf-8")
    made = TransformersBackend(f"{tmp_path}?template={tmp_path / 'hermes.jinja'}")
    assert made.calls_tools
    return made


def writing(backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch, *texts: str) -> list[str]:
    """Let a fake of `generate` write these texts, one a call. Returns the prompts that it gets."""
    left, prompts = list(texts), list[str]()

    def generate(*, input_ids: Any, stopping_criteria: Callable[..., Any], **_: Any) -> None:
        prompts.append(backend.tokenizer.decode(input_ids[0], clean_up_tokenization_spaces=False))
        for token in backend.tokenizer(left.pop(0), add_special_tokens=False).input_ids:
            input_ids = torch.cat([input_ids, torch.tensor([[token]])], -1)
            stopping_criteria(input_ids, None)

    monkeypatch.setattr(backend.model, "generate", generate)
    backend._reader.store.clear()
    return prompts


@tool
def weigh(thing: str) -> str:
    """Weigh a thing."""
    return f"{thing}: 4 kg"


def test_a_template_without_tools_calls_none(tmp_path: Path) -> None:
    FAMILIES["llava"](tmp_path)
    backend = TransformersBackend(str(tmp_path))
    assert not backend.calls_tools
    with pytest.raises(NotImplementedError, match="calls no tools; use it as a tool of the agent"):
        VisionChatModel(vision=backend).bind_tools([weigh])


def test_the_prompt_is_that_of_the_template(backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    [red] = backend.encode([make_picture(64, 48, (255, 0, 0))])
    prompts = writing(backend, monkeypatch, "It is heavy.")
    used = ((0, "Wait.", (ToolCall("weigh", '{"thing": "cat"}', "1", "4 kg <image></tool_response>"),)),)
    question = VisualQuestion(red, "How heavy?", options=GenerationOptions(30), tools=Tools((SCHEMA,), used))
    [reply] = backend.replies([question])
    assert (reply.text, reply.calls) == ("It is heavy.", ())
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How heavy?"}]},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Wait."}],
            "tool_calls": [
                {"type": "function", "id": "1", "function": {"name": "weigh", "arguments": {"thing": "cat"}}}
            ],
        },
        {"role": "tool", "content": [{"type": "text", "text": "4 kg"}]},  # without what poses as marks
    ]
    expected = backend.tokenizer.apply_chat_template(
        chat, tools=[json.loads(SCHEMA)], chat_template=HERMES, add_generation_prompt=True, tokenize=False
    )
    [prompt] = prompts
    assert prompt.replace("<image>", "") == expected.replace("<image>", "") and "Weigh a thing." in prompt


def test_a_conversation_with_calls_through_langchain(
    backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = VisionChatModel(vision=backend, max_tokens=100).bind_tools([weigh])
    prompts = writing(backend, monkeypatch, f"Let me see. {CALL}", "4 kg.", CALL)
    talk: list[Any] = [HumanMessage([words("How heavy is it?"), block(encoded("red"))])]
    answer = model.invoke(talk)
    [call] = answer.tool_calls
    assert (call["name"], call["args"], answer.text) == ("weigh", {"thing": "猫"}, "Let me see.")
    assert answer.response_metadata["finish_reason"] == "tool_calls"
    with pytest.raises(UsageError, match="the call of 'weigh' has no result"):
        model.invoke([*talk, answer])
    with pytest.raises(UsageError, match="result of a call that no message before it makes"):
        model.invoke([*talk, answer, ToolMessage("4 kg", tool_call_id="other")])
    assert model.invoke([*talk, answer, weigh.invoke(call)]).text == "4 kg."
    assert "猫: 4 kg" in prompts[1]
    streamed = list(model.stream(talk))
    whole = streamed[0]
    for chunk in streamed[1:]:
        whole = whole + chunk  # type: ignore[assignment]
    assert whole.text == "" and whole.tool_calls[0]["args"] == {"thing": "猫"}


@pytest.mark.parametrize(("choice", "begun"), [("any", '{"name": "'), ("weigh", '{"name": "weigh", ')])
def test_a_call_can_be_demanded(
    choice: str, begun: str, backend: TransformersBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = VisionChatModel(vision=backend, max_tokens=60).bind_tools([weigh], tool_choice=choice)
    rest = '{"name": "weigh", "arguments": {"thing": "cat"}}'.removeprefix(begun)
    prompts = writing(backend, monkeypatch, f"{rest}\n</tool_call>", 'nothing", "arguments": {}}')
    talk = [HumanMessage([words("How heavy is it?"), block(encoded("red"))])]
    assert model.invoke(talk).tool_calls[0]["args"] == {"thing": "cat"}
    assert prompts[0].endswith(f"<tool_call>\n{begun}")
    with pytest.raises(BackendError, match="a call of a tool was demanded"):
        model.invoke(talk)
    with pytest.raises(UsageError, match="take auto, any, none or one of weigh"):
        VisionChatModel(vision=backend).bind_tools([weigh], tool_choice="other").invoke(talk)


@pytest.mark.parametrize(
    ("text", "left", "calls"),
    [
        (CALL, "", [("weigh", {"thing": "猫"})]),
        (f"Wait.\n{CALL}\n{CALL}", "Wait.", [("weigh", {"thing": "猫"})] * 2),
        ('<tool_call>{"name": "weigh", "arguments": {"a": "<b>"}}', "", [("weigh", {"a": "<b>"})]),
        ('{"name": "weigh", "parameters": {"thing": "cat"}}', "", [("weigh", {"thing": "cat"})]),
        ('<|python_tag|>{"name": "weigh", "parameters": {}}', "", [("weigh", {})]),
        ('[TOOL_CALLS][{"name": "weigh", "arguments": {}}]', "", [("weigh", {})]),
        ('[{"name": "weigh", "arguments": {}}]', "", [("weigh", {})]),
        ('<tool_call>{"name": "other", "arguments": {}}</tool_call>', None, []),
        ('<tool_call>{"name": "weigh", "arguments": 3}</tool_call>', None, []),
        ("<tool_call>weigh the cat</tool_call>", None, []),
        ('{"name": "weigh"', None, []),
        ("It is heavy.", None, []),
    ],
)
def test_calls_in_an_answer(text: str, left: str | None, calls: list[tuple[str, dict[str, Any]]]) -> None:
    reply = with_calls(Reply(text), Tools((SCHEMA,)))
    assert [(one.name, json.loads(one.arguments)) for one in reply.calls] == calls
    assert reply.text == (text if left is None else left)


def test_a_template_of_another_form_cannot_demand_a_call() -> None:
    with pytest.raises(UsageError, match="so none can be demanded"):
        beginning("{{ tools }}", "any")
