"""The number of attention heads is read, known of a published model, or asked for: shapes cannot tell it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2QFormerConfig, LlamaConfig
from typer.testing import CliRunner

from core.errors import InquisightError
from plugins.minigpt4.commands import convert as command
from plugins.minigpt4.convert.conversion import ConversionPlan, ConversionRequest, join_weights, prepare_plan
from plugins.minigpt4.convert.vision import QFORMER, VIT, open_vision
from tests.plugins.minigpt4 import convert_sources as sources


@pytest.fixture
def small(tmp_path: Path) -> ConversionRequest:
    """LAVIS's layout in sizes that nobody published."""
    sources.save_llm(sources.llm(), tmp_path / "llm")
    vision = sources.save_eye(sources.blip2(), tmp_path / "lavis", "lavis-two")
    projection = sources.random_projection(tmp_path / "projection.pth", sources.HIDDEN, sources.QFORMER)
    return ConversionRequest(
        projection, str(tmp_path / "llm"), tuple(vision), tmp_path / "to", vit_heads=2, qformer_heads=2
    )


def complaint(request: ConversionRequest) -> str:
    with pytest.raises(InquisightError) as caught:
        join_weights(request)
    assert not request.to.exists()
    line = str(caught.value)
    assert "\n" not in line and line.endswith(".")
    return line


def test_they_are_asked_for_where_no_file_says_them(small: ConversionRequest) -> None:
    line = complaint(replace(small, qformer_heads=None))
    assert "how many attention heads its Q-Former has (width 128, 3 layers" in line and "--qformer-heads N" in line
    line = complaint(replace(small, vit_heads=None))
    assert "how many attention heads its ViT has (width 176, 2 layers" in line and "--vit-heads N" in line


