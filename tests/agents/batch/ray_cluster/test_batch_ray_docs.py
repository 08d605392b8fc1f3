"""The commands of "On a cluster" in docs/batch.md, as far as one machine allows: two nodes of a cluster on this one,
no GPUs, a quick fake eye in place of the shipped one, and a small server in place of vLLM's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.agents.batch.making import lines
from tests.agents.plugin_on_disk import ROOT, Shell

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra 'ray' is not installed"),
    pytest.mark.skipif(find_spec("langchain_openai") is None, reason="the extra 'openai' is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="the page is written for a shell"),
]
PAGE = (ROOT / "docs" / "batch.md").read_text("utf-8")
PATIENCE = 400  # seconds; on a busy machine a node takes a minute to start
MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"


def commands(program: str) -> list[str]:
    section = PAGE.partition("\n## On a cluster\n")[2].partition("\n## ")[0]
    return re.findall(rf"^\$ ({program} .*)$", section, re.MULTILINE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def started(command: str, environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that stays, ended as Ctrl-C in its terminal would."""
    with subprocess.Popen(
        shlex.split(command), env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return
    raise AssertionError("".join(seen))


@pytest.fixture
def reader(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shutil.copytree(ROOT / "examples" / "photos", tmp_path / "examples" / "photos")
    for name in [name for name in shell.environment if name.startswith("RAY_")]:
        del shell.environment[name]
    programs = Path(sys.executable).parent
    shell.environment |= {"PATH": f"{programs}:{shell.environment['PATH']}", "RAY_USAGE_STATS_ENABLED": "0"}
    shell.environment["RAY_worker_niceness"] = "0"  # with Ray's own 15 they starve beside other tests
    return shell


def batch(reader: Shell, command: str, **replaced: str) -> None:
    for old, new in replaced.items():
        command = command.replace({"address": "10.0.0.1:6379", "gpus": "--gpus-per-worker 1"}[old], new)
    words = shlex.split(command)
    assert words[:2] == ["inquisight", "batch"]
    done = reader.run(*words[2:], module="agents.batch")
    assert done.returncode == 0 and re.match(r"2 pictures: 2 captioned\n", done.stdout), done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "ray" not in done.stderr.lower(), done.stderr


def test_the_commands_of_a_cluster_run(reader: Shell) -> None:
    head, node = commands("ray")
    on_this_machine, on_gpus, seen, asked = commands("inquisight")
    [serve], [token, export] = commands("vllm"), commands("export")
    assert MODEL in serve and MODEL in seen and MODEL in asked

    batch(reader, on_this_machine)
    reader.environment |= dict(word.split("=") for word in token.split()[1:])
    port = free_port()
    address = f"127.0.0.1:{port}"
    with ExitStack() as stack:
        # Ray's sockets have no room for the long path of a test's own folder.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
        small = "--num-cpus 1 --object-store-memory 100000000 --node-ip-address 127.0.0.1"
        first = stack.enter_context(
            started(
                f"{head.replace('6379', str(port))} {small} --temp-dir {folder} --include-dashboard false",
                reader.environment,
                reader.folder,
            )
        )
        until(first, "Ray runtime started")
        second = stack.enter_context(
            started(f"{node.replace('10.0.0.1:6379', address)} {small}", reader.environment, reader.folder)
        )
        until(second, "Ray runtime started")
        batch(reader, on_gpus, address=address, gpus="--gpus-per-worker 0")
        assert (reader.folder / "gpus.jsonl").read_bytes() == (reader.folder / "two.jsonl").read_bytes()

        server = stack.enter_context(
            started(
                f"{sys.executable} {ROOT / 'tests' / 'servers' / 'openai_eye.py'}", reader.environment, reader.folder
            )
        )
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        for word in export.split()[1:]:
            name, _, value = word.partition("=")
            reader.environment[name] = value.replace("http://10.0.0.2:8000", url)
        batch(reader, seen.replace(MODEL, "looks"), address=address)
        assert all("#" in line["opening"] for line in lines(reader.folder / "seen.jsonl")), "the server's words"
        batch(reader, asked.replace(MODEL, "asks"), address=address)
        with urllib.request.urlopen(f"{url}/requests/asks", timeout=60) as answer:
            requests = json.load(answer)
        assert len(requests) >= 4
        turns = [turn["question"] for line in lines(reader.folder / "asked.jsonl") for turn in line["dialogue"]]
        assert "Is it day or night?" in turns, "the server's words"
