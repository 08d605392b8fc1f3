"""Nothing that makes transformers run code of a stranger, and no quantised weights, get into a directory of ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from core.errors import InquisightError
from core.files.model_folder import REMOTE_CODE
from plugins.minigpt4.convert.conversion import ConversionRequest, join_weights, prepare_plan
from plugins.minigpt4.convert.trained import export
from plugins.minigpt4.runtime.loading import check
from tests.plugins.minigpt4 import convert_sources as sources
from tests.plugins.minigpt4 import tiny

CODE: dict[str, Any] = {
    "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]},
    "custom_pipelines": {"text-generation": {"impl": "evil.Evil"}},
    "custom_generate": "evil",
    "trust_remote_code": True,
    "code_revision": "main",
}
PROGRAM = "raise SystemExit('this ran')\n"


def change_json(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({**content, **values}))


def poison(folder: Path) -> None:
    """Every JSON file asks for code, and the code is there."""
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "preprocessor_config.json"):
        change_json(folder / name, **CODE)
    for name in ("evil.py", "modeling_llama.py"):
        (folder / name).write_text(PROGRAM)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(PROGRAM)


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def assert_harmless(directory: Path) -> None:
    assert [file.name for file in directory.rglob("*") if file.suffix in (".py", ".pyc")] == []
    found = {file.name: set(keys(json.loads(file.read_text()))) & set(REMOTE_CODE) for file in directory.glob("*.json")}
    assert "config.json" in found and "tokenizer_config.json" in found
    assert not any(found.values()), found


@pytest.fixture
def small(tmp_path: Path) -> ConversionRequest:
    sources.save_llm(sources.llm(), tmp_path / "llm")
    vision = sources.save_eye(sources.blip2(), tmp_path / "vision")
    projection = sources.random_projection(tmp_path / "projection.pth", sources.HIDDEN, sources.QFORMER)
    return ConversionRequest(projection, str(tmp_path / "llm"), tuple(vision), tmp_path / "to")


def test_code_of_the_sources_is_not_carried_over(small: ConversionRequest) -> None:
    llm, vision = Path(small.llm), Path(small.vision[0])
    poison(llm)
    poison(vision)
    config = json.loads((vision / "config.json").read_text())
    for part in ("vision_config", "qformer_config", "text_config"):
        config[part] |= CODE
    (vision / "config.json").write_text(json.dumps(config))
    directory = join_weights(small)
    assert_harmless(directory)
    AutoConfig.from_pretrained(directory)  # opens without a question: there is nothing to trust
    AutoProcessor.from_pretrained(directory)
    AutoModelForImageTextToText.from_pretrained(directory)


def test_only_llamas_own_fields_are_carried_over(small: ConversionRequest) -> None:
    change_json(Path(small.llm) / "config.json", peft_config={"r": 8}, my_notes="x", _name_or_path="/home/me/secret")
    text = json.loads((join_weights(small) / "config.json").read_text())["text_config"]
    assert not {"peft_config", "my_notes", "quantization_config"} & set(text) and not text.get("_name_or_path")
    own = sources.llm().config.to_dict()
    for name in (
        "hidden_size",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "rope_parameters",
        "rms_norm_eps",
    ):
        assert text[name] == own[name]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished training beside a model whose folder asks for code."""
    base = tiny.save(tmp_path / "base")
    poison(base)
    (base / "LICENSE").write_text("do as you like")
    (base / "pytorch_model.bin").write_bytes(b"old")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.toml").write_text("stage = 1\n")
    stored = load_file(base / "model.safetensors")
    projection = {
        f"language_projection.{part}": stored[f"language_projection.{part}"] + 1 for part in ("weight", "bias")
    }
    save_file(projection, folder / "projection.safetensors")
    facts = {
        "kind": "inquisight-training",
        "base": str(base),
        "base_digest": check(base).digest,
        "sha256": hashlib.sha256((folder / "projection.safetensors").read_bytes()).hexdigest(),
        "projection_layers": 1,
        "stage": 1,
        "steps": 3,
    }
    (folder / "finished.json").write_text(json.dumps(facts))
    return folder


def test_an_export_leaves_code_behind(run: Path, tmp_path: Path) -> None:
    directory = export(run, tmp_path / "exported")
    assert_harmless(directory)
    assert (directory / "LICENSE").is_file() and not (directory / "pytorch_model.bin").exists()
    exported, trained = load_file(directory / "model.safetensors"), load_file(run / "projection.safetensors")
    assert torch.equal(exported["language_projection.bias"], trained["language_projection.bias"])


# ---- quantised weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32])
@pytest.mark.parametrize(
    ("part", "tensor"),
    [
        ("llm", "model.layers.0.self_attn.q_proj.weight"),
        ("vision", "qformer.encoder.layer.0.attention.attention.query.weight"),
    ],
)
def test_whole_numbers_are_no_weights(part: str, tensor: str, dtype: torch.dtype, small: ConversionRequest) -> None:
    """Their shapes fit, so that they would be read as they are and give noise."""
    file = (Path(small.llm) if part == "llm" else Path(small.vision[0])) / "model.safetensors"
    state = load_file(file)
    state[tensor] = (state[tensor] * 100).to(dtype)
    save_file(state, file)
    with pytest.raises(InquisightError, match=f"--{part} .*'{tensor}' is stored as .*quantised weights"):
        prepare_plan(small)


def test_an_eye_that_says_it_is_quantised(small: ConversionRequest) -> None:
    change_json(Path(small.vision[0]) / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(InquisightError, match=r"found quantised ones .*take the unquantised model"):
        prepare_plan(small)
