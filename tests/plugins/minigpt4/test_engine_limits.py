"""Where answers end, what is told when something does not fit, and what is kept within which bounds."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from core.errors import BackendError, UsageError
from plugins.hf.generation import GREEDY, DecodingOptions, Sampler, StreamDecoder
from plugins.minigpt4.runtime.conversation import ImageTokens, PromptTurns
from plugins.minigpt4.runtime.engine import ORIGINAL, Engine
from plugins.minigpt4.runtime.prefixes import Prefix, PrefixStore
from tests.plugins.minigpt4.tiny import make_engine, make_llama_tokenizer, make_model, make_tokenizer, see

SHORT = replace(GREEDY, max_new_tokens=12)
Says = Callable[..., None]


@pytest.fixture(scope="module")
def model() -> object:
    return make_model()


@pytest.fixture
def engine(model: object) -> Engine:
    return make_engine(model=model)


@pytest.fixture
def model_says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """Lets the model of the next batch say given texts, one per row; a list is token by token."""

    def script(*lines: str | list[str], end: bool = True) -> None:
        tokenizer = make_tokenizer()
        ids: list[list[int]] = []
        for line in lines:
            pieces = [line] if isinstance(line, str) else line
            tokens = [token for piece in pieces for token in tokenizer(piece, add_special_tokens=False).input_ids]
            ids.append(tokens + [2] * 99 if end else tokens * 50)

        def choose(self: Sampler, logits: torch.Tensor, generated: torch.Tensor) -> torch.Tensor:
            return torch.tensor([row[generated.shape[1]] for row in ids])

        monkeypatch.setattr(Sampler, "choose", choose)

    return script


def talks(engine: Engine, count: int) -> list[PromptTurns]:
    [one] = see(engine, 1)
    return [PromptTurns().ask(one, f"question {number}") for number in range(count)]


def test_each_row_stops_by_itself(engine: Engine, model_says: Says) -> None:
    model_says("A cat.###Human: and?", "This goes on for longer than the first.", "one ## two #three### no", "end")
    answers = engine.answer(talks(engine, 4), replace(GREEDY, max_new_tokens=60))
    assert [answer.text for answer in answers] == [
        "A cat.", "This goes on for longer than the first.", "one ## two #three", "end",
    ]  # fmt: skip
    assert {answer.reason for answer in answers} == {"stop"}


@pytest.mark.parametrize("stop", [["###"], ["##", "#"], ["#", "#", "#"], ["x##", "##"]])
def test_a_stop_string_counts_however_it_is_tokenised(engine: Engine, model_says: Says, stop: list[str]) -> None:
    model_says(["said ", *stop, "Human: not said"])
    pieces = list(engine.stream(talks(engine, 1)[0], replace(GREEDY, max_new_tokens=40)))
    assert "".join(pieces) == ("said x" if "x" in stop[0] else "said")


def test_an_answer_that_reaches_its_length_says_so(engine: Engine, model_says: Says) -> None:
    model_says("ab", end=False)
    [answer] = engine.answer(talks(engine, 1), replace(GREEDY, max_new_tokens=7))
    assert (answer.text, answer.reason, answer.output_tokens) == ("abababa", "length", 7)


def test_characters_of_several_tokens_are_told_whole(engine: Engine, model_says: Says) -> None:
    model_says("  猫 und Füße 🐈‍⬛  ")
    pieces = list(engine.stream(talks(engine, 1)[0], replace(GREEDY, max_new_tokens=60)))
    assert "".join(pieces) == "猫 und Füße 🐈‍⬛"
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)


def test_what_was_held_back_comes_at_the_end(engine: Engine, model_says: Says) -> None:
    model_says("written in C#")
    assert "".join(engine.stream(talks(engine, 1)[0], replace(GREEDY, max_new_tokens=60))) == "written in C#"
    speech = StreamDecoder(make_tokenizer(), ("###",))
    told = [speech.feed(token) for token in make_tokenizer()("# ## C", add_special_tokens=False).input_ids]
    assert "".join(told) + speech.close() == "# ## C"


@pytest.mark.parametrize("stop", [["▁###"], ["▁##", "#"], ["##", "#"], ["#", "##", "#"]])
def test_a_tokenizer_like_llamas_tells_the_same(stop: list[str]) -> None:
    tokenizer = make_llama_tokenizer()
    said = tokenizer("eine 猫 und zwei füße", add_special_tokens=False).input_ids
    speech = StreamDecoder(tokenizer, ("###",))
    pieces = [speech.feed(token) for token in [*said, *tokenizer.convert_tokens_to_ids(stop)]]
    assert speech.stopped and speech.close() == ""
    assert "".join(pieces) == speech.text == "eine 猫 und zwei füße"
    assert sum(map(bool, pieces)) > 12 and not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


# -- context ----------------------------------------------------------------------------------------------------------


def long_talk(engine: Engine, exchanges: int) -> PromptTurns:
    one, two = see(engine, 1, 2)
    talk = PromptTurns()
    for number in range(exchanges):
        pictures = {0: (one,), 1: (two,)}.get(number, ())
        talk = talk.ask(*pictures, f"question number {number}").answered(f"answer number {number}")
    return talk.ask("the last question")


def test_when_the_context_is_full_the_oldest_exchanges_go(model: object) -> None:
    heard: list[str] = []
    engine = make_engine(model=model, context=300, notify=heard.append)
    talk = long_talk(engine, 12)
    [answer] = engine.answer([talk], SHORT)
    kept = engine.rows.row(talk, 12)
    assert kept.dropped > 2 and answer.input_tokens == len(kept.keys) <= 300 - 12
    assert [part.key for part in kept.parts if isinstance(part, ImageTokens)] == ["picture 1", "picture 2"]
    text = "".join(engine.tokenizer.decode(part) for part in kept.parts if not isinstance(part, ImageTokens))
    assert "Give the following image" in text and "the last question" in text
    assert "number 0" not in text and f"number {kept.dropped}" in text and "number 11" in text
    assert heard == list(kept.notices) and f"{kept.dropped} exchanges" in heard[0]
    assert "".join(engine.stream(talk, SHORT)) == answer.text and heard == [heard[0]] * 2
    assert answer.text == make_engine(model=model).answer([talk.without_oldest(kept.dropped)], SHORT)[0].text


def test_no_more_goes_than_must(model: object) -> None:
    engine = make_engine(model=model, context=300)
    row = engine.rows.row(long_talk(engine, 12), 12)
    parts = engine.rows.tokens(long_talk(engine, 12).without_oldest(row.dropped - 1))
    assert sum(map(len, parts)) > 300 - 12


def test_a_question_that_is_too_long_loses_its_end(model: object) -> None:
    heard: list[str] = []
    engine = make_engine(model=model, context=300, notify=heard.append)
    [one] = see(engine, 1)
    [answer] = engine.answer([PromptTurns().ask(one, "abc " * 300)], SHORT)
    assert answer.input_tokens is not None and answer.input_tokens <= 300 - 12
    assert len(heard) == 1 and "question is too long" in heard[0]


def test_pictures_that_do_not_fit_are_one_clear_line(model: object) -> None:
    engine = make_engine(model=model, context=200)
    with pytest.raises(BackendError, match="20 pictures and the instructions alone") as error:
        engine.answer([PromptTurns().ask(*see(engine, *range(20)), "what?")], SHORT)
    assert "\n" not in str(error.value)


def test_a_conversation_without_a_question_is_an_error(engine: Engine) -> None:
    with pytest.raises(BackendError, match="no open question"):
        engine.answer([PromptTurns()], SHORT)


# -- decoding ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_seed_repeats_an_answer_alone_and_in_a_batch(engine: Engine) -> None:
    options = replace(ORIGINAL, max_new_tokens=12, temperature=2.0, seed=7)
    batch = talks(engine, 3)
    first = engine.answer(batch, options)
    assert [engine.answer([talk], options)[0].text for talk in batch] == [answer.text for answer in first]
    others = {engine.answer(batch[:1], replace(options, seed=seed))[0].text for seed in range(6)}
    assert len(others) > 1
    unseeded = {engine.answer(batch[:1], replace(options, seed=None))[0].text for _ in range(6)}
    assert len(unseeded) > 1


def test_the_originals_defaults() -> None:
    assert DecodingOptions(300, True, 1.0, 0.9, 50, 1, 1.05, 1.0, 1, None) == ORIGINAL


def test_sampling_follows_the_probabilities() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05])).repeat(2000, 1)
    drawn = Sampler(DecodingOptions(do_sample=True), 2000).choose(logits, torch.empty((2000, 0), dtype=torch.long))
    shares = torch.bincount(drawn, minlength=4) / 2000
    assert torch.allclose(shares, torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.06)
    nucleus = Sampler(DecodingOptions(do_sample=True, top_p=0.6), 2000)
    assert set(nucleus.choose(logits, torch.empty((2000, 0), dtype=torch.long)).tolist()) == {0, 1}


def test_repetition_penalty_and_minimum_length_act(engine: Engine) -> None:
    logits = torch.tensor([[0.0, 0.0, 5.0, 4.0]])
    nothing, three = torch.empty((1, 0), dtype=torch.long), torch.tensor([[3]])
    assert Sampler(GREEDY, 1, eos_token_ids=[2]).choose(logits, nothing).item() == 2
    assert Sampler(replace(GREEDY, min_length=1), 1, eos_token_ids=[2]).choose(logits, nothing).item() == 3
    punished = Sampler(replace(GREEDY, repetition_penalty=9.0), 1, suppress_tokens=[2])
    assert punished.choose(logits, three).item() in {0, 1, 3}
    assert punished.processors(three, logits)[0, 3].item() == pytest.approx(4 / 9)


def test_beams_equal_those_of_transformers(engine: Engine) -> None:
    batch = talks(engine, 2)
    answers = engine.answer(batch, replace(SHORT, num_beams=3))
    assert [engine.answer([talk], replace(SHORT, num_beams=3))[0].text for talk in batch] == [a.text for a in answers]
    row = engine.rows.row(batch[0], 12)
    with torch.inference_mode():
        ids = engine.language_model.generate(
            inputs_embeds=engine._embed(row, 0, len(row.keys))[None], num_beams=3, max_new_tokens=12,
            suppress_tokens=engine.suppress_tokens,
        )  # fmt: skip
    text = engine.tokenizer.decode(ids[0], skip_special_tokens=True).split("###")[0].strip()
    assert answers[0].text == text
    assert "".join(engine.stream(batch[0], replace(SHORT, num_beams=3))) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0), ("top_p", 0), ("top_p", 1.1), ("max_new_tokens", 0), ("num_beams", 0), ("top_k", -1)],
)
def test_impossible_options_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{name} is {value}"):
        DecodingOptions(**{name: value})


def test_the_placeholder_is_never_said(engine: Engine) -> None:
    assert engine.suppress_tokens == [engine.model.config.image_token_index]


# -- memory -----------------------------------------------------------------------------------------------------------


def test_prefixes_stay_within_their_bytes_and_the_oldest_goes() -> None:
    def prefix(*keys: int) -> Prefix:
        return Prefix(keys, [(torch.zeros(1, 1, len(keys), 4), torch.zeros(1, 1, len(keys), 4))])

    store = PrefixStore(limit=2 * prefix(1, 2, 3).nbytes)
    store.add(prefix(1, 2, 3))
    store.add(prefix(4, 5, 6))
    assert store.find((1, 2, 9))[1] == 2, "and it is the younger one now"
    store.add(prefix(7, 8, 9))
    assert store.nbytes <= store.limit and len(store) == 2
    assert store.find((4, 5, 6)) == (None, 0)
    assert store.find((1, 2, 3, 4))[1] == 3
    store.add(prefix(1, 2))
    assert len(store) == 2, "a longer one contains it"
    store.add(prefix(1, 2, 3, 4))
    assert store.find((1, 2, 3, 4))[1] == 4 and store.nbytes <= store.limit
    store.add(prefix(*range(100, 200)))
    assert len(store) <= 2, "what is larger than the limit is not kept"


@pytest.mark.parametrize("limit", [0, 60_000])
def test_answers_do_not_depend_on_what_is_kept(model: object, limit: int) -> None:
    small, large = make_engine(model=model, cache_bytes=limit), make_engine(model=model)
    batch = talks(large, 3)
    for _ in range(2):
        assert small.answer(batch, SHORT) == large.answer(batch, SHORT)
        assert small.store.nbytes <= limit
    assert large.store.nbytes > 0
    large.forget()
    assert large.store.nbytes == 0


def out_of_memory(engine: Engine, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """From `rows` rows on the memory does not suffice."""
    real = engine.language_model.forward

    @functools.wraps(real)
    def forward(input_ids: torch.Tensor | None = None, **inputs: Any) -> Any:
        given = input_ids if input_ids is not None else inputs["inputs_embeds"]
        if len(given) >= rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(input_ids=input_ids, **inputs)

    monkeypatch.setattr(engine.language_model, "forward", forward)


def test_out_of_memory_halves_the_batch_and_says_so(model: object, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    engine = make_engine(model=model, notify=heard.append)
    batch = talks(engine, 4)
    expected = make_engine(model=model).answer(batch, SHORT)
    out_of_memory(engine, monkeypatch, rows=3)
    assert engine.answer(batch, SHORT) == expected
    assert heard == ["not enough memory for 4 questions at a time: going on with 2 at a time."]


def test_out_of_memory_twice_is_one_clear_line(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = talks(engine, 4)
    out_of_memory(engine, monkeypatch, rows=1)
    with pytest.raises(BackendError, match="not enough memory for one question") as error:
        engine.answer(batch, SHORT)
    assert "\n" not in str(error.value)
    with pytest.raises(BackendError, match="not enough memory"):
        list(engine.stream(batch[0], SHORT))


def test_threads_get_the_answers_they_would_get_alone(model: object) -> None:
    engine = make_engine(model=model)
    batch = talks(engine, 6)
    expected = [answer.text for answer in make_engine(model=model).answer(batch, SHORT)]
    said: dict[int, str] = {}

    def ask(number: int) -> None:
        said[number] = "".join(engine.stream(batch[number], SHORT))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [said[number] for number in range(6)] == expected
