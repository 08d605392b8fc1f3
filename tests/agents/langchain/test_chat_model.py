"""An eye as a LangChain chat model: what it is shown of a conversation, and what is refused in one line."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import ValidationError

from agents.langchain.messages import until
from agents.langchain.model import VisionChatModel, shared_vision
from agents.langchain.request import NO_PICTURE
from core.errors import ImageError, InquisightError, UsageError
from core.registry import get_registry
from core.vision import GenerationOptions, Reply, VisionBackend, VisualQuestion
from tests.agents.langchain.chat_pictures import BLUE, RED, STYLES, block, encoded, png, words
from tests.agents.langchain.watchers import Chatter, Collector, Watcher, one_line, person

# ---- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_a_picture_in_any_style_arrives(style: str) -> None:
    eye = Watcher()
    reply = VisionChatModel(vision=eye).invoke([person("What is this?", block(png(BLUE), style))])
    assert reply.text == eye.said
    [question] = eye.asked
    assert question.image.data == (BLUE,)
    assert question.question == "What is this?"


def test_a_picture_is_encoded_once_however_often_it_is_sent() -> None:
    eye = Watcher()
    model = VisionChatModel(vision=eye)
    talk: list[BaseMessage] = [person("What is this?", block(png()))]
    talk += [model.invoke(talk), person("And its colour?", block(png(), "openai"))]
    model.invoke(talk)
    assert len(eye.looked) == 1
    assert eye.asked[-1].history == (("What is this?", eye.said),)
    model.invoke([person(block(png(BLUE)))])
    assert len(eye.looked) == 2


def test_a_picture_alone_asks_for_a_caption() -> None:
    eye = Watcher()
    VisionChatModel(vision=eye).invoke([person(block(png()))])
    assert eye.asked[0].question is None


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"type": "image", "url": "https://example.org/a.png?token=hush"}, "web address"),
        ({"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}, "web address"),
        ({"type": "image", "url": "file:///etc/passwd"}, "names a file"),
        ({"type": "image", "url": "/etc/passwd"}, "names a file"),
        ({"type": "image", "file_id": "file-1"}, "neither 'base64' nor 'url'"),
        ({"type": "image", "base64": "no base64!", "mime_type": "image/png"}, "not valid base64"),
        ({"type": "image", "url": "data:image/png,%89PNG"}, "not base64"),
        ({"type": "image", "base64": encoded(b"GIF8 it is not"), "mime_type": "image/png"}, "picture 1 of message 1"),
        ({"type": "image", "base64": encoded(png()[:40]), "mime_type": "image/png"}, "truncated or damaged"),
        ({"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}, "reads text and pictures"),
    ],
)
def test_a_picture_that_cannot_be_used_is_one_clear_line(bad: dict[str, Any], says: str) -> None:
    eye = Watcher()
    with pytest.raises((UsageError, ImageError)) as caught:
        VisionChatModel(vision=eye).invoke([person("What is this?", bad)])
    assert says in one_line(caught.value)
    assert "hush" not in str(caught.value)
    assert not eye.asked


def test_files_only_from_the_folder_that_is_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "blue one.png").write_bytes(png(BLUE))
    (tmp_path / "secret.png").write_bytes(png(RED))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    eye = Watcher()
    model = VisionChatModel(vision=eye, folder=folder)
    for url in ("blue one.png", str(folder / "blue one.png"), f"file://{folder}/blue%20one.png"):
        model.invoke([person("What?", {"type": "image", "url": url})])
        assert eye.asked[-1].image.data == (BLUE,)
    for url in ("../secret.png", str(tmp_path / "secret.png"), f"file://{tmp_path}/secret.png", "link.png"):
        with pytest.raises(UsageError, match="outside the allowed folder"):
            model.invoke([person("What?", {"type": "image", "url": url})])
    with pytest.raises(ImageError, match="does not exist"):
        model.invoke([person("What?", {"type": "image", "url": "none.png"})])


def test_web_addresses_only_through_the_callers_own_function() -> None:
    eye = Watcher()
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return png(BLUE)

    model = VisionChatModel(vision=eye, fetch=fetch)
    model.invoke([person("What?", {"type": "image", "url": "https://example.org/a.png"})])
    assert asked == ["https://example.org/a.png"] and eye.asked[0].image.data == (BLUE,)
    assert model.profile is not None and model.profile["image_url_inputs"] is True
    wrong: Any = lambda url: "/etc/passwd"  # noqa: E731
    with pytest.raises(UsageError, match="not bytes"):
        VisionChatModel(vision=eye, fetch=wrong).invoke([person({"type": "image", "url": "https://example.org/"})])


# ---- conversations -------------------------------------------------------------------------------------------------


def test_turns_become_pairs_and_double_messages_are_joined() -> None:
    eye = Watcher()
    VisionChatModel(vision=eye).invoke(
        [
            person("Look.", block(png())),
            HumanMessage("What is it?"),
            AIMessage("A wall."),
            AIMessage("Or a flag."),
            ChatMessage(role="user", content="Which colour?"),
        ]
    )
    [question] = eye.asked
    assert question.history == (("Look.\n\nWhat is it?", "A wall.\n\nOr a flag."),)
    assert question.question == "Which colour?"


def test_a_conversation_that_a_model_began() -> None:
    eye = Watcher()
    VisionChatModel(vision=eye).invoke([AIMessage("Hello!"), person("What is it?", block(png()))])
    assert eye.asked[0].history == (("", "Hello!"),)


def test_a_system_message_is_put_first_where_instructions_are_followed() -> None:
    eye = Chatter()
    VisionChatModel(vision=eye).invoke(
        [SystemMessage("Be brief."), person("What?", block(png())), AIMessage("Red."), HumanMessage("Sure?")]
    )
    assert eye.asked[0].history == (("Be brief.\n\nWhat?", "Red."),)
    assert eye.asked[0].question == "Sure?"


def test_a_system_message_that_cannot_be_followed_is_said_to_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    eye = Watcher()
    with caplog.at_level(logging.WARNING, "inquisight"):
        reply = VisionChatModel(vision=eye).invoke([SystemMessage("Be brief."), person("What?", block(png()))])
    assert eye.asked[0].question == "What?"
    assert "system message" in reply.response_metadata["left_out"]
    assert "system message" in caplog.text


def test_pictures_stand_where_they_came_up() -> None:
    eye = Chatter()
    talk = [HumanMessage("Hello"), AIMessage("Hi."), person(block(png(RED)), "First."), AIMessage("Red.")]
    VisionChatModel(vision=eye).invoke([*talk, person("Second.", block(png(BLUE)))])
    [question] = eye.asked
    assert question.entering(0) == (question.image,) and question.image.data == ()
    assert [image.data for image in question.entering(1)] == [(RED,)]
    assert [image.data for image in question.entering(2)] == [(BLUE,)]


def test_pictures_go_together_where_they_can_only_stand_first() -> None:
    eye = Collector()
    VisionChatModel(vision=eye).invoke([person(block(png(RED))), AIMessage("Red."), person("Now?", block(png(BLUE)))])
    assert eye.asked[0].image.data == (RED, BLUE)
    assert eye.asked[0].images == ()


def test_an_eye_for_one_picture_is_asked_about_the_latest() -> None:
    eye = Watcher()
    model = VisionChatModel(vision=eye)
    talk = [person("What is it?", block(png(RED))), AIMessage("A wall."), person("And this?", block(png(BLUE)))]
    reply = model.invoke([*talk, AIMessage("The sky."), HumanMessage("Sure?")])
    assert eye.asked[0].image.data == (BLUE,)
    assert eye.asked[0].history == (("And this?", "The sky."),)
    assert reply.response_metadata["left_out"] == "1 earlier turn about another picture"
    with pytest.raises(UsageError, match=r"2 pictures in one question, but watcher takes one"):
        model.invoke([person("Which is darker?", block(png(RED)), block(png(BLUE)))])


def test_without_a_picture_an_eye_says_that_it_sees_none() -> None:
    eye = Watcher()
    model = VisionChatModel(vision=eye)
    reply = model.invoke("What is this?")
    assert reply.text == NO_PICTURE and not eye.asked
    assert reply.response_metadata["finish_reason"] == "no_picture"
    assert reply.usage_metadata == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert "".join(chunk.text for chunk in model.stream("What is this?")) == NO_PICTURE


def test_an_eye_that_can_talk_is_asked_in_words_alone() -> None:
    eye = Chatter("Hello.")
    assert VisionChatModel(vision=eye).invoke("Hi").text == "Hello."
    assert eye.asked[0].image.data == () and eye.asked[0].question == "Hi"


@pytest.mark.parametrize(
    ("talk", "says"),
    [
        ([], "nothing to answer"),
        ([AIMessage("Hi")], "last message must be a person's"),
        ([SystemMessage("Hi")], "last message must be a person's"),
        ([HumanMessage("Hi"), ToolMessage("1", tool_call_id="1")], "message 2 is of type 'tool'"),
        (
            [HumanMessage("Hi"), AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}]), HumanMessage("")],
            "message 2 calls a tool",
        ),
        ([SystemMessage([block(png())]), HumanMessage("Hi")], "system message cannot hold a picture"),
        ([ChatMessage(role="critic", content="Hi")], "of type 'critic'"),
    ],
)
def test_a_conversation_that_cannot_be_answered_is_one_clear_line(talk: list[BaseMessage], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        VisionChatModel(vision=Watcher()).invoke(talk)
    assert says in one_line(caught.value)


def test_an_empty_question_to_an_eye_that_can_talk() -> None:
    with pytest.raises(UsageError, match="neither words nor a picture"):
        VisionChatModel(vision=Chatter()).invoke("  ")


# ---- answers -------------------------------------------------------------------------------------------------------


def test_options_reach_the_eye_and_a_call_changes_them() -> None:
    eye = Watcher()
    model = VisionChatModel(vision=eye, max_tokens=7, temperature=0.5, top_p=0.8, seed=3)
    message = [person("What?", block(png()))]
    model.invoke(message)
    model.invoke(message, max_tokens=9, temperature=0, seed=4)
    assert [question.options for question in eye.asked] == [
        GenerationOptions(7, 0.5, 0.8, 3),
        GenerationOptions(9, 0, 0.8, 4),
    ]
    VisionChatModel(vision=eye).invoke(message)
    VisionChatModel(vision=(talker := Chatter())).invoke(message)
    assert (eye.asked[-1].options.max_new_tokens, talker.asked[-1].options.max_new_tokens) == (60, 300)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"seed": "a"}, "seed is a"),
        ({"tools": []}, "takes no option 'tools'"),
    ],
)
def test_an_option_that_cannot_work_is_one_clear_line(option: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        VisionChatModel(vision=Watcher()).invoke([person("What?", block(png()))], **option)
    assert says in one_line(caught.value)


def test_a_misspelt_option_is_refused() -> None:
    misspelt: Any = {"temperatur": 1}
    with pytest.raises(ValidationError, match="did you mean 'temperature'"):
        VisionChatModel(vision="pocket", **misspelt)


def test_an_answer_ends_before_a_stop_sequence_in_both_ways() -> None:
    eye = Chatter("It is red. It is plain.")
    message = [person("What?", block(png()))]
    for model, call in (
        (VisionChatModel(vision=eye), {"stop": [". It", "zzz"]}),
        (VisionChatModel(vision=eye, stop=[". It"]), {}),
    ):
        whole = model.invoke(message, **call)  # type: ignore[arg-type]
        assert whole.text == "It is red" and whole.response_metadata["finish_reason"] == "stop"
        pieces = list(model.stream(message, **call))  # type: ignore[arg-type]
        assert "".join(piece.text for piece in pieces) == "It is red" and len(pieces) > 2


@given(st.text("ab#", max_size=30), st.lists(st.text("ab#", min_size=1, max_size=3), max_size=3), st.integers(1, 4))
def test_no_stop_sequence_is_ever_told(text: str, stops: list[str], size: int) -> None:
    pieces = [text[place : place + size] for place in range(0, len(text), size)]
    ends = [place for stop in stops if (place := text.find(stop)) >= 0]
    assert "".join(until(iter(pieces), stops)) == text[: min(ends, default=len(text))]


def test_streaming_gives_pieces_and_the_usage_once() -> None:
    eye = Chatter()
    model = VisionChatModel(vision=eye)
    chunks = list(model.stream([person("What?", block(png()))]))
    assert len(chunks) > 3 and "".join(chunk.text for chunk in chunks) == eye.said
    assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [
        {"input_tokens": 5, "output_tokens": len(eye.said), "total_tokens": 5 + len(eye.said)}
    ]
    assert chunks[-1].chunk_position == "last"


def test_async_gives_the_same() -> None:
    eye = Chatter()
    model = VisionChatModel(vision=eye)
    message = [person("What?", block(png()))]

    async def both() -> tuple[str, list[str]]:
        reply = await model.ainvoke(message)
        return str(reply.text), [str(chunk.text) async for chunk in model.astream(message)]

    whole, pieces = asyncio.run(both())
    assert whole == "".join(pieces) == eye.said and len(pieces) > 3


def test_usage_says_who_counted() -> None:
    message = [person("Wer?", block(png()))]
    counted = VisionChatModel(vision=Chatter("Ja.")).invoke(message)
    assert counted.usage_metadata == {"input_tokens": 4, "output_tokens": 3, "total_tokens": 7}
    assert counted.response_metadata["tokens_counted_by"] == "the model's tokenizer, words only"
    guessed = VisionChatModel(vision=Watcher("Ja.")).invoke(message)
    assert guessed.usage_metadata == {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    assert guessed.response_metadata["tokens_counted_by"] == "an estimate, words only"
    assert VisionChatModel(vision=Chatter()).get_num_tokens("four") == 4


def test_what_a_server_counts_is_taken() -> None:
    class Remote(Watcher):
        def replies(self, questions: Sequence[VisualQuestion]) -> list[Reply]:
            return [Reply("Red.", "length", 300, 2) for _ in questions]

        def pieces(self, question: VisualQuestion) -> Iterator[str | Reply]:
            yield from ("Re", "d.", Reply("Red.", "length", 300, 2))

    model = VisionChatModel(vision=Remote())
    message = [person("What?", block(png()))]
    whole = model.invoke(message)
    parts = list(model.stream(message))
    for reply in (whole, parts[-1]):
        assert reply.usage_metadata == {"input_tokens": 300, "output_tokens": 2, "total_tokens": 302}
        assert reply.response_metadata["finish_reason"] == "length"
    assert "".join(part.text for part in parts) == "Red."


def test_it_promises_structured_output_and_no_tools() -> None:
    model = VisionChatModel(vision=Watcher())
    assert model.profile is not None
    assert model.profile["image_inputs"] and model.profile["structured_output"] and not model.profile["tool_calling"]
    with pytest.raises(NotImplementedError):
        model.bind_tools([])


# ---- which eye -----------------------------------------------------------------------------------------------------


def test_models_of_one_name_share_the_eye(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def create(spec: str) -> VisionBackend:
        made.append(spec)
        return Watcher(f"I am {spec}.")

    monkeypatch.setattr(get_registry(), "create_vision", create)
    first, second = VisionChatModel(vision="watcher:a"), VisionChatModel(model="watcher:a")  # type: ignore[call-arg]
    assert not made, "a model is loaded at its first call"
    message = [person("Who?", block(png()))]
    assert first.invoke(message).text == second.invoke(message).text == "I am watcher:a."
    assert first.invoke(message, model="watcher:b").text == "I am watcher:b."
    assert made == ["watcher:a", "watcher:b"]
    assert shared_vision("watcher:a") is first.backend
    del first, second
    shared_vision("watcher:a")
    assert made[-1] == "watcher:a" and len(made) == 3, "let go of when nobody holds it"


def test_an_unknown_eye_is_one_clear_line() -> None:
    with pytest.raises(InquisightError) as caught:
        VisionChatModel(vision="pockett").invoke("Hi")
    assert "did you mean 'pocket'" in one_line(caught.value)


# ---- what other chat models are given --------------------------------------------------------------------------------


def test_tools_are_refused_with_what_to_use() -> None:
    with pytest.raises(NotImplementedError, match=r"calls no tools; use it as a tool of the agent"):
        VisionChatModel(vision=Watcher()).bind_tools([])


@pytest.mark.parametrize("place", ["call", "constructor"])
def test_what_cannot_be_honoured_is_accepted_with_one_warning(
    place: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.langchain.model._warned", set())
    given: dict[str, Any] = {"n": 2, "presence_penalty": 0.5, "user": "me", "logit_bias": {"1": 2}, "logprobs": True}
    plain: dict[str, Any] = {"n": 1, "frequency_penalty": 0, "stream_options": None}
    asked = [HumanMessage([words("What?"), block(png())])]
    for options in (given, given, plain):
        if place == "call":
            VisionChatModel(vision=Watcher()).invoke(asked, **options)
        else:
            VisionChatModel(vision=Watcher(), **options).invoke(asked)
    warned = [record.getMessage() for record in caplog.records if "cannot honour" in record.getMessage()]
    assert len(warned) == 5 and all(any(name in line for line in warned) for name in given)


@pytest.mark.parametrize(
    "make",
    [
        lambda data: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        lambda data: {"type": "image", "source": {"type": "url", "url": f"data:image/png;base64,{data}"}},
        lambda data: {"type": "input_image", "image_url": f"data:image/png;base64,{data}"},
        lambda data: {"type": "image_url", "image_url": f"data:image/png;base64,{data}"},
    ],
)
def test_blocks_of_other_makers_are_read(make: Callable[[str], dict[str, Any]]) -> None:
    import base64

    eye = Watcher()
    picture = make(base64.b64encode(png()).decode())
    VisionChatModel(vision=eye).invoke([HumanMessage([{"type": "input_text", "text": "What is it?"}, picture])])
    [question] = eye.asked
    assert question.question == "What is it?" and question.image.sha256
