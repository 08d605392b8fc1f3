"""Numbers behind BLIP-2's words: padding, order, batches and caches change nothing by more than rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.vision import Reply
from plugins.blip2.engine import OptEngine, T5Engine
from plugins.hf.generation import GREEDY, DecodingOptions
from plugins.minigpt4.runtime.conversation import ImageTokens, PromptTurns
from plugins.minigpt4.runtime.prefixes import slice_cache
from plugins.minigpt4.runtime.rows import GenerationRow
from tests.plugins.blip2.tiny_blip2 import make_model, make_tokenizer

KINDS = ("opt", "t5")
CLOSE = 1e-3
FEW = replace(GREEDY, max_new_tokens=4)
SAMPLED = DecodingOptions(max_new_tokens=4, do_sample=True, temperature=1.5, top_p=0.9, seed=5)
BOUNDED = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

words = st.text(alphabet="ab ?é猫.", max_size=12)
talks = st.tuples(st.lists(st.tuples(words, words), max_size=2), st.one_of(st.none(), words), st.integers(0, 2))
Talk = tuple[list[tuple[str, str]], str | None, int]


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {kind: make_model(kind) for kind in KINDS}


def make_engine(kind: str, model: Any) -> OptEngine | T5Engine:
    return (OptEngine if kind == "opt" else T5Engine)(model, make_tokenizer(kind))


def see(engine: OptEngine | T5Engine) -> list[ImageTokens]:
    """Three encoded random pictures, each alone, so that a batch cannot change the last bit."""
    pictures = [torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    return [ImageTokens(f"picture {place}", engine.encode(picture)[0]) for place, picture in enumerate(pictures)]


def conversation(talk: Talk, seen: Sequence[ImageTokens]) -> PromptTurns:
    """A picture, then pairs of question and answer, then the open question; without one the plain caption."""
    earlier, question, picture = talk
    first: tuple[ImageTokens, ...] = (seen[picture],)
    made = PromptTurns()
    if question is None:
        return made.ask(*first)
    for asked, answered in earlier:
        made, first = made.ask(*first, asked).answered(answered), ()
    return made.ask(*first, question)


def some_talks(engine: OptEngine | T5Engine) -> list[PromptTurns]:
    """Rows of different lengths."""
    some: list[Talk] = [
        ([], "What?", 0),
        ([("What is it?", "a cat"), ("Where?", "on a mat")], "A longer question, so that there is much to pad.", 1),
        ([], None, 2),
    ]
    return [conversation(talk, see(engine)) for talk in some]


def row(engine: OptEngine | T5Engine, talk: PromptTurns) -> GenerationRow:
    return engine.rows.row(talk, 4)


def logits(engine: OptEngine | T5Engine, row: GenerationRow) -> torch.Tensor:
    """(tokens, vocabulary) of a whole row, by OPT alone."""
    with torch.inference_mode():
        found: torch.Tensor = engine.language_model(inputs_embeds=engine._embed(row, 0, len(row.keys))[None]).logits[0]
    return found


def first_logits(engine: T5Engine, rows: list[GenerationRow]) -> torch.Tensor:
    """(rows, vocabulary) of the first token that T5 says."""
    start = torch.full((len(rows), 1), engine.language_model.config.decoder_start_token_id)
    with torch.inference_mode():
        found: torch.Tensor = engine.language_model(decoder_input_ids=start, **engine._prompt(rows)[1]).logits[:, -1]
    return found


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_padding_on_any_side_changes_no_position_of_opt(models: dict[str, Any], side: str) -> None:
    engine = OptEngine(models["opt"], make_tokenizer("opt"))
    rows = [row(engine, talk) for talk in some_talks(engine)]
    lengths = [len(one.keys) for one in rows]
    widest = max(lengths) + 5
    before = {"left": [widest - n for n in lengths], "right": [0] * 3, "both": [2, 0, 4]}[side]
    mask = torch.zeros(len(rows), widest, dtype=torch.long)
    padded = []
    for place, (one, start, length) in enumerate(zip(rows, before, lengths, strict=True)):
        mask[place, start : start + length] = 1
        padded.append(F.pad(engine._embed(one, 0, length), (0, 0, start, widest - start - length), value=9.0))
    with torch.inference_mode():
        batch = engine.language_model(
            inputs_embeds=torch.stack(padded),
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        ).logits
    for place, one in enumerate(rows):
        found = batch[place, before[place] : before[place] + lengths[place]]
        assert (found - logits(engine, one)).abs().max() < CLOSE


def test_padding_on_the_right_changes_no_position_of_t5(models: dict[str, Any]) -> None:
    engine = T5Engine(models["t5"], make_tokenizer("t5"))
    rows = [row(engine, talk) for talk in some_talks(engine)]
    with torch.inference_mode():
        inputs = engine._prompt(rows)[1]
        together, mask = inputs["encoder_outputs"].last_hidden_state, inputs["attention_mask"]
        for place, one in enumerate(rows):
            [alone] = engine._prompt([one])[1]["encoder_outputs"].last_hidden_state
            assert int(mask[place].sum()) == len(alone) == len(one.keys)
            assert (together[place, : len(alone)] - alone).abs().max() < CLOSE
    batch = first_logits(engine, rows)
    assert (batch - torch.cat([first_logits(engine, [one]) for one in rows])).abs().max() < CLOSE


@BOUNDED
@given(talk=talks, data=st.data())
def test_wherever_a_prefix_was_cut_opt_reads_the_rest_the_same(
    models: dict[str, Any], talk: Talk, data: st.DataObject
) -> None:
    engine = OptEngine(models["opt"], make_tokenizer("opt"))
    one = row(engine, conversation(talk, see(engine)))
    expected = logits(engine, one)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(one.keys)), min_size=1, max_size=3))) + [len(one.keys)]
    with torch.inference_mode():
        for cut in cuts:
            cache, mask, last = engine._read([(one, cut)])
            assert (last[0] - expected[cut - 1]).abs().max() < CLOSE
            engine.store.add(slice_cache(one.keys[:cut], cache, mask, 0))
    assert engine.counts.reused > 0 or len(one.keys) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@BOUNDED
@given(batch=st.lists(talks, min_size=1, max_size=4), data=st.data(), options=st.sampled_from([FEW, SAMPLED]))
def test_random_conversations_say_the_same_alone_in_a_batch_and_in_pieces(
    models: dict[str, Any], kind: str, batch: list[Talk], data: st.DataObject, options: DecodingOptions
) -> None:
    engine = make_engine(kind, models[kind])
    made = [conversation(talk, see(engine)) for talk in batch]
    order = data.draw(st.permutations(range(len(batch))))
    single = []
    for talk in made:
        engine.forget()
        single.append(engine.answer([talk], options)[0])
    assert engine.answer([made[place] for place in order], options) == [single[place] for place in order]
    for talk, answer in zip(made, single, strict=True):
        *pieces, reply = engine.pieces(talk, options)
        assert reply == answer and isinstance(reply, Reply)
        assert "".join(map(str, pieces)) == answer.text


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_differs_by_its_rounding_only(models: dict[str, Any], kind: str) -> None:
    """As a share of the logits' spread; for OPT over whole rows and from the cache, too."""
    exact, half = make_engine(kind, models[kind]), make_engine(kind, make_model(kind).to(torch.bfloat16))

    def error(rough: torch.Tensor, expected: torch.Tensor) -> float:
        return float((rough.float() - expected).pow(2).mean().sqrt() / expected.std())

    for talk, same in zip(some_talks(exact), some_talks(half), strict=True):
        one, other = row(exact, talk), row(half, same)
        if isinstance(exact, T5Engine) and isinstance(half, T5Engine):
            # T5 does not scale what its attention compares, which rounding then moves further
            share = error(first_logits(half, [other]), first_logits(exact, [one]))
            assert share < 0.25
            continue
        expected = logits(exact, one)
        share = error(logits(half, other), expected)
        assert share < 0.15
        with torch.inference_mode():
            half.store.add(slice_cache(other.keys[:3], *half._read([(other, 3)])[:2], 0))
            share = error(half._read([(other, len(other.keys))])[2][0], expected[-1])
        assert share < 0.15
