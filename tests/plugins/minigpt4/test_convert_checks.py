"""Each mistake is one line that says what was expected, what was found and what to do; nothing is written."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import InquisightError
from plugins.minigpt4.convert.conversion import ConversionRequest, join_weights, prepare_plan
from plugins.minigpt4.convert.tokens import prepare
from tests.plugins.minigpt4 import convert_sources as sources

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real sizes, made of holes: a few megabytes on the disk."""
    folder = tmp_path_factory.mktemp("full")
    for name, shape in (("7b", (4096, 768)), ("13b", (5120, 768)), ("llama2", (4096, 5632))):
        sources.save_projection(folder / f"{name}.pth", torch.ones(shape, dtype=torch.float16), torch.zeros(shape[0]))
    sources.sparse_llm(folder / "vicuna-7b", **sources.VICUNA_7B)
    sources.sparse_llm(folder / "vicuna-13b", **sources.VICUNA_13B)
    sources.sparse_llm(folder / "llama2-7b", **sources.LLAMA2_7B)
    sources.sparse_eye(folder / "xxl")
    return folder


def planned(folder: Path, projection: str, llm: str, vision: str = "xxl", **options: Any) -> Any:
    request = ConversionRequest(
        folder / f"{projection}.pth", str(folder / llm), (str(folder / vision),), folder / "to", **options
    )
    return prepare_plan(request)


def complaint(folder: Path, *arguments: str, **options: Any) -> str:
    with pytest.raises(InquisightError) as caught:
        planned(folder, *arguments, **options)
    return one_line(caught.value)


def one_line(error: InquisightError) -> str:
    assert "\n" not in str(error) and str(error).endswith(".") and len(str(error)) < 600
    assert error.exit_code != 0
    return str(error)


