"""Models that were set up: their names, their keys, and what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.errors import UsageError
from core.net.endpoints import find_endpoint
from core.settings import Settings
from tests.ui.setup.keyrings import FakeKeyring, NoKeyring, in_use
from ui.setup.saved import SavedModels, SetUpModel, keyring_name

ADDRESS = "http://localhost:8000/v1"
KEY = "sk-secret-42"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "models.json"


def key_of(model: SetUpModel, spec: str | None = None) -> str:
    return find_endpoint(Settings(), vision=True, typed=model.address, spec=spec or model.name).key


def test_names_are_those_of_the_command_line() -> None:
    assert SetUpModel.endpoint(f" {ADDRESS} ", "qwen").name == f"openai:qwen?base_url={ADDRESS}"
    ollama = SetUpModel.ollama("qwen3-vl:8b")
    assert ollama.name == "openai:qwen3-vl:8b?base_url=http://localhost:11434/v1" and ollama.model == "qwen3-vl:8b"
    assert SetUpModel.ollama("x", "http://box:11434/v1/").address == "http://box:11434/v1"
    assert SetUpModel.here("Qwen/Qwen2.5-VL-3B-Instruct", "vision").name == "transformers:Qwen/Qwen2.5-VL-3B-Instruct"
    assert SetUpModel.here("/models/small", "questioner").name == "huggingface:/models/small"


@pytest.mark.parametrize(
    ("address", "model", "words"),
    [
        ("", "x", "the address is missing"),
        ("localhost:8000", "x", "no web address"),
        ("http://me:secret@host/v1", "x", "user name or password"),
        (ADDRESS + "?key=1", "x", "question mark"),
        (ADDRESS, "", "the model's name is missing"),
        (ADDRESS, "x&key_env=HOME_API_KEY", "characters that no name has"),
        (ADDRESS, "x\n", "the model"),
    ],
)
def test_what_cannot_work_is_refused(address: str, model: str, words: str) -> None:
    if model == "x\n":
        assert SetUpModel.endpoint(address, model).model == "x", "blanks around it are dropped"
        return
    with pytest.raises(UsageError, match=words) as caught:
        SetUpModel.endpoint(address, model)
    assert "secret" not in str(caught.value)


def test_a_key_is_in_the_keyring_and_in_no_file(file: Path, ring: FakeKeyring) -> None:
    model = SavedModels(file).add(SetUpModel.endpoint(ADDRESS, "qwen"), KEY, "keyring")
    assert ring.kept == {("inquisight", model.name): KEY}
    assert KEY not in file.read_text() and KEY not in repr(model)
    assert key_of(model) == KEY
    again = SavedModels(file)  # as after a restart
    assert again.all() == [model] and again.has_key(model) and again.names("vision") == (model.name,)
    again.remove(model.name)
    assert ring.kept == {} and key_of(model) == "" and json.loads(file.read_text()) == []


def test_a_key_for_the_session_is_nowhere_on_disk_and_gone_after_it(file: Path, ring: FakeKeyring) -> None:
    saved = SavedModels(file)
    model = saved.add(SetUpModel.endpoint(ADDRESS, "qwen"), KEY, "session")
    assert saved.has_key(model) and key_of(model) == KEY and ring.kept == {} and KEY not in file.read_text()
    again = SavedModels(file)
    assert again.all() == [model] and not again.has_key(model), "it is listed, and its key is asked for again"


def test_a_key_goes_only_with_its_model_to_its_address(file: Path) -> None:
    model = SavedModels(file).add(SetUpModel.endpoint(ADDRESS, "qwen"), KEY, "session")
    other = find_endpoint(Settings(), typed="http://elsewhere:8000/v1", spec=model.name)
    assert other.key == ""
    assert key_of(model, f"openai:expensive?base_url={ADDRESS}") == "", "another model at the same address"
    assert key_of(model, f"{model.name}&max_side=64") == ""
    assert find_endpoint(Settings(), typed=ADDRESS).key == ""


def test_a_row_that_was_changed_by_hand_sends_no_key_elsewhere(file: Path, ring: FakeKeyring) -> None:
    SavedModels(file).add(SetUpModel.endpoint(ADDRESS, "qwen"), KEY, "keyring")
    rows = json.loads(file.read_text())
    rows[0]["address"] = "http://elsewhere:1/v1"
    file.write_text(json.dumps(rows))
    [model] = SavedModels(file).all()
    assert model.address == ADDRESS, "the address is that in the name, which is the key's name in the keyring"


@pytest.mark.parametrize(
    "text", ["{", "[1]", '[{"name": "openai:x", "roles": ["vision"], "keep": "none"}]', '[{"name": 1}]']
)
def test_a_damaged_list_is_reported(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    saved = SavedModels(file)
    assert saved.all() == [] and "cannot be read; set the models up again" in saved.problem


def test_a_locked_keyring_is_one_line_without_the_key(file: Path, ring: FakeKeyring) -> None:
    ring.locked = True
    saved = SavedModels(file)
    with pytest.raises(UsageError, match=r"keyring cannot be used \(KeyringLocked\); unlock it") as caught:
        saved.add(SetUpModel.endpoint(ADDRESS, "qwen"), KEY, "keyring")
    assert KEY not in str(caught.value) and saved.all() == []
    ring.locked = False
    model = saved.add(SetUpModel.endpoint(ADDRESS, "qwen"), KEY, "keyring")
    ring.locked = True
    later = SavedModels(file)
    assert later.all() == [model] and not later.has_key(model) and "unlock it" in later.problem


def test_a_machine_without_a_keyring(file: Path) -> None:
    assert keyring_name() == "fake keyring of the tests"
    with in_use(NoKeyring()):
        assert keyring_name() == ""
        with pytest.raises(UsageError, match="no keyring that keeps keys encrypted"):
            SavedModels(file).add(SetUpModel.endpoint(ADDRESS, "qwen"), KEY, "keyring")


def test_a_new_key_takes_the_place_of_the_old_one(file: Path, ring: FakeKeyring) -> None:
    saved = SavedModels(file)
    model = saved.add(SetUpModel.endpoint(ADDRESS, "qwen"), KEY, "keyring")
    saved.add(model, "sk-new", "session")
    assert ring.kept == {} and key_of(model) == "sk-new" and len(saved.all()) == 1
    saved.add(model)
    assert key_of(model) == "" and saved.all()[0].keep == "none"
