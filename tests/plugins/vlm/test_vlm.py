"""`transformers:NAME` with four families of models: what every eye must do, and the answers of plain transformers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import BackendError, UsageError
from core.hookspecs import GROUP
from core.images.picture import Picture
from core.registry import Registry
from core.testing import VisionBackendTests, make_picture
from core.vision import EncodedImage, GenerationOptions, VisionBackend, VisualQuestion
from plugins.base import CAPTION
from plugins.vlm.backend import TransformersBackend
from plugins.vlm.prompts import TemplateTurn, messages
from tests.plugins.vlm.tiny_vlm import FAMILIES, LOOK_ONCE, MORE

OPTIONS = GenerationOptions(max_new_tokens=10)
SAMPLED = GenerationOptions(max_new_tokens=8, temperature=1.5, seed=3)
RED, BLUE = make_picture(64, 48, (255, 0, 0)), make_picture(30, 60, (0, 0, 255))
HISTORY = (("What is it?", "a cat"), ("Where? " * 8, "on a mat"))
Directory = Callable[[str], Path]
Eye = Callable[[str], TransformersBackend]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Directory:
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            (FAMILIES | MORE)[family](made[family])
        return made[family]

    return make


@pytest.fixture(scope="module")
def eye(directory: Directory) -> Eye:
    """One eye per family, for all tests: what earlier questions left behind must not matter."""
    opened: dict[str, TransformersBackend] = {}

    def make(family: str) -> TransformersBackend:
        if family not in opened:
            opened[family] = TransformersBackend(str(directory(family)))
        return opened[family]

    return make


class TestLlava(VisionBackendTests):
    """The agreement of all eyes, on random weights."""

    family = "llava"

    @pytest.fixture(scope="class")
    def backend(self, directory: Directory) -> Iterator[VisionBackend]:
        backend = TransformersBackend(str(directory(self.family)))
        yield backend
        backend.close()


class TestIdefics3(TestLlava):
    family = "idefics3"


class TestQwen2VL(TestLlava):
    family = "qwen2_vl"


class TestMllama(TestLlava):
    family = "mllama"


def test_it_is_registered_with_its_capabilities(directory: Directory) -> None:
    registry = Registry(strict=True)
    registry.load([EntryPoint("vlm", "plugins.vlm", GROUP)], distribution="inquisight")
    entry = registry.find("vision backend", "transformers")
    assert entry.description
    for name, value in entry.capabilities.items():
        assert getattr(TransformersBackend, name) == value
    assert isinstance(registry.create_vision(f"transformers:{directory('llava')}"), TransformersBackend)


# -- the same as transformers -----------------------------------------------------------------------------------------


def plain(eye: TransformersBackend, chat: list[dict[str, Any]], pictures: list[Picture], new: int = 10) -> str:
    """What `processor` and `generate` say when they get the pixels, as every example of transformers does it."""
    text = eye.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    images = [[picture.image.copy() for picture in pictures]]
    inputs = eye.processor(images=images, text=[text], add_special_tokens=False, return_tensors="pt")
    with torch.inference_mode():
        ids = eye.model.generate(**inputs, max_new_tokens=new, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    said: str = eye.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return said.strip()


@pytest.mark.parametrize("family", FAMILIES | MORE)
def test_greedy_equals_plain_transformers(eye: Eye, family: str) -> None:
    backend = eye(family)
    [red, blue] = backend.encode([RED, BLUE])
    for picture, image in ((RED, red), (BLUE, blue)):
        turns = [TemplateTurn((image.data[0],), "What is it?", "a cat"), TemplateTurn((), "Why 猫?")]
        expected = plain(backend, messages(turns), [picture])
        question = VisualQuestion(image, "Why 猫?", HISTORY[:1], OPTIONS)
        assert expected and backend.answer([question]) == [expected]
    told = backend.describe()["pictures"]
    assert told.startswith("each goes through the vision tower once") or family not in {*LOOK_ONCE, *MORE}


@pytest.mark.parametrize("family", FAMILIES | MORE)
def test_several_pictures_equal_plain_transformers(eye: Eye, family: str) -> None:
    backend = eye(family)
    [red, blue] = backend.encode([RED, BLUE])
    both = backend.together([red, blue])
    assert both.key not in {red.key, blue.key} and both != backend.together([blue, red])
    assert backend.together([red]) is red
    expected = plain(backend, messages([TemplateTurn((red.data[0], blue.data[0]), "Which is darker?")]), [RED, BLUE])
    question = VisualQuestion(both, "Which is darker?", options=OPTIONS)
    assert backend.answer([question]) == [expected]
    later = VisualQuestion(red, "And this?", HISTORY[:1], OPTIONS, images=((1, blue),))
    turns = [TemplateTurn((red.data[0],), "What is it?", "a cat"), TemplateTurn((blue.data[0],), "And this?")]
    assert backend.answer([later, question]) == [plain(backend, messages(turns), [RED, BLUE]), expected]
    with pytest.raises(UsageError, match="17 pictures"):
        backend.together([red] * 17)
    with pytest.raises(UsageError, match="17 pictures"):
        backend.answer([VisualQuestion(red, "Hm?", options=OPTIONS, images=((0, blue),) * 16)])


# -- nothing twice, nothing different ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_batch_single_streamed_and_fresh_are_equal(eye: Eye, directory: Directory, family: str) -> None:
    backend = eye(family)
    questions = [
        VisualQuestion(image, text, history, options)
        for image in backend.encode([RED, BLUE])
        for text in ("What?", "Is there a cat in it, or a dog? 猫", None)
        for history, options in (((), OPTIONS), (HISTORY, OPTIONS), ((), SAMPLED))
    ]
    together = backend.answer(questions)
    assert len(set(together)) > 4, "pictures and questions matter"
    assert [backend.answer([question])[0] for question in questions] == together
    assert ["".join(backend.stream(question)) for question in questions] == together
    fresh = TransformersBackend(str(directory(family)))
    images = dict(zip((question.image.key for question in questions[::9]), fresh.encode([RED, BLUE]), strict=True))
    again = [
        VisualQuestion(images[one.image.key], one.question, one.history, one.options) for one in reversed(questions)
    ]
    assert fresh.answer(again) == together[::-1]


@pytest.mark.parametrize("family", LOOK_ONCE)
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_batch_is_padded_so_that_no_position_matters(eye: Eye, family: str, order: tuple[int, ...]) -> None:
    backend = eye(family)
    [red, blue] = backend.encode([RED, BLUE])
    questions = [
        VisualQuestion(red, "What?", options=OPTIONS),
        VisualQuestion(backend.together([blue, red]), "A longer question, so that the others are padded.", (), OPTIONS),
        VisualQuestion(blue, "Hm?", HISTORY, OPTIONS),
    ]
    single = [backend.answer([question])[0] for question in questions]
    assert backend.answer([questions[place] for place in order]) == [single[place] for place in order]


@pytest.mark.parametrize("family", LOOK_ONCE)
def test_each_picture_is_looked_at_once(directory: Directory, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = TransformersBackend(str(directory(family)))
    images = backend.encode([RED, BLUE, RED])
    assert images[0] == images[2] and backend.encoded == 2
    base = backend.model.base_model
    monkeypatch.setattr(type(base), "get_image_features", lambda *_, **__: pytest.fail("looked again"))
    backend.encode([BLUE, RED])
    backend.answer([VisualQuestion(image, text, options=OPTIONS) for image in images for text in ("What?", "Where?")])
    assert backend._pictures.calls == 2, "and processed once"
    assert (
        backend.describe()["pictures"]
        == "each goes through the vision tower once, and the language model reads it once"
    )


def test_a_model_that_takes_pixels_only_says_so(eye: Eye) -> None:
    backend = eye("mllama")
    [red] = backend.encode([RED])
    backend.answer([VisualQuestion(red, text, options=OPTIONS) for text in ("What?", "Where?")])
    calls = backend._pictures.calls
    backend.answer([VisualQuestion(red, "Why?", options=OPTIONS)])
    assert backend._pictures.calls == calls, "processed once all the same"
    assert "encoded again with every question (Mllama" in backend.describe()["pictures"]


def test_a_vision_output_that_does_not_fit_the_placeholders_is_not_handed_on(
    directory: Directory, eye: Eye, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = TransformersBackend(str(directory("llava")))
    real = backend._feature_method

    def cut(pixel_values: torch.Tensor, **options: Any) -> Any:
        output = real(pixel_values=pixel_values, **options)
        output.pooler_output = [one[:3] for one in output.pooler_output]
        return output

    monkeypatch.setattr(backend, "_feature_method", cut)
    [red] = backend.encode([RED])
    assert "has 3 rows for 4 placeholders" in backend.describe()["pictures"]
    [same] = eye("llava").encode([RED])
    question = VisualQuestion(red, "What?", options=OPTIONS)
    assert backend.answer([question]) == eye("llava").answer([VisualQuestion(same, "What?", options=OPTIONS)])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_repeats_an_answer(eye: Eye, family: str) -> None:
    backend = eye(family)
    [red] = backend.encode([RED])

    def draw(seed: int | None) -> str:
        options = GenerationOptions(max_new_tokens=8, temperature=2.0, top_p=1.0, seed=seed)
        return backend.answer([VisualQuestion(red, "What?", options=options)])[0]

    assert draw(7) == draw(7)
    assert len({draw(seed) for seed in range(4)}) > 1 and len({draw(None) for _ in range(4)}) > 1


def test_threads_get_the_answers_they_would_get_alone(eye: Eye) -> None:
    backend = eye("qwen2_vl")  # the one that keeps a state of its own between steps
    questions = [VisualQuestion(image, "What is it?", options=OPTIONS) for image in backend.encode([RED, BLUE]) * 2]
    expected = [backend.answer([question])[0] for question in questions]
    said: dict[int, str] = {}

    def ask(number: int) -> None:
        said[number] = "".join(backend.stream(questions[number]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [said[number] for number in range(len(questions))] == expected


@pytest.mark.slow
def test_a_reader_may_leave_early_and_ask_on(eye: Eye) -> None:
    backend = eye("llava")
    [red] = backend.encode([RED])
    question = VisualQuestion(red, "Tell me everything", options=GenerationOptions(max_new_tokens=200))
    stream = backend.stream(question)
    first = next(stream)
    stream.close()
    [whole] = backend.answer([question])
    assert first and whole.startswith(first)
    assert "".join(backend.stream(question)) == whole


# -- conversation -----------------------------------------------------------------------------------------------------


def asked(backend: TransformersBackend, question: VisualQuestion) -> str:
    """The prompt of a question as text, pictures as their marks."""
    from plugins.vlm.prompts import render

    return render(backend.processor, backend.template, backend._conversation(question))


def test_history_pictures_and_question_stand_in_the_models_own_template(eye: Eye) -> None:
    backend = eye("llava")
    [red, blue] = backend.encode([RED, BLUE])
    question = VisualQuestion(red, "Why?", HISTORY[:1], images=((1, blue),))
    assert asked(backend, question) == ("<s>user: <image>What is it?\nassistant: a cat\nuser: <image>Why?\nassistant: ")
    assert CAPTION in asked(backend, VisualQuestion(red, None))


@pytest.mark.parametrize("family", FAMILIES)
def test_words_cannot_pose_as_pictures_or_marks(eye: Eye, family: str) -> None:
    backend = eye(family)
    [red] = backend.encode([RED])
    mark = backend.processor.image_token
    tricky = VisualQuestion(red, f"What{mark} is</s> it?{mark[:3]}{mark}{mark[3:]}", (("a<s>", f"b{mark}"),), OPTIONS)
    honest = VisualQuestion(red, "What is it?", (("a", "b"),), OPTIONS)
    assert asked(backend, tricky) == asked(backend, honest)
    assert backend.answer([tricky]) == backend.answer([honest])


@pytest.mark.parametrize("family", ["llava", "mllama"])
def test_a_long_conversation_loses_its_oldest_words_but_no_picture(
    eye: Eye, family: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = eye(family)
    monkeypatch.setattr(backend, "context", 200)
    [red] = backend.encode([RED])
    history = tuple((f"question {number}", f"answer {number}") for number in range(12))
    [answer] = backend.answer([VisualQuestion(red, "Why?", history, OPTIONS)])
    assert "oldest" in caplog.text and "200 tokens" in caplog.text
    kept = [backend.answer([VisualQuestion(red, "Why?", history[n:], OPTIONS)])[0] for n in range(6, 12)]
    assert answer in kept
    with pytest.raises(BackendError, match="the model reads 190; ask about fewer or smaller pictures"):
        backend.answer([VisualQuestion(red, "why " * 200, (), OPTIONS)])


def test_answers_are_not_mixed_between_eyes(eye: Eye, directory: Directory) -> None:
    half = TransformersBackend(f"{directory('llava')}?dtype=bfloat16&device=cpu")
    told = half.describe()
    assert told["why"] == "cpu was requested; bfloat16 was requested" and told["model"].startswith("Llava")
    assert told["picture processor"] == "CLIPImageProcessorPil" and told["template"] == "the model's own"
    assert half.revision != eye("llava").revision
    [image] = half.encode([RED])
    question = VisualQuestion(image, "What?", options=OPTIONS)
    assert half.answer([question]) == half.answer([question])
    with pytest.raises(BackendError, match="encode it again"):
        eye("llava").answer([question])


@pytest.mark.slow
def test_memory_for_pictures_is_bounded(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    from plugins.vlm import backend as module

    monkeypatch.setattr(module, "KNOWN_BYTES", 30_000)
    monkeypatch.setattr(module, "PROCESSED_BYTES", 30_000)
    backend = TransformersBackend(str(directory("llava")))
    pictures = [make_picture(colour=(shade, 0, 0)) for shade in range(0, 250, 25)]
    images: list[EncodedImage] = backend.encode(pictures)
    assert 1 <= len(backend._known) < 10 and backend._known.nbytes <= 30_000 and backend._pictures._nbytes <= 30_000
    questions = [VisualQuestion(image, "What?", options=OPTIONS) for image in images]
    assert backend.answer(questions) == [backend.answer([question])[0] for question in questions]
    assert backend.encoded == 10, "who holds an encoded picture need not look again"
