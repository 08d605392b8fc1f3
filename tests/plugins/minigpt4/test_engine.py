"""The engine says what plain transformers say, whatever it took over, however questions were batched."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugins.hf.generation import GREEDY
from plugins.minigpt4.runtime.conversation import LLAMA2, VICUNA, ImageTokens, PromptTurns
from plugins.minigpt4.runtime.engine import Engine
from tests.plugins.minigpt4.tiny import QUERIES, make_engine, make_model, pixels, see

SHORT = replace(GREEDY, max_new_tokens=12)


@pytest.fixture(scope="module")
def model() -> object:
    return make_model()


@pytest.fixture
def engine(model: object) -> Engine:
    return make_engine(model=model)


Talk = tuple[list[tuple[list[str | int], str]], str]
_warm: list[Engine] = []


def warm_engine(model: object) -> Engine:
    """One engine for all examples of a property: what earlier ones left behind must not matter."""
    if not _warm:
        _warm.append(make_engine(model=model))
    return _warm[0]


def plain(engine: Engine, conversation: PromptTurns, images: torch.Tensor, new: int) -> list[int]:
    """The tokens that `Blip2ForConditionalGeneration.generate` gives for the same prompt."""
    ids: list[int] = []
    for part in engine.rows.tokens(conversation):
        ids += [engine.model.config.image_token_index] * len(part) if isinstance(part, ImageTokens) else part
    prompt = torch.tensor([ids])
    # generate() takes one picture per row of a batch; more of them it scatters in order, as long as their number fits
    with torch.inference_mode():
        features = engine.model.get_image_features(images).pooler_output
        embeds = engine.model.get_input_embeddings()(prompt)
        embeds[prompt == engine.model.config.image_token_index] = features.flatten(0, 1)
        if len(images) == 1:
            out = engine.model.generate(
                pixel_values=images,
                input_ids=prompt,
                max_new_tokens=new,
                do_sample=False,
                suppress_tokens=engine.suppress_tokens,
            )
            return list(out[0, len(ids) :].tolist())
        out = engine.language_model.generate(
            inputs_embeds=embeds, max_new_tokens=new, do_sample=False, suppress_tokens=engine.suppress_tokens
        )
    return list(out[0].tolist())


def said(engine: Engine, tokens: list[int]) -> str:
    """What a person reads of these tokens."""
    end = tokens.index(2) if 2 in tokens else len(tokens)
    text = engine.tokenizer.decode(tokens[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text.split("###")[0].strip()


@pytest.mark.parametrize("question", ["What is this?", "Wie heißt die Katze? 猫", "x" * 150, ""])
@pytest.mark.parametrize("format", [VICUNA, LLAMA2], ids=lambda format: format.name)
def test_greedy_equals_plain_transformers(model: object, format: object, question: str) -> None:
    engine = make_engine(model=model, format=format)
    [one] = see(engine, 1)
    talk = PromptTurns().ask(one, question).answered("a cat").ask("and now?")
    expected = said(engine, plain(engine, talk, pixels(1), 12))
    assert engine.answer([talk], SHORT)[0].text == expected
    assert engine.answer([talk], SHORT)[0].text == expected, "a second time, from what was kept"


def test_several_pictures_equal_plain_transformers(engine: Engine) -> None:
    one, two, three = see(engine, 1, 2, 3)
    talk = PromptTurns().ask("First", one, "second", two).answered("yes").ask(three, "which is it?")
    assert engine.answer([talk], SHORT)[0].text == said(engine, plain(engine, talk, pixels(1, 2, 3), 12))


def test_pictures_matter(engine: Engine) -> None:
    answers = engine.answer([PromptTurns().ask(seen, "What?") for seen in see(engine, 1, 2, 3, 4)], SHORT)
    assert len({answer.text for answer in answers}) > 1


def test_one_bos_at_the_very_start(engine: Engine) -> None:
    [one] = see(engine, 1)
    parts = engine.rows.tokens(PromptTurns().ask(one, "a").answered("b").ask(one, "c"))
    ids = [token for part in parts if not isinstance(part, ImageTokens) for token in part]
    assert ids[0] == 1 and ids.count(1) == 1
    between = engine.tokenizer("</Img> a###Assistant: b###Human: <Img>", add_special_tokens=False).input_ids
    assert parts[2] == between, "what stands between two pictures is one string"


def test_every_turn_from_the_cache_equals_a_fresh_engine(model: object, engine: Engine) -> None:
    one, two = see(engine, 1, 2)
    talk = PromptTurns()
    for number, question in enumerate(["What is this?", "Why?", "Are you sure?"]):
        talk = talk.ask(*((one,) if number == 0 else (two,) if number == 2 else ()), question)
        warm = engine.answer([talk], SHORT)[0]
        assert warm == make_engine(model=model).answer([talk], SHORT)[0]
        talk = talk.answered(warm.text)


def test_a_turn_reads_only_what_is_new(engine: Engine) -> None:
    [one] = see(engine, 1)
    talk = PromptTurns().ask(one, "What is this?")
    talk = talk.answered(engine.answer([talk], SHORT)[0].text)
    before = replace(engine.counts)
    answer = engine.answer([talk.ask("Why?")], SHORT)[0]
    new = engine.counts.read - before.read
    assert engine.counts.reused - before.reused > answer.input_tokens // 2
    assert new + engine.counts.reused - before.reused == answer.input_tokens


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_batch_says_at_every_position_what_single_questions_do(model: object, order: tuple[int, ...]) -> None:
    engine = make_engine(model=model)
    one, two = see(engine, 1, 2)
    talks = [
        PromptTurns().ask(one, "What is this?"),
        PromptTurns().ask(two, "A much longer question, so that the rows need padding on the left.", one),
        PromptTurns().ask(one, "Hm?").answered("ja").ask("and " * 20),
    ]
    single = [make_engine(model=model).answer([talk], SHORT)[0].text for talk in talks]
    together = engine.answer([talks[place] for place in order], SHORT)
    assert [answer.text for answer in together] == [single[place] for place in order]


def test_questions_about_one_picture_read_it_once(model: object) -> None:
    engine = make_engine(model=model)
    [one] = see(engine, 1)
    questions = [f"Is there a {thing} in it?" for thing in ("cat", "dog", "house", "tree", "猫")]
    talks = [PromptTurns().ask(one, question) for question in questions]
    answers = engine.answer(talks, SHORT)
    rows = [engine.rows.row(talk, 12).keys for talk in talks]
    shared = rows[0].index(("picture 1", QUERIES - 1)) + 1
    assert engine.counts.pictures == 1
    assert engine.counts.prefills == 2, "the common part once, then what differs"
    assert engine.counts.read <= shared + sum(len(row) - shared for row in rows)
    assert [one.text for one in answers] == [make_engine(model=model).answer([t], SHORT)[0].text for t in talks]
    read = engine.counts.read
    engine.answer(talks, SHORT)
    assert engine.counts.read - read < sum(len(row) - shared for row in rows) + 1, "nothing of the picture again"


@pytest.mark.slow
def test_streamed_pieces_are_the_answer(engine: Engine) -> None:
    for seen in see(engine, 1, 2, 3):
        talk = PromptTurns().ask(seen, "Erzähl mir was 猫")
        pieces = list(engine.stream(talk, replace(SHORT, max_new_tokens=40)))
        assert "".join(pieces) == engine.answer([talk], replace(SHORT, max_new_tokens=40))[0].text
        assert len(pieces) > 1


def test_a_reader_may_leave_early_and_ask_on(model: object, engine: Engine) -> None:
    [one] = see(engine, 1)
    talk = PromptTurns().ask(one, "Tell me everything")
    stream = engine.stream(talk, replace(SHORT, max_new_tokens=40))
    first = next(stream)
    assert engine.answer([talk], SHORT)[0].text, "the engine is not blocked by an open stream"
    stream.close()
    assert engine.answer([talk], SHORT) == make_engine(model=model).answer([talk], SHORT)
    assert engine.answer([talk], SHORT)[0].text.startswith(first)


words = st.text(alphabet="ab ?é猫#", max_size=12)
said_before = st.lists(st.tuples(st.lists(st.one_of(words, st.integers(1, 3)), max_size=3), words), max_size=3)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(talks=st.lists(st.tuples(said_before, words), min_size=1, max_size=3))
def test_random_conversations_batched_and_cached_equal_fresh_ones(model: object, talks: list[Talk]) -> None:
    shared = warm_engine(model)
    seen = dict(enumerate(see(shared, 1, 2, 3), start=1))
    conversations = []
    for before, last in talks:
        conversation = PromptTurns()
        for question, answer in before:
            parts = [seen[part] if isinstance(part, int) else part for part in question]
            conversation = conversation.ask(*parts).answered(answer)
        conversations.append(conversation.ask(last))
    few = replace(SHORT, max_new_tokens=5)
    fresh = [make_engine(model=model).answer([conversation], few)[0] for conversation in conversations]
    assert shared.answer(conversations, few) == fresh
    assert ["".join(shared.stream(conversation, few)) for conversation in conversations] == [one.text for one in fresh]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near(model: object, dtype: torch.dtype) -> None:
    exact, half = make_engine(model=model), make_engine(model=make_model().to(dtype))
    [one], [rough] = see(exact, 1), see(half, 1)
    talk, same = PromptTurns().ask(one, "What is this?"), PromptTurns().ask(rough, "What is this?")
    assert half.answer([same], SHORT) == half.answer([same], SHORT)
    with torch.inference_mode():
        logits = [
            e._read([(row, len(row.keys))])[2] for e, t in ((exact, talk), (half, same)) if (row := e.rows.row(t, 5))
        ]
    spread = logits[0].std()
    assert (logits[1].float() - logits[0]).abs().max() < spread, "rounding of 16 bit, not another model"
