"""A questioner without a language model: fixed questions, and a summary made of the certain answers."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from core import NOTHING_NEW, QuestionerError, Task

QUESTIONS = (
    "How large is the picture?",
    "What shape does the picture have?",
    "Which colour is it mostly?",
    "Is the picture light or dark?",
)


class EchoQuestioner(BaseChatModel):
    """Reads the task that rides on the last message, so that it need not understand the prompt's prose."""

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        task = Task.from_kwargs(messages[-1].additional_kwargs) if messages else None
        reply = AIMessage(_summary(task) if task and task.name == "summary" else _question(task))
        return ChatResult(generations=[ChatGeneration(message=reply)])


def make_questioner(argument: str | None = None) -> EchoQuestioner:
    """The registered target; a chat model is a pydantic class and takes no positional argument itself."""
    if argument is not None:
        raise QuestionerError(f"the questioner 'echo' takes no argument, so not 'echo:{argument}'.")
    return EchoQuestioner()


def _question(task: Task | None) -> str:
    used = {turn.question for turn in task.turns} | set(task.refused) if task else set()
    return next((question for question in QUESTIONS if question not in used), NOTHING_NEW)


def _summary(task: Task) -> str:
    certain = dict.fromkeys(turn.answer.strip().rstrip(".") for turn in task.turns if turn.sure and turn.answer.strip())
    return " ".join(f"{answer[0].upper()}{answer[1:]}." for answer in certain if answer)
