"""What keeps a built-in vision model or a questioner from working is known before anything is loaded or fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.llm.capabilities import why_not
from core.entries import Entry
from core.errors import BackendError, RegistryError
from core.registry import get_registry
from core.settings import get_settings

BUILT_IN = ("blip2", "lavis", "minigpt4", "openai", "pocket", "trained", "transformers")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """No key, no model, and nobody who could be asked."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "INQUISIGHT_VISION_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("somebody was asked"))
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def missing(spec: str) -> str:
    return why_not("vision backend", spec)


def test_every_built_in_model_has_a_check() -> None:
    assert {name for name in BUILT_IN if get_registry().vision_backends[name].check is None} == set()


def test_pocket_is_ready() -> None:
    assert missing("pocket") == "" and why_not("questioner", "scripted") == ""


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("minigpt4", "minigpt4:DIRECTORY"),
        ("blip2", "blip2 needs a model"),
        ("transformers", "transformers needs a model"),
        ("trained", "trained:RUN"),
        ("lavis", "lavis needs a model"),
        ("openai", "openai needs a model"),
        ("minigpt4:", "ends in a colon"),
        ("nobody", "there is no vision backend 'nobody'"),
        ("openai:gpt-4o-mini", "OPENAI_API_KEY"),
        ("openai:x?colour=red", "no option 'colour'"),
        ("lavis:blip2_opt", "inquisight lavis install"),
        ("minigpt4:/nowhere", "/nowhere"),
        ("blip2:/nowhere", "/nowhere"),
        ("transformers:nowhere", "nowhere"),
        ("trained:/nowhere", "/nowhere does not exist"),
        ("pocket:/nowhere", "/nowhere"),
        ("pocket?hints=none", "there is no vision backend"),
    ],
)
def test_what_is_missing_is_one_line_with_the_way_out(spec: str, word: str) -> None:
    said = missing(spec)
    assert word in said and len(said.splitlines()) == 1


def test_folders_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (adapter / "adapter_model.safetensors").write_bytes(b"\0" * 16)
    for name in ("minigpt4", "blip2", "transformers", "pocket", "trained"):
        for folder in ("empty", "adapter"):
            said = missing(f"{name}:{tmp_path / folder}")
            assert said and len(said.splitlines()) == 1, (name, folder)


def test_a_name_on_the_hub_is_fetched_later_unless_it_may_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert missing("transformers:some/model") == ""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "some/model" in missing("transformers:some/model") and missing("blip2:some/model")


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("openai", "incomplete"),
        ("openai:", "incomplete"),
        ("openai:gpt-4o-mini", "OPENAI_API_KEY"),
        ("anthropic:claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("groq:llama", "GROQ_API_KEY"),
        ("nobody", "there is no questioner 'nobody'"),
        ("huggingface:/dev", "/dev"),
    ],
)
def test_a_questioner_says_what_it_needs(spec: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    said = why_not("questioner", spec)
    assert (word in said or "pip install" in said) and len(said.splitlines()) == 1


def test_an_optional_part_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    real = importlib.util.find_spec
    gone = {"openai", "langchain_openai", "langchain_anthropic"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in gone else real(name, *more))
    assert "pip install 'inquisight[openai]'" in missing("openai:gpt-4o-mini")
    assert "pip install 'inquisight[openai]'" in why_not("questioner", "openai:gpt-4o-mini")


def test_a_plugin_of_ones_own_may_bring_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(argument: str | None) -> None:
        if argument is None:
            raise BackendError("mine needs a colour: mine:red.")
        if argument == "broken":
            raise ValueError("secret\nlines")

    def entry(check: Any) -> Entry:
        return Entry("vision backend", "mine", lambda _: None, "", {}, "mine", "mine", None, check)

    table = get_registry().vision_backends
    monkeypatch.setitem(table, "mine", entry(check))
    assert missing("mine") == "mine needs a colour: mine:red." and missing("mine:red") == ""
    assert "could not start" in missing("mine:broken") and len(missing("mine:broken").splitlines()) == 1
    monkeypatch.setitem(table, "mine", entry("no_such_module:check"))
    assert "does not exist" in missing("mine")
    monkeypatch.setitem(table, "mine", entry(None))
    assert missing("mine") == "", "who brings none is believed"


def test_a_check_is_a_callable_or_where_one_is() -> None:
    from core.entries import Register

    register = Register("vision backend", "p", "d")
    with pytest.raises(RegistryError, match="the check of the vision backend 'mine'"):
        register("mine", "a:b", check="not a place")
