"""`inquisight ask`: check the options, then let an agent, an interview or the vision model answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, cast

from agents.assistant.events import Begun, Concluded
from agents.assistant.run import assist, calls_tools
from agents.assistant.tools import AssistantTools
from agents.chat.conversation import ChatOptions, Conversation
from agents.chat.events import ChatAnswered, Silenced, drive, passing
from agents.chat.events import Event as ChatEvent
from agents.cli.errors import EXIT_INTERRUPTED, complain
from agents.cli.models import check_vision, load_vision
from agents.cli.render.assistant import AnyEvent, Interviewed, make_assistant_printer
from agents.cli.requests import AskRequest
from agents.interview.calls import describe_questioner
from agents.interview.driver import interview_picture
from agents.interview.events import Answered, Done, Failed, InterviewStopped
from agents.interview.prompts import Prompts
from agents.interview.protocol import Interview, InterviewOptions
from agents.interview.seeds import check_seed
from agents.llm.usage import Meter, count_calls
from agents.witnesses.choice import chosen, load_witnesses
from core.console.silence import hush_libraries
from core.errors import BackendError, InquisightError, UsageError, printable
from core.images.picture import Picture, open_picture
from core.records import Chat as ChatRecord
from core.records import ChatTurn
from core.registry import get_registry
from core.settings import Settings, get_settings
from core.store.transcripts import TranscriptStore

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from core.vision import VisionBackend

Mode = Literal["agent", "interview", "chat"]
MODES: Final = ("agent", "interview", "chat")
ROUNDS: Final = 6  # per interview


@dataclass(frozen=True, slots=True)
class AskPlan:
    """A checked request; only the questioner is loaded."""

    request: AskRequest
    pictures: tuple[Picture, ...]
    mode: Mode
    why: str  # explains an automatic choice of the mode
    questioner: BaseChatModel | None
    vision: str
    rounds: int
    seed: int | None
    settings: Settings
    witnesses: tuple[str, ...]  # names of those that take part


def run_ask(request: AskRequest) -> int:
    """Answer the question. Returns the exit code. Raises InquisightError for errors before its start."""
    hush_libraries()
    plan = make_plan(request)
    with ExitStack() as stack:

        @cache
        def load(spec: str) -> VisionBackend:
            return stack.enter_context(closing(load_vision(spec)))

        printer = stack.enter_context(closing(make_assistant_printer(json=request.json, why=plan.why)))
        store = TranscriptStore(plan.settings.database_url)
        last = drive(_events(plan, load, store), printer.event)
    if not isinstance(last, Concluded) or last.interrupted:
        return EXIT_INTERRUPTED
    codes = [complain(error) for error in (last.error, last.save_error) if error is not None]
    return codes[0] if codes else 0


def _events(plan: AskPlan, load: Callable[[str], VisionBackend], store: TranscriptStore) -> Iterator[AnyEvent]:
    vision, request = load(plan.vision), plan.request
    if plan.mode == "chat":
        return _chat(plan, vision, store)
    assert plan.questioner is not None
    if plan.mode == "interview":
        return _interviews(plan, vision, plan.questioner, store)
    talk = request.talk_vision or (plan.vision if vision.follows_instructions else None)
    tools = AssistantTools(
        plan.pictures,
        vision,
        plan.questioner,
        talker=None if talk is None else lambda: load(talk),
        witnesses=cache(lambda: load_witnesses(plan.witnesses)) if plan.witnesses else None,
        store=store,
        rounds=plan.rounds,
        seed=plan.seed,
    )
    return iter(assist(request.question.strip(), tools, plan.questioner, steps=request.steps))


def make_plan(request: AskRequest) -> AskPlan:
    """Check the request. Raises InquisightError, one line."""
    from agents.llm.questioners import load_questioner

    settings = get_settings()
    if not request.question.strip():
        raise UsageError('the question is empty; write it in quotes: inquisight ask "what is this?" photo.jpg')
    if os.path.isfile(request.question):
        raise UsageError(
            f"'{printable(request.question, limit=80)}' is a file, but the question comes first, in quotes: "
            'inquisight ask "what is this?" photo.jpg'
        )
    if not request.pictures:
        raise UsageError('name at least one picture after the question: inquisight ask "what is this?" photo.jpg')
    if request.mode is not None and request.mode not in MODES:
        raise UsageError(
            f"--mode is '{printable(request.mode, limit=40)}': take {', '.join(MODES[:-1])} or {MODES[-1]}"
        )
    if request.steps < 1:
        raise UsageError(f"--steps must be 1 or more, not {request.steps}")
    seed = check_seed(request.seed if request.seed is not None else settings.seed)
    rounds = request.rounds if request.rounds is not None else ROUNDS
    InterviewOptions(rounds=rounds)  # checks it
    vision = request.vision if request.vision is not None else settings.vision
    check_vision(vision, len(request.pictures) if request.mode == "chat" else 1)
    if request.talk_vision is not None:
        entry = get_registry().find("vision backend", request.talk_vision.split(":", 1)[0])
        if entry.capabilities.get("follows_instructions") is False:
            raise UsageError(f"{printable(request.talk_vision)} follows no instructions, so it cannot chat")
    pictures = tuple(open_picture(source, max_pixels=settings.max_pixels) for source in request.pictures)
    mode, why, questioner = cast("Mode | None", request.mode), "", None
    if mode != "chat":
        name = request.questioner if request.questioner is not None else settings.questioner
        questioner = load_questioner(name, settings, seed=seed)
        if mode is None:
            mode = "agent" if calls_tools(questioner) else "interview"
            why = "" if mode == "agent" else f"{printable(name)} calls no tools, so it holds an interview"
        elif mode == "agent" and not calls_tools(questioner):
            raise UsageError(
                f"{printable(name)} cannot call tools; choose another model with --questioner (such as "
                "openai:gpt-4o-mini), or --mode interview or chat"
            )
    witnesses = tuple(chosen(request.witness))
    return AskPlan(request, pictures, mode, why, questioner, vision, rounds, seed, settings, witnesses)


def _interviews(
    plan: AskPlan, vision: VisionBackend, questioner: BaseChatModel, store: TranscriptStore
) -> Iterator[AnyEvent]:
    """Interview about each picture; the person's question follows the opening one."""
    answers, infos = [], []
    meter = Meter()
    count_calls(questioner, meter)
    save_error: InquisightError | None = None
    error: InquisightError | None = None
    interrupted = cut = False
    began = time.perf_counter()
    for number, picture in enumerate(plan.pictures, start=1):
        interview = Interview(Prompts.load(), InterviewOptions(rounds=plan.rounds))
        last: object = None
        answer, silent = "", False
        for last in interview_picture(picture, vision, questioner, seed=plan.seed, interview=interview, save=store.add):
            yield Interviewed(last)
            if isinstance(last, Answered) and last.turn.asked_by == "opening":
                interview.inject(plan.request.question.strip())
            elif isinstance(last, Answered) and last.turn.asked_by == "person":
                answer, silent = last.turn.answer, not last.turn.answer
                cut |= last.turn.truncated
        assert isinstance(last, Done)
        infos.append(picture.info())
        save_error = save_error or last.save_error
        if answer:
            answers.append(f"Picture {number}: {answer}" if len(plan.pictures) > 1 else answer)
        if isinstance(last, Failed):
            error = error or last.error
        elif silent:
            error = error or BackendError(f"{printable(vision.name)} gave no answer to the question.")
        if isinstance(last, InterviewStopped):
            interrupted = True
            break
    text = "\n".join(answers)
    turn = ChatTurn(
        question=plan.request.question.strip(),
        answer=text,
        truncated=cut,
        pictures=tuple(infos),
        usage=meter.counts,
        seconds=round(time.perf_counter() - began, 4),
    )
    assistant = describe_questioner(questioner)
    record = ChatRecord(kind="ask", turns=(turn,), vision=vision.describe(), assistant=assistant, seed=plan.seed)
    # no id: each interview is saved, and has printed its own
    yield Concluded(text, record, None, save_error, error, interrupted)


def _chat(plan: AskPlan, vision: VisionBackend, store: TranscriptStore) -> Iterator[AnyEvent]:
    """The vision model answers."""
    chat = Conversation(vision, plan.pictures, ChatOptions(seed=plan.seed), save=store.add)
    yield Begun(tuple(picture.info() for picture in plan.pictures), vision.describe(), {})
    error: InquisightError | None = None
    interrupted = False

    def watch(event: ChatEvent) -> None:
        nonlocal interrupted
        if isinstance(event, Silenced) or (isinstance(event, ChatAnswered) and event.turn.status == "stopped"):
            interrupted = True

    try:
        yield from passing(chat.ask(plan.request.question.strip()), watch)
    except InquisightError as failure:
        error = failure
    record = chat.record
    yield Concluded(record.text, record, chat.saved_as, chat.save_error, error, interrupted)
