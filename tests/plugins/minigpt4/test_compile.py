"""`?compile=true`: the same words by compiled code, and one line where there is nothing to compile with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from core.errors import BackendError, UsageError
from core.testing import make_picture
from core.vision import GenerationOptions, VisualQuestion
from plugins.minigpt4.runtime.backend import MiniGPT4Backend
from tests.plugins.minigpt4.tiny import save

OPTIONS = GenerationOptions(max_new_tokens=2)  # every new shape is translated, which takes seconds


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("minigpt4"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a C++ compiler")
def test_compiled_and_not_say_the_same(directory: Path) -> None:
    plain = MiniGPT4Backend(f"{directory}?device=cpu")
    compiled = MiniGPT4Backend(f"{directory}?device=cpu&compile=true")
    assert "compile" not in plain.describe()
    assert compiled.describe()["compile"] == "the language model, by torch.compile"
    [expected], [said] = (
        eye.answer([VisualQuestion(eye.encode([make_picture()])[0], "What is this?", (), OPTIONS)])
        for eye in (plain, compiled)
    )
    assert expected and said == expected
    assert hasattr(compiled.engine.language_model.forward, "_torchdynamo_orig_callable"), "it was really compiled"


def test_without_a_compiler_it_is_one_clear_line(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # where nothing was compiled before
    torch._dynamo.reset()
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(BackendError) as error:
        MiniGPT4Backend(f"{directory}?device=cpu&compile=true")
    torch._dynamo.reset()
    said = str(error.value)
    assert said.startswith("compile=true needs a C++ compiler such as g++") and said.endswith("or leave it out.")
    assert "\n" not in said


def test_a_switch_is_on_or_off(directory: Path) -> None:
    with pytest.raises(UsageError, match="compile='maybe' is not known; choose one of true, false"):
        MiniGPT4Backend(f"{directory}?compile=maybe")
    assert "compile" not in MiniGPT4Backend(f"{directory}?compile=off").describe()
