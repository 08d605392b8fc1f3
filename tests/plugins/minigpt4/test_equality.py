"""Numbers behind the words: padding, order, batches and caches change no logit by more than rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.vision import Reply
from plugins.hf.generation import GREEDY, DecodingOptions
from plugins.minigpt4.runtime.conversation import FORMATS, Format, ImageTokens, PromptTurns
from plugins.minigpt4.runtime.engine import ORIGINAL, Engine
from plugins.minigpt4.runtime.prefixes import slice_cache
from plugins.minigpt4.runtime.rows import GenerationRow
from tests.plugins.minigpt4.tiny import make_engine, make_model, see

CLOSE = 1e-3  # of logits that spread over some 40
FEW = replace(GREEDY, max_new_tokens=4)
BOUNDED = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def model() -> object:
    return make_model()


@pytest.fixture
def engine(model: object) -> Engine:
    return make_engine(model=model)


words = st.text(alphabet="ab ?é猫#", max_size=12)
questions = st.lists(st.one_of(words, st.integers(0, 2)), min_size=1, max_size=4)
talks = st.tuples(st.lists(st.tuples(questions, words), max_size=2), questions)
Talk = tuple[list[tuple[list[str | int], str]], list[str | int]]


def conversation(talk: Talk, seen: Sequence[ImageTokens]) -> PromptTurns:
    """Numbers become pictures, wherever they stand."""
    made = PromptTurns()
    for question, answer in talk[0]:
        made = made.ask(*(seen[part] if isinstance(part, int) else part for part in question)).answered(answer)
    return made.ask(*(seen[part] if isinstance(part, int) else part for part in talk[1]))


def row(engine: Engine, talk: PromptTurns) -> GenerationRow:
    return engine.rows.row(talk, 4)


@torch.inference_mode()
def logits(engine: Engine, row: GenerationRow) -> torch.Tensor:
    """(tokens, vocabulary), by the language model alone."""
    found: torch.Tensor = engine.language_model(inputs_embeds=engine._embed(row, 0, len(row.keys))[None]).logits[0]
    return found


def some_talks(engine: Engine) -> list[PromptTurns]:
    """Rows of different lengths; several pictures, at the beginning, in the middle and at the end."""
    one, two, three = see(engine, 1, 2, 3)
    return [
        PromptTurns().ask(one, "What?"),
        PromptTurns().ask("Compare", two, "with", three).answered("Both are red.").ask("and this?", one),
        PromptTurns().ask(three, "A longer question, so that there is much to pad.").answered("ja").ask("Why?"),
        PromptTurns().ask("no picture at all"),
    ]


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_padding_on_any_side_changes_no_position(engine: Engine, side: str) -> None:
    rows = [row(engine, talk) for talk in some_talks(engine)]
    lengths = [len(one.keys) for one in rows]
    widest = max(lengths) + 5
    before = {"left": [widest - n for n in lengths], "right": [0] * 4, "both": [2, 0, 4, 7]}[side]
    embeds = [engine._embed(one, 0, n) for one, n in zip(rows, lengths, strict=True)]
    padded = torch.stack(
        [F.pad(e, (0, 0, b, widest - b - len(e)), value=9.0) for e, b in zip(embeds, before, strict=True)]
    )
    mask = torch.zeros(len(rows), widest, dtype=torch.long)
    for place, (start, length) in enumerate(zip(before, lengths, strict=True)):
        mask[place, start : start + length] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        batch = engine.language_model(inputs_embeds=padded, attention_mask=mask, position_ids=positions).logits
    for place, one in enumerate(rows):
        found = batch[place, before[place] : before[place] + lengths[place]]
        assert (found - logits(engine, one)).abs().max() < CLOSE


@BOUNDED
@given(talk=talks, data=st.data())
def test_wherever_a_prefix_was_cut_the_rest_reads_the_same(model: object, talk: Talk, data: st.DataObject) -> None:
    engine = make_engine(model=model)
    one = row(engine, conversation(talk, see(engine, 1, 2, 3)))
    expected = logits(engine, one)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(one.keys)), min_size=1, max_size=3))) + [len(one.keys)]
    with torch.inference_mode():
        for cut in cuts:
            cache, mask, last = engine._read([(one, cut)])
            assert (last[0] - expected[cut - 1]).abs().max() < CLOSE
            engine.store.add(slice_cache(one.keys[:cut], cache, mask, 0))
    assert engine.counts.reused > 0


@pytest.mark.slow
@BOUNDED
@given(batch=st.lists(talks, min_size=2, max_size=4), data=st.data(), name=st.sampled_from(["vicuna", "llama2"]))
def test_a_batch_in_any_order_says_what_each_says_alone(
    model: object, batch: list[Talk], data: st.DataObject, name: str
) -> None:
    format: Format = FORMATS[name]
    options: DecodingOptions = data.draw(st.sampled_from([FEW, replace(ORIGINAL, max_new_tokens=4, seed=5)]))
    order = data.draw(st.permutations(range(len(batch))))
    together, alone = make_engine(model=model, format=format), make_engine(model=model, format=format)
    made = [conversation(talk, see(alone, 1, 2, 3)) for talk in batch]
    single = []
    for talk in made:
        alone.forget()
        single.append(alone.answer([talk], options)[0])
    assert together.answer([made[place] for place in order], options) == [single[place] for place in order]


@pytest.mark.slow
@BOUNDED
@given(batch=st.lists(talks, min_size=1, max_size=3))
def test_what_is_told_in_pieces_is_what_is_answered(model: object, batch: list[Talk]) -> None:
    engine = make_engine(model=model)
    made = [conversation(talk, see(engine, 1, 2, 3)) for talk in batch]
    for talk, answer in zip(made, engine.answer(made, FEW), strict=True):
        *pieces, reply = engine.pieces(talk, FEW)
        assert reply == answer and isinstance(reply, Reply)
        assert "".join(map(str, pieces)) == answer.text


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.15), (torch.float16, 0.02)])
def test_16_bit_differs_by_its_rounding_only(model: object, dtype: torch.dtype, tolerance: float) -> None:
    """The error of all logits over a conversation, as a share of their spread; alone, in a batch and from the cache."""
    exact, half = make_engine(model=model), make_engine(model=make_model().to(dtype))
    for talk, same in zip(some_talks(exact), some_talks(half), strict=True):
        expected, rough = logits(exact, row(exact, talk)), logits(half, row(half, same)).float()
        error = (rough - expected).pow(2).mean().sqrt() / expected.std()
        assert error < tolerance
        one = row(half, same)
        with torch.inference_mode():
            half.store.add(slice_cache(one.keys[:9], *half._read([(one, 9)])[:2], 0))
            cached = half._read([(one, len(one.keys))])[2][0].float()
        assert (cached - expected[-1]).pow(2).mean().sqrt() / expected.std() < tolerance
    assert half.counts.reused > 0