@pytest.fixture(autouse=True)
def enough_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full-size models are only planned here, whatever the disk."""
    monkeypatch.setattr("plugins.minigpt4.convert.writing.shutil.disk_usage", lambda _: _Room())


class _Room:
    free = 10**15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("projection", "llm", "size", "tokens", "format"),
    [
        ("7b", "vicuna-7b", 13.5e9 + 2.2e9, 32, "vicuna"),
        ("13b", "vicuna-13b", 26.0e9 + 2.2e9, 32, "vicuna"),
        ("llama2", "llama2-7b", 13.5e9 + 2.0e9, 64, "llama2"),
    ],
)
def test_the_released_models_fit(projection: str, llm: str, size: float, tokens: int, format: str, full: Path) -> None:
    plan = planned(full, projection, llm)
    assert plan.bytes == pytest.approx(size, rel=0.05)
    assert (plan.joined.tokens_per_picture, plan.template) == (tokens, format)
    assert plan.config.num_query_tokens == tokens
    assert plan.config.image_token_index == (32001 if "vicuna" in llm else 32000)
    assert plan.config.text_config.vocab_size == plan.config.image_token_index + 1
    assert max(shard.bytes for shard in plan.shards) <= 4 * 1024**3 and len(plan.shards) > 3
    assert "float16, as the language model is stored" in plan.dtype_reason


def test_a_7b_projection_with_a_13b_model(full: Path) -> None:
    line = complaint(full, "7b", "vicuna-13b")
    assert "width 4096 (7B)" in line and "has width 5120 (13B)" in line and "give Vicuna-7B v0" in line


@pytest.mark.slow
def test_vocabulary_32000_against_32001(full: Path) -> None:
    line = complaint(full, "7b", "llama2-7b")
    assert (
        "expects Vicuna-7B v0 with vocabulary 32001" in line and "is a Llama-2" in line and "--own-projection" in line
    )
    line = complaint(full, "llama2", "vicuna-7b")
    assert "expects Llama-2-7B-chat with vocabulary 32000" in line and "is a Vicuna v0, 7B (vocabulary 32001)" in line
    notes = planned(full, "7b", "llama2-7b", own_projection=True).notes
    assert any("on your word" in note for note in notes)


def test_a_llama_3_where_vicuna_was_meant(full: Path, tmp_path: Path) -> None:
    theta = {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}
    sources.sparse_llm(tmp_path / "llama3", vocab_size=128256, intermediate_size=14336, num_key_value_heads=8, **theta)
    (full / "llama3").symlink_to(tmp_path / "llama3")
    line = complaint(full, "7b", "llama3")
    assert "expects Vicuna-7B v0" in line and "is a Llama-3 (vocabulary 128256, rope_theta 500000)" in line


def test_llama_2_without_its_positions(full: Path, tmp_path: Path) -> None:
    sources.sparse_llm(tmp_path / "llama1", vocab_size=32000)
    (full / "llama1").symlink_to(tmp_path / "llama1")
    line = complaint(full, "llama2", "llama1")
    assert "with 4096 positions" in line and "has 2048 (a LLaMA or Vicuna v1.1 to v1.3" in line


@pytest.mark.parametrize(
    ("text", "vision", "expected"),
    [
        ({"model_type": "opt", "hidden_size": 2560}, {}, "Q-Former of BLIP-2 with FlanT5-XXL (t5, width 4096)"),
        ({"model_type": "t5", "d_model": 2048}, {}, "has the one for t5, width 2048"),
        (None, {"image_size": 364}, "is a vision model for 364"),
        (None, {"hidden_size": 1024, "num_attention_heads": 16}, ""),
    ],
)
def test_another_blip_2s_eye(
    text: dict[str, Any] | None, vision: dict[str, Any], expected: str, full: Path, tmp_path: Path
) -> None:
    sources.sparse_eye(tmp_path / "eye", text, **vision)
    request = ConversionRequest(full / "7b.pth", str(full / "vicuna-7b"), (str(tmp_path / "eye"),), tmp_path / "to")
    if not expected:  # a projection cannot tell which ViT stood before its Q-Former
        prepare_plan(request)
        return
    with pytest.raises(InquisightError) as caught:
        prepare_plan(request)
    assert expected in one_line(caught.value)


# The rest is small.


@pytest.fixture
def small(tmp_path: Path) -> ConversionRequest:
    sources.save_llm(sources.llm(), tmp_path / "llm")
    vision = sources.save_eye(sources.blip2(), tmp_path / "vision")
    projection = sources.random_projection(tmp_path / "projection.pth", sources.HIDDEN, sources.QFORMER)
    return ConversionRequest(projection, str(tmp_path / "llm"), tuple(vision), tmp_path / "to")


def line_of(request: ConversionRequest, **changes: Any) -> str:
    with pytest.raises(InquisightError) as caught:
        join_weights(replace(request, **changes))
    assert not request.to.exists() and not list(request.to.parent.glob("*.partial*"))
    return one_line(caught.value)


def change_json(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, **values}))


def change_weights(file: Path, change: Any) -> None:
    state = load_file(file)
    change(state)
    save_file(state, file)


def test_the_projection(small: ConversionRequest, tmp_path: Path) -> None:
    assert "does not exist" in line_of(small, projection=tmp_path / "absent.pth")
    assert "is a directory" in line_of(small, projection=tmp_path)
    other = sources.random_projection(tmp_path / "other.pth", sources.HIDDEN, 77)
    line = line_of(small, projection=other)
    assert "takes 77 numbers" in line and "gives 128 (Q-Former) or 704" in line
    torch.save({"model": {"t5_proj.weight": torch.ones(2)}}, other)
    assert "expected llama_proj.weight, found t5_proj.weight" in line_of(small, projection=other)
    weight = torch.ones(sources.HIDDEN, sources.QFORMER)
    sources.save_projection(other, weight)
    assert "llama_proj.bias [outputs], found [32, 128] and none" in line_of(small, projection=other)
    sources.save_projection(other, weight * float("nan"), torch.ones(sources.HIDDEN))
    assert "infinite, undefined" in line_of(small, projection=other)
    lora = {"llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight": torch.ones(2, 2)}
    sources.save_projection(other, weight, torch.ones(sources.HIDDEN), **lora)
    assert "MiniGPT-v2 checkpoint" in line_of(small, projection=other)


class Program:
    """A pickle that would run something."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_a_program(zipped: bool, small: ConversionRequest, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    content = {"model": {"llama_proj.weight": torch.ones(2, 2)}, "config": Program(tmp_path / "mark")}
    torch.save(content, bad) if zipped else bad.write_bytes(pickle.dumps(content))
    line = line_of(small, projection=bad)
    assert "is not a file of tensors only" in line and "could run a program" in line
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"", "damaged or cut off"),
        (b"PK\x03\x04 half a file", "damaged or cut off"),
        (b"<html>404</html>", "not a file of tensors only"),
    ],
)
def test_files_that_are_no_weights(content: bytes, words: str, small: ConversionRequest, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(content)
    assert words in line_of(small, projection=tmp_path / "bad.pth")
    assert words in line_of(small, vision=(str(tmp_path / "bad.pth"),))
    shutil.copy(tmp_path / "bad.pth", Path(small.llm) / "model.safetensors")
    words = words if "lfs" in words else "damaged or cut off"
    assert words in line_of(small)


def test_an_old_checkpoint_without_a_zip_archive(small: ConversionRequest, tmp_path: Path) -> None:
    """Files from before PyTorch 1.6 cannot be mapped, but read."""
    content = torch.load(small.projection, weights_only=True)
    torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    directory = join_weights(ConversionRequest(tmp_path / "old.pth", small.llm, small.vision, small.to))
    converted = {}
    for file in directory.glob("*.safetensors"):
        converted |= load_file(file)
    for part in ("weight", "bias"):
        assert torch.equal(converted[f"language_projection.{part}"], content["model"][f"llama_proj.{part}"])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "mistral"}, "expected a Llama-family model (model_type llama), found mistral"),
        ({"quantization_config": {"quant_method": "gptq"}}, "found quantised ones (gptq)"),
        ({"vocab_size": 400}, "its config.json says vocabulary 400 and width 32, its weights have [361, 32]"),
        ({"num_hidden_layers": 3}, "lacks 9 of 30 tensors, first model.layers.2."),
        ({"num_hidden_layers": 1}, "holds 9 tensors that its config.json has no place for, first model.layers.1."),
        ({"intermediate_size": 60}, "expected model.layers.0.mlp.gate_proj.weight [60, 32], found [64, 32]"),
        ({"attention_bias": True}, "lacks 8 of 29 tensors"),
        ({"num_attention_heads": 5, "head_dim": None}, "config.json is not accepted"),
    ],
)
def test_the_language_models_configuration(config: dict[str, Any], words: str, small: ConversionRequest) -> None:
    change_json(Path(small.llm) / "config.json", **config)
    assert words in line_of(small)


