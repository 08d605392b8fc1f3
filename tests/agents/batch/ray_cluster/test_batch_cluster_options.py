"""The options of `--engine ray`: what cannot work is told in one line, before Ray is imported."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agents.batch import cluster
from agents.batch.cluster import Cluster, parse_cluster
from agents.batch.pipeline import PipelineConfig
from agents.batch.ray.engine import LARGEST, block_size
from agents.batch.ray.worker import Coordinator, WorkerConfig, environment
from agents.batch.request import BatchRequest
from agents.cli import batch as running
from agents.interview.prompts import Prompts
from agents.interview.protocol import InterviewOptions
from agents.llm.providers import key_variables
from core.errors import InquisightError, UsageError
from core.settings import get_settings
from tests.agents.batch.making import make_pictures

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: object())
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("INQUISIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "photos", 2)


def refused(**fields: Any) -> str:
    before = "ray" in sys.modules
    with pytest.raises(InquisightError) as wrong:
        running.run_batch(BatchRequest(inputs=("photos",), out=(Path("captions.jsonl"),), vision="pocket", **fields))
    assert "\n" not in str(wrong.value) and ("ray" in sys.modules) == before
    return str(wrong.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"workers": "many"}, "--workers 'many': write how many, such as 4, or the fewest and the most, such as 1:8"),
        ({"workers": "3:2"}, "--workers '3:2': write how many"),
        ({"workers": "0"}, "--workers '0': write how many"),
        ({"workers": "2:"}, "--workers '2:': write how many"),
        ({"gpus_per_worker": -1.0}, "--gpus-per-worker must be 0 or more, not -1.0"),
        ({"gpus_per_worker": 1.5}, "--gpus-per-worker must be a part of one GPU or a whole number of them, not 1.5"),
        ({"cpus_per_worker": float("nan")}, "--cpus-per-worker must be 0 or more, not nan"),
        ({"ray_address": "somewhere"}, "--ray-address 'somewhere': write HOST:PORT, such as 10.0.0.1:6379, or auto"),
        ({"ray_address": "ray://head:10001"}, "ray:// reaches Ray from outside"),
    ],
)
def test_options_that_cannot_work(fields: dict[str, Any], words: str) -> None:
    assert words in refused(engine="ray", **fields)


@pytest.mark.parametrize(
    "fields", [{"workers": "2"}, {"gpus_per_worker": 1.0}, {"cpus_per_worker": 2.0}, {"ray_address": "auto"}]
)
def test_options_without_their_engine(fields: dict[str, Any]) -> None:
    [name] = fields
    assert refused(**fields) == f"--{name.replace('_', '-')} only means something together with --engine ray"


def test_without_ray_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    assert refused(engine="ray") == "--engine ray needs Ray: pip install 'inquisight[ray]'"


def test_an_address_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    told = refused(engine="ray", questioner="scripted", ray_address=address)
    assert told.startswith(f"no Ray answers at '{address}' (connection refused); start one with `ray start --head`")


def test_a_pool_is_a_number_or_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_cluster("2:8", 0.5, None, None) == Cluster(2, 8, 0.5, 1.0, None)
    assert parse_cluster(None, None, 0.0, "auto") == Cluster(1, 1, 0.0, 0.0, "auto")
    assert Cluster().where == "local"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert Cluster().where == "10.0.0.1:6379" and Cluster(address="auto").where == "auto"
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    with pytest.raises(UsageError, match="nonsense"):
        parse_cluster(None, None, None, None)


def test_small_batches_are_shared_and_blocks_stay_small() -> None:
    how = PipelineConfig(InterviewOptions(), Prompts.load(), batch=32, concurrency=32)
    assert block_size(how, 10, 2) == 3 and block_size(how, 1, 8) == 1
    assert 1 < block_size(how, 100_000, 4) <= block_size(how, 10_000_000, 4) == LARGEST


def test_a_coordinator_gives_each_picture_to_one_worker_and_the_same_answer_twice() -> None:
    coordinator = Coordinator(None)
    known, one, two = ("00" * 32, "11" * 32, "22" * 32)
    coordinator.know([bytes.fromhex(known)])
    assert coordinator.take(known, "a.png") == "taken"
    assert coordinator.take(one, "b.png") == "yours" and coordinator.take(one, "c.png") == "taken"
    assert coordinator.take(one, "b.png") == "yours", "it is asked again after a worker was lost"
    assert coordinator.stop() == 1
    assert (
        coordinator.take(two, "d.png") == "stop"
        and coordinator.take(one, "b.png") == "yours"
        and coordinator.stop() == 1
    )


def test_a_coordinator_keeps_the_pace_of_all() -> None:
    coordinator = Coordinator(10.0)
    waits = [coordinator.turn() for _ in range(4)]
    assert waits[0] == 0 and waits[3] == pytest.approx(0.3, abs=0.1)
    assert [Coordinator(None).turn() for _ in range(2)] == [0, 0]


def test_settings_and_keys_travel_and_what_belongs_to_a_machine_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_BASE_URL", "http://llm:8000/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    monkeypatch.setenv("SOMETHING_ELSE", "stays")
    sent = environment(["OPENAI_API_KEY", "GROQ_API_KEY_THAT_IS_NOT_SET"])
    assert sent["INQUISIGHT_BASE_URL"] == "http://llm:8000/v1" and sent["OPENAI_API_KEY"] == "sk-1"
    assert not {"SOMETHING_ELSE", "INQUISIGHT_HOME", "GROQ_API_KEY_THAT_IS_NOT_SET"} & set(sent)


def test_a_key_that_travels_does_not_meet_an_address_of_the_other_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker's own OPENAI_BASE_URL would get the key that was sent to it, and INQUISIGHT_BASE_URL likewise."""
    variables = key_variables()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-command")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://gateway.example")
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "INQUISIGHT_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    there = WorkerConfig(lambda: None, lambda _: None, None, False, str(tmp_path), environment(variables), variables)  # type: ignore[arg-type, return-value]
    assert there.environment["ANTHROPIC_BASE_URL"] == "https://gateway.example", "addresses go with their keys"
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "INQUISIGHT_BASE_URL", "GROQ_API_KEY"):
        monkeypatch.setenv(name, "https://of-the-worker.example")
    monkeypatch.setenv("INQUISIGHT_HOME", "/home/of/the/worker")
    monkeypatch.setattr("agents.batch.ray.worker.hush_libraries", lambda: None)
    there.apply()
    get_settings.cache_clear()
    assert os.environ["OPENAI_API_KEY"] == "sk-of-the-command"
    assert "of-the-worker" not in str(dict(os.environ)) and os.environ["INQUISIGHT_HOME"] == "/home/of/the/worker"


def test_the_folder_of_a_ray_that_lives_is_kept_and_that_of_a_killed_one_is_cleared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever a process number says: one of another container is not seen here."""
    code = (
        "import os, sys; from agents.batch.cluster import _folder\n"
        "with _folder() as folder:\n    print(folder, flush=True); sys.stdin.read(1); os._exit(9)"
    )
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        monkeypatch.setattr("os.kill", _no_such_process)  # as a container sees it
        with cluster._folder() as ours:
            assert theirs.is_dir() and ours.is_dir() and ours != theirs
        assert not ours.exists()
        other.stdin.write("x")
        other.stdin.close()
        other.wait(60)
    with cluster._folder():
        assert not theirs.exists(), "its run was killed"


def _no_such_process(*_: object) -> None:
    raise ProcessLookupError
