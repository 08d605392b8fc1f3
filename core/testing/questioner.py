"""Tests for questioners."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from core.records import Turn
from core.registry import get_registry
from core.tasks import QUESTION, SUMMARY, Task, TaskName, is_nothing_new


class QuestionerTests:
    """What every questioner must do. Set `spec`; override `make_questioner` to build it otherwise."""

    spec: ClassVar[str] = ""
    deterministic: ClassVar[bool] = True  # False: replies to the same messages may differ
    turns: ClassVar[tuple[Turn, ...]] = (
        Turn(
            question="Describe this picture in detail.", answer="there is a yellow duck on a pond.", asked_by="opening"
        ),
        Turn(question="Who owns the duck?", answer="perhaps a quxbar, i am not sure.", certainty="unsure"),
    )

    def make_questioner(self) -> Any:
        """The chat model under test, by default through the registry as a user would get it."""
        return get_registry().create_questioner(self.spec)

    @pytest.fixture(scope="class")
    @classmethod
    def questioner(cls) -> Any:
        """One chat model for the whole class."""
        return cls().make_questioner()

    def messages(self, task: TaskName, **fields: Any) -> list[Any]:
        """The conversation as the interview sends it: a system message, the dialogue, the request."""
        from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

        talk: list[Any] = [SystemMessage("You cannot see a picture and ask about it, one question at a time.")]
        sure = [turn for turn in self.turns if turn.certainty == "sure"]
        for turn in self.turns if task == QUESTION else sure:
            talk += [AIMessage(turn.question), HumanMessage(turn.answer)]
        request = "Ask your next question." if task == QUESTION else "Describe the picture in a few sentences."
        kwargs = Task.of(task, self.turns, **fields).to_kwargs()
        return [*talk, HumanMessage(request, additional_kwargs=kwargs)]

    def test_is_a_langchain_chat_model(self, questioner: Any) -> None:
        from langchain_core.language_models import BaseChatModel

        assert isinstance(questioner, BaseChatModel)

    def test_asks_a_question(self, questioner: Any) -> None:
        question = questioner.invoke(self.messages(QUESTION)).text
        assert question.strip()

    def test_does_not_ask_what_was_asked(self, questioner: Any) -> None:
        question = questioner.invoke(self.messages(QUESTION)).text
        asked = {turn.question.casefold().strip() for turn in self.turns}
        assert is_nothing_new(question) or question.casefold().strip() not in asked

    def test_does_not_insist_on_a_refused_question(self, questioner: Any) -> None:
        first = questioner.invoke(self.messages(QUESTION)).text
        second = questioner.invoke(self.messages(QUESTION, refused=[first])).text
        assert is_nothing_new(second) or second != first

    def test_summarises_the_certain_turns_only(self, questioner: Any) -> None:
        summary = questioner.invoke(self.messages(SUMMARY)).text
        assert summary.strip() and "quxbar" not in summary

    def test_same_messages_same_reply(self, questioner: Any) -> None:
        if not self.deterministic:
            pytest.skip("declared as not deterministic")
        messages = self.messages(QUESTION)
        first = questioner.invoke(messages).text
        assert questioner.invoke(messages).text == first
        assert "".join(piece.text for piece in questioner.stream(messages)) == first
        assert asyncio.run(questioner.ainvoke(messages)).text == first
        assert [reply.text for reply in questioner.batch([messages, messages])] == [first, first]
