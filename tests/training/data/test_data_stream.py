"""The stream: nothing lost, nothing twice, exact after a restart, fair to the weights, small in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.datasets.samples.sample import BrokenLog, DataError, Sample
from core.datasets.samples.spec import DataSpec
from core.errors import UsageError
from tests.training.data.making import KINDS, make, picture, shards, text, write_tar
from training.data.stream import SampleStream, count, open_stream

SIZES = (1, 5, 23, 70)  # of the data sets; a table is read in chunks of 64


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], DataSpec]:
    """Data sets of every kind and size, no two with a sample in common."""
    root = tmp_path_factory.mktemp("data")
    made: dict[tuple[str, int], DataSpec] = {}
    for place, (kind, size) in enumerate((kind, size) for kind in KINDS for size in SIZES):
        made[kind, size] = make(kind, root / f"{kind}-{size}", size, first=1000 * (place + 1))
    return made


MIX = st.lists(
    st.tuples(st.sampled_from([(kind, size) for kind in KINDS for size in SIZES]), st.sampled_from([0.3, 1.0, 8.0])),
    min_size=1,
    max_size=4,
    unique_by=lambda one: one[0],
)
FAST = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def specs_of(
    everything: dict[tuple[str, int], DataSpec], mix: Sequence[tuple[tuple[str, int], float]]
) -> list[DataSpec]:
    return [everything[name].model_copy(update={"weight": weight}) for name, weight in mix]


def names(samples: Sequence[Sample]) -> list[tuple[str, str, str]]:
    return [(sample.source, sample.key, sample.text) for sample in samples]


def some(stream: SampleStream, most: int) -> list[Sample]:
    return list(islice(stream, most))


@pytest.mark.slow
@FAST
@given(
    mix=MIX, world=st.integers(1, 4), buffer=st.sampled_from([0, 1, 7, 200]), seed=st.integers(0, 99), data=st.data()
)
def test_after_a_restart_the_very_next_sample_comes(
    everything: dict[tuple[str, int], DataSpec], mix: Any, world: int, buffer: int, seed: int, data: st.DataObject
) -> None:
    specs = specs_of(everything, mix)
    rank = data.draw(st.integers(0, world - 1), label="rank")
    threads = data.draw(st.sampled_from([0, 0, 2]), label="threads")

    def fresh(threads: int = 0) -> SampleStream:
        return open_stream(
            specs, seed=seed, rank=rank, world=world, epochs=2, shuffle_buffer=buffer, decode=False, threads=threads
        )

    whole = names(list(fresh()))
    first = data.draw(st.integers(0, len(whole)), label="stopped after")
    second = data.draw(st.integers(0, len(whole) - first), label="and again after")
    got: list[tuple[str, str, str]] = []
    state: dict[str, Any] | None = None
    for length in (first, second, len(whole)):
        with fresh(threads) as stream:
            if state is not None:
                stream.load_state_dict(state)
            got += names(some(stream, length))
            state = json.loads(json.dumps(stream.state_dict()))
    assert got == whole


@pytest.mark.slow
@FAST
@given(mix=MIX, world=st.integers(1, 5), buffer=st.sampled_from([0, 3, 50]), seed=st.integers(0, 99))
def test_processes_are_disjoint_and_together_complete(
    everything: dict[tuple[str, int], DataSpec], mix: Any, world: int, buffer: int, seed: int
) -> None:
    specs = specs_of(everything, mix)
    seen: Counter[tuple[str, str, str]] = Counter()
    for rank in range(world):
        stream = open_stream(specs, seed=seed, rank=rank, world=world, epochs=1, shuffle_buffer=buffer, decode=False)
        seen.update(names(list(stream)))
    assert set(seen.values()) == {1}
    assert len(seen) == sum(size for (_, size), _ in mix)


@pytest.mark.slow
@FAST
@given(mix=MIX, epochs=st.integers(1, 3), share=st.sampled_from([0.3, 0.7]))
def test_every_epoch_has_the_same_share_of_each_source(
    everything: dict[tuple[str, int], DataSpec], mix: Any, epochs: int, share: float
) -> None:
    specs = [spec.model_copy(update={"share": share}) for spec in specs_of(everything, mix)]
    once = names(list(open_stream(specs, seed=1, epochs=1, decode=False)))
    often = names(list(open_stream(specs, seed=2, epochs=epochs, decode=False)))
    assert Counter(often) == Counter(dict.fromkeys(once, epochs))
    total = sum(size for (_, size), _ in mix)
    assert total < 50 or abs(len(once) / total - share) < 0.25


def test_samples_carry_what_was_written(everything: dict[tuple[str, int], DataSpec]) -> None:
    for kind in KINDS:
        samples = list(open_stream([everything[kind, 23]], seed=0, epochs=1, threads=2))
        assert len({sample.key for sample in samples}) == 23
        for sample in samples:
            number = int(sample.text.split("number ")[1].split(",")[0])
            assert sample.picture == picture(number), kind
            assert sample.text.startswith(text(number))
            assert sample.open().image.getpixel((0, 0)) == (number % 256, number // 256 % 256, 0)
            assert sample.source == everything[kind, 23].path


def test_the_order_depends_on_the_seed_and_changes_every_epoch(everything: dict[tuple[str, int], DataSpec]) -> None:
    specs = [everything["folder", 70]]
    one, same, other = (names(list(open_stream(specs, seed=seed, epochs=2, decode=False))) for seed in (1, 1, 2))
    assert one == same != other
    assert one[:70] != sorted(one[:70]), "it is shuffled"
    plain = names(list(open_stream(specs, seed=1, epochs=1, shuffle_buffer=0, decode=False)))
    assert plain == sorted(plain), "and it is not where that is not wanted"


def test_sources_are_drawn_by_weight_for_ever(everything: dict[tuple[str, int], DataSpec]) -> None:
    specs = specs_of(everything, [(("shards", 23), 3.0), (("jsonl", 5), 1.0)])
    drawn = Counter(sample.source for sample in some(open_stream(specs, seed=5, shuffle_buffer=10, decode=False), 1000))
    assert abs(drawn[specs[0].path] / 1000 - 0.75) < 0.05
    assert drawn[specs[1].path] > 5 * 20, "the small one came round many times"


def test_a_shuffle_reaches_as_far_as_its_buffer(tmp_path: Path) -> None:
    spec = DataSpec(path=str(shards(tmp_path, [300])))
    order = [
        int(s.text.rpartition(" ")[2]) for s in open_stream([spec], seed=0, epochs=1, shuffle_buffer=50, decode=False)
    ]
    moved = [abs(number - place) for place, number in enumerate(order)]
    assert sorted(order) == list(range(300)) and max(moved) > 50 and sum(moved) / 300 > 20


def test_broken_ones_are_counted_named_once_and_skipped(tmp_path: Path) -> None:
    shards(tmp_path / "shards", [40, 40], changed={3: b"no picture", 50: picture(50)[:30]})
    spec = DataSpec(path=str(tmp_path / "shards"))
    log = BrokenLog(tmp_path / "out" / "broken.jsonl")
    samples = list(open_stream([spec], seed=0, epochs=2, broken=log))
    assert len(samples) == 2 * 78 and (log.broken, log.total) == (4, 160)
    entries = [json.loads(line) for line in (tmp_path / "out" / "broken.jsonl").read_text().splitlines()]
    assert sorted(entry["key"] for entry in entries) == ["00000.tar/000000003", "00001.tar/000010050"]
    assert all(entry["source"] == spec.path and entry["fault"] == "broken picture" for entry in entries)
    assert any("truncated or damaged" in entry["reason"] for entry in entries)
    again = BrokenLog(tmp_path / "out" / "broken.jsonl")
    list(open_stream([spec], seed=1, epochs=1, broken=again))
    assert len((tmp_path / "out" / "broken.jsonl").read_text().splitlines()) == 2, "a restart names none twice"


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, None])
def test_too_many_broken_ones_stop_the_run(tmp_path: Path, epochs: int | None) -> None:
    shards(tmp_path, [30], changed=dict.fromkeys(range(20), b""))
    with pytest.raises(DataError, match=r"broken \(\d+\.\d%, 5.0% are allowed\), the first is 00000.tar/") as caught:
        some(open_stream([DataSpec(path=str(tmp_path))], seed=0, epochs=epochs), 10_000)
    assert "\n" not in str(caught.value) and "inquisight data check" in str(caught.value)
    allowed = open_stream([DataSpec(path=str(tmp_path))], seed=0, epochs=1, broken=BrokenLog(max_share=0.7))
    assert len(list(allowed)) == 10


def test_the_counts_of_broken_ones_survive_a_restart(tmp_path: Path) -> None:
    shards(tmp_path, [60], changed={0: b"", 1: b""})
    spec = [DataSpec(path=str(tmp_path))]
    first, second = BrokenLog(), BrokenLog()
    stream = open_stream(spec, seed=0, epochs=1, shuffle_buffer=0, broken=first)
    some(stream, 20)
    going_on = open_stream(spec, seed=0, epochs=1, shuffle_buffer=0, broken=second)
    going_on.load_state_dict(stream.state_dict())
    assert len(list(going_on)) == 38 and (second.broken, second.total) == (2, 60)
    assert going_on.taken == 58


def test_a_position_fits_only_where_it_was_saved(everything: dict[tuple[str, int], DataSpec], tmp_path: Path) -> None:
    specs = [everything["shards", 23]]
    state = open_stream(specs, seed=1, rank=0, world=2).state_dict()
    for settings_, words in (
        ({"seed": 2, "rank": 0, "world": 2}, "with seed=1, but this run has seed=2"),
        ({"seed": 1, "rank": 0, "world": 1}, "with world=2, but this run has world=1"),
        ({"seed": 1, "rank": 1, "world": 2}, "with rank=0, but this run has rank=1"),
    ):
        with pytest.raises(DataError, match=words):
            open_stream(specs, **settings_).load_state_dict(state)  # type: ignore[arg-type]
    heavier = [specs[0].model_copy(update={"weight": 2.0})]
    with pytest.raises(DataError, match="weight of"):
        open_stream(heavier, seed=1, rank=0, world=2).load_state_dict(state)
    shards(tmp_path / "moved", [7, 12, 4], first=4000)
    moved = [DataSpec(path=str(tmp_path / "moved"))]
    with pytest.raises(DataError, match="has changed since the position was saved"):
        open_stream(moved, seed=1, rank=0, world=2).load_state_dict(state)


def test_data_may_move_to_another_disk(tmp_path: Path) -> None:
    spec = DataSpec(path=str(shards(tmp_path / "old", [9, 9])))
    stream = open_stream([spec], seed=0, epochs=1, shuffle_buffer=5)
    begun = [sample.text for sample in some(stream, 6)]
    state = stream.state_dict()
    whole = [sample.text for sample in open_stream([spec], seed=0, epochs=1, shuffle_buffer=5)]
    (tmp_path / "old").rename(tmp_path / "new")
    moved = open_stream([DataSpec(path=str(tmp_path / "new"))], seed=0, epochs=1, shuffle_buffer=5)
    moved.load_state_dict(state)
    assert begun + [sample.text for sample in moved] == whole


def test_a_position_is_small_and_plain(everything: dict[tuple[str, int], DataSpec]) -> None:
    stream = open_stream([everything["shards", 70], everything["parquet", 70]], seed=1, shuffle_buffer=1000)
    some(stream, 10)
    assert len(json.dumps(stream.state_dict())) < 40_000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        place = tmp_path / str(count)
        noise = bytes(20_000)
        for shard in range(4):
            members = [
                (f"{number:05d}.{suffix}", data)
                for number in range(count // 4)
                for suffix, data in (("jpg", noise), ("txt", b"a caption"))
            ]
            write_tar(place / f"{shard}.tar", members)
        stream = open_stream([DataSpec(path=str(place))], seed=0, epochs=1, shuffle_buffer=20, decode=False)
        tracemalloc.start()
        try:
            assert sum(1 for _ in stream) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(40)  # what is imported and cached on the way
    assert peak(2000) < 1.5 * peak(200)


def test_more_processes_than_samples_is_said(everything: dict[tuple[str, int], DataSpec]) -> None:
    spec = everything["folder", 1].model_copy(update={"share": 1e-6})
    with pytest.raises(DataError, match="has no samples for process 0 of 1"):
        next(open_stream([spec], seed=0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"world": 0}, "world must be 1 or more, not 0"),
        ({"rank": 2, "world": 2}, "rank is 2, but with 2 processes"),
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"shuffle_buffer": -1}, "shuffle_buffer must be 0 or more"),
    ],
)
def test_options_that_cannot_work(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_stream([DataSpec(path="x")], seed=0, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no data were named"):
        open_stream([], seed=0)


def test_counts_where_they_are_known(everything: dict[tuple[str, int], DataSpec], tmp_path: Path) -> None:
    found = count([everything[kind, 23] for kind in KINDS])
    assert found == [None, *[23] * (len(KINDS) - 1)]
    place = shards(tmp_path, [3, 4])
    for name, number in (("00000", 3), ("00001", 4)):
        (place / f"{name}_stats.json").write_text(json.dumps({"successes": number, "count": 10}))
    assert count([DataSpec(path=str(place)), DataSpec(path=str(place), share=0.5)]) == [7, 4]
