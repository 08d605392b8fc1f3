"""Try a model: one question about a drawn picture, or one without, and what is wrong in plain words."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw

from core.console.silence import hush_libraries
from core.errors import InquisightError, printable
from core.net.endpoints import find_endpoint, trying_key
from core.net.probe import NOT_COMPATIBLE, Probe, probe
from core.registry import get_registry
from core.settings import Settings, get_settings
from core.vision import GenerationOptions, VisionBackend, VisualQuestion
from ui.setup.saved import Role, SetUpModel

QUESTION: Final = "What colour is the large circle in this picture? Answer with one word."
WRITTEN: Final = "Which colour does one get by mixing blue and yellow paint? Answer with one word."
EXPECTED: Final[dict[Role, re.Pattern[str]]] = {
    "vision": re.compile(r"\bred\b", re.IGNORECASE),
    "questioner": re.compile(r"\bgreen\b", re.IGNORECASE),
}
TOKENS: Final = 400  # enough for models that reason first
SHOWN: Final = 8  # names of models in a message


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one question."""

    role: Role
    question: str
    answer: str = ""
    problem: str = ""
    """A sentence with the way out; "" if the model answered."""
    doubt: str = ""
    """A sentence if it answered, but not what the picture shows."""
    seconds: float = 0.0
    models: tuple[str, ...] = ()
    """Names that the server lists."""
    better: str = ""
    """An address at which the server answers."""


def sample() -> Image.Image:
    """The picture of the question: a large red circle on white, with a blue bar below it."""
    image = Image.new("RGB", (320, 240), "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((95, 20, 225, 150), fill=(214, 32, 32))
    draw.rectangle((40, 185, 280, 215), fill=(32, 64, 190))
    return image


def try_model(model: SetUpModel, role: Role, key: str = "") -> Outcome:
    """Ask one question, with another key than the saved one if given. Everything that goes wrong is in the outcome.

    Raises KeyboardInterrupt on Stop.
    """
    with trying_key(model.name, model.address, key):
        return _try(model, role)


def _try(model: SetUpModel, role: Role) -> Outcome:
    question = QUESTION if role == "vision" else WRITTEN
    settings = get_settings().model_copy(update={"max_retries": 0})
    found = Probe()
    started = time.monotonic()
    try:
        hush_libraries()
        if model.address:
            found = probe(find_endpoint(settings, vision=role == "vision", typed=model.address, spec=model.name))
            if found.problem and not _may_still_answer(found):
                return Outcome(role, question, problem=found.problem, better=found.better)
            started = time.monotonic()
        answer = _ask_vision(model, question, settings) if role == "vision" else _ask_writer(model, question, settings)
    except InquisightError as error:
        return Outcome(role, question, problem=_explained(str(error), model, found), models=found.models)
    seconds = time.monotonic() - started
    return Outcome(role, question, answer, doubt=_doubt(role, answer), seconds=seconds, models=found.models)


def _may_still_answer(found: Probe) -> bool:
    """Whether the server is there and only does not list its models, as some do."""
    return not found.better and NOT_COMPATIBLE in found.problem


def _ask_vision(model: SetUpModel, question: str, settings: Settings) -> str:
    from core.images.picture import open_picture

    vision: VisionBackend
    if model.address:
        from plugins.openai_vision.backend import OpenAIBackend

        vision = OpenAIBackend(model.name.partition(":")[2], settings=settings)
    else:
        vision = get_registry().create_vision(model.name)
    try:
        [encoded] = vision.encode([open_picture(sample(), name="sample picture")])
        [reply] = vision.replies([VisualQuestion(encoded, question, options=GenerationOptions(max_new_tokens=TOKENS))])
        return reply.text.strip()
    finally:
        vision.close()


def _ask_writer(model: SetUpModel, question: str, settings: Settings) -> str:
    from langchain_core.messages import HumanMessage

    from agents.llm.questioners import ask_reply, load_questioner

    return ask_reply(load_questioner(model.name, settings), [HumanMessage(question)], max_tokens=TOKENS).text.strip()


def _doubt(role: Role, answer: str) -> str:
    if EXPECTED[role].search(answer):
        return ""
    if role == "vision":
        return "It did not say red. Perhaps this model reads text only and never received the picture."
    return "It did not say green. Such a small model may ask poor questions."


def _explained(said: str, model: SetUpModel, found: Probe) -> str:
    """The error with what the server itself told about its models."""
    if found.models and model.model not in found.models:
        names = ", ".join(found.models[:SHOWN]) + (" ..." if len(found.models) > SHOWN else "")
        return f"the server has no model '{printable(model.model, 80)}'; it has {names}"
    if found.problem:
        return f"{found.problem}. It said: {said}"
    return said
