"""Records are frozen, closed, and the same after a round trip through JSON."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import StoreError, printable
from core.records import Caption, Chat, ChatTurn, Claim, Dialogue, PictureInfo, ToolCall, Turn, is_unsure

PICTURE = PictureInfo(sha256="0" * 64, source="a.png", width=2, height=1)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TURNS = st.builds(Turn, question=WORDS, answer=WORDS, certainty=st.sampled_from(["sure", "unsure"]))


@given(turns=st.lists(TURNS, max_size=5), summary=WORDS, seed=st.none() | st.integers(0, 2**31))
def test_json_gives_an_equal_record_with_the_same_id(turns: list[Turn], summary: str, seed: int | None) -> None:
    dialogue = Dialogue()
    for turn in turns:
        dialogue = dialogue.append(turn)
    one = Caption(picture=PICTURE, dialogue=dialogue, summary=summary, seed=seed)
    back = Caption.from_json(one.to_json())
    assert back == one and back.id == one.id and back.run_key == one.run_key
    assert all(turn.certainty == "sure" for turn in back.dialogue.certain)


def test_captions_fall_back_on_what_there_is() -> None:
    assert Caption(picture=PICTURE, plain="a", opening="b", summary="c").text == "c"
    assert Caption(picture=PICTURE, plain="a", opening="b").text == "b"
    assert Caption(picture=PICTURE, plain="a").text == "a"


def test_a_caption_of_an_earlier_version_keeps_its_id() -> None:
    picture = PictureInfo(sha256="ab", source="x.jpg", width=2, height=2)
    turn = Turn(question="What is there?", answer="A dog.")
    when = datetime(2024, 1, 2, tzinfo=UTC)
    old = Caption(picture=picture, summary="A dog.", dialogue=Dialogue(turns=(turn,)), created=when)
    assert old.id == "4a79b85ab071ae7c5a363f3c2e088287e768aed72bf649457d44fed6cc74fdaf"
    claim = Claim(text="a dog", kind="thing", start=0, end=5, about="dog")
    for later in ({"summary_by": "rules"}, {"removed": ("It rains.",)}, {"claims": (claim,)}):
        assert old.model_copy(update=later).id != old.id


def test_records_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError):
        PICTURE.width = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Turn.model_validate({"question": "a", "answer": "b", "mood": "good"})


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"schema_version": 2, "picture": {}}'])
def test_other_documents_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        Caption.from_json(text)
    assert "schema version 1" in str(caught.value) and "\n" not in str(caught.value)


@given(st.text(), st.integers(10, 50))
def test_printable_is_printable_and_short(text: str, limit: int) -> None:
    line = printable(text, limit)
    assert len(line) <= limit and "\n" not in line and "\x1b" not in line and "\u202e" not in line
    line.encode("utf-8")


CHAT_TURNS = st.builds(
    ChatTurn,
    question=WORDS,
    answer=WORDS,
    pictures=st.lists(st.just(PICTURE), max_size=2).map(tuple),
    status=st.sampled_from(["complete", "stopped", "failed"]),
    calls=st.lists(st.builds(ToolCall, tool=WORDS, result=WORDS, failed=st.booleans()), max_size=2).map(tuple),
)


@settings(deadline=None)
@given(turns=st.lists(CHAT_TURNS, max_size=4), kind=st.sampled_from(["chat", "ask"]))
def test_a_chat_survives_json_and_keeps_its_key_while_it_grows(turns: list[ChatTurn], kind: str) -> None:
    one = Chat.model_validate({"kind": kind, "turns": turns, "vision": {"name": "pocket"}})
    back = Chat.from_json(one.to_json())
    assert back == one and back.id == one.id
    grown = one.model_copy(update={"turns": (*one.turns, ChatTurn(question="a", answer="b"))})
    assert grown.run_key == one.run_key and grown.id != one.id and grown.text == "b"
    assert len(one.pictures) == sum(len(turn.pictures) for turn in turns)


def test_a_chat_is_no_caption_and_a_caption_is_no_chat() -> None:
    with pytest.raises(StoreError, match="not a caption of schema version 1"):
        Caption.from_json(Chat().to_json())
    with pytest.raises(StoreError, match="not a chat of schema version 1"):
        Chat.from_json(Caption(picture=PICTURE).to_json())


@pytest.mark.parametrize(
    ("text", "certain", "unsure"),
    [
        ("A duck on a lawn.", [True, True, False], False),
        ("A duck on a lawn.", [True, False, False], True),
        ("A duck.", [], False),
        ("It stayed unclear what this picture shows.", [True, True], True),
        ("Perhaps a duck.", [True], True),
    ],
)
def test_a_caption_that_rests_on_little_is_unsure(text: str, certain: list[bool], unsure: bool) -> None:
    assert is_unsure(text, certain) is unsure
