"""The answer in what a model writes: reasoning and tool calls in every notation, whole and in pieces."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.net.reasoning import AnswerReader, answer_in, read_answer, without_surrogates

BALL: Final = "A red ball on green grass."

REASONED: Final = {
    "think": f"<think>SECRET</think>{BALL}",
    "in capitals, with an attribute": f'<THINKING effort="high">SECRET</THINKING >\n\n{BALL}',
    "of a namespace": f"<seed:think>SECRET</seed:think>{BALL}",
    "with an underscore": f"<inner_monologue>SECRET</inner_monologue>{BALL}",
    "thought": f"<thought>SECRET</thought>{BALL}",
    "reasoning": f"<reasoning>SECRET</reasoning>{BALL}",
    "scratchpad": f"<scratchpad>SECRET</scratchpad>{BALL}",
    "brackets": f"[THINK]SECRET[/THINK]{BALL}",
    "triangles": f"◁think▷SECRET◁/think▷{BALL}",
    "begin_of_thought": (f"<|begin_of_thought|>SECRET<|end_of_thought|><|begin_of_solution|>{BALL}<|end_of_solution|>"),
    "START_THINKING": f"<|START_THINKING|>SECRET<|END_THINKING|><|START_RESPONSE|>{BALL}<|END_RESPONSE|>",
    "full width": f"<｜begin▁of▁thought｜>SECRET<｜end▁of▁thought｜>{BALL}",
    "inner_prefix": f"<|inner_prefix|>SECRET<|inner_suffix|>{BALL}",
    "channels": (
        f"<|channel|>analysis<|message|>SECRET<|end|><|start|>assistant<|channel|>final<|message|>{BALL}<|return|>"
    ),
    "a channel for tools": (
        "<|channel|>analysis<|message|>SECRET<|end|><|start|>assistant<|channel|>commentary to=functions.look "
        '<|constrain|>json<|message|>{"q": "SECRET"}<|call|><|start|>assistant<|channel|>final<|message|>' + BALL
    ),
    "channels without their tokens": f"analysisWe need SECRETassistantfinal{BALL}",
    "Gemma's channel": f"<|channel>thought\nSECRET<channel|>{BALL}",
    "a collapsed detail": f'<details type="reasoning">\n<summary>SECRET</summary>\n> SECRET\n</details>\n{BALL}',
    "Granite's phrases": f"Here is my thought process: SECRET Here is my response: {BALL}",
    "ReAct's phrases": f"Thought: SECRET\nFinal Answer: {BALL}",
    "an answer in a tag": f"<think>SECRET</think><answer>{BALL}</answer>",
    "an answer in a tag, nothing else": f"<answer>\n{BALL}\n</answer>\n<|im_end|>",
    "a lone closing tag": f"Okay, the user wants a caption. SECRET\n</think>\n\n{BALL}",
    "a lone closing tag of another name": f"Let me see. SECRET</reasoning>{BALL}",
    "a doubled closing tag": f"<think>SECRET</think>SECRET</think>{BALL}",
    "nested": f"<think>SECRET<think>SECRET</think>SECRET</think>{BALL}",
    "two of them": f"<think>SECRET</think><think>SECRET</think>{BALL}",
    "after the answer": f"{BALL}<think>SECRET</think>",
    "after the answer, unclosed": f"{BALL}<think>SECRET",
    "after the answer, cut in the tag": f"{BALL}<thi",
}
NOTHING: Final = {
    "unclosed": "<think>SECRET, and SECRET",
    "unclosed in brackets": "[THINK]SECRET",
    "an unclosed channel": "<|channel|>analysis<|message|>SECRET",
    "cut in the header": "<|channel|>ana",
    "cut in the closing tag": "<think>SECRET</think",
    "a lone closing tag, cut": "Okay, SECRET</think",
    "only reasoning": "<think>SECRET</think>\n\n",
    "granite, cut": "Here's my thought process: SECRET",
    "JSON": '{"name": "look", "arguments": {"question": "What colour?"}}',
    "JSON in another order": '{"arguments": {"question": "What colour?"}, "name": "look"}',
    "JSON with parameters": '{"name": "look", "parameters": {"question": "What colour?"}}',
    "a function": '{"type": "function", "function": {"name": "look", "arguments": "{}"}}',
    "tool_calls": '{"tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]}',
    "an action": '{"action": "look", "action_input": "What colour?"}',
    "in a code block": '```json\n{"name": "look", "arguments": {"question": "What colour?"}}\n```',
    "in a code block without a name": '```\n[{"name": "look", "arguments": {}}]\n```',
    "several": '[{"name": "look", "arguments": {"q": "What?"}}, {"name": "look", "arguments": {}}]',
    "in Python's quotes": "{'name': 'look', 'arguments': {'question': 'What colour?'}}",
    "cut": '{"name": "look", "arguments": {"question": "What co',
    "cut early": '{"name": "lo',
    "tool_call": '<tool_call>\n{"name": "look", "arguments": {"question": "What colour?"}}\n</tool_call>',
    "two tool_calls": '<tool_call>{"name": "a"}</tool_call>\n<tool_call>{"name": "b"}</tool_call>',
    "an unclosed tool_call": '<tool_call>{"name": "look", "argum',
    "a function tag": "<function=look><parameter=question>What colour?</parameter></function>",
    "function_calls": '<function_calls><invoke name="look"><parameter name="q">What?</invoke></function_calls>',
    "TOOL_CALLS": '[TOOL_CALLS][{"name": "look", "arguments": {"q": "What?"}}]',
    "python_tag": '<|python_tag|>look.call(question="What colour?")',
    "in full width": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look<｜tool▁calls▁end｜>",
    "as in Python": 'look(question="What colour?")',
    "as in Python, in a list": '[look(question="What colour?"), look(question="Where?")]',
    "functools": 'functools[{"name": "look", "arguments": {}}]',
    "ReAct": 'Thought: I should look.\nAction: look\nAction Input: {"question": "What colour?"}',
    "blanks": " \n ",
    "nothing": "",
}
AS_IT_IS: Final = (
    BALL,
    "It is < 3 m and > 2 m away.",
    "a <b>bold</b> sign",
    "[sic] a sign that says [THIS WAY]",
    'A sheet with {"a": 1} on it.',
    '{"caption": "A red ball"}',
    "Here it is:\n```html\n<html><details><summary>x</summary><answer>4</answer></details></html>\n```\nDone.",
    "She thinks (a lot) of it.",
    "A man in thought; his reasoning is unknown.",
    "I see [a ball], and grass",
    "“Quoted” – 一个红球。😀",
)


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    places = [0, *sorted(cuts), len(text)]
    return [text[start:end] for start, end in zip(places, places[1:], strict=False)]


def heard(pieces: list[str], **how: bool) -> tuple[AnswerReader, str]:
    reader = AnswerReader(**how)
    shown = [one for piece in pieces for one in reader.feed(piece)]
    return reader, "".join([*shown, *reader.finish()])


@pytest.mark.parametrize("text", REASONED.values(), ids=REASONED)
def test_reasoning_is_no_part_of_the_answer(text: str) -> None:
    reader = read_answer(text)
    assert reader.text.strip() == BALL and (reader.reasoned or "answer" in text or "<thi" in text)


@pytest.mark.parametrize("text", NOTHING.values(), ids=NOTHING)
def test_what_is_only_reasoning_or_a_tool_call_is_no_answer(text: str) -> None:
    reader = read_answer(text)
    assert reader.text.strip() == ""
    assert reader.reasoned or reader.called or not text.strip()


@pytest.mark.parametrize("text", AS_IT_IS)
def test_other_text_stays_as_it_is(text: str) -> None:
    reader = read_answer(text)
    assert (reader.text, reader.reasoned, reader.called) == (text, False, False)


@pytest.mark.parametrize("text", [*REASONED.values(), *NOTHING.values(), *AS_IT_IS])
def test_one_character_at_a_time_it_is_the_same_and_nothing_else_is_shown(text: str) -> None:
    reader, shown = heard(list(text))
    assert reader.text == answer_in(text) == shown and not reader.retracted


@given(st.sampled_from([*REASONED.values(), *NOTHING.values(), *AS_IT_IS]), st.data())
def test_however_it_is_cut_it_is_the_same_and_nothing_else_is_shown(text: str, data: st.DataObject) -> None:
    reader, shown = heard(pieces_of(text, data.draw(st.lists(st.integers(0, len(text)), max_size=8))))
    assert reader.text == answer_in(text) == shown
    assert "SECRET" not in shown and "look" not in shown.replace("look(", "")


MARKS = st.sampled_from(
    "<think> </think> <think </think [THINK] [/THINK] <|channel|> <|message|> <|end|> final analysis <answer> "
    '</answer> <tool_call> </tool_call> {"name": {"arguments": } ``` ` < > [ ] { ◁think▷ ◁/think▷ \ud83d \ude00 a '
    "b . okay, let".split(" ")
)


@given(st.lists(st.one_of(MARKS, st.text(max_size=5)), max_size=12).map(" ".join), st.data())
def test_any_text_in_pieces_gives_what_it_gives_as_a_whole(text: str, data: st.DataObject) -> None:
    reader, shown = heard(pieces_of(text, data.draw(st.lists(st.integers(0, len(text)), max_size=8))))
    assert reader.text == answer_in(text)
    assert reader.retracted or reader.text == shown
    reader.text.encode()  # there are no lone surrogates


def test_what_can_be_shown_is_shown_at_once() -> None:
    reader = AnswerReader()
    assert [reader.feed(piece) for piece in ("I heard", ": ", "seen ", "by")] == [
        ["I heard"],
        [": "],
        ["seen "],
        ["by"],
    ]
    assert reader.finish() == []


def test_after_reasoning_little_is_held_back() -> None:
    """A few words more may turn out to be reasoning, too."""
    reader = AnswerReader()
    shown = [len(reader.feed(piece)) for piece in ["<think>so</think>", *["something "] * 30]]
    assert shown == [0] * 20 + [20] + [1] * 10, "two hundred characters"


def test_reasoning_that_shows_too_late_is_taken_back() -> None:
    reader, shown = heard(["The ball ", "is what they ", "want to know.", "</think>", BALL])
    assert reader.retracted and reader.unopened and reader.text == BALL
    assert BALL not in shown, "what was shown cannot be unsaid; the text alone holds"


def test_a_model_that_is_known_to_do_so_is_not_shown_before_its_end() -> None:
    reader, shown = heard(["The ball ", "is what they ", "want to know.", "</think>", BALL], careful=True)
    assert shown == reader.text == BALL and not reader.retracted


def test_halves_of_a_surrogate_pair_meet_and_lone_ones_go() -> None:
    reader, shown = heard(["A \ud83d", "\ude00 ball\ud83d", " here\ude00."])
    assert shown == reader.text == "A 😀 ball here."
    assert without_surrogates("a\ud800b\udc00\ud83d\ude00") == "ab😀"
    assert heard(["a\ud83d"])[1] == "a"


@pytest.mark.parametrize("text", ["< [THINK] >a", '<"think">b', "< *think* >c", "1 < 2 [THINK]no[/THINK] yes"])
def test_a_tag_in_odd_words_may_be_split_anywhere(text: str) -> None:
    for place in range(1, len(text)):
        reader = AnswerReader()
        for piece in (text[:place], text[place:]):
            reader.feed(piece)
        reader.finish()
        assert reader.text == answer_in(text), place
