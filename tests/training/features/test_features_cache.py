"""Features are computed once: the numbers of the plain path, nothing lost to a kill, never those of another model."""

from __future__ import annotations

import hashlib
import json
import multiprocessing as mp
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from core.datasets.samples.sample import BrokenLog, DataError
from core.datasets.samples.spec import DataSpec
from core.errors import InquisightError, UsageError
from core.images.picture import open_picture
from plugins.minigpt4.runtime.modeling import open_model
from tests.plugins.minigpt4 import tiny
from tests.training.data.making import aligned, folder, picture, shards
from training.features.encode import features_events, write_features
from training.features.store import FeatureStore, FeatureWriter, Manifest, create_store
from training.features.vision import FrozenVision, vision_fingerprint

ROOT = Path(__file__).resolve().parents[3]
SMALL = Manifest("0" * 16, 2, 3, "float32")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny") / "model")


def sha(number: int) -> str:
    return hashlib.sha256(picture(number)).hexdigest()


def plain_path(directory: Path, numbers: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """What goes into the projection of the whole model and what comes out, from the backend's own pixels."""
    from plugins.minigpt4.runtime.backend import MiniGPT4Backend

    backend = MiniGPT4Backend(str(directory))
    inner: Any = backend.engine.model
    taken: list[torch.Tensor] = []
    hook = inner.language_projection.register_forward_pre_hook(lambda _, values: taken.append(values[0]))
    with torch.no_grad():
        pixels = backend._pixels([open_picture(picture(number)) for number in numbers]).contiguous()
        out = inner.get_image_features(pixels).pooler_output
    hook.remove()
    return taken[0], out


@pytest.mark.parametrize(("dtype", "places"), [("float32", 0.0), ("float16", 2**-11), ("bfloat16", 2**-8)])
def test_the_cache_holds_what_the_projection_would_take_in(
    model: Path, tmp_path: Path, dtype: Any, places: float
) -> None:
    aligned(tmp_path / "data", 6)
    write_features(model, [DataSpec(path=str(tmp_path / "data"))], tmp_path / "features", dtype=dtype, batch=6)
    store = FeatureStore(tmp_path / "features", model=model)
    expected, projected = plain_path(model, list(range(6)))
    cached = store.get_many([sha(number) for number in range(6)])
    assert cached.shape == (6, tiny.QUERIES, 32) and cached.dtype == getattr(torch, dtype)
    assert torch.all((cached.float() - expected).abs() <= places * expected.abs())
    projection = open_model(model).language_projection
    with torch.no_grad():
        ours = projection(cached.float())
    assert torch.equal(ours, projected) if places == 0 else torch.allclose(ours, projected, atol=40 * places)


def test_the_vision_model_is_loaded_without_the_language_model(model: Path) -> None:
    vision = FrozenVision.open(model, device="cpu")
    names = [name for name, _ in vision.model.named_parameters()]
    assert names and not [name for name in names if name.startswith(("language_model", "language_projection"))]
    whole = open_model(model)
    assert torch.equal(vision.model.query_tokens, whole.query_tokens)
    wanted = {name for name in whole.state_dict() if not name.startswith("language_")}
    assert set(vision.model.state_dict()) == wanted


@pytest.mark.slow
def test_reading_the_cache_imports_no_model_library(model: Path, tmp_path: Path) -> None:
    folder(tmp_path / "data", 2)
    write_features(model, [DataSpec(path=str(tmp_path / "data"))], tmp_path / "features")
    code = (
        "import sys; from pathlib import Path; from training.features.store import FeatureStore\n"
        f"store = FeatureStore(Path(sys.argv[1]), model=Path(sys.argv[2]))\n"
        f"assert store.get({sha(0)!r}).shape == ({tiny.QUERIES}, 32)\n"
        "assert 'transformers' not in sys.modules\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "features"), str(model)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=600)


@pytest.mark.slow
def test_another_language_model_shares_features_and_another_vision_model_is_refused(
    model: Path, tmp_path: Path
) -> None:
    other_language = tiny.make_model()
    with torch.no_grad():
        other_language.language_model.lm_head.weight.add_(1.0)
        other_language.language_projection.weight.add_(1.0)
    other_vision = tiny.make_model()
    with torch.no_grad():
        other_vision.qformer.layernorm.weight[0] += 1e-3
    same = tiny.save(tmp_path / "same", other_language)
    other = tiny.save(tmp_path / "other", other_vision)
    assert vision_fingerprint(same) == vision_fingerprint(model) != vision_fingerprint(other)
    folder(tmp_path / "data", 3)
    data = [DataSpec(path=str(tmp_path / "data"))]
    write_features(model, data, tmp_path / "features")
    assert write_features(same, data, tmp_path / "features").written == 0
    for attempt in (
        lambda: FeatureStore(tmp_path / "features", model=other),
        lambda: write_features(other, data, tmp_path / "features"),
    ):
        with pytest.raises(DataError, match="holds features of another vision model") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="4 x 32 numbers in float16, not 4 x 32 in bfloat16"):
        write_features(model, data, tmp_path / "features", dtype="bfloat16")
    settings = json.loads((same / "preprocessor_config.json").read_text())
    (same / "preprocessor_config.json").write_text(json.dumps({**settings, "image_mean": [0.5, 0.5, 0.5]}))
    assert vision_fingerprint(same) != vision_fingerprint(model), "other numbers go in"


def test_only_what_is_missing_is_written(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards(tmp_path / "data", [5, 5], changed={7: b"broken", 9: picture(2)})
    for name in ("00000", "00001"):
        (tmp_path / "data" / f"{name}_stats.json").write_text('{"successes": 5}')
    data = [DataSpec(path=str(tmp_path / "data"))]
    log = BrokenLog(tmp_path / "broken.jsonl", max_share=0.2)
    first = write_features(model, data, tmp_path / "features", broken=log, rows=3)
    assert "features: 10 of 10 pictures, 8 written, 1 known, 1 broken" in capsys.readouterr().err
    assert (first.pictures, first.written, first.known, first.broken) == (10, 8, 1, 1)
    assert "00001.tar/000010007" in (tmp_path / "broken.jsonl").read_text() and (log.broken, log.total) == (1, 10)
    assert len(list((tmp_path / "features").glob("part-*"))) == 3
    folder(tmp_path / "more", 12)
    both = [*data, DataSpec(path=str(tmp_path / "more"))]
    again = write_features(model, both, tmp_path / "features", broken=BrokenLog(max_share=0.2))
    assert again.written == 12 - 8
    store = FeatureStore(tmp_path / "features")
    assert len(store) == 12 and all(sha(number) in store for number in range(12))


def test_processes_share_the_work(model: Path, tmp_path: Path) -> None:
    folder(tmp_path / "data", 21)
    data = [DataSpec(path=str(tmp_path / "data"))]
    parts = [write_features(model, data, tmp_path / "f", rank=rank, world=3).written for rank in range(3)]
    assert sorted(parts) == [7, 7, 7] and len(FeatureStore(tmp_path / "f")) == 21


def test_an_interruption_keeps_what_was_computed(model: Path, tmp_path: Path) -> None:
    folder(tmp_path / "data", 20)
    data = [DataSpec(path=str(tmp_path / "data"))]
    events = features_events(model, data, tmp_path / "f", batch=4, threads=1)
    next(events)
    next(events)
    events.close()  # what Ctrl-C does
    kept = len(FeatureStore(tmp_path / "f"))
    assert kept == 8
    assert write_features(model, data, tmp_path / "f").written == 20 - kept
    record = json.loads((tmp_path / "f" / "written-0of1.json").read_text())
    assert record["pictures"] == 20 and record["known"] == 8


# -- the store alone --------------------------------------------------------------------------------------------------


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def value(number: int) -> torch.Tensor:
    return torch.arange(6, dtype=torch.float32).view(2, 3) + number


def _write_share(directory: Path, rank: int, world: int, last: int, said: Connection) -> None:
    """In a process of its own: adds every number of its share, telling each."""
    with FeatureWriter(create_store(directory, SMALL), f"{rank}of{world}", rows=3) as writer:
        for number in range(rank, last, world):
            if not writer.has(key(number)):
                writer.add(key(number), value(number))
            said.send(number)
    said.send(None)


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Starts processes from a clean one that has torch imported already."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["training.features.store", "tests.training.features.test_features_cache"])
    return context


def test_kill_9_at_any_moment_loses_no_shard_and_leaves_no_ruins(processes: Any, tmp_path: Path) -> None:
    dice = random.Random(4)
    world, last, kills = 2, 300, 0
    for _ in range(5):
        started = []
        for rank in range(world):
            ours, theirs = processes.Pipe(duplex=False)
            process = processes.Process(target=_write_share, args=(tmp_path / "f", rank, world, last, theirs))
            process.start()
            theirs.close()
            started.append((process, ours))
        for process, said in started:
            for _ in range(dice.randrange(1, 40)):
                if not said.poll(300) or said.recv() is None:
                    break
            process.kill()
            process.join(300)
            assert process.exitcode in (0, -signal.SIGKILL)
            kills += process.exitcode == -signal.SIGKILL
        store = FeatureStore(tmp_path / "f")  # raises for a shard that is not whole
        for number in range(last):
            if key(number) in store:
                assert torch.equal(store.get(key(number)), value(number))
    assert kills >= 4
    for rank in range(world):
        with FeatureWriter(store, f"{rank}of{world}") as writer:
            for number in range(rank, last, world):
                if not writer.has(key(number)):
                    writer.add(key(number), value(number))
    whole = FeatureStore(tmp_path / "f")
    assert len(whole) == last, "every number once"
    assert torch.equal(whole.get_many([key(n) for n in range(last)]), torch.stack([value(n) for n in range(last)]))
    assert not list((tmp_path / "f").glob("*.part"))


def test_a_second_writer_of_the_same_name_waits_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.features.store.WAIT", 0.01)
    store = create_store(tmp_path / "f", SMALL)
    with FeatureWriter(store, "0of1"), pytest.raises(UsageError, match="another process writes features"):
        FeatureWriter(store, "0of1").__enter__()


def test_what_a_living_writer_has_under_way_is_not_swept_away(tmp_path: Path) -> None:
    store = create_store(tmp_path / "f", SMALL)
    with FeatureWriter(store, "0of2"):
        alive = tmp_path / "f" / "part-0of2-000000.safetensors.part"
        dead = tmp_path / "f" / "part-7of8-000003.safetensors.part"
        alive.write_bytes(b"half")
        dead.write_bytes(b"half")
        with FeatureWriter(store, "1of2"):
            assert alive.exists() and not dead.exists()


def test_keys_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    store = create_store(tmp_path / "f", SMALL)
    keys = [f"{'ab' * 8}{number:048x}" for number in range(5)]
    for name in ("0of2", "1of2"):  # in two shards, the second one with the same keys again
        with FeatureWriter(store, name) as writer:
            for number, one in enumerate(keys):
                writer.add(one, value(number))
    assert [store.get(one)[0, 0].item() for one in keys] == [0, 1, 2, 3, 4]
    assert f"{'ab' * 8}{9:048x}" not in store


def test_shards_need_no_open_files(tmp_path: Path) -> None:
    store = create_store(tmp_path / "f", SMALL)
    with FeatureWriter(store, "0of1", rows=1) as writer:
        for number in range(30):
            writer.add(key(number), value(number))
    before = len(os.listdir("/proc/self/fd"))
    fresh = FeatureStore(tmp_path / "f")
    assert torch.equal(fresh.get_many([key(n) for n in range(30)]), torch.stack([value(n) for n in range(30)]))
    assert len(os.listdir("/proc/self/fd")) <= before


def test_keys_that_end_in_zeros_are_found(tmp_path: Path) -> None:
    store = create_store(tmp_path / "f", SMALL)
    keys = ["00" * 32, "01" + "00" * 31, "ff" * 31 + "00", "0100" + "00" * 29 + "01"]
    with FeatureWriter(store, "0of1", rows=2) as writer:
        for number, one in enumerate(keys[:3]):
            writer.add(one, value(number))
    for opened in (store, FeatureStore(tmp_path / "f")):
        assert [opened.get(one)[0, 0].item() for one in keys[:3]] == [0, 1, 2] and keys[3] not in opened


def test_what_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    def line(match: str, work: Any, kind: type[InquisightError] = DataError) -> None:
        with pytest.raises(kind, match=match) as caught:
            work()
        assert "\n" not in str(caught.value)

    line("holds no features: write them with", lambda: FeatureStore(tmp_path / "nowhere"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").touch()
    line("holds other things", lambda: create_store(tmp_path / "other", SMALL))
    store = create_store(tmp_path / "f", Manifest("0" * 16, 2, 3, "float16"))
    line("has no features of the picture", lambda: store.get(key(1)))
    with FeatureWriter(store, "0of1") as writer:
        writer.add(key(1), value(1))
        line("do not fit into float16", lambda: writer.add(key(2), value(2) * 1e9))
        line("are not finite", lambda: writer.add(key(2), value(2) * float("nan")))
    [shard] = (tmp_path / "f").glob("part-*")
    shard.write_bytes(shard.read_bytes()[:-1])
    line("is damaged: delete it and run", lambda: FeatureStore(tmp_path / "f"))
    (tmp_path / "f" / "features.json").write_text("{}")
    line("is not what", lambda: FeatureStore(tmp_path / "f"))
    if os.geteuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        line("cannot be written", lambda: create_store(tmp_path / "shut" / "f", SMALL))
