"""Where weights lie and whether they fit, told from files alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from agents.llm.capabilities import questioner_choice, vision_abilities
from core.hardware import Gpu, Machine, ModelFiles, find_weights, fits, this_machine
from core.registry import get_registry
from core.settings import Settings

GB = 10**9


def write_safetensors(file: Path, *shapes: tuple[int, ...]) -> None:
    save_file({f"t{number}": np.zeros(shape, np.float16) for number, shape in enumerate(shapes)}, file)


def test_the_shipped_eye_lies_in_its_package_and_fits() -> None:
    weights = find_weights(get_registry().find("vision backend", "pocket"))
    assert weights.where is not None and any(file.name == "model.safetensors" for file in weights.files)
    assert weights.nbytes > 1_000_000 and weights.parameters and weights.parameters > 1_000_000
    assert fits(weights, Machine(2, 8 * GB, 4 * GB, 10 * GB)).ok is True


def test_a_folder_is_counted_by_its_headers(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", (10, 20), (5,))
    write_safetensors(tmp_path / "b.safetensors", (3,))
    (tmp_path / "pytorch_model.bin").write_bytes(b"the same weights once more")
    (tmp_path / "optimizer.bin").write_bytes(b"no weights")
    weights = find_weights(get_registry().find("vision backend", "pocket"), f"pocket:{tmp_path}?dtype=float16")
    assert weights.parameters == 208 and [file.name for file in weights.files] == ["a.safetensors", "b.safetensors"]


def test_other_formats_are_known_by_their_size(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"x" * 1000)
    weights = find_weights(get_registry().find("vision backend", "pocket"), f"pocket:{tmp_path}")
    assert weights.parameters is None and weights.nbytes == 1000


def test_a_damaged_header_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    weights = find_weights(get_registry().find("vision backend", "pocket"), f"pocket:{tmp_path}")
    assert weights.parameters is None and weights.nbytes == 40


@pytest.mark.parametrize("argument", ["/no/such/folder", "nobody/nothing", "../..", "https://example.org/v1"])
def test_what_is_not_here_is_said(argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    here = tmp_path / "one" / "two" / "three"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)  # what lies above must hold no weights, wherever this checkout stands
    weights = find_weights(get_registry().find("vision backend", "pocket"), f"pocket:{argument}")
    assert not weights.files and weights.note
    assert fits(weights, Machine(2, GB, GB, GB)).ok is None


def test_a_model_of_the_hub_is_found_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    write_safetensors(snapshot / "model.safetensors", (7, 7))
    assert find_weights(get_registry().find("vision backend", "pocket"), "pocket:owner/name").parameters == 49


@pytest.mark.parametrize(
    ("machine", "ok", "word"),
    [
        (Machine(2, 64 * GB, 40 * GB, GB), True, "memory"),
        (Machine(2, 64 * GB, 10 * GB, GB), False, "close"),
        (Machine(2, 16 * GB, 15 * GB, GB), False, "this machine has"),
        (Machine(2, 16 * GB, 15 * GB, GB, (Gpu("a card", 24 * GB, 20 * GB),)), True, "a card"),
        (Machine(2, 16 * GB, 15 * GB, GB, (Gpu("a card", 8 * GB, 8 * GB),)), False, "this machine has"),
    ],
)
def test_seven_billion_parameters(machine: Machine, ok: bool, word: str) -> None:
    weights = ModelFiles(Path("/models"), (), 14 * GB, 7 * GB)
    fit = fits(weights, machine)
    assert fit.ok is ok and word in fit.words


def test_this_machine_has_something() -> None:
    machine = this_machine()
    assert machine.cores >= 1 and machine.total >= machine.free > 0 and machine.disk_free > 0


def test_abilities_are_words() -> None:
    assert vision_abilities({"follows_instructions": True, "streams": True, "max_images": 4, "languages": ("en",)}) == (
        "holds a conversation",
        "streams answers",
        "up to 4 images",
        "languages: en",
    )
    assert vision_abilities({}) == ()


def test_a_provider_without_its_key_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    choice = questioner_choice("openai:gpt-4o-mini", None, Settings())
    assert not choice.ready and ("OPENAI_API_KEY" in choice.missing or "pip install" in choice.missing)
