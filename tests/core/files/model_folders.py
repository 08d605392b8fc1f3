"""Folders that people name as a model by mistake, as they really look: (builder, what the line has to say)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

POINTER: Final = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 1000\n"
CONFIG: Final = {"model_type": "blip-2", "text_config": {"model_type": "opt"}}


def put(folder: Path, **files: Any) -> Path:
    """Write files; `__` in a keyword stands for a dot, `___` for a dash. A dict becomes JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        file = folder / name.replace("___", "-").replace("__", ".")
        text = json.dumps(content) if isinstance(content, dict) else content
        file.write_bytes(text if isinstance(text, bytes) else str(text).encode())
    return folder


def safetensors() -> bytes:
    """A whole file without tensors."""
    header = b'{"__metadata__":{"format":"pt"}}'
    return len(header).to_bytes(8, "little") + header


def whole(folder: Path) -> Path:
    """What the smallest model's folder needs to be taken for one."""
    return put(folder, config__json=CONFIG, model__safetensors=safetensors(), tokenizer__json={})


def empty(folder: Path) -> None:
    folder.mkdir()


def a_file(folder: Path) -> None:
    folder.write_text("hello")


def file_of_a_model(folder: Path) -> None:
    put(folder.parent, config__json=CONFIG)
    folder.write_bytes(safetensors())


def cache(folder: Path, name: str = "abc123") -> Path:
    """huggingface_hub's cache of one model, inside of `folder`'s parent under the name that it gives."""
    whole(folder / "snapshots" / name)
    put(folder / "refs", main=name)
    put(folder / "blobs", deadbeef="x")
    return folder


def cache_of_nothing(folder: Path) -> None:
    put(folder / "blobs", deadbeef__incomplete="x")
    (folder / "snapshots").mkdir()
    (folder / "refs").mkdir()


def cache_root(folder: Path) -> None:
    cache(folder / "models--Salesforce--blip2-opt-2.7b")
    (folder / ".locks").mkdir()


def adapter(folder: Path) -> None:
    put(
        folder,
        adapter_config__json={"base_model_name_or_path": "lmsys/vicuna-7b-v1.1", "peft_type": "LORA"},
        adapter_model__safetensors=safetensors(),
        README__md="An adapter",
        tokenizer__json={},
    )


def adapter_with_config(folder: Path) -> None:
    adapter(folder)
    put(folder, config__json=CONFIG)


def model_and_adapter(folder: Path) -> None:
    whole(folder)
    adapter(folder)


def index(folder: Path, *files: str, name: str = "model.safetensors") -> None:
    weight_map = {f"vision_model.{number}": file for number, file in enumerate(files)}
    put(folder, **{f"{name}.index.json".replace(".", "__"): {"metadata": {}, "weight_map": weight_map}})


