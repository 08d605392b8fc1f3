"""What the language model read is read once: the same answers as without, fewer tokens, within its memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.testing import make_picture
from core.vision import EncodedImage, GenerationOptions, VisualQuestion
from plugins.hf.generation import GREEDY_SEARCH
from plugins.vlm import backend as module
from plugins.vlm import features
from plugins.vlm.backend import TransformersBackend
from plugins.vlm.prefix_reader import RowTokens
from plugins.vlm.prompts import PromptRow
from tests.plugins.vlm.tiny_vlm import FAMILIES, MORE

FIT = ("llava", "idefics3", "qwen2_vl", "qwen3_vl")  # all of their layers keep what they read
CLOSE = 1e-3  # of logits that spread over some 20
OPTIONS = GenerationOptions(max_new_tokens=6)
SAMPLED = GenerationOptions(max_new_tokens=6, temperature=1.5, seed=3)
HISTORY = (("What is it?", "a cat"), ("Where? " * 8, "on a mat"))
RED, BLUE, GREEN = make_picture(64, 48, (255, 0, 0)), make_picture(30, 60, (0, 0, 255)), make_picture(9, 9, (0, 255, 0))
Pair = tuple[TransformersBackend, TransformersBackend]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """Per family an eye that keeps what it read, and one that reads everything with every question."""
    made: dict[str, Pair] = {}

    def make(family: str) -> Pair:
        if family not in made:
            directory = tmp_path_factory.mktemp(family)
            (FAMILIES | MORE)[family](directory)
            made[family] = TransformersBackend(str(directory)), without_reuse(directory)
        return made[family]

    return make


def without_reuse(directory: Path | str) -> TransformersBackend:
    plain = TransformersBackend(str(directory))
    plain._reader.why_not = "it is the one to compare with"
    return plain


def see(eye: TransformersBackend) -> list[EncodedImage]:
    return eye.encode([RED, BLUE, GREEN])


def some_questions(eye: TransformersBackend, options: GenerationOptions = OPTIONS) -> list[VisualQuestion]:
    """Several about one picture, about two at once, a picture that comes up later, conversations of any length."""
    red, blue, green = see(eye)
    both = eye.together([red, blue])
    return [
        VisualQuestion(red, "What?", (), options),
        VisualQuestion(red, "Is there a cat in it, or a dog? 猫", (), options),
        VisualQuestion(blue, "What?", (), options),
        VisualQuestion(red, "Why?", HISTORY, options),
        VisualQuestion(red, "Why not?", HISTORY, options),
        VisualQuestion(both, "Which is darker?", (), options),
        VisualQuestion(both, "Which is larger?", HISTORY[:1], options),
        VisualQuestion(red, "And this?", HISTORY[:1], options, ((1, green),)),
        VisualQuestion(red, "And that?", HISTORY[:1], options, ((1, blue),)),
        VisualQuestion(green, None, (), options),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("options", [OPTIONS, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("family", FIT)
def test_what_was_read_before_changes_no_answer(
    pair: Callable[[str], Pair], family: str, options: GenerationOptions
) -> None:
    keeping, plain = pair(family)
    expected = [plain.answer([question])[0] for question in some_questions(plain, options)]
    questions = some_questions(keeping, options)
    keeping._reader.store.clear()
    assert len(set(expected)) > 4, "pictures and questions matter"
    assert keeping.answer(questions) == expected
    assert keeping.answer(questions[::-1]) == expected[::-1], "from what was kept"
    assert [keeping.answer([question])[0] for question in questions] == expected
    assert ["".join(keeping.stream(question)) for question in questions] == expected
    assert not keeping._reader.why_not and keeping._reader.store.nbytes > 0
    assert plain._reader.store.nbytes == 0


def logits(eye: TransformersBackend, questions: Sequence[VisualQuestion]) -> torch.Tensor:
    """(questions, vocabulary) of the first token to be said."""
    rows = [eye._prepare(eye._conversation(question)) for question in questions]
    with eye._answering("answer"):
        reading = eye._reader.begin(rows)
        assert reading is not None
        said = eye.model.generate(
            **reading.arguments,
            **GREEDY_SEARCH,
            max_new_tokens=1,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        eye._reader.keep(reading)
    found: torch.Tensor = said.logits[0]
    return found


@pytest.mark.parametrize("family", FIT)
def test_logits_differ_by_rounding_only(pair: Callable[[str], Pair], family: str) -> None:
    keeping, plain = pair(family)
    expected = torch.cat([logits(plain, [question]) for question in some_questions(plain)])
    questions = some_questions(keeping)
    keeping._reader.store.clear()
    for _ in range(2):
        assert (logits(keeping, questions) - expected).abs().max() < CLOSE
    alone = torch.cat([logits(keeping, [question]) for question in questions])
    assert (alone - expected).abs().max() < CLOSE


@pytest.mark.parametrize("family", FIT)
def test_bfloat16_differs_by_its_rounding_only(pair: Callable[[str], Pair], family: str) -> None:
    _, plain = pair(family)
    expected = torch.cat([logits(plain, [question]) for question in some_questions(plain)])
    half = TransformersBackend(f"{plain._directory.path}?dtype=bfloat16&device=cpu")
    questions = some_questions(half)
    for _ in range(2):
        error = (logits(half, questions).float() - expected).pow(2).mean().sqrt() / expected.std()
        assert error < 0.15
    assert not half._reader.why_not and half._reader.store.nbytes > 0


talks = st.tuples(
    st.lists(st.tuples(st.text(alphabet="ab ?猫", max_size=9), st.text(alphabet="ab ?猫", max_size=9)), max_size=2),
    st.lists(st.integers(0, 2), min_size=1, max_size=3),
    st.text(alphabet="ab ?猫", max_size=9),
)


@pytest.mark.slow
@pytest.mark.parametrize("family", FIT)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.lists(talks, min_size=1, max_size=4), data=st.data())
def test_random_conversations_read_the_same(
    pair: Callable[[str], Pair], family: str, batch: list[Any], data: st.DataObject
) -> None:
    """Pictures come up at the beginning or at any later turn; what earlier examples left behind must not matter."""
    places = [[data.draw(st.integers(0, len(history))) for _ in shown[1:]] for history, shown, _ in batch]
    answers = []
    for eye in pair(family):
        seen = see(eye)
        questions = [
            VisualQuestion(
                seen[shown[0]],
                words,
                tuple(history),
                GenerationOptions(max_new_tokens=3),
                tuple(sorted(zip(turns, (seen[other] for other in shown[1:]), strict=True), key=lambda pair: pair[0])),
            )
            for (history, shown, words), turns in zip(batch, places, strict=True)
        ]
        answers.append(eye.answer(questions))
        answers.append([eye.answer([question])[0] for question in questions])
        answers.append(["".join(eye.stream(question)) for question in questions])
    assert all(one == answers[0] for one in answers)


# -- nothing twice ----------------------------------------------------------------------------------------------------


@pytest.fixture
def passed() -> list[int]:
    """Tokens that went through the language model, padding included, one number per pass."""
    return []


def watch(eye: TransformersBackend, passed: list[int]) -> None:
    def count(layer: object, given: tuple[torch.Tensor, ...], named: dict[str, Any]) -> None:
        hidden = given[0] if given else named["hidden_states"]
        passed.append(math.prod(hidden.shape[:2]))

    eye.model.get_decoder().layers[0].register_forward_pre_hook(count, with_kwargs=True)


def tokens(eye: TransformersBackend, question: VisualQuestion) -> RowTokens:
    row: PromptRow = eye._prepare(eye._conversation(question))
    found = eye._reader._tokens(row)
    assert found is not None
    return found


@pytest.mark.parametrize("family", FIT)
def test_many_questions_read_their_picture_once(pair: Callable[[str], Pair], family: str, passed: list[int]) -> None:
    eye = TransformersBackend(str(pair(family)[0]._directory.path))
    red, blue, _ = see(eye)
    one = GenerationOptions(max_new_tokens=1)
    eye.answer([VisualQuestion(blue, text, (), one) for text in ("What?", "Why?")])  # tries once whether it may
    watch(eye, passed)
    questions = [VisualQuestion(red, f"{text} it?", (), one) for text in ("Is", "Was", "Will", "May", "Can")]
    rows = [tokens(eye, question).keys for question in questions]
    shared = next(place for place, keys in enumerate(zip(*rows, strict=False)) if len(set(keys)) > 1)
    rest = max(map(len, rows)) - shared
    looked = eye.encoded
    first = eye.answer(questions)
    assert passed == [shared, 5 * rest], "the picture and the words before the questions once, then what differs"
    assert tokens(eye, questions[0]).places[-1][1] <= shared
    passed.clear()
    assert eye.answer(questions) == first
    assert passed == [5 * rest], "and nothing of the picture when they are asked again"
    passed.clear()
    eye.answer([VisualQuestion(red, "Must it?", (), one)])
    assert passed == [len(tokens(eye, VisualQuestion(red, "Must it?")).keys) - shared]
    assert eye.encoded == looked


@pytest.mark.parametrize("family", FIT)
def test_a_turn_reads_only_what_is_new(pair: Callable[[str], Pair], family: str, passed: list[int]) -> None:
    eye = TransformersBackend(str(pair(family)[0]._directory.path))
    red, *_ = see(eye)
    one = GenerationOptions(max_new_tokens=1)
    turns = [VisualQuestion(red, "What?", HISTORY[:count], one) for count in range(3)]
    eye.answer(turns[:1])
    eye.answer(turns[:1])  # tries once whether it may
    watch(eye, passed)
    for question in turns[1:]:
        passed.clear()
        eye.answer([question])
        whole = tokens(eye, question)
        assert sum(passed) < len(whole.keys) - whole.places[-1][1]


@pytest.mark.parametrize("limit", [0, 40_000])
def test_what_is_kept_stays_within_its_bytes(
    pair: Callable[[str], Pair], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping, _ = pair("llava")
    expected = keeping.answer(some_questions(keeping))
    monkeypatch.setattr(module, "READ_BYTES", limit)
    eye = TransformersBackend(str(keeping._directory.path))
    for _ in range(2):
        assert eye.answer(some_questions(eye)) == expected
        assert eye._reader.store.nbytes <= limit
    eye.close()
    assert eye._reader.store.nbytes == 0


def test_memory_that_is_wanted_elsewhere_is_given_back(
    pair: Callable[[str], Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping, _ = pair("llava")
    eye = TransformersBackend(str(keeping._directory.path))
    questions = some_questions(eye)
    expected = eye.answer(questions)
    kept = eye._reader.store.nbytes

    def full(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if eye._reader.store.nbytes:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return real(*given, **named)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(eye.model, "generate", full(eye.model.generate))
        assert kept > 0 and eye.answer(questions[:1]) == expected[:1]
    assert eye._reader.store.nbytes > 0
    with monkeypatch.context() as patch:
        patch.setattr(features, "features", full(features.features))
        [image] = eye.encode([make_picture(colour=(1, 2, 3))])
    assert image.data[0].features is not None and eye._reader.store.nbytes == 0


# -- models that it does not do for -----------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gemma3", "mllama"])
def test_a_model_that_cannot_take_over_says_so_and_answers(pair: Callable[[str], Pair], family: str) -> None:
    eye, plain = pair(family)
    assert eye.answer(some_questions(eye)[:5]) == plain.answer(some_questions(plain)[:5])
    assert eye._reader.store.nbytes == 0
    if family == "gemma3":  # its layers see a window of the last tokens only
        told = eye.describe()["pictures"]
        assert told.endswith("reads it again with every question (not all of its layers keep what they read)")


def test_a_model_whose_tokens_look_ahead_is_found_out(pair: Callable[[str], Pair]) -> None:
    """A stand-in for models that read their whole prompt in both directions: every token gets a share of all."""
    directory = pair("llava")[0]._directory.path
    eye, plain = TransformersBackend(str(directory)), without_reuse(directory)
    for one in (eye, plain):
        one.model.get_decoder().layers[0].register_forward_pre_hook(
            lambda layer, given: (given[0] + given[0].mean(1, keepdim=True), *given[1:])
        )
    questions = [some_questions(eye)[place] for place in (0, 1, 3)]
    expected = [plain.answer([question])[0] for question in questions]
    assert [eye.answer([question])[0] for question in questions] == expected
    assert eye._reader.why_not == "what it reads of a picture depends on what follows"
    assert "reads it again with every question (what it reads" in eye.describe()["pictures"]
    assert eye._reader.store.nbytes == 0