def test_the_language_models_files(small: ConversionRequest, tmp_path: Path) -> None:
    assert "no directory here and no name on the hub" in line_of(small, llm=str(tmp_path / "absent"))
    llm = Path(small.llm)
    weights = llm / "model.safetensors"
    whole = weights.read_bytes()
    change_weights(weights, lambda state: state["model.norm.weight"].mul_(0.001))
    assert "looks like a delta (its last norm is 0.001 on average" in line_of(small)
    weights.write_bytes(whole)
    change_weights(weights, lambda state: state.pop("lm_head.weight"))
    assert "lacks 1 of 21 tensors, first lm_head.weight" in line_of(small)
    weights.write_bytes(whole)
    extra = {"model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2)}
    change_weights(weights, lambda state: state.update(extra))
    assert "first model.layers.0.self_attn.q_proj.lora_A.weight" in line_of(small)
    weights.unlink()
    assert "has no weights: expected model.safetensors or pytorch_model.bin" in line_of(small)
    (llm / "adapter_config.json").write_text("{}")
    assert "is a LoRA adapter" in line_of(small)
    (llm / "adapter_config.json").unlink()
    (llm / "consolidated.00.pth").touch()
    assert "in Meta's own format" in line_of(small)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (llm / "model.safetensors.index.json").write_text(json.dumps(index))
    (llm / "model-00001-of-00002.safetensors").write_bytes(whole)
    assert "model-00002-of-00002.safetensors is missing (1 of 2 files are there)" in line_of(small)
    index["weight_map"]["b"] = "../../etc/passwd"
    (llm / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names files outside its folder" in line_of(small)
    (llm / "model.safetensors.index.json").unlink()
    weights.write_bytes(whole)
    (llm / "config.json").write_text("{")
    assert "cannot be read" in line_of(small)


def test_the_tokenizer(small: ConversionRequest) -> None:
    llm = Path(small.llm)
    sources.tokenizer(400).save_pretrained(llm)
    assert "its tokenizer has 400 tokens, its model's table 361 rows" in line_of(small)
    for file in llm.glob("tokenizer*"):
        file.unlink()
    assert "its tokenizer does not open" in line_of(small)


def test_a_spare_row_serves_the_placeholder(small: ConversionRequest) -> None:
    """A table that is padded to a round number does not grow."""
    sources.save_llm(sources.llm(vocabulary=384), Path(small.llm))
    plan = prepare_plan(small)
    assert (plan.config.image_token_index, plan.config.text_config.vocab_size) == (361, 384)


@pytest.mark.parametrize(
    ("part", "values", "words"),
    [
        ("", {"model_type": "instructblip"}, "expected a BLIP-2 (model_type blip-2), found instructblip"),
        ("vision_config", {"num_hidden_layers": 3}, "first vision_model.encoder.layers.2."),
        ("vision_config", {"num_hidden_layers": 1}, "that nothing uses, first vision_model.encoder.layers.1."),
        ("vision_config", {"image_size": 224}, "embeddings.position_embedding [1, 257, 176], found [1, 17, 176]"),
        ("qformer_config", {"num_hidden_layers": 5}, "first qformer.encoder.layer.3."),
        ("qformer_config", {"num_hidden_layers": 2}, "that nothing uses, first qformer.encoder.layer.2."),
        ("qformer_config", {"cross_attention_frequency": 1}, "first qformer.encoder.layer.1.crossattention."),
        ("", {"num_query_tokens": 32}, "query_tokens [1, 32, 128], found [1, 3, 128]"),
    ],
)
def test_the_eyes_configuration(part: str, values: dict[str, Any], words: str, small: ConversionRequest) -> None:
    file = Path(small.vision[0]) / "config.json"
    config = json.loads(file.read_text())
    change_json(file, **({part: {**config[part], **values}} if part else values))
    assert words in line_of(small)


def test_missing_vision_tensors(small: ConversionRequest, tmp_path: Path) -> None:
    weights = Path(small.vision[0]) / "model.safetensors"
    change_weights(weights, lambda state: state.pop("vision_model.post_layernorm.bias"))
    line = line_of(small)
    assert "lacks 1 of" in line and "first vision_model.post_layernorm.bias" in line
    assert "expected a ViT of 2 layers and a Q-Former of 3" in line


def test_lavis_files(small: ConversionRequest, tmp_path: Path) -> None:
    first, second = sources.save_eye(sources.blip2(), tmp_path / "lavis", "lavis-two")
    assert "LAVIS keeps it in a file of its own" in line_of(small, vision=(first,))
    assert "holds none (query_tokens" in line_of(small, vision=(second,))
    assert "is given twice" in line_of(small, vision=small.vision * 2)
    assert "is no file" in line_of(small, vision=(first, str(tmp_path / "absent.pth")))
    checkpoint = torch.load(first, weights_only=True)
    del checkpoint["model"]["Qformer.bert.encoder.layer.1.attention.self.key.bias"]
    torch.save(checkpoint, first)
    line = line_of(small, vision=(first, second), qformer_heads=2, vit_heads=2)
    assert "first Qformer.bert.encoder.layer.1.attention.self.key.bias" in line


def lavis_partner(tmp_path: Path, **tensors: torch.Tensor) -> bool | None:
    from plugins.minigpt4.convert.vision import open_vision

    [file] = sources.save_eye(sources.blip2(), tmp_path / "lavis", "lavis")
    checkpoint = torch.load(file, weights_only=True)
    del checkpoint["model"]["t5_proj.weight"]
    checkpoint["model"] |= tensors
    torch.save(checkpoint, file)
    return open_vision([file]).from_flan_t5_xxl


def test_lavis_tells_its_partner_by_the_projection_it_had(tmp_path: Path) -> None:
    assert lavis_partner(tmp_path, **{"t5_proj.weight": torch.ones(4096, 1)}) is True
    assert lavis_partner(tmp_path, **{"t5_proj.weight": torch.ones(2048, 1)}) is False
    assert lavis_partner(tmp_path, **{"opt_proj.weight": torch.ones(4096, 1)}) is False
    assert lavis_partner(tmp_path) is None


# Early conversions of LLaMA, as many people still have them.

EARLY = {"tokenizer_class": "LlamaTokenizer", "bos_token": "", "eos_token": "", "unk_token": ""}
SAME = {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "[PAD]", "unk_token": "</s>"}


@pytest.mark.parametrize(
    ("config", "special", "added", "bos"),
    [
        ({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}, None, False, 1),
        ({"tokenizer_class": "LlamaTokenizer"}, {"pad_token": "[PAD]"}, True, 1),
        ({}, None, False, 1),
        (EARLY | {"tokenizer_class": "LLaMATokenizer"}, {}, False, 1),
        (EARLY, SAME, True, 2),
    ],
)
def test_tokenizers_of_early_conversions(
    config: dict[str, Any], special: dict[str, Any] | None, added: bool, bos: int, tmp_path: Path
) -> None:
    """SentencePiece itself says what each text is; all that is there are the files FastChat and others wrote."""
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    text = ["the picture shows a duck on the water ### Human: what is it ### Assistant: it is a duck <Img> </Img>"] * 50
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, vocab_size=330, model_type="bpe", byte_fallback=True,
        pad_id=-1, bos_id=1, eos_id=2, unk_id=0, normalization_rule_name="identity", remove_extra_whitespaces=False,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    reference = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    size = reference.get_piece_size()
    (tmp_path / "tokenizer.model").write_bytes(model.getvalue())
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    if special is not None:
        (tmp_path / "special_tokens_map.json").write_text(json.dumps(special))
    if added:
        (tmp_path / "added_tokens.json").write_text(json.dumps({"[PAD]": size}))
    rows = size + added
    tokens = prepare(tmp_path, "early", rows, "vicuna")
    assert (tokens.image, tokens.rows) == (rows, rows + 1)
    tokens.save(tmp_path / "saved", "")
    for sample in ("the duck ### Human: what", "</Img> is  it\n\u4e16", "###"):
        assert tokens.tokenizer(sample, add_special_tokens=False).input_ids == reference.encode(sample)
        assert tokens.tokenizer(sample).input_ids == [bos, *reference.encode(sample)]


@pytest.mark.slow
def test_the_command(small: ConversionRequest, tmp_path: Path) -> None:
    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = ["convert", "minigpt4", "--projection", str(small.projection), "--llm", small.llm]
        words += ["--vision", small.vision[0], "--to", str(small.to), *more]
        return subprocess.run(
            [sys.executable, "-m", "agents.cli", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "INQUISIGHT_LOAD_PLUGINS": "", "HF_HUB_OFFLINE": "1"},
            check=False,
        )

    refused = run("--dtype", "int3")
    assert refused.returncode == 2
    assert refused.stderr == "inquisight: --dtype is 'int3': take auto, bfloat16, float16 or float32.\n"
    checked = run("--check")
    assert checked.returncode == 0 and "nothing was written" in checked.stderr and not small.to.exists()
    done = run("--dtype", "bfloat16")
    assert (done.returncode, done.stdout) == (0, f"{small.to}\n"), done.stderr
    assert "dtype: bfloat16, as --dtype says" in done.stderr and "Warning" not in done.stderr
    assert done.stderr.count("\n") < 15, "a line for each decision, none for each small file"
    again = run()
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "--overwrite" in again.stderr