@pytest.mark.parametrize("heads", [1, 4, 8])
def test_what_is_given_is_taken(heads: int, small: ConversionRequest) -> None:
    """Also other numbers than width / 64, and the model computes with them: the same tensors, other features."""
    directory = join_weights(replace(small, qformer_heads=heads))
    config = json.loads((directory / "config.json").read_text())
    assert config["qformer_config"]["num_attention_heads"] == heads
    assert config["vision_config"]["num_attention_heads"] == 2
    reference = sources.blip2()
    reference.config.qformer_config.num_attention_heads = heads
    other = Blip2ForConditionalGeneration(reference.config)
    other.load_state_dict(reference.state_dict())
    pixels = torch.randn(1, 3, sources.IMAGE, sources.IMAGE, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        expected = other.eval().get_image_features(pixels).qformer_outputs.last_hidden_state
        opened = Blip2ForConditionalGeneration.from_pretrained(directory).eval()
        found = opened.get_image_features(pixels).qformer_outputs.last_hidden_state
        with_two = sources.blip2().get_image_features(pixels).qformer_outputs.last_hidden_state
    assert torch.equal(found, expected) and not torch.allclose(found, with_two, atol=1e-3)
    decisions = json.loads((directory / "manifest.json").read_text())["decisions"]
    assert f"Q-Former: {heads} attention heads, as --qformer-heads says" in decisions


@pytest.mark.parametrize(("option", "width"), [("qformer_heads", 128), ("vit_heads", 176)])
def test_they_have_to_divide_the_width(option: str, width: int, small: ConversionRequest) -> None:
    line = complaint(replace(small, **{option: 3}))  # type: ignore[arg-type]
    assert "3 attention heads do not divide" in line and f"width of {width}" in line
    assert f"--{option.replace('_', '-')}" in line


def write_config(small: ConversionRequest, **parts: dict[str, Any]) -> None:
    Path(small.vision[0]).with_name("config.json").write_text(json.dumps(parts))


def test_they_are_read_from_a_config_beside_the_file(small: ConversionRequest) -> None:
    write_config(
        small,
        qformer_config={"hidden_size": sources.QFORMER, "num_attention_heads": 4},
        vision_config={"hidden_size": sources.VIT, "num_attention_heads": 2},
    )
    plan = prepare_plan(replace(small, qformer_heads=None, vit_heads=None))
    assert plan.config.qformer_config.num_attention_heads == 4
    assert "Q-Former: 4 attention heads, as its config.json says" in plan.notes
    assert "--qformer-heads 2, but the config.json of" in complaint(small)


@pytest.mark.parametrize(
    "config",
    [
        {"qformer_config": {"hidden_size": 64, "num_attention_heads": 4}},  # another model's
        {"qformer_config": {"hidden_size": sources.QFORMER}},
        {"text_config": {"num_attention_heads": 4}},
    ],
)
def test_a_config_of_something_else_tells_nothing(config: dict[str, Any], small: ConversionRequest) -> None:
    write_config(small, **config)
    assert "--qformer-heads N" in complaint(replace(small, qformer_heads=None))


@pytest.mark.parametrize("part", ["qformer_config", "vision_config"])
def test_a_directory_whose_config_leaves_them_out(part: str, small: ConversionRequest, tmp_path: Path) -> None:
    """transformers would take its default, which is right for the published sizes alone."""
    [directory] = sources.save_eye(sources.blip2(), tmp_path / "vision")
    file = Path(directory) / "config.json"
    config = json.loads(file.read_text())
    del config[part]["num_attention_heads"]
    file.write_text(json.dumps(config))
    option = "qformer_heads" if part == "qformer_config" else "vit_heads"
    request = replace(small, vision=(directory,), qformer_heads=None, vit_heads=None)
    assert f"--{option.replace('_', '-')} N" in complaint(request)
    plan = prepare_plan(replace(request, **{option: 2}))  # type: ignore[arg-type]
    assert getattr(plan.config, part).num_attention_heads == 2


@pytest.mark.parametrize(("heads", "words"), [("two", "'two'"), (0, "0"), (True, "True"), (2.0, "2.0")])
def test_a_config_with_no_number(heads: Any, words: str, small: ConversionRequest, tmp_path: Path) -> None:
    [directory] = sources.save_eye(sources.blip2(), tmp_path / "vision")
    file = Path(directory) / "config.json"
    config = json.loads(file.read_text())
    config["qformer_config"]["num_attention_heads"] = heads
    file.write_text(json.dumps(config))
    line = complaint(replace(small, vision=(directory,), qformer_heads=None, vit_heads=None))
    assert "qformer_config.num_attention_heads" in line and words in line


def test_a_language_models_heads_are_read_and_never_a_default(small: ConversionRequest) -> None:
    file = Path(small.llm) / "config.json"
    config = json.loads(file.read_text())
    del config["num_attention_heads"]
    file.write_text(json.dumps(config))
    assert "its config.json does not say num_attention_heads" in complaint(small)


def test_no_q_former_no_heads_of_it(small: ConversionRequest, tmp_path: Path) -> None:
    weight = torch.ones(sources.HIDDEN, 4 * sources.VIT)
    projection = sources.save_projection(tmp_path / "p.pth", weight, torch.zeros(sources.HIDDEN))
    request = replace(small, projection=projection, vision=small.vision[1:])
    assert "--qformer-heads is given" in complaint(request)
    assert prepare_plan(replace(request, qformer_heads=None)).config.vision_config.num_attention_heads == 2
    assert "--vit-heads N" in complaint(replace(request, qformer_heads=None, vit_heads=None))


# ---- the published models: exact sizes and depth -------------------------------------------------------------------


def lavis_sized(folder: Path, *, qformer: dict[str, Any] | None = None, depth: int = 39) -> tuple[str, ...]:
    """LAVIS's two files in the published sizes: views of one number, so that they take no room on the disk."""
    config = Blip2Config(
        qformer_config=Blip2QFormerConfig(**(qformer or {})),
        text_config=LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1),
    )
    config.vision_config.num_hidden_layers = depth
    with torch.device("meta"):
        model = Blip2ForConditionalGeneration(config)
    state = {name: torch.zeros(1).expand(value.shape) for name, value in sources.eye_state(model).items()}
    return tuple(sources._save_lavis(state, folder, "lavis-two"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    sources.save_projection(folder / "7b.pth", torch.ones((4096, 768), dtype=torch.float16), torch.zeros(4096))
    sources.sparse_llm(folder / "vicuna-7b", **sources.VICUNA_7B)
    return folder


def planned(full: Path, tmp_path: Path, vision: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> ConversionPlan:
    monkeypatch.setattr("plugins.minigpt4.convert.writing.check_space", lambda *_: 0)
    return prepare_plan(ConversionRequest(full / "7b.pth", str(full / "vicuna-7b"), vision, tmp_path / "to"))


@pytest.mark.parametrize("depth", [39, 40])  # eva_vit_g.pth has a block that BLIP-2 leaves out
def test_the_published_sizes_have_known_heads(
    depth: int, full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(full, tmp_path, lavis_sized(tmp_path, depth=depth), monkeypatch)
    assert plan.config.vision_config.num_attention_heads == 16
    assert plan.config.qformer_config.num_attention_heads == 12
    assert plan.config.vision_config.num_hidden_layers == 39
    assert "Q-Former: 12 attention heads, because its sizes and depth are those of BLIP-2's, which is BERT-base" in (
        plan.notes
    )
    assert any(note.startswith("ViT: 16 attention heads, because its sizes and depth") for note in plan.notes)
    assert any("first 39 are used" in note for note in plan.notes) == (depth == 40)


@pytest.mark.parametrize(
    "other", [{"num_hidden_layers": 6}, {"intermediate_size": 2048}, {"cross_attention_frequency": 3}]
)
def test_one_size_off_is_another_model(
    other: dict[str, Any], full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InquisightError, match="--qformer-heads N"):
        planned(full, tmp_path, lavis_sized(tmp_path, qformer=other), monkeypatch)


@pytest.mark.parametrize("depth", [38, 41])
def test_a_vit_of_another_depth_is_another_model(
    depth: int, full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InquisightError, match=f"width 1408, {depth} layers.*--vit-heads N"):
        planned(full, tmp_path, lavis_sized(tmp_path, depth=depth), monkeypatch)


def test_only_eva_loses_its_last_block(tmp_path: Path) -> None:
    """40 blocks of another width are all used."""
    state = {"cls_token": torch.ones(1, 1, 88), "pos_embed": torch.ones(1, 17, 88)}
    state |= {"patch_embed.proj.weight": torch.ones(88, 3, 14, 14)}
    state |= {f"blocks.{number}.mlp.fc1.weight": torch.ones(8, 88) for number in range(40)}
    torch.save(state, tmp_path / "vit.pth")
    eye = open_vision([str(tmp_path / "vit.pth")])
    assert eye.vision["num_hidden_layers"] == 40 and not eye.notes
    assert VIT.heads == 16 and QFORMER.heads == 12 and "num_attention_heads" not in eye.vision


# ---- the variant, where the projection's width fits both -----------------------------------------------------------


def test_a_width_that_fits_both_variants_is_asked_about(small: ConversionRequest, tmp_path: Path) -> None:
    config = sources.blip2().config
    config.qformer_config = Blip2QFormerConfig(
        hidden_size=4 * sources.VIT,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        encoder_hidden_size=sources.VIT,
    )
    model = Blip2ForConditionalGeneration(config).eval()
    sources.fill(model, 1)
    for layer in model.vision_model.encoder.layers:
        layer.self_attn.qkv.bias.data[sources.VIT : 2 * sources.VIT] = 0
    vision = sources.save_eye(model, tmp_path / "both")
    projection = sources.random_projection(tmp_path / "p.pth", sources.HIDDEN, 4 * sources.VIT)
    request = ConversionRequest(projection, small.llm, tuple(vision), small.to)
    assert "say --qformer or --no-qformer" in complaint(request)
    assert prepare_plan(replace(request, qformer=True)).joined.qformer
    assert not prepare_plan(replace(request, qformer=False)).joined.qformer
    assert "leave --no-qformer out" in complaint(replace(small, qformer=False))


def test_the_command_has_the_options(small: ConversionRequest) -> None:
    words = ["minigpt4", "--projection", str(small.projection), "--llm", small.llm, "--to", str(small.to), "--check"]
    words += [word for file in small.vision for word in ("--vision", file)]
    refused = CliRunner().invoke(command, words)
    assert isinstance(refused.exception, InquisightError) and "--vit-heads N" in str(refused.exception)
    done = CliRunner().invoke(command, [*words, "--qformer-heads", "2", "--vit-heads", "2"])
    assert done.exit_code == 0, done.output
