"""Rows of samples: nothing is lost, nobody sees a neighbour, and the numbers are those of one sample per row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plugins.minigpt4.tiny import make_model
from training.packing import PADDING, PackedRows, Words, forwards, lay_out, pack

PICTURES = 3


@st.composite
def some_words(draw: st.DrawFn) -> Words:
    def ids(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(5, 200), min_size=least, max_size=most)))

    return Words((1, *ids(0, 4)), ids(0, 6), ids(1, 9))


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=40), st.integers(0, 60))
def test_every_sample_has_one_place(lengths: list[int], size: int) -> None:
    rows = pack(lengths, size)
    assert sorted(sample for row in rows for sample in row) == list(range(len(lengths)))
    for row in rows:
        assert len(row) == 1 or sum(lengths[sample] for sample in row) <= size


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=60))
def test_packing_wastes_little(lengths: list[int]) -> None:
    rows, size = pack(lengths, 64), 64
    least = -(-sum(lengths) // size)
    assert len(rows) <= 11 / 9 * least + 1  # first fit decreasing


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.lists(some_words(), min_size=1, max_size=8), st.sampled_from([0, 24, 64]))
def test_rows_hold_each_sample_whole_and_apart(words: list[Words], size: int) -> None:
    rows = lay_out(words, PICTURES, size)
    mask = rows.mask()
    columns = torch.arange(rows.ids.shape[1])
    for place, sample in enumerate(rows.order):
        said = words[sample]
        mine = (rows.segments == place).nonzero()
        assert len(mine) == said.length(PICTURES)
        row = int(mine[0, 0])
        assert (mine[:, 0] == row).all() and rows.positions[row, mine[:, 1]].tolist() == list(range(len(mine)))
        ids = rows.ids[row, mine[:, 1]].tolist()
        picture = (rows.picture_columns[place] - mine[0, 1]).tolist()
        assert picture == list(range(len(said.before), len(said.before) + PICTURES))
        assert [one for number, one in enumerate(ids) if number not in picture] == [
            *said.before, *said.after, *said.target[:-1]
        ]  # fmt: skip
        targets = rows.owners == place
        assert rows.targets[targets].tolist() == list(said.target)
        last = row * rows.ids.shape[1] + int(mine[-1, 1])
        assert rows.predicting[targets].tolist() == list(range(last - len(said.target) + 1, last + 1))
        if mask is not None:
            for column in mine[:, 1]:
                seen = mask[row, 0, column]
                assert (seen == ((rows.segments[row] == place) & (columns <= column))).all()
    if mask is not None:
        assert mask.any(-1).all()  # also padding sees something
    assert rows.tokens == sum(one.length(PICTURES) for one in words) == int((rows.segments != PADDING).sum())


@settings(deadline=None, max_examples=50)
@given(st.lists(some_words(), max_size=12), st.sampled_from([0, 32]), st.integers(1, 200))
def test_a_batch_is_cut_to_the_memory_there_is(words: list[Words], size: int, budget: int) -> None:
    layouts = list(forwards(words, PICTURES, size, budget))
    assert sorted(sample for rows in layouts for sample in rows.order) == list(range(len(words)))
    for rows in layouts:
        assert rows.places <= budget or len(rows.ids) == 1


@pytest.fixture(scope="module")
def task():  # type: ignore[no-untyped-def]
    from training.stages import StageTask

    whole = make_model().requires_grad_(False)
    projection = whole.language_projection.requires_grad_(True)
    language_model = whole.language_model
    whole.language_model = whole.language_projection = None
    return StageTask(language_model, projection, None, pictures=PICTURES)


@settings(max_examples=15, deadline=None)
@given(st.lists(some_words(), min_size=1, max_size=6), st.sampled_from([24, 64]))
def test_packed_is_one_per_row_number_by_number(task, words: list[Words], size: int) -> None:  # type: ignore[no-untyped-def]
    features = torch.randn(len(words), PICTURES, 32, generator=torch.Generator().manual_seed(3))

    def step(rows: PackedRows) -> tuple[torch.Tensor, torch.Tensor]:
        task.zero_grad()
        values = task(rows, features[list(rows.order)])
        values.mean().backward()
        sums = torch.zeros(len(words)).index_add_(0, torch.tensor(rows.order)[rows.owners], values.detach())
        return sums, task.language_projection.weight.grad.clone()

    plain, gradient = step(lay_out(words, PICTURES, 0))
    packed, same_gradient = step(lay_out(words, PICTURES, size))
    torch.testing.assert_close(packed, plain, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(same_gradient, gradient, rtol=1e-3, atol=1e-3 * float(gradient.abs().max()))


def test_a_neighbour_changes_nothing(task) -> None:  # type: ignore[no-untyped-def]
    mine, one, other = Words((1, 7), (8, 9), (10, 11, 12)), Words((1,), (), (20, 21)), Words((1, 60), (61,), (99,))
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(2, PICTURES, 32, generator=generator)
    found = []
    with torch.no_grad():
        for neighbour in (one, other):
            rows = lay_out([mine, neighbour], PICTURES, 64)
            assert len(rows.ids) == 1, "they must share a row for this to say anything"
            order = torch.tensor(rows.order)
            seen = torch.stack([features[0], torch.randn(PICTURES, 32, generator=generator)])[order]
            found.append(task(rows, seen)[order[rows.owners] == 0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
