"""`inquisight serve` as a process: with pocket, keys, a killed client, and an orderly end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.errors import UsageError
from serving.access import read_keys
from serving.commands import run_serve
from serving.options import ServeOptions
from tests.serving.openai.serving_world import asking

CLIENT = """
import json, sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"content-type": "application/json"})
answer = urllib.request.urlopen(request)
print(answer.readline().decode(), flush=True)
sys.stdin.read()
"""


@contextmanager
def served(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port, and its address."""
    command = [sys.executable, "-m", "inquisight", "serve", "--port", "0", "--witness", "none", *options]
    environment = {**os.environ, "INQUISIGHT_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Inquisight serves http://"), line
        address = line.split()[2].removesuffix("/v1")
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(transport=transport, timeout=120) as client:
            while True:
                try:
                    client.get(f"{address}/health")
                    break
                except httpx.ConnectError:
                    assert process.poll() is None
        yield process, address
    finally:
        process.kill()
        process.communicate()


def test_a_server_from_its_start_to_its_end(tmp_path: Path) -> None:
    with served(tmp_path) as (process, address):
        body: dict[str, Any] = {"model": "pocket", "messages": asking("What is this?"), "stream": True}
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, f"{address}/v1/chat/completions", json.dumps(body)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdout is not None and client.stdout.readline().startswith("data:")
        client.kill()  # kill -9 in the middle of a stream
        client.communicate()
        answer = httpx.post(f"{address}/v1/chat/completions", json={**body, "stream": False}, timeout=120)
        assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and "Traceback" not in out + err, err


def test_sigterm_lets_a_request_under_way_finish(tmp_path: Path) -> None:
    with served(tmp_path) as (process, address):
        body = {"model": "interview/pocket", "messages": asking(""), "stream": True}
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=120) as answer:
            lines = answer.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            rest = list(lines)
        assert rest[-2:] == ["data: [DONE]", ""] or "data: [DONE]" in rest[-3:]
        assert '"finish_reason": "stop"' in "\n".join(rest)
        process.communicate(timeout=120)
        assert process.returncode in (0, 128 + signal.SIGTERM, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "0.0.0.0"}, "gives access to everybody who reaches this machine"),
        ({"queue": 0}, "--queue must be between 1 and 10000, not 0"),
        ({"api_key_file": Path("none.txt")}, "'none.txt' cannot be read: no such file"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], says: str, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        run_serve(ServeOptions(**options))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no key"),
        ("# all\n\nshort\n", "shorter than 8 characters"),
        ("right-long-key\nschlüssel-von-haus\n", "key 2 has characters that no client can send"),
        ("with blanks inside\n", "key 1 has characters that no client can send"),
    ],
)
def test_files_of_keys_that_are_refused(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match=says):
        read_keys(file)
    file.write_text("# clients\nfirst-long-key\nsecond-long-key\n")
    assert read_keys(file) == ("first-long-key", "second-long-key")
