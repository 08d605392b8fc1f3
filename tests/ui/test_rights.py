"""What visitors of a dashboard may do: choose from the offered list and see their own, whatever their browser sends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import UsageError
from core.records import Caption, Chat, ChatTurn, Dialogue, PictureInfo, Turn
from tests.agents.fakes import CountingVision
from tests.servers.listener import Listener
from tests.training.curation.fakes import generated_folder, make_pictures
from tests.ui.app import assert_well, html_of, open_page, visitor_of, wait_for_jobs
from training.curation.folder import PROCESS, CurationFolder
from ui.server.app import pages_for
from ui.state import chats, comparison, interviews, videos
from ui.state.model_choice import check_choice, may_type
from ui.state.models import models
from ui.state.options import UiOptions, get_options
from ui.state.training import CuratePageState, TrainPageState
from ui.widgets.curation_steps import draw_new as draw_new_curation
from ui.widgets.curation_steps import draw_steps
from ui.widgets.new_training import draw_new as draw_new_training

Png = Callable[..., bytes]
ROOT = Path(__file__).resolve().parents[2]
NOT_OFFERED = "is not offered here"
WORDS = "and secret words"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as there:
        yield there


def serve(monkeypatch: pytest.MonkeyPatch, options: UiOptions) -> None:
    """The dashboard as it is with `options`."""
    for name, value in options.to_environment().items():
        monkeypatch.setenv(name, value)
    get_options.cache_clear()
    models.clear()


@pytest.fixture
def password(tmp_path: Path) -> Path:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    return secret


KINDS = ("password on loopback", "password on all interfaces", "login", "open to all")


@pytest.fixture(params=KINDS[:1])
def visited(request: pytest.FixtureRequest, password: Path, monkeypatch: pytest.MonkeyPatch, eye: object) -> str:
    """A dashboard with visitors, of each kind. Keys of the owner are set."""
    options = {
        "password on loopback": UiOptions(password_file=password),
        "password on all interfaces": UiOptions(host="0.0.0.0", password_file=password),
        "login": UiOptions(oidc=True),
        "open to all": UiOptions(host="0.0.0.0"),
    }
    for name in ("OPENAI_API_KEY", "INQUISIGHT_API_KEY", "INQUISIGHT_VISION_API_KEY", "GITLAB_API_KEY"):
        monkeypatch.setenv(name, f"secret-{name}")
    serve(monkeypatch, options[request.param])
    return str(request.param)


def forged(listener: Listener) -> str:
    return f"openai:x?base_url={listener.address}&key_env=GITLAB_API_KEY"


def picture(app: AppTest, png: Png) -> None:
    app.file_uploader[0].set_value([("a.png", png(), "image/png")]).run()
    assert_well(app)


def errors_of(app: AppTest) -> str:
    return " ".join(one.value for one in app.error)


# --- rights ---------------------------------------------------------------------------------------------------------


def rights(options: UiOptions) -> tuple[bool, bool, bool]:
    return options.may_name_models, options.may_use_server_paths, options.may_see_all_transcripts


def test_the_owner_at_this_machine_alone_has_all_rights_and_visitors_none() -> None:
    assert rights(UiOptions()) == rights(UiOptions(host="::1")) == (True, True, True)
    for options in (
        UiOptions(password_file=Path("x")),
        UiOptions(oidc=True),
        UiOptions(host="0.0.0.0"),
        UiOptions(host="0.0.0.0", password_file=Path("x")),
        UiOptions(host="192.0.2.7", oidc=True),
        UiOptions(host="unix:///run/dashboard.sock"),
    ):
        assert rights(options) == (False, False, False)


def test_each_right_is_granted_by_itself_and_survives_the_way_to_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, expected in (
        ("visitors_may_name_models", (True, False, False)),
        ("visitors_may_use_server_paths", (False, True, False)),
        ("visitors_may_see_all_transcripts", (False, False, True)),
    ):
        serve(monkeypatch, UiOptions(host="0.0.0.0", **{name: True}))  # type: ignore[arg-type]
        assert rights(get_options()) == expected
        pages = [place.name for place in pages_for(get_options())]
        assert ("train" in pages) == ("curate" in pages) == ("plugins" in pages) == expected[1]


def test_the_help_names_each_right_with_what_follows_from_it() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "agents.cli", "ui", "--help"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "TERMINAL_WIDTH": "200"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for option, consequence in (
        ("--visitors-may-name-models", "any address"),
        ("--visitors-may-use-server-paths", "start and stop curations and trainings"),
        ("--visitors-may-see-all-transcripts", "delete the transcripts of all"),
    ):
        assert option in said and consequence in " ".join(said.split())


# --- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("visited", KINDS, indirect=True)
def test_nothing_but_an_offered_name_becomes_a_model(visited: str, listener: Listener) -> None:
    for spec in (forged(listener), "transformers:/etc", "minigpt4:/srv/models/x", "counting:argument", "pocket:x", ""):
        with pytest.raises(UsageError, match=NOT_OFFERED):
            models().vision(spec)
        with pytest.raises(UsageError, match=NOT_OFFERED):
            check_choice("vision", spec)
    for spec in ("openai:gpt-4o", f"openai:x?base_url={listener.address}", "ollama:x", "huggingface:a/b", "scripted:9"):
        with pytest.raises(UsageError, match=NOT_OFFERED):
            models().questioner(spec)
    assert models().vision("counting").name == "counting" and models().questioner("scripted")
    assert not may_type("vision") and not may_type("questioner") and listener.received == []


def test_who_may_name_models_still_keeps_to_the_owners_list(monkeypatch: pytest.MonkeyPatch, eye: object) -> None:
    serve(monkeypatch, UiOptions(host="0.0.0.0", visitors_may_name_models=True))
    check_choice("vision", "transformers:/models/x")
    serve(monkeypatch, UiOptions(host="0.0.0.0", visitors_may_name_models=True, vision=("counting",)))
    with pytest.raises(UsageError, match=NOT_OFFERED):
        check_choice("vision", "transformers:/models/x")


def test_interview_with_a_forged_model_calls_nobody(visited: str, listener: Listener, png: Png) -> None:
    app = open_page("interview")
    picture(app, png)
    me = visitor_of(app)
    desk = interviews.page_state(me)
    for sees, asks in ((forged(listener), "scripted"), ("counting", forged(listener))):
        desk.settings.vision, desk.settings.questioner = sees, asks
        with pytest.raises(UsageError, match=NOT_OFFERED):
            interviews.begin(me, list(desk.items.values()), desk.settings)
    assert listener.received == []


def test_an_interview_that_is_opened_again_calls_nobody(visited: str, listener: Listener, png: Png) -> None:
    app = open_page("interview")
    picture(app, png)
    me = visitor_of(app)
    [held] = me.images.all()
    turn = Turn(question="What is it?", answer="a duck")
    caption = Caption(
        picture=held.info,
        plain="a duck",
        dialogue=Dialogue(turns=(turn,)),
        vision={"name": forged(listener)},
        questioner={"name": forged(listener)},
        status="stopped",
    )
    interviews.page_state(me).reopen(caption, held, me)
    interviews.resume(me, interviews.page_state(me).items[held.id])
    wait_for_jobs(app)
    assert NOT_OFFERED in errors_of(app) and listener.received == []


def test_compare_with_a_forged_model_calls_nobody(visited: str, listener: Listener, png: Png) -> None:
    app = open_page("compare")
    picture(app, png)
    desk = comparison.page_state(visitor_of(app))
    desk.chosen, desk.other = ["counting", forged(listener)], forged(listener)
    with pytest.raises(UsageError, match=NOT_OFFERED):
        comparison.begin(desk)
    assert listener.received == []


def test_chat_with_a_forged_model_calls_nobody(visited: str, listener: Listener, png: Png) -> None:
    app = open_page("chat")
    picture(app, png)
    desk = chats.page_state(visitor_of(app))
    desk.settings.vision = forged(listener)
    with pytest.raises(UsageError, match=NOT_OFFERED):
        desk.ask("What is it?")
    assert listener.received == []


def test_a_chat_that_is_opened_again_calls_nobody(visited: str, listener: Listener, png: Png) -> None:
    app = open_page("chat")
    picture(app, png)
    me = visitor_of(app)
    [held] = me.images.all()
    turn = ChatTurn(question="What is it?", answer="a duck", pictures=(held.info,))
    desk = chats.page_state(me)
    desk.reopen(Chat(turns=(turn,), vision={"name": forged(listener)}))
    with pytest.raises(UsageError, match=NOT_OFFERED):
        desk.regenerate(desk.chat.tree.view.path[0].number)
    assert listener.received == []


@pytest.mark.slow
def test_video_with_a_forged_model_calls_nobody(visited: str, listener: Listener, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="videos are an optional part")
    from tests.agents.video.clips import film, scene

    app = open_page("video")
    clip = film(tmp_path / "clip.mp4", scene(("apple", 0, 2), seconds=1)).read_bytes()
    app.file_uploader[0].set_value(("clip.mp4", clip, "video/mp4")).run()
    assert_well(app)
    me = visitor_of(app)
    desk = videos.page_state(me)
    assert desk.item is not None
    for desk.settings.vision, desk.settings.questioner in (
        (forged(listener), "scripted"),
        ("counting", forged(listener)),
    ):
        with pytest.raises(UsageError, match=NOT_OFFERED):
            videos.begin(me, desk.item, desk.settings)
    assert listener.received == []


@pytest.mark.slow
def test_offered_models_work_for_visitors(visited: str, png: Png, eye: CountingVision) -> None:
    app = open_page("interview")
    picture(app, png)
    app.button(key="start").click().run()
    wait_for_jobs(app)
    assert "from all certain answers" in html_of(app) and not errors_of(app)


# --- the machine ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["curate", "train", "plugins"])
def test_pages_of_the_machine_are_closed_to_visitors_however_they_get_there(visited: str, name: str) -> None:
    app = open_page(name)
    assert "--visitors-may-use-server-paths" in errors_of(app)
    assert not app.text_input and not app.button and not app.title
    assert name not in [place.name for place in pages_for(get_options())]


@pytest.mark.parametrize("visited", KINDS, indirect=True)
def test_nothing_of_the_machine_is_reached_past_its_pages(visited: str, tmp_path: Path) -> None:
    folder = CurationFolder(tmp_path / "curation", create=True)
    for draw in (
        lambda: draw_new_curation(CuratePageState(), tmp_path),
        lambda: draw_steps(CuratePageState(), folder, lambda: pytest.fail("counted")),
        lambda: draw_new_training(TrainPageState()),
    ):
        with pytest.raises(UsageError, match="not open to visitors"):
            draw()


def force(app: AppTest, key: str) -> None:
    """Press a button that is disabled, as a browser may send it all the same."""
    assert app.button(key=key).disabled
    app.button(key=key)._value = True
    app.run()
    assert_well(app)


def test_a_curation_begins_with_an_offered_model_only(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, tmp_path: Path, eye: CountingVision
) -> None:
    serve(monkeypatch, UiOptions(host="0.0.0.0", visitors_may_use_server_paths=True))
    make_pictures(tmp_path / "pictures", 2)
    app = open_page("curate")
    app.text_input(key="curate-root").set_value(str(tmp_path)).run()
    monkeypatch.setattr(
        "ui.widgets.curation_steps.choose_model", lambda *_, **__: forged(listener)
    )  # as a browser may send it
    app.text_input(key="make-images").set_value(str(tmp_path / "pictures"))
    app.text_input(key="make-folder").set_value(str(tmp_path / "work"))
    app.run()
    force(app, "make-begin")
    assert not (tmp_path / "work").exists() and listener.received == []


def test_a_repair_is_started_with_an_offered_model_only(
    monkeypatch: pytest.MonkeyPatch, listener: Listener, tmp_path: Path, eye: CountingVision
) -> None:
    serve(monkeypatch, UiOptions(host="0.0.0.0", visitors_may_use_server_paths=True))
    folder = generated_folder(tmp_path, 2)
    app = open_page("curate")
    app.text_input(key="curate-root").set_value(str(tmp_path)).run()
    monkeypatch.setattr("ui.widgets.curation_steps.choose_repair_model", lambda *_, **__: "openai:gpt-4o")
    app.session_state["curate-part"] = "steps"
    app.run()
    force(app, "make-go-repair")
    assert not (folder.path / PROCESS).exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["train-model", "train-settings"])
def test_a_training_is_started_with_the_recipes_model_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    serve(monkeypatch, UiOptions(host="0.0.0.0", visitors_may_use_server_paths=True))
    begun: list[Any] = []
    monkeypatch.setattr("training.runs.manage.start", lambda *given: begun.append(given))  # a fake: starts no process
    looked_at: list[Any] = []
    monkeypatch.setattr("training.preflight.check", lambda recipe, run: looked_at.append(recipe.model) or [])
    app = open_page("train")
    app.session_state["train-part"] = "new"
    app.run()
    model = str(tmp_path)
    (app.text_input if how == "train-model" else app.text_area)(key=how).set_value(
        model if how == "train-model" else f"model={model}"
    )
    app.text_input(key="train-out").set_value(str(tmp_path / "run")).run()
    assert_well(app)
    assert app.button(key="train-start").disabled, "its process would ask nobody"
    assert "--visitors-may-name-models" in errors_of(app) and begun == []
    assert Path(model) not in looked_at, "who may not name it learns nothing of the disk"


# --- transcripts ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("visited", KINDS[:3], indirect=True)
def test_a_visitor_sees_their_own_transcripts_only(visited: str) -> None:
    from core.store.transcripts import TranscriptStore
    from ui.pages.history import Search

    info = PictureInfo(sha256="0" * 64, source="cat.png", width=2, height=2)
    theirs = TranscriptStore().add(Caption(picture=info, plain="a cat", summary=WORDS))
    app = open_page("history")
    assert "cat.png" not in str(app.checkbox) and WORDS not in html_of(app)
    app.query_params["id"] = theirs
    app.run()
    assert_well(app)
    assert WORDS not in html_of(app)
    search = visitor_of(app).keep("history", Search)
    search.picked = {theirs: "cat.png"}
    app.session_state["dialog.delete"] = True
    app.run()
    assert TranscriptStore().get(theirs).summary == WORDS


def test_all_transcripts_are_seen_where_that_was_granted(monkeypatch: pytest.MonkeyPatch, eye: CountingVision) -> None:
    from core.store.transcripts import TranscriptStore

    serve(monkeypatch, UiOptions(host="0.0.0.0", visitors_may_see_all_transcripts=True))
    info = PictureInfo(sha256="0" * 64, source="cat.png", width=2, height=2)
    TranscriptStore().add(Caption(picture=info, plain="a cat", summary=WORDS))
    assert WORDS in html_of(open_page("history"))
