"""The page Set up a model, with a real server in a process of its own and a fake keyring."""

from __future__ import annotations

import json
import urllib.request
from html import unescape
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import UsageError
from tests.servers import free_port
from tests.ui.app import assert_well, html_of, open_page, visitor_of, wait_for_jobs
from tests.ui.setup.conftest import KEY
from tests.ui.setup.keyrings import FakeKeyring, NoKeyring, in_use
from ui.pages import setup
from ui.server.app import pages_for
from ui.setup.saved import SetUpModel, saved_models
from ui.state.model_choice import check_choice, offered
from ui.state.models import models
from ui.state.options import UiOptions, get_options


def words(app: AppTest) -> str:
    texts = [
        str(one.value)
        for kind in ("markdown", "caption", "error", "warning", "success", "info")
        for one in getattr(app, kind)
    ]
    return "\n".join([*texts, unescape(html_of(app))]).replace("\\", "")


def click(app: AppTest, label: str, number: int = 0) -> AppTest:
    found = [one for one in app.button if one.label == label]
    assert found, f"no button {label!r} among {[one.label for one in app.button]}"
    found[number].click().run()
    assert_well(app)
    return app


def fill(app: AppTest, address: str, model: str, key: str = "", keep: str = "session") -> AppTest:
    way = setup.SERVER
    app.text_input(key=f"setup-address-{way}").set_value(address)
    app.text_input(key=f"setup-model-{way}").set_value(model)
    app.text_input(key=f"setup-key-{app.session_state['setup-version']}").set_value(key)
    app.selectbox(key="setup-keep").set_value(keep)
    return app


def outcome_of(app: AppTest) -> str:
    """What the page says after the click on Test of the form, and the end of the work."""
    click(app, "Test")
    wait_for_jobs(app)
    return words(app)


def received(server: str) -> list[list[str]]:
    with urllib.request.urlopen(f"{server}/received") as answer:
        found: list[list[str]] = json.load(answer)
        return found


def test_a_model_behind_a_key_is_tested_added_and_used(server: str, ring: FakeKeyring) -> None:
    app = fill(open_page("setup"), f"{server}/v1", "sees", KEY, keep="keyring")
    said = outcome_of(app)
    assert "Red." in said and "Green." in said and "works" in said
    assert ring.kept == {}, "a test keeps nothing"
    click(app, "Add model")
    name = f"openai:sees?base_url={server}/v1"
    said = words(app)
    assert f"sees at {server.removeprefix('http://')} was added" in said and "key in the system's keyring" in said
    assert ring.kept == {("inquisight", name): KEY}
    assert name in [choice.spec for choice in offered("vision") if choice.ready]
    assert name in [choice.spec for choice in offered("questioner") if choice.ready]
    vision = models().vision(name)
    from core.images.picture import open_picture
    from core.vision import VisualQuestion
    from ui.setup.trial import sample

    [encoded] = vision.encode([open_picture(sample())])
    assert vision.answer([VisualQuestion(encoded, "What colour?")]) == ["Red."]
    keys = {authorization for path, authorization in received(server) if path == "/v1/chat/completions"}
    assert keys == {f"Bearer {KEY}"}
    assert visitor_of(app).keep("setup", setup.SetupState).key == ""
    click(app, "Remove")
    assert ring.kept == {} and "was removed, and its key deleted" in words(app)
    assert name not in [choice.spec for choice in offered("vision")]


def test_the_key_is_never_shown_again(server: str) -> None:
    app = fill(open_page("setup"), f"{server}/v1", "sees", KEY)
    outcome_of(app)
    for _ in range(2):
        shown = (
            words(app) + "".join(str(one.value) for one in app.text_input) + "".join(one.label for one in app.button)
        )
        assert KEY not in shown
        assert KEY not in str(app.session_state._state.filtered_state)
        if "Add model" in [one.label for one in app.button]:
            click(app, "Add model")
    assert KEY not in repr(visitor_of(app).keep("setup", setup.SetupState))


