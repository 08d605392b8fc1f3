"""The plugin as the registry loads it: backends, trainers and commands, without a model library."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer

from core.registry import Registry

ROOT = Path(__file__).resolve().parents[3]
POINT = EntryPoint("two_stage", "training.plugin", "inquisight")


def test_it_registers_trainers_a_backend_and_commands() -> None:
    registry = Registry(strict=True)
    registry.load([POINT], distribution="inquisight")
    assert sorted(registry.trainers) == ["blip2", "features", "stage1", "stage2"]
    assert all(callable(registry.trainer(name)) for name in registry.trainers)
    assert registry.find("vision backend", "trained").description
    cli = typer.Typer()
    registry.register_commands(cli)
    assert {"train", "data", "curate"} <= {group.name for group in cli.registered_groups}


def test_a_trained_run_is_opened_through_the_registry(tmp_path: Path) -> None:
    from core.errors import BackendError

    registry = Registry(strict=True)
    registry.load([POINT], distribution="inquisight")
    with pytest.raises(BackendError, match="holds no finished training"):
        registry.create_vision(f"trained:{tmp_path}")


@pytest.mark.slow
def test_its_help_imports_no_model_library() -> None:
    code = """
import sys
from importlib.metadata import EntryPoint
import typer
from core.registry import Registry
registry = Registry(strict=True)
registry.load([EntryPoint("two_stage", "training.plugin", "inquisight")], distribution="inquisight")
cli = typer.Typer()
registry.register_commands(cli)
typer.main.get_command(cli).main(["train", "--help"], standalone_mode=False)
heavy = {"torch", "transformers", "accelerate", "langchain", "langchain_core", "streamlit", "numpy", "skimage"}
loaded = heavy & {name.partition(".")[0] for name in sys.modules}
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stage1" in done.stdout