def stale_index(folder: Path) -> None:
    whole(folder)
    index(folder, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def stored_twice(folder: Path) -> None:
    stale_index(folder)
    for number in (1, 2):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(safetensors())


def stale_index_of_pickles(folder: Path) -> None:
    put(folder, config__json=CONFIG, pytorch_model__bin="x")
    index(folder, "pytorch_model-00001-of-00001.bin", name="pytorch_model.bin")


def stale_index_beside_pickle(folder: Path) -> None:
    put(folder, config__json=CONFIG, pytorch_model__bin="x")
    index(folder, "model-00001-of-00001.safetensors")


def missing_shards(folder: Path) -> None:
    put(folder, config__json=CONFIG, tokenizer__json={})
    index(folder, *(f"model-0000{number}-of-00006.safetensors" for number in range(1, 7)))
    (folder / "model-00001-of-00006.safetensors").write_bytes(safetensors())


def index_of_nothing(folder: Path) -> None:
    put(folder, config__json=CONFIG)
    index(folder)


def index_outside(folder: Path) -> None:
    put(folder, config__json=CONFIG)
    index(folder, "../../etc/passwd")


def index_outside_in_windows(folder: Path) -> None:
    put(folder, config__json=CONFIG)
    index(folder, "..\\secrets.safetensors")


def shards_without_index(folder: Path) -> None:
    put(folder, config__json=CONFIG)
    for number in (1, 2):
        (folder / f"model-0000{number}-of-00002.safetensors").write_bytes(safetensors())


def tokenizer_only(folder: Path) -> None:
    put(folder, tokenizer__json={}, tokenizer_config__json={}, special_tokens_map__json={})


def gguf(folder: Path) -> None:
    put(folder, **{"llava-Q4_K_M__gguf": b"GGUF", "mmproj-f16__gguf": b"GGUF"})


def gguf_with_config(folder: Path) -> None:
    put(folder, config__json=CONFIG, model___Q4__gguf=b"GGUF")


def checkpoint_only(folder: Path) -> None:
    put(folder, pretrained_minigpt4_7b__pth=b"PK", eva_vit_g__pth=b"PK")


def bin_only(folder: Path) -> None:
    put(folder, pytorch_model__bin=b"PK")


def meta(folder: Path) -> None:
    put(folder, consolidated__00__pth=b"PK", params__json={}, tokenizer__model="x")


def pointer_weights(folder: Path) -> None:
    put(folder, config__json=CONFIG, model__safetensors=POINTER)


def pointer_tokenizer(folder: Path) -> None:
    whole(folder)
    put(folder, tokenizer__json=POINTER)


def pointer_config(folder: Path) -> None:
    put(folder, config__json=POINTER, pytorch_model__bin=POINTER)


def diffusers(folder: Path) -> None:
    put(folder, model_index__json={"_class_name": "StableDiffusionPipeline"})
    put(folder / "unet", config__json={}, diffusion_pytorch_model__safetensors=safetensors())


def finished_run(folder: Path) -> None:
    put(folder, recipe__toml="stage = 1", finished__json={"kind": "other"}, projection__safetensors=safetensors())


def begun_run(folder: Path) -> None:
    put(folder, recipe__toml="stage = 1", log__jsonl="")
    (folder / "checkpoints").mkdir()


def run_checkpoint(folder: Path) -> None:
    put(folder, state__json={}, projection__safetensors=safetensors(), optimizer__safetensors=safetensors())


def trainer_output(folder: Path) -> None:
    put(folder, trainer_state__json={})
    for step in (500, 1000):
        whole(folder / f"checkpoint-{step}")


def broken_off(folder: Path) -> None:
    put(folder, config__json=CONFIG)
    put(folder / ".cache" / "huggingface" / "download", model__safetensors__abc__incomplete="x")


def broken_off_at_once(folder: Path) -> None:
    put(folder / ".cache" / "huggingface" / "download", config__json__abc__incomplete="x")


def broken_off_by_browser(folder: Path) -> None:
    put(folder, config__json=CONFIG, model__safetensors__crdownload="x")


def broken_link(folder: Path) -> None:
    put(folder, config__json=CONFIG)
    (folder / "model.safetensors").symlink_to("../../blobs/gone")


def dead_link(folder: Path) -> None:
    folder.symlink_to("gone")


def stopped_conversion(folder: Path) -> None:
    put(folder, progress__json={"fingerprint": "x"}, config__json=CONFIG)


def onnx(folder: Path) -> None:
    put(folder, config__json=CONFIG, model__onnx="x")


def flax(folder: Path) -> None:
    put(folder, config__json=CONFIG, flax_model__msgpack="x")


def variant(folder: Path) -> None:
    put(folder, config__json=CONFIG, model__fp16__safetensors=safetensors())


def pictures(folder: Path) -> None:
    put(folder, cat__jpg="x")


def archive(folder: Path) -> None:
    folder.write_bytes(b"PK")


# name -> (name of the folder, builder, words of the line, the same for every model's spec)
FOLDERS: Final[dict[str, tuple[str, Callable[[Path], object], tuple[str, ...]]]] = {
    "empty": ("m", empty, ("is an empty folder",)),
    "file": ("m", a_file, ("is a file",)),
    "file of a model": ("model.safetensors", file_of_a_model, ("is one file of a model", "name its folder")),
    "gguf file": ("m.gguf", a_file, ("GGUF",)),
    "archive": ("m.tar.gz", archive, ("is an archive", "unpack it")),
    "cache": (
        "models--Salesforce--blip2-opt-2.7b",
        cache,
        ("cache folder of Salesforce/blip2-opt-2.7b", "snapshots/abc123"),
    ),
    "cache without its name": ("m", cache, ("cache folder", "snapshots/abc123")),
    "empty cache": ("models--a--b", cache_of_nothing, ("cache folder of a/b",)),
    "cache root": ("hub", cache_root, ("the hub's cache with 1 models", "blip2-opt-2.7b")),
    "adapter": ("m", adapter, ("is a LoRA adapter for lmsys/vicuna-7b-v1.1", "merge_and_unload")),
    "adapter with a config": ("m", adapter_with_config, ("is a LoRA adapter", "merge_and_unload")),
    "model and adapter": ("m", model_and_adapter, ("a whole model and an adapter_config.json", "move the adapter")),
    "stale index": (
        "m",
        stale_index,
        ("a whole model.safetensors and an index", "model-00001-of-00002.safetensors", "is missing", "delete model"),
    ),
    "stored twice": ("m", stored_twice, ("is there as well", "delete model.safetensors.index.json and those files")),
    "stale index of pickles": ("m", stale_index_of_pickles, ("delete pytorch_model.bin.index.json",)),
    "stale index beside a pickle": ("m", stale_index_beside_pickle, ("delete model.safetensors.index.json to use",)),
    "missing shards": ("m", missing_shards, ("and 2 more is missing (1 of 6 files are there)", "fetch")),
    "index of nothing": ("m", index_of_nothing, ("names no file", "fetch")),
    "index outside": ("m", index_outside, ("names files outside its folder",)),
    "index outside, Windows": ("m", index_outside_in_windows, ("names files outside its folder",)),
    "shards without index": ("m", shards_without_index, ("has 2 shards, but no model.safetensors.index.json",)),
    "tokenizer only": ("m", tokenizer_only, ("holds a tokenizer only",)),
    "gguf": ("m", gguf, ("GGUF files", "llava-Q4_K_M.gguf")),
    "gguf with a config": ("m", gguf_with_config, ("GGUF files", "model-Q4.gguf")),
    "checkpoints only": ("m", checkpoint_only, ("PyTorch checkpoints (eva_vit_g.pth", "inquisight convert minigpt4")),
    "bin only": ("m", bin_only, ("has no config.json", "pytorch_model.bin")),
    "Meta's": ("m", meta, ("in Meta's own format", "convert_llama_weights_to_hf")),
    "pointer weights": ("m", pointer_weights, ("Git LFS pointers", "model.safetensors", "git lfs pull")),
    "pointer tokenizer": ("m", pointer_tokenizer, ("Git LFS pointers", "tokenizer.json", "git lfs pull")),
    "pointer config": ("m", pointer_config, ("Git LFS pointers", "config.json", "git lfs pull")),
    "diffusers": ("m", diffusers, ("is a diffusers pipeline",)),
    "finished run": ("m", finished_run, ("is a training run", "trained:")),
    "begun run": ("m", begun_run, ("is a training run",)),
    "checkpoint of a run": ("m", run_checkpoint, ("is one checkpoint of a training run",)),
    "trainer output": ("m", trainer_output, ("its folder checkpoint-1000 has one", "name ")),
    "broken off": ("m", broken_off, ("its download was interrupted", "run the same download again")),
    "broken off at once": ("m", broken_off_at_once, ("its download was interrupted",)),
    "broken off by a browser": ("m", broken_off_by_browser, ("model.safetensors.crdownload",)),
    "broken link": ("m", broken_link, ("lacks model.safetensors, a broken link",)),
    "dead link": ("m", dead_link, ("is a broken link",)),
    "stopped conversion": ("m.partial", stopped_conversion, ("is a conversion that was stopped",)),
    "onnx": ("m", onnx, ("ONNX files (model.onnx)",)),
    "flax": ("m", flax, ("Flax weights (flax_model.msgpack)",)),
    "variant": ("m", variant, ("found model.fp16.safetensors",)),
    "pictures": ("m", pictures, ("has no config.json",)),
}


def build(name: str, parent: Path) -> Path:
    """The folder called `name` of FOLDERS, below `parent`."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / FOLDERS[name][0]
    FOLDERS[name][1](folder)
    return folder
