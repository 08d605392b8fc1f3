"""What really arrives at a server: the key that belongs to it, no other one, no account; nothing after a redirect."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.interview.prompts import Prompts
from agents.llm.questioners import load_questioner
from core.errors import InquisightError, UsageError
from core.records import Caption, PictureInfo
from core.registry import get_registry
from core.settings import Settings, get_settings
from core.store.transcripts import TranscriptStore
from core.testing import make_picture
from core.vision import VisualQuestion
from tests.agents.llm.asking import ask
from tests.servers.listener import Answer, Listener, Received

ROOT = Path(__file__).parents[3]
OWN = {
    "OPENAI_API_KEY": "sk-secret-openai",
    "INQUISIGHT_API_KEY": "sk-secret-inquisight",
    "INQUISIGHT_VISION_API_KEY": "sk-secret-vision",
    "ANTHROPIC_API_KEY": "sk-secret-anthropic",
    "GITLAB_API_KEY": "glpat-secret",
    "OPENAI_ORG_ID": "org-secret",
    "OPENAI_PROJECT_ID": "proj-secret",
    "OPENAI_ADMIN_KEY": "sk-secret-admin",
    "OPENAI_CUSTOM_HEADERS": "X-Gateway: secret-gateway\nAuthorization: Bearer secret-custom",
}
CAT = ROOT / "examples" / "photos" / "cat.jpg"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as there:
        yield there


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """All the owner's keys are set, and no address."""
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "INQUISIGHT_BASE_URL", "INQUISIGHT_VISION_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in OWN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("INQUISIGHT_MAX_RETRIES", "0")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def see(spec: str) -> None:
    backend = get_registry().create_vision(spec)
    [image] = backend.encode([make_picture()])
    backend.answer([VisualQuestion(image, "What is it?")])
    list(backend.stream(VisualQuestion(image, "What is it?")))


def inquire(spec: str) -> None:
    ask(load_questioner(spec), [("human", "What is it?")])  # type: ignore[list-item]


Way = Callable[[str], None]
WAYS = pytest.mark.parametrize("way", [see, inquire])


@WAYS
def test_a_typed_address_hears_no_key_and_no_account(way: Way, listener: Listener) -> None:
    way(f"openai:x?base_url={listener.address}")
    assert set(listener.headers("authorization")) == {"Bearer none"}
    assert "secret" not in listener.everything


