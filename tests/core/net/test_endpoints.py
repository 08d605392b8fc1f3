"""A key goes only to the address that it was configured with, however an address is written."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.net.endpoints import OFFICIAL, Endpoint, find_endpoint, is_openai, same_address, typed_by_owner
from core.settings import Settings

ROOT = Path(__file__).parents[3]
OURS, OTHER = "http://models.example:8000/v1", "https://elsewhere.example/v1"
INQUISIGHT = {"api_key": "sk-ours", "vision_api_key": "sk-vision"}


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "INQUISIGHT_VISION", "INQUISIGHT_QUESTIONER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")


def found(vision: bool = True, typed: str = "", **values: Any) -> Endpoint:
    return find_endpoint(Settings(**values), vision=vision, typed=typed)


@pytest.mark.parametrize("vision", [True, False])
@pytest.mark.parametrize("home", [{}, {"base_url": OURS}, {"vision_base_url": OURS}, {"base_url": OTHER}])
@pytest.mark.parametrize("address", [OURS, OTHER, OFFICIAL, "https://anyone.openai.azure.com/openai/v1"])
def test_a_typed_address_gets_no_configured_key(vision: bool, home: dict[str, str], address: str) -> None:
    endpoint = found(vision, address, **INQUISIGHT, **home)
    assert (endpoint.address, endpoint.key, endpoint.typed) == (address, "", True)


@pytest.mark.parametrize(
    ("vision", "home", "address", "key"),
    [
        (True, {}, OFFICIAL, "sk-vision"),
        (False, {}, OFFICIAL, "sk-ours"),
        (True, {"vision_base_url": OURS}, OURS, "sk-vision"),
        (True, {"base_url": OURS}, OURS, "sk-ours"),
        (False, {"base_url": OURS}, OURS, "sk-ours"),
        (False, {"vision_base_url": OURS}, OFFICIAL, "sk-ours"),
        (True, {"vision_base_url": OURS, "base_url": OTHER}, OURS, "sk-vision"),
        (False, {"vision_base_url": OURS, "base_url": OTHER}, OTHER, "sk-ours"),
    ],
)
def test_each_key_goes_with_its_address(vision: bool, home: dict[str, str], address: str, key: str) -> None:
    endpoint = found(vision, **INQUISIGHT, **home)
    assert (endpoint.address, endpoint.key) == (address, key)


@pytest.mark.parametrize(
    ("home", "keys"),
    [
        ({"vision_base_url": OURS}, {"api_key": "sk-ours"}),
        ({"base_url": OURS}, {"vision_api_key": "sk-vision"}),
        ({"vision_base_url": OURS, "base_url": OTHER}, {"api_key": "sk-ours"}),
        ({"base_url": OURS}, {}),
    ],
)
def test_without_its_own_key_a_server_gets_none(home: dict[str, str], keys: dict[str, str]) -> None:
    assert found(**home, **keys).key == ""


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
@pytest.mark.parametrize("vision", [True, False])
def test_openais_key_goes_with_openais_variables_and_no_other_key_does(
    vision: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, OTHER)
    endpoint = found(vision, **INQUISIGHT)
    assert (endpoint.address, endpoint.key, endpoint.why) == (OTHER, "sk-openai", name)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert found(vision, **INQUISIGHT).key == ""


def test_two_settings_with_one_address_share_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(vision_base_url=f"{OURS}/", base_url=OURS, api_key="sk-ours").key == "sk-ours"
    monkeypatch.setenv("OPENAI_BASE_URL", OURS)
    assert found(vision_base_url=OURS).key == "sk-openai"


@pytest.mark.parametrize(
    "likeness",
    [
        "http://api.openai.com/v1",  # not encrypted
        "https://api.openai.com:8443/v1",
        "http://api.openai.com:443/v1",
        "https://evilopenai.com/v1",
        "https://openai.com.evil.example/v1",
        "https://api.openai.com.evil.example/v1",
        "https://openai.com-evil.example/v1",
        "https://anyone.openai.azure.com/openai/v1",
        "https://vm.westeurope.cloudapp.azure.com/v1",
        "https://azure.com/v1",
        "https://evil.example/openai.com/v1",
        "https://evil.example/#api.openai.com",
        "https://evil.example/?api.openai.com",
        "https://[::1]/v1",
    ],
)
def test_only_openais_own_hosts_are_openai(likeness: str) -> None:
    assert not is_openai(likeness)
    assert found(vision_base_url=likeness).key == "" and found(False, base_url=likeness).key == ""


@pytest.mark.parametrize("own", [OFFICIAL, "https://eu.api.openai.com/v1", "https://API.OpenAI.com:443/v1"])
def test_openais_own_hosts_get_openais_key(own: str) -> None:
    assert found(vision_base_url=own).key == "sk-openai"


@pytest.mark.parametrize(
    "strange",
    [
        "https://api.openai.com\\@evil.example/v1",
        "https://evil.example\\.openai.com/v1",
        "https://api.openai.com@evil.example/v1",
        "https://user:hushhush@evil.example/v1",
        "https://evil.example /v1",
        "https://evil.example\t/v1",
        "https://ev\u0131l.example/v1",
        "https://\uff4fpenai.com/v1",
        "https://a..b/v1",
        "https://%65vil.example/v1",
        "https:///v1",
        "https:evil.example",
        "file:///etc/passwd",
        "ftp://evil.example/v1",
        "https://evil.example:port/v1",
        "https://evil.example:99999/v1",
        "//evil.example/v1",
        "evil.example/v1",
    ],
)
@pytest.mark.parametrize("where", ["typed", "OPENAI_BASE_URL"])
def test_an_address_that_can_be_read_in_two_ways_is_refused(
    where: str, strange: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where != "typed":
        monkeypatch.setenv(where, strange)
    with pytest.raises(UsageError) as caught:
        found(typed=strange if where == "typed" else "")
    assert "hushhush" not in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_the_same_address_is_known_in_every_writing_and_another_is_not() -> None:
    same = ("http://models.example/v1", "HTTP://MODELS.example:80/v1/")
    assert same_address(*same)
    for other in ("https://models.example/v1", "http://models.example:81/v1", "http://models.example/v2"):
        assert not same_address(same[0], other)
    assert not same_address("http://x:port", "http://x:99999")


# ---- key_env -------------------------------------------------------------------------------------------------------


def named(spec: str) -> Endpoint:
    return find_endpoint(Settings(), vision=True, typed=OTHER, key_env="GITLAB_API_KEY", spec=spec)


SPEC = f"openai:x?base_url={OTHER}&key_env=GITLAB_API_KEY"


@pytest.mark.parametrize(
    "arguments", [["caption", "--vision", SPEC], ["caption", f"--vision={SPEC}"], ["ask", "-q", SPEC]]
)
def test_key_env_counts_where_the_owner_typed_it_and_says_where_the_key_goes(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GITLAB_API_KEY", "glpat-0123456789")
    with typed_by_owner(arguments), caplog.at_level(logging.WARNING, "inquisight"):
        assert named(SPEC).key == "glpat-0123456789"
    assert "the key in GITLAB_API_KEY is sent to https://elsewhere.example" in caplog.text
    assert "glpat" not in caplog.text
    with pytest.raises(UsageError, match="only in a model that you type on the command line"):
        named(SPEC)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["caption", "--vision", "openai:x", "photo.jpg"],
        ["caption", "--resume", "abc"],
        ["caption", "--vision", f"{SPEC}.evil.example"],
        ["caption", "--vision", SPEC.replace("elsewhere", "somewhere")],
        ["ui", "--vision", "pocket"],
    ],
)
def test_key_env_from_elsewhere_does_not_count(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name out of a transcript, a request, a file."""
    monkeypatch.setenv("GITLAB_API_KEY", "glpat-0123456789")
    with typed_by_owner(arguments), pytest.raises(UsageError, match="only in a model that you type"):
        named(SPEC)
    monkeypatch.delenv("GITLAB_API_KEY")
    with pytest.raises(UsageError, match="only in a model that you type"):  # nor does it tell which variables are set
        named(SPEC)


def test_a_variable_that_is_not_set_is_told_to_its_owner() -> None:
    with typed_by_owner([SPEC]), pytest.raises(UsageError, match="GITLAB_API_KEY, but that variable is not set"):
        named(SPEC)


def test_addresses_are_light_to_import() -> None:
    code = "import sys, core.net.endpoints; sys.exit(bool({'openai', 'httpx', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
