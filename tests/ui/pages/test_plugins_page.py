"""The page Plugins and models: what is there, what is not and why, and whether it fits."""

from __future__ import annotations

import pytest

from core.entries import Problem
from core.registry import get_registry
from tests.agents.fakes import CountingVision
from tests.ui.app import assert_well, open_page
from ui.state.models import models


def words(app: object) -> str:
    texts = []
    for kind in ("markdown", "caption", "error", "subheader"):
        texts += [str(one.value) for one in getattr(app, kind)]
    return "\n".join(texts)


def test_what_is_registered_and_from_where() -> None:
    said = words(open_page("plugins"))
    for name in ("pocket", "scripted", "stage1"):
        assert f"**{name}** from the package inquisight" in said
    assert "answers short questions" in said, "what it can do"
    assert "model.safetensors" in said or "plugins/pocket" in said, "where its weights are"
    assert "Fits" in said


def test_what_failed_to_load_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem("bad", "bad-package", "ImportError: no module named 'nothing'")
    monkeypatch.setattr(get_registry(), "problems", [problem])
    said = words(open_page("plugins"))
    assert "**bad** from the package bad-package" in said and "no module named" in said


def test_a_loaded_model_is_shown(eye: CountingVision) -> None:
    models().vision("counting")
    said = words(open_page("plugins"))
    assert "**counting** (idle)" in said


def test_a_folder_without_weights_is_said(tmp_path: object) -> None:
    app = open_page("plugins")
    app.text_input(key="weights-minigpt4").set_value(str(tmp_path)).run()
    assert_well(app)
    assert "no weights lie in this folder" in words(app)
