"""`scripted` as a LangChain chat model: messages in, a question or a summary out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from core.errors import UsageError
from core.tasks import OWNER, QUESTION, STYLE, SUMMARY, Task, TaskName, TaskTurn
from plugins.scripted.asking import next_question
from plugins.scripted.reading import UNSURE
from plugins.scripted.styles import write_style
from plugins.scripted.video import next_video_question, tell
from plugins.scripted.writing import summarise

_PAIRS = re.compile(
    r"(?im)^[^\w\n]*+(?:question|q)\s*+\d*+\s*+:\s*+(.*?)(?:(?=\n)\W*+)?\b(?:answer|a)\s*+\d*+\s*+:[ \t]*+(.*)"
)
_NOTES = re.compile(r"(?m)^[^\S\n]*+[-*•] (.+?[?.]) +(.+)")
_ANSWER_PREFIX = re.compile(r"(?i)\A\s*answer\s*+\d*+\s*+:\s*")
_SUMMARY_REQUEST = re.compile(
    r"(?im)^\W*notes\s*:|\bsummari[sz]e\b|\bsummary\b|\b(?:describe|description of) the (?:picture|image|photo)\b"
)


class ScriptedQuestioner(BaseChatModel):
    """A rule-based baseline that asks about named things and summarises the answers; see `plugins.scripted`.

    The request is read from `core.tasks` data on the last message; without it, from the text of the messages
    (questions are AI messages, answers the human ones after them, or "Question: ... Answer: ..." lines).
    `seed` varies the wordings; without it, the plainest are used. The same messages and seed give the same reply.
    """

    languages: ClassVar[tuple[str, ...]] = ("en", "English")  # values of `--language`
    follows_rules: ClassVar[bool] = True  # it may end asking when it likes

    seed: int | None = None

    @property
    def _llm_type(self) -> str:
        return "inquisight-scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": "scripted", "seed": self.seed}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = _until(self._reply(messages, kwargs.get("seed")), stop)
        message = AIMessage(
            content=text,
            usage_metadata=_usage(messages, text),
            response_metadata={"model_name": "scripted", "finish_reason": "stop"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        text = _until(self._reply(messages, kwargs.get("seed")), stop)
        pieces = re.findall(r"\S+\s*", text) or [""]
        for index, piece in enumerate(pieces):
            last = index == len(pieces) - 1
            chunk = ChatGenerationChunk(
                message=AIMessageChunk(
                    content=piece,
                    usage_metadata=_usage(messages, text) if last else None,
                    response_metadata={"model_name": "scripted", "finish_reason": "stop"} if last else {},
                    chunk_position="last" if last else None,
                )
            )
            if run_manager:
                run_manager.on_llm_new_token(piece, chunk=chunk)
            yield chunk

    def _reply(self, messages: Sequence[BaseMessage], seed: int | None) -> str:
        seed = self.seed if seed is None else seed
        task = task_of(messages)
        if task.name == STYLE:
            return write_style(task, seed)
        told = " ".join(turn.answer for turn in task.turns if turn.answered_by == OWNER)
        task = replace(task, turns=tuple(turn for turn in task.turns if turn.answered_by != OWNER))
        if task.frames:
            return tell(task, seed) if task.name == SUMMARY else next_video_question(task, seed, told)
        if task.name == SUMMARY:
            return summarise(task.turns, seed)
        return next_question(task.turns, task.refused, seed, told, task.cannot_tell)


def create(argument: str | None = None) -> ScriptedQuestioner:
    """The registry's factory: "scripted", or "scripted:7" for the seed 7. Raises UsageError."""
    if not argument:
        return ScriptedQuestioner()
    try:
        return ScriptedQuestioner(seed=int(argument))
    except ValueError:
        raise UsageError(f"scripted takes a whole number as its seed, not {argument!r}; write scripted:7.") from None


def task_of(messages: Sequence[BaseMessage]) -> Task:
    """The task, from the data on the last message, else from the text."""
    if messages and (task := Task.from_kwargs(messages[-1].additional_kwargs)):
        return task
    last = str(messages[-1].text) if messages else ""
    name: TaskName = (
        SUMMARY if _SUMMARY_REQUEST.search(last) and not last.lstrip().lower().startswith("describe") else QUESTION
    )
    pairs = _PAIRS.findall(last) or (_NOTES.findall(last) if name == SUMMARY else [])
    turns = [_turn(question, answer) for question, answer in pairs]
    if not turns:
        spoken = [message for message in messages if isinstance(message, (AIMessage, HumanMessage))]
        turns = [
            _turn(str(asked.text), _ANSWER_PREFIX.sub("", str(reply.text)).split("\n\n")[0])
            for asked, reply in zip(spoken, spoken[1:], strict=False)
            if isinstance(asked, AIMessage) and isinstance(reply, HumanMessage) and "?" in f"{asked.text}?"
        ]
        turns = [turn for turn in turns if not (_SUMMARY_REQUEST.search(turn.answer) and turn is turns[-1])]
    return Task(name, tuple(turns))


def _turn(question: str, answer: str) -> TaskTurn:
    return TaskTurn(question.strip(), answer.strip(), sure=bool(answer.strip()) and not UNSURE.match(answer.lower()))


def _until(text: str, stop: list[str] | None) -> str:
    """`text` up to the first stop sequence."""
    ends = [at for word in stop or () if word and (at := text.find(word)) >= 0]
    return text[: min(ends)] if ends else text


def _usage(messages: Sequence[BaseMessage], text: str) -> UsageMetadata:
    """Usage in words, the unit of this questioner, instead of tokens."""
    read = sum(len(str(message.text).split()) for message in messages)
    written = len(text.split())
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