@pytest.mark.parametrize(
    ("address", "model", "key", "said"),
    [
        ("{server}/v1", "sees", "sk-wrong", "refuses the key (status 401)"),
        ("{server}/v1", "sees", "", "wants a key, and none was given (status 401)"),
        ("{server}", "sees", KEY, "answers at another address: write {server}/v1"),
        ("{server}/other/v1", "sees", KEY, "not as an OpenAI-compatible server"),
        ("{server}/moved", "sees", KEY, "redirects, which is not followed"),
        ("{server}/v1", "seess", KEY, "the server has no model 'seess'; it has sees, reads"),
        ("http://127.0.0.1:{port}/v1", "sees", "", "nothing answers at 127.0.0.1:{port}"),
        ("http://127.0.0.1:{port}/v1", "sees", KEY, "start the server, or check the port"),
        ("https://127.0.0.1:{server_port}/v1", "sees", "", "does not speak HTTPS; write http:// instead"),
        ("http://no-such-host.invalid/v1", "sees", "", "the host no-such-host.invalid is unknown"),
        ("ftp://127.0.0.1/v1", "sees", "", "no web address"),
        ("http://user:secret@127.0.0.1/v1", "sees", "", "user name or password"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(address: str, model: str, key: str, said: str, server: str) -> None:
    given = {"server": server, "port": free_port(), "server_port": server.rpartition(":")[2]}
    app = fill(open_page("setup"), address.format(**given), model, key)
    shown = outcome_of(app)
    assert said.format(**given).lower() in shown.lower(), shown
    assert "secret" not in shown and "sk-wrong" not in shown and "Traceback" not in shown
    assert saved_models().all() == []


def test_a_model_that_only_reads_is_doubted(server: str) -> None:
    app = fill(open_page("setup"), f"{server}/v1", "reads", KEY)
    said = outcome_of(app)
    assert "I see nothing but words." in said and "reads text only and never received the picture" in said


def test_a_corrected_address_of_the_same_server_does_not_get_the_key_by_itself(server: str, open_server: str) -> None:
    """The key that was typed stays for the address that it was typed with."""
    app = fill(open_page("setup"), f"{server}/v1", "seess", KEY)
    assert "no model 'seess'" in outcome_of(app)
    field = app.text_input(key=f"setup-key-{app.session_state['setup-version']}")
    assert field.value == "" and field.placeholder == "as typed for the last test"
    fill(app, f"{server}/v1", "sees")
    assert "works" in outcome_of(app), "the same address: the key need not be typed again"
    before = len(received(open_server))
    fill(app, f"{open_server}/v1", "sees")
    outcome_of(app)
    assert all(KEY not in authorization for _, authorization in received(open_server)[before:])


def test_ollama_needs_no_key(open_server: str) -> None:
    app = open_page("setup")
    app.segmented_control(key="setup-way").set_value(setup.LOCAL).run()
    app.text_input(key=f"setup-address-{setup.LOCAL}").set_value(open_server)
    app.text_input(key=f"setup-model-{setup.LOCAL}").set_value("sees")
    assert "works" in outcome_of(app)
    click(app, "Add model")
    [model] = saved_models().all()
    assert model == SetUpModel.ollama("sees", open_server) and model.keep == "none"


def test_a_model_can_be_added_although_its_server_is_off(server: str) -> None:
    app = fill(open_page("setup"), f"http://127.0.0.1:{free_port()}/v1", "sees")
    outcome_of(app)
    click(app, "Add anyway")
    assert [model.model for model in saved_models().all()] == ["sees"]
    click(app, "Test", number=1)
    wait_for_jobs(app)
    assert "nothing answers" in words(app).lower()


def test_a_folder_without_a_model_is_explained(tmp_path: Path) -> None:
    app = open_page("setup")
    app.segmented_control(key="setup-way").set_value(setup.HERE).run()
    app.text_input(key="setup-here").set_value(str(tmp_path))
    said = outcome_of(app)
    assert f"Test of {tmp_path}" in said and len(app.error) == 1, said


@pytest.mark.slow
def test_a_model_in_a_folder_answers(tmp_path: Path) -> None:
    """A vision-language model of random numbers: it says something, and what it says is doubted."""
    from tests.plugins.vlm.tiny_vlm import llava

    llava(tmp_path / "tiny")
    app = open_page("setup")
    app.segmented_control(key="setup-way").set_value(setup.HERE).run()
    app.text_input(key="setup-here").set_value(str(tmp_path / "tiny"))
    said = outcome_of(app)
    assert not app.error and ("did not say red" in said or "no answer" in said), said
    click(app, "Add model")
    [model] = saved_models().all()
    assert model.name == f"transformers:{tmp_path / 'tiny'}" and model.roles == ("vision",) and model.keep == "none"


def test_without_a_keyring_keys_stay_for_the_session(server: str) -> None:
    with in_use(NoKeyring()):
        app = open_page("setup")
        assert list(app.selectbox(key="setup-keep").options) == ["Until the dashboard ends"]


def test_a_key_that_is_lost_is_marked(server: str) -> None:
    saved_models().add(SetUpModel.endpoint(f"{server}/v1", "sees"), KEY, "session")
    from core.net import endpoints
    from ui.setup.saved import _saved_at

    _saved_at.cache_clear()
    endpoints._given.clear()
    assert "key missing: add the model again with its key" in words(open_page("setup"))


# --- rights -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dashboard with visitors."""
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    monkeypatch.setenv("INQUISIGHT_UI_PASSWORD_FILE", str(secret))
    get_options.cache_clear()
    return secret


def test_visitors_have_no_such_page_and_no_such_button(shared: Path) -> None:
    assert "setup" not in [page.name for page in pages_for(get_options())]
    app = open_page("setup")
    assert "models are set up by the owner" in words(app).lower() and not app.button and not app.text_input
    with pytest.raises(UsageError, match="--visitors-may-set-up-models"):
        setup._add(setup.SetupState(SetUpModel.ollama("x")))
    with pytest.raises(UsageError, match="--visitors-may-set-up-models"):
        setup._remove(setup.SetupState(), SetUpModel.ollama("x"))


def test_visitors_choose_a_model_that_was_set_up_and_no_other_at_its_address(shared: Path, server: str) -> None:
    model = saved_models().add(SetUpModel.endpoint(f"{server}/v1", "sees"), KEY, "session")
    check_choice("vision", model.name)
    with pytest.raises(UsageError, match="is not offered here"):
        check_choice("vision", f"openai:reads?base_url={server}/v1")


def test_a_visitor_with_the_right_sees_who_can_use_the_models(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_UI_VISITORS_MAY_SET_UP_MODELS", "1")
    get_options.cache_clear()
    assert "setup" in [page.name for page in pages_for(get_options())]
    app = open_page("setup")
    assert "Everybody who uses this dashboard can choose these models" in words(app)
    app.segmented_control(key="setup-way").set_value(setup.HERE).run()
    app.text_input(key="setup-here").set_value("/etc")
    click(app, "Test")
    assert "--visitors-may-use-server-paths" in words(app), "folders of this machine are another right"


def test_the_right_is_an_option() -> None:
    assert UiOptions().may_set_up_models and not UiOptions(host="0.0.0.0").may_set_up_models
    assert UiOptions(host="0.0.0.0", visitors_may_set_up_models=True).may_set_up_models
