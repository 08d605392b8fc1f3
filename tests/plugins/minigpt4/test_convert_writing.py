"""Stopped and taken up again, too little room, things in the way, and how much memory it takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.errors import BackendError, UsageError
from plugins.minigpt4.convert import conversion as converting
from plugins.minigpt4.convert import writing
from plugins.minigpt4.convert.conversion import ConversionRequest, join_weights
from plugins.minigpt4.convert.pieces import TensorPiece, with_extra_rows
from tests.plugins.minigpt4 import convert_sources as sources

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ConversionRequest:
    folder = tmp_path_factory.mktemp("sources")
    llm = sources.save_llm(sources.llm(), folder / "llm")
    vision = sources.save_eye(sources.blip2(), folder / "vision")
    projection = sources.random_projection(folder / "projection.pth", sources.HIDDEN, sources.QFORMER)
    return ConversionRequest(projection, str(llm), tuple(vision), folder / "unused", max_shard=600_000)


def to(request: ConversionRequest, directory: Path, **changes: Any) -> ConversionRequest:
    return replace(request, to=directory, **changes)


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> list[str]:
    """Ctrl-C while shard number `after` is written, half of it being on the disk."""
    begun: list[str] = []
    real = writing.write_shard

    def write_shard(path: Path, pieces: Any, step: Any) -> str:
        begun.append(path.name)
        if len(begun) > after:
            path.with_name(path.name + ".part").write_bytes(b"half")
            raise KeyboardInterrupt
        return real(path, pieces, step)

    monkeypatch.setattr(writing, "write_shard", write_shard)
    return begun


def test_goes_on_where_it_was_stopped(made: ConversionRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = join_weights(to(made, tmp_path / "whole"))
    request = to(made, tmp_path / "model")
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        with pytest.raises(KeyboardInterrupt):
            join_weights(request)
    assert not (tmp_path / "model").exists(), "there is no directory that looks complete"
    with monkeypatch.context() as patch:
        begun = interrupt(patch, after=100)
        lines: list[str] = []
        join_weights(request, lines.append)
    assert sum("written before" in line for line in lines) == 2
    shards = sorted(file.name for file in whole.glob("*.safetensors"))
    assert begun == shards[2:], "what was finished is not written again"
    left = sorted(file.name for file in (tmp_path / "model").iterdir())
    assert left == sorted(file.name for file in whole.iterdir()), "nothing of the way is left"
    for name in left:
        if name != "manifest.json":
            assert (tmp_path / "model" / name).read_bytes() == (whole / name).read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"whole", "model"}


@pytest.mark.parametrize("change", ["dtype", "source"])
def test_begins_anew_when_anything_changed(
    change: str, made: ConversionRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = Path(shutil.copytree(made.llm, tmp_path / "llm"))
    request = to(made, tmp_path / "model", llm=str(llm))
    with monkeypatch.context() as patch:
        interrupt(patch, after=2)
        with pytest.raises(KeyboardInterrupt):
            join_weights(request)
    if change == "dtype":
        request = to(request, request.to, dtype="bfloat16")
    else:
        os.utime(llm / "model.safetensors", ns=(1, 1))
    lines: list[str] = []
    join_weights(request, lines.append)
    assert not any("written before" in line for line in lines)


def test_an_earlier_conversion_is_replaced_only_when_told_so(made: ConversionRequest, tmp_path: Path) -> None:
    request = to(made, tmp_path / "model")
    join_weights(request)
    (request.to / "note.txt").write_text("old")
    with pytest.raises(UsageError, match=r"holds an earlier conversion: .*--overwrite"):
        join_weights(request)
    join_weights(to(request, request.to, overwrite=True))
    assert not (request.to / "note.txt").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_what_is_not_ours_is_never_removed(made: ConversionRequest, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("three years")
    with pytest.raises(UsageError, match="holds other things"):
        join_weights(to(made, tmp_path / "precious", overwrite=True))
    (tmp_path / "model.partial").mkdir()
    (tmp_path / "model.partial" / "thesis.txt").write_text("three years")
    with pytest.raises(UsageError, match="is in the way"):
        join_weights(to(made, tmp_path / "model", overwrite=True))
    (tmp_path / "file").write_text("three years")
    with pytest.raises(UsageError, match="is a file or a link"):
        join_weights(to(made, tmp_path / "file", overwrite=True))
    assert len(list(tmp_path.rglob("thesis.txt"))) == 2 and (tmp_path / "file").read_text() == "three years"


def test_an_empty_directory_is_welcome(made: ConversionRequest, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert (join_weights(to(made, tmp_path / "model")) / "manifest.json").is_file()


def test_two_at_once(made: ConversionRequest, tmp_path: Path) -> None:
    plan = converting.prepare_plan(to(made, tmp_path / "model"))
    with (
        writing.workplace(plan.to, plan.fingerprint),
        pytest.raises(UsageError, match="another process is converting"),
    ):
        converting.write(plan)


def test_a_full_disk_is_noticed_before(
    made: ConversionRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(BackendError, match=r"0\.1 GB are needed there, 0\.0 GB are free"):
        join_weights(to(made, tmp_path / "deep" / "model"))
    assert not list(tmp_path.iterdir())


def test_damaged_numbers_are_named(made: ConversionRequest, tmp_path: Path) -> None:
    model = sources.llm()
    model.model.layers[1].mlp.up_proj.weight.data[3, 4] = float("nan")
    sources.save_llm(model, tmp_path / "llm")
    with pytest.raises(BackendError, match=r"layers\.1\.mlp\.up_proj\.weight' holds infinite or undefined numbers"):
        join_weights(to(made, tmp_path / "model", llm=str(tmp_path / "llm")))


def test_the_file_format(tmp_path: Path) -> None:
    """What we write by hand is what the library reads."""
    tensors = {
        "a": torch.arange(6, dtype=torch.float32).reshape(2, 3),
        "b": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "c": torch.zeros(1, 1, 5, dtype=torch.float16),
        "turned": torch.arange(6, dtype=torch.float32).reshape(2, 3).T,
    }
    pieces = [TensorPiece(n, tuple(t.shape), t.dtype, lambda t=t: t, None) for n, t in tensors.items()]
    writing.write_shard(tmp_path / "x.safetensors", pieces, lambda _: None)
    read = load_file(tmp_path / "x.safetensors")
    assert {name: value.tolist() for name, value in read.items()} == {n: t.tolist() for n, t in tensors.items()}
    assert {name: value.dtype for name, value in read.items()} == {n: t.dtype for n, t in tensors.items()}


def test_rows_that_are_added_are_never_the_best() -> None:
    table = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    longer = with_extra_rows(table, 52)
    assert longer.shape == (52, 8) and torch.equal(longer[:50], table)
    hidden = torch.randn(200, 8, generator=torch.Generator().manual_seed(2))
    logits = hidden @ longer.T
    assert (logits.argmax(-1) < 50).all()
    assert (logits.softmax(-1)[:, 50:] <= 1 / 50 + 1e-6).all()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["safetensors", "bin"])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_stays_below_the_largest_file_and_a_little(layout: str, made: ConversionRequest, tmp_path: Path) -> None:
    """A language model of 8 files of 48 MB: what is added to the memory at the start is one file, not eight."""
    llm = tmp_path / "llm"
    shutil.copytree(made.llm, llm)
    (llm / "model.safetensors").unlink()
    config = json.loads((llm / "config.json").read_text())
    width, inner, layers = 32, 131072, 8  # three matrices of 32 x 131072 numbers in each layer
    config |= {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers}
    (llm / "config.json").write_text(json.dumps(config))
    code = f"""
