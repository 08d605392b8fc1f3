"""What training computes beside the model grows with the data and no faster: operations are counted, never seconds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from core.datasets.samples.spec import DataSpec
from tests.training.tiny_run import make_pictures
from training.data.stream import SampleStream, open_stream
from training.features import store as feature_store
from training.features.store import FeatureStore, FeatureWriter, Manifest, create_store

ROWS = 4  # of a shard


def sha256s(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Keys that were sorted, shards that were opened, and files that listings of the folder gave."""
    found: Counter[str] = Counter()
    merged, opened, glob = feature_store._merged, feature_store.safe_open, Path.glob

    def counted_merge(parts: Sequence[Any]) -> Any:
        found["keys"] += sum(len(part.keys) for part in parts)
        return merged(parts)

    def counted_open(*arguments: Any, **how: Any) -> Any:
        found["shards"] += 1
        return opened(*arguments, **how)

    def counted_glob(self: Path, pattern: str, **how: Any) -> Any:
        for path in glob(self, pattern, **how):
            found["files"] += 1
            yield path

    monkeypatch.setattr(feature_store, "_merged", counted_merge)
    monkeypatch.setattr(feature_store, "safe_open", counted_open)
    monkeypatch.setattr(Path, "glob", counted_glob)
    return found


def write(folder: Path, shards: int) -> list[str]:
    keys = sha256s(shards * ROWS)
    store = create_store(folder, Manifest("0" * 16, 1, 2, "float32"))
    with FeatureWriter(store, "0of1", rows=ROWS, flush_seconds=1e9) as writer:
        for number, key in enumerate(keys):
            assert not writer.has(key)
            writer.add(key, torch.full((1, 2), float(number)))
    return keys


def test_a_store_opens_in_the_time_its_keys_take(tmp_path: Path, counts: Counter[str]) -> None:
    work = {}
    for shards in (64, 128):
        keys = write(tmp_path / str(shards), shards)
        counts.clear()
        store = FeatureStore(tmp_path / str(shards))
        work[shards] = dict(counts)
        assert len(store) == len(keys)
        assert all(float(store.get(key)[0, 0]) == number for number, key in enumerate(keys))
    assert work[64] == {"keys": 64 * ROWS, "shards": 64, "files": 64}
    assert work[128] == {"keys": 128 * ROWS, "shards": 128, "files": 128}


def test_writing_a_store_sorts_each_key_a_few_times(tmp_path: Path, counts: Counter[str]) -> None:
    work = {}
    for shards in (64, 128, 256):
        counts.clear()
        write(tmp_path / str(shards), shards)
        work[shards] = dict(counts)
    for few, many in ((64, 128), (128, 256)):
        assert work[many]["keys"] <= 2.5 * work[few]["keys"], "n log n"
        assert work[many]["files"] <= 2.5 * work[few]["files"] and work[many]["shards"] == many


def test_what_another_writer_finished_is_found(tmp_path: Path) -> None:
    keys = write(tmp_path / "f", 5)
    store = FeatureStore(tmp_path / "f")
    other = create_store(tmp_path / "f", store.manifest)
    more = [hashlib.sha256(f"more {number}".encode()).hexdigest() for number in range(11)]
    with FeatureWriter(other, "1of2", rows=ROWS, flush_seconds=1e9) as writer:
        for number, key in enumerate([*more, keys[0]]):  # one that is there already
            writer.add(key, torch.full((1, 2), 100.0 + number))
    assert more[0] not in store
    store.refresh()
    assert len(store) == len(keys) + len(more) + 1
    assert [float(store.get(key)[0, 0]) for key in more] == [100.0 + number for number in range(11)]
    assert float(store.get(keys[0])[0, 0]) == 0.0, "the first one counts"


# --- the position of the data ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures", 40)


def stream_of(pictures: Path, buffer: int, threads: int = 0) -> SampleStream:
    specs = [DataSpec(path=str(pictures)), DataSpec(path=str(pictures), weight=2, share=0.5)]
    return open_stream(specs, seed=3, shuffle_buffer=buffer, threads=threads, decode=False)


@pytest.mark.parametrize(("buffer", "threads"), [(0, 0), (1, 2), (7, 0), (25, 3)])
def test_a_position_stays_as_it_was_while_the_stream_goes_on(pictures: Path, buffer: int, threads: int) -> None:
    """Several steps later, as a run is behind the samples that are prepared for it."""
    with stream_of(pictures, buffer, threads) as stream:
        for _ in range(7):
            next(stream)
        position = stream.state_dict()
        copy = json.dumps(position)
        wanted = [next(stream).key for _ in range(10)]
        assert json.dumps(position) == copy
    with stream_of(pictures, buffer, threads) as again:
        again.load_state_dict(position)
        assert [next(again).key for _ in range(10)] == wanted
