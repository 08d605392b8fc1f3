"""Local vision models report why an answer ended and how many tokens it took, the same at once and streamed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.testing import make_picture
from core.vision import GenerationOptions, Reply, VisionBackend, VisualQuestion
from plugins.blip2.backend import Blip2Backend
from plugins.minigpt4.runtime.backend import MiniGPT4Backend
from plugins.pocket.backend import PocketBackend
from plugins.vlm.backend import TransformersBackend
from tests.plugins.blip2 import tiny_blip2
from tests.plugins.minigpt4 import tiny
from tests.plugins.vlm.tiny_vlm import FAMILIES

KINDS = ("pocket", "minigpt4", "blip2 with OPT", "blip2 with T5", "transformers")
Made = Callable[[str], Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    opened: dict[str, VisionBackend] = {}

    def transformers(folder: Path) -> VisionBackend:
        FAMILIES["llava"](folder)
        return TransformersBackend(str(folder))

    def make(kind: str) -> VisionBackend:
        if kind not in opened:
            folder = tmp_path_factory.mktemp("model")
            openers: dict[str, Callable[[], VisionBackend]] = {
                "pocket": PocketBackend,
                "minigpt4": lambda: MiniGPT4Backend(str(tiny.save(folder))),
                "blip2 with OPT": lambda: Blip2Backend(str(tiny_blip2.save(folder, "opt"))),
                "blip2 with T5": lambda: Blip2Backend(str(tiny_blip2.save(folder, "t5"))),
                "transformers": lambda: transformers(folder),
            }
            opened[kind] = openers[kind]()
        return opened[kind]

    return make


def reader(backend: Any) -> Any:
    """The module that reads a prompt: its first call gets the whole of it."""
    if isinstance(backend, TransformersBackend):
        return backend.model.model.language_model
    language_model = backend.engine.model.language_model
    return (
        language_model.get_encoder() if getattr(language_model.config, "is_encoder_decoder", False) else language_model
    )


def asked(backend: VisionBackend, words: str, new: int, colour: tuple[int, int, int] = (9, 9, 200)) -> VisualQuestion:
    [image] = backend.encode([make_picture(colour=colour)])
    history = (("what is it?", "a wall."),)
    return VisualQuestion(image, words, history, GenerationOptions(max_new_tokens=new))


@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_is_counted_as_the_model_reads_it(made: Made, kind: str) -> None:
    backend, read = made(kind), []
    question = asked(backend, "is it old?", 2, (10 * KINDS.index(kind), 4, 5))
    hook = reader(backend).register_forward_pre_hook(
        lambda _, args, kwargs: read.append(kwargs.get("inputs_embeds", kwargs.get("input_ids")).shape[1]),
        with_kwargs=True,
    )
    try:
        [reply] = backend.replies([question])
    finally:
        hook.remove()
    assert reply.input_tokens == read[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_the_limit_cuts_says_so(made: Made, kind: str) -> None:
    backend = made(kind)
    replies = backend.replies([asked(backend, "describe the wall", 3), asked(backend, "is it old?", 2)])
    assert [reply.reason for reply in replies] == ["length", "length"]
    assert [reply.output_tokens for reply in replies] == [3, 2]
    assert all(reply.truncated for reply in replies)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_the_model_ends_says_so(made: Made, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, everything = made(kind), range(100_000)
    if kind == "transformers":
        monkeypatch.setattr(backend, "_eos_token_ids", list(everything))
    elif kind != "pocket":  # which has learned to end its answers
        monkeypatch.setattr(backend.engine, "eos_token_ids", list(everything))
    [reply] = backend.replies([asked(backend, "what colour is it?", 60)])
    assert reply.reason == "stop" and not reply.truncated
    assert reply.output_tokens is not None and reply.output_tokens < 60
    assert (reply.output_tokens == 0) == (reply.text == "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_ends_with_the_same_reply(made: Made, kind: str) -> None:
    backend = made(kind)
    question = asked(backend, "what is behind it?", 5)
    *pieces, last = backend.pieces(question)
    assert last == backend.replies([question])[0] and isinstance(last, Reply)
    assert "".join(pieces) == last.text == "".join(backend.stream(question))


def test_a_plugin_that_only_answers_reports_neither() -> None:
    class Plain(VisionBackend):
        name = "plain"
        revision = "1"

        def encode(self, pictures: Any) -> Any:
            raise NotImplementedError

        def answer(self, questions: Any) -> list[str]:
            return ["a wall" for _ in questions]

    question: Any = None
    assert Plain().replies([question, question]) == [Reply("a wall"), Reply("a wall")]
    assert list(Plain().pieces(question)) == ["a wall", Reply("a wall")]
    assert not Reply("a wall").truncated


def test_a_transformers_model_writes_no_more_than_it_leaves_room_for(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what it reads at once is the most: prompt and answer together never exceed the context."""
    backend = made("transformers")
    monkeypatch.setattr(backend, "context", 80)
    monkeypatch.setattr(backend, "_eos_token_ids", [])
    [reply] = backend.replies([asked(backend, "why?", 500)])
    assert (reply.output_tokens, reply.reason) == (40, "length")
    assert reply.input_tokens is not None and reply.input_tokens + 40 <= 80