@WAYS
@pytest.mark.parametrize("home", ["INQUISIGHT_BASE_URL", "INQUISIGHT_VISION_BASE_URL", "OPENAI_BASE_URL"])
def test_a_typed_address_hears_none_either_where_it_is_the_configured_one(
    way: Way, home: str, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(home, listener.address)
    get_settings.cache_clear()
    way(f"openai:x?base_url={listener.address}")
    assert listener.received and "secret" not in listener.everything


@WAYS
def test_key_env_that_nobody_typed_sends_nothing(way: Way, listener: Listener) -> None:
    for variable in ("GITLAB_API_KEY", "OPENAI_API_KEY", "INQUISIGHT_VISION_API_KEY"):
        with pytest.raises(UsageError, match="only in a model that you type on the command line"):
            way(f"openai:x?base_url={listener.address}&key_env={variable}")
    assert listener.received == []


@pytest.mark.parametrize(
    ("way", "home", "key"),
    [
        (see, "INQUISIGHT_VISION_BASE_URL", "sk-secret-vision"),
        (see, "INQUISIGHT_BASE_URL", "sk-secret-inquisight"),
        (see, "OPENAI_BASE_URL", "sk-secret-openai"),
        (inquire, "INQUISIGHT_BASE_URL", "sk-secret-inquisight"),
        (inquire, "OPENAI_BASE_URL", "sk-secret-openai"),
        (inquire, "OPENAI_API_BASE", "sk-secret-openai"),
    ],
)
def test_a_configured_address_hears_its_own_key_alone(
    way: Way, home: str, key: str, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(home, listener.address)
    monkeypatch.delenv("OPENAI_CUSTOM_HEADERS")
    get_settings.cache_clear()
    way("openai:x")
    assert set(listener.headers("authorization")) == {f"Bearer {key}"}
    others = [value for value in OWN.values() if value not in (key, "org-secret", "proj-secret")]
    assert not any(value in listener.everything for value in others)
    assert ("org-secret" in listener.everything) == home.startswith("OPENAI")


def test_an_address_given_with_a_questioner_gets_no_key_of_the_environment(listener: Listener) -> None:
    ask(load_questioner("openai:x", base_url=listener.address), [("human", "What?")])  # type: ignore[list-item]
    assert "secret" not in listener.everything
    own = Settings(base_url=listener.address, api_key="sk-of-this-server")
    ask(load_questioner("openai:x", own), [("human", "What?")])  # type: ignore[list-item]
    assert listener.headers("authorization") == ["Bearer none", "Bearer sk-of-this-server"]


@pytest.mark.parametrize("provider", ["anthropic", "groq", "deepseek", "mistralai", "xai", "ollama", "fireworks"])
def test_other_providers_are_never_led_to_our_addresses(
    provider: str, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INQUISIGHT_BASE_URL", listener.address)
    monkeypatch.setenv("OPENAI_BASE_URL", listener.address)
    get_settings.cache_clear()
    given: list[dict[str, Any]] = []
    monkeypatch.setattr("langchain.chat_models.init_chat_model", lambda name, **options: given.append(options))
    monkeypatch.setattr("agents.llm.questioners.PROVIDERS", {})  # as if each had its key
    with pytest.raises(AttributeError):  # the stand-in gives back no model
        load_questioner(f"{provider}:x")
    assert not any("secret" in str(options) or listener.address in str(options) for options in given)
    with pytest.raises(UsageError, match="takes no options"):
        load_questioner(f"{provider}:x?base_url={listener.address}")


def test_openais_key_does_not_go_to_azure(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", listener.address.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    monkeypatch.delenv("AZURE_OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="set AZURE_OPENAI_API_KEY"):
        inquire("azure_openai:gpt-4o")
    assert listener.received == []


# ---- redirects -----------------------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_told_and_not_followed(way: Way, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener() as other:

        def away(_: Received) -> Answer:
            return status, {"location": f"{other.address}/chat/completions?token=1"}, {}

        with Listener(away) as first:
            monkeypatch.setenv("INQUISIGHT_BASE_URL", first.address)
            get_settings.cache_clear()
            with pytest.raises(
                InquisightError, match=f"redirects to {other.address}/chat/completions, which"
            ) as caught:
                way("openai:x")
            assert first.received and other.received == []
            assert "token" not in str(caught.value)


# ---- the command line ----------------------------------------------------------------------------------------------


def inquisight(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agents.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_owner_at_a_terminal_is_told_which_key_goes_where(listener: Listener) -> None:
    spec = f"openai:x?base_url={listener.address}&key_env=GITLAB_API_KEY"
    done = inquisight("chat", str(CAT), "--ask", "What is it?", "--vision", spec)
    assert done.returncode == 0, done.stderr
    assert set(listener.headers("authorization")) == {"Bearer glpat-secret"}
    assert done.stderr.count(f"the key in GITLAB_API_KEY is sent to http://127.0.0.1:{listener.port}") == 1
    assert "glpat-secret" not in done.stdout + done.stderr


def test_a_name_from_a_transcript_sends_no_key(listener: Listener, tmp_path: Path) -> None:
    spec = f"openai:x?base_url={listener.address}&key_env=GITLAB_API_KEY"
    info = PictureInfo(sha256=hashlib.sha256(CAT.read_bytes()).hexdigest(), source=str(CAT), width=2, height=2)
    kept = Caption(picture=info, plain="a cat", vision={"name": spec}, questioner={"name": spec}, status="stopped")
    kept = kept.model_copy(update={"options": {"prompts": Prompts.load().sha256}})
    id = TranscriptStore(f"sqlite:///{tmp_path / 'transcripts.sqlite'}").add(kept)
    done = inquisight("caption", "--resume", id[:12], str(CAT))
    assert done.returncode != 0 and "only in a model that you type on the command line" in done.stderr
    assert listener.received == []


def test_no_command_sends_a_key_to_a_typed_address(listener: Listener, tmp_path: Path) -> None:
    spec = f"openai:x?base_url={listener.address}"
    both = ("--vision", spec, "--questioner", spec)
    for command in (
        ("caption", str(CAT), "--rounds", "2", *both),
        ("chat", str(CAT), "--ask", "What?", "--vision", spec),
        ("ask", "What is it?", str(CAT), *both),
        ("batch", str(CAT.parent), "--rounds", "1", *both, "--out", str(tmp_path / "out.jsonl")),
    ):
        before = len(listener.received)
        done = inquisight(*command)
        assert len(listener.received) > before, done.stderr
    assert "secret" not in listener.everything
