"""Which models `inquisight doctor` finds fit for a machine, and what it says is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from agents.doctor.models import KNOWN, ModelState, language_models, vision_models
from core.hardware import Gpu, Machine
from core.registry import load_registry
from core.settings import Settings

SMOL = "transformers:HuggingFaceTB/SmolVLM-500M-Instruct"
LLAVA = "transformers:llava-hf/llava-1.5-7b-hf"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without models, no keys, and every package that processors need."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("OPENAI_API_KEY", "INQUISIGHT_API_KEY", "INQUISIGHT_VISION_API_KEY", "INQUISIGHT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("agents.doctor.models._is_installed", lambda name: True)
    return tmp_path


def machine(memory: float, gpu: float | None = None) -> Machine:
    """A machine with that many GB of memory, all free, and perhaps a GPU."""
    cards = () if gpu is None else (Gpu("Card", int(gpu * 1e9), int(gpu * 1e9)),)
    return Machine(4, int(memory * 1e9), int(memory * 1e9), int(1e12), cards)


def states(here: Machine, *, offline: bool = False, vision: str = "pocket") -> dict[str, ModelState]:
    rows = vision_models(load_registry(load=""), Settings(vision=vision), here, offline=offline)
    assert len({row.name for row in rows}) == len(rows)
    return {row.name: row for row in rows}


def test_a_laptop_without_a_gpu() -> None:
    found = states(machine(8))
    assert found["pocket"].state == "ready" and found["pocket"].chosen
    assert found[SMOL].state == "to download" and "1.0 GB" in found[SMOL].about
    assert found[SMOL].about.endswith("hf download HuggingFaceTB/SmolVLM-500M-Instruct")
    assert found[LLAVA].state == "too large" and "fits with" not in found[LLAVA].about
    assert found["lavis:blip2_t5/pretrain_flant5xl"].state == "missing"
    assert "set OPENAI_API_KEY" in found["openai:MODEL"].about


def test_less_memory_per_number_is_offered() -> None:
    assert "blip2-opt-2.7b?dtype=bfloat16" in states(machine(12))["blip2:Salesforce/blip2-opt-2.7b"].about
    assert f"{LLAVA}?quantize=4bit" in states(machine(4, gpu=6))[LLAVA].about
    assert f"{LLAVA}?quantize=8bit" in states(machine(4, gpu=10))[LLAVA].about
    assert "on Card" in states(machine(4, gpu=24))[LLAVA].about


def test_what_a_processor_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.doctor.models._is_installed", lambda name: name != "num2words")
    found = states(machine(8))[SMOL]
    assert found.state == "missing" and found.about.endswith("pip install num2words")


def test_offline_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert states(machine(8), offline=True)[SMOL].state == "missing"


def test_a_downloaded_model(empty_cache: Path) -> None:
    folder = empty_cache / "models--HuggingFaceTB--SmolVLM-500M-Instruct"
    (folder / "blobs").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (folder / "blobs" / "1").write_bytes(b"12345678")
    (snapshot / "model.safetensors").symlink_to(folder / "blobs" / "1")
    found = states(machine(8))[SMOL]
    assert found.state == "ready" and found.about.endswith("downloaded")


def test_the_default_model_is_the_first() -> None:
    found = states(machine(8), vision="minigpt4:/does/not/exist")
    first = next(iter(found.values()))
    assert (first.state, first.chosen) == ("missing", True) and "does not exist" in first.about
    assert states(machine(8), vision="nonsense")["nonsense"].about.startswith("there is no vision backend")


def test_every_known_model_has_a_plugin() -> None:
    registry = load_registry(load="")
    assert {one.spec.partition(":")[0] for one in KNOWN} <= set(registry.vision_backends)


def test_language_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "x")
    found = {one.name: one for one in language_models(load_registry(load=""), Settings(questioner="scripted"))}
    assert found["scripted"].chosen and found["scripted"].state == "ready"
    assert found["openai:gpt-4o-mini"].state == "missing"
    assert found["groq:MODEL"].about == "its server was not asked" and "xai:MODEL" not in found
