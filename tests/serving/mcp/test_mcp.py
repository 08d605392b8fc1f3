"""`inquisight mcp` as a process, used by the SDK's own client over both transports, with pocket and the detector."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, StdioServerParameters

from tests.pictures import encoded, saved

ROOT = Path(__file__).parents[3]
CAT = ROOT / "examples" / "photos" / "cat.jpg"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of its own, with a folder of pictures and a secret beside it."""
    home = tmp_path_factory.mktemp("home")
    (home / "photos").mkdir()
    shutil.copy(CAT, home / "photos" / "cat.jpg")
    saved(home / "secret.png")
    (home / "photos" / "link.png").symlink_to(home / "secret.png")
    (home / "photos" / "notes.txt").write_text("no picture")
    return home


def server(home: Path, *options: str) -> StdioServerParameters:
    environment = {**os.environ, "INQUISIGHT_HOME": str(home)}
    command = ["-m", "inquisight", "mcp", "--root", str(home / "photos"), *options]
    return StdioServerParameters(command=sys.executable, args=command, env=environment)


def talk(home: Path, work: Callable[[Client], Coroutine[Any, Any, None]], *options: str) -> None:
    async def main() -> None:
        async with Client(server(home, *options)) as client:
            await work(client)

    asyncio.run(main())


async def call(client: Client, tool: str, progress: Any = None, **arguments: Any) -> Any:
    """The structured result of a tool. Raises AssertionError with its words if it failed."""
    result = await client.call_tool(tool, arguments, progress_callback=progress)
    assert not result.is_error, words(result)
    return result.structured_content


def words(result: Any) -> str:
    return " ".join(part.text for part in result.content)


def test_an_agent_looks_at_a_photograph(home: Path) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total, message))

    async def work(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {
            "describe_picture", "ask_picture", "read_text", "find_things", "audit_caption", "list_pictures",
            "search_transcripts",
        }  # fmt: skip
        assert all(
            tool.output_schema and tool.description and tool.annotations.read_only_hint for tool in tools.values()
        )
        assert (await call(client, "list_pictures"))["pictures"] == ["cat.jpg"]
        answer = await call(client, "ask_picture", picture="cat.jpg", question="What animal is this?")
        assert "cat" in answer["answer"].lower() and answer["picture"].startswith("picture:")
        handle = answer["picture"]
        found = await call(client, "find_things", picture=handle)
        assert any("cat" in thing["name"] for thing in found["things"]) and found["width"] == 451
        read = await call(client, "read_text", picture=handle)
        assert not any(line["certain"] for line in read["lines"])
        described = await call(client, "describe_picture", progress, picture=handle, rounds=3)
        assert "cat" in described["description"].lower() and len(described["dialogue"]) >= 3
        audited = await call(client, "audit_caption", picture=handle, caption="A cat and a red car.")
        verdicts = {claim["text"].lower(): claim["verdict"] for claim in audited["claims"]}
        assert verdicts["a cat"] == "supported" and "car" not in audited["repaired"], audited
        stored = await call(client, "search_transcripts", words="cat")
        assert stored["transcripts"][0]["text"] == described["description"]
        assert "/" not in stored["transcripts"][0]["source"]

    talk(home, work, "--witness", "auto")
    assert told and told[-1][1] == 5 and any(message and message.endswith((".", "?")) for _, _, message in told)


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        ("../secret.png", "is no file in the allowed folders"),
        ("link.png", "is no file in the allowed folders"),
        ("/etc/passwd", "is no file in the allowed folders"),
        ("none.jpg", "is no file in the allowed folders"),
        ("\0", "is no file in the allowed folders"),
        ("notes.txt", "'notes.txt' is text, not a picture"),
        ("picture:0000000000000000", "is not known any more"),
        ("data:image/png;base64,AAAA", "not a picture in a supported format"),
        ("https://example.org/x.png", "is no file in the allowed folders"),
    ],
)
def test_pictures_that_are_refused(picture: str, says: str, home: Path) -> None:
    from core.errors import InquisightError
    from serving.mcp.pictures import AllowedPictures

    with pytest.raises(InquisightError, match=says) as caught:
        AllowedPictures([home / "photos"]).open(picture)
    assert str(home) not in str(caught.value)


def test_data_urls_and_handles(home: Path) -> None:
    from core.errors import UsageError
    from serving.mcp.pictures import KEPT, AllowedPictures

    pictures = AllowedPictures([])
    url = "data:image/png;base64," + base64.b64encode(encoded("red")).decode()
    handle, opened = pictures.open(url)
    assert pictures.open(handle) == (handle, opened)
    with pytest.raises(UsageError, match="no folder is allowed; start the server with --root FOLDER"):
        pictures.open("cat.jpg")
    for number in range(KEPT):
        pictures.open("data:image/png;base64," + base64.b64encode(encoded((number, 0, 0))).decode())
    with pytest.raises(UsageError, match="is not known any more"):
        pictures.open(handle)
    with pytest.raises(UsageError, match="is no folder"):
        AllowedPictures([home / "secret.png"])


def test_faults_reach_the_agent_in_words(home: Path) -> None:
    async def work(client: Client) -> None:
        for tool, arguments, says in (
            ("ask_picture", {"picture": "../secret.png", "question": "What?"}, "is no file in the allowed folders"),
            ("ask_picture", {"picture": "cat.jpg", "question": " "}, "there is no question"),
            ("find_things", {"picture": "cat.jpg"}, "no witness of this server looks for things"),
            ("audit_caption", {"picture": "cat.jpg", "caption": " "}, "makes no claim that can be checked"),
            ("search_transcripts", {"words": "cat"}, "keeps no transcripts"),
            ("describe_picture", {"picture": "cat.jpg", "rounds": 1000}, "less than or equal to 50"),
        ):
            result = await client.call_tool(tool, arguments)
            assert result.is_error and says in words(result), words(result)

    talk(home, work, "--witness", "none", "--no-store")


@pytest.fixture
def address(home: Path, tmp_path: Path) -> Iterator[str]:
    keys = tmp_path / "keys.txt"
    keys.write_text("a-key-of-the-test\n")
    keys.chmod(0o600)
    command = [sys.executable, "-u", "-m", "inquisight", "mcp", "--http", "--port", "0", "--root", str(home / "photos")]
    environment = {**os.environ, "INQUISIGHT_HOME": str(home)}
    process = subprocess.Popen(
        [*command, "--api-key-file", str(keys)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    yield line.split()[4]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_over_http_with_a_key(address: str) -> None:
    from httpx2 import AsyncClient
    from mcp.client.streamable_http import streamable_http_client

    while True:
        try:
            assert httpx.post(address, json={}).status_code == 401
            break
        except httpx.ConnectError:
            pass
    assert httpx.post(address, json={}, headers={"authorization": "Bearer another-key"}).status_code == 401

    async def main() -> None:
        headers = {"authorization": "Bearer a-key-of-the-test"}
        async with (
            AsyncClient(headers=headers, timeout=120) as http,
            Client(streamable_http_client(address, http_client=http)) as client,
        ):
            answer = await call(client, "ask_picture", picture="cat.jpg", question="Is there a cat?")
            assert answer["answer"].lower().startswith("yes")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--root", "none"], "--root 'none' is no folder"),
        (["--api-key-file", "x"], "only mean something together with --http"),
        (["--http", "--host", "0.0.0.0"], "gives access to everybody who reaches this machine"),
        (["--vision", "nothing"], "'nothing'"),
    ],
)
def test_options_that_are_refused(options: list[str], says: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "inquisight", "mcp", *options]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode and says in result.stderr and "Traceback" not in result.stderr and not result.stdout