import json, resource, sys, threading
sys.path.insert(0, {str(ROOT)!r})
import torch
from pathlib import Path
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
llm, layout = Path({str(llm)!r}), {layout!r}
config = LlamaConfig.from_pretrained(llm)
with torch.device("meta"):
    shapes = {{name: tuple(value.shape) for name, value in LlamaForCausalLM(config).state_dict().items()}}
groups = {{}}
for name in shapes:
    layer = int(name.split(".")[2]) if ".layers." in name else 0
    groups.setdefault(layer, []).append(name)
weight_map = {{}}
for layer, names in groups.items():
    state = {{name: torch.ones(shapes[name]) for name in names}}
    file = f"part-{{layer}}.{{'safetensors' if layout == 'safetensors' else 'bin'}}"
    save_file(state, llm / file) if layout == "safetensors" else torch.save(state, llm / file)
    weight_map |= dict.fromkeys(names, file)
del state
index = "model.safetensors.index.json" if layout == "safetensors" else "pytorch_model.bin.index.json"
(llm / index).write_text(json.dumps({{"weight_map": weight_map}}))
from plugins.minigpt4.convert.conversion import ConversionRequest, prepare_plan, write
request = ConversionRequest(Path({str(made.projection)!r}), str(llm), {made.vision!r},
                  Path({str(tmp_path / "model")!r}), max_shard=10**9)
plan = prepare_plan(request)
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
def status(key):
    return int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1]) * 1024
before = status("VmRSS")
write(plan)
print(json.dumps({{"grown": status("VmHWM") - before, "largest": max(f.stat().st_size for f in llm.glob("part-*")),
                  "all": sum(f.stat().st_size for f in llm.glob("part-*"))}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    measured = json.loads(done.stdout.splitlines()[-1])
    print(measured)
    assert measured["all"] > 7 * measured["largest"]
    assert measured["grown"] < measured["largest"] + 100e6 < measured["all"]
