"""What a program that is not ours gets of our environment variables, and that every such program gets no more."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.isolated.environment import foreign_environment

ROOT = Path(__file__).parents[3]
SECRETS = """
    HF_TOKEN HUGGING_FACE_HUB_TOKEN HUGGINGFACEHUB_API_TOKEN OPENAI_API_KEY ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN
    INQUISIGHT_API_KEY INQUISIGHT_VISION_API_KEY INQUISIGHT_DATABASE LANGSMITH_API_KEY NVIDIA_API_KEY NGC_API_KEY
    AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE AZURE_CLIENT_SECRET AZURE_STORAGE_KEY
    GOOGLE_APPLICATION_CREDENTIALS GCP_SA_KEY GITHUB_TOKEN GH_TOKEN GITLAB_TOKEN CI_JOB_TOKEN BITBUCKET_TOKEN
    WANDB_API_KEY COMET_API_KEY NEPTUNE_API_TOKEN KAGGLE_KEY TWINE_PASSWORD NPM_TOKEN DOCKER_PASSWORD DOCKER_AUTH_CONFIG
    DATABASE_URL PGPASSWORD REDIS_URL SLACK_WEBHOOK SSH_AUTH_SOCK GPG_AGENT_INFO RAY_AUTH_TOKEN VAULT_TOKEN
    CUDA_LICENSE_KEY MKL_SECRET LC_TOKEN PYTORCH_PASSWORD UV_PUBLISH_TOKEN SOMETHING_NEW
""".split()
USED = {
    "PATH": "/usr/bin:/opt/python@3.11/bin",
    "HOME": "/home/me",
    "LANG": "en_GB.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TMPDIR": "/tmp",
    "OMP_NUM_THREADS": "4",
    "MKL_NUM_THREADS": "4",
    "CUDA_VISIBLE_DEVICES": "1",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "HF_HOME": "/models/hf",
    "HF_HUB_OFFLINE": "1",
    "TORCH_HOME": "/models/torch",
    "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
    "SSL_CERT_FILE": "/etc/ssl/own.pem",
    "REQUESTS_CA_BUNDLE": "/etc/ssl/own.pem",
    "NO_PROXY": "localhost,.example.org",
    "SystemRoot": "C:\\Windows",
}


@pytest.mark.parametrize("installs", [True, False])
def test_no_secret_goes_along_and_what_is_needed_does(installs: bool) -> None:
    passed = foreign_environment({**USED, **dict.fromkeys(SECRETS, "secret")}, installs=installs)
    assert passed == USED


def test_our_python_is_not_led_over_there() -> None:
    names = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__", "CONDA_PREFIX")
    assert foreign_environment(dict.fromkeys(names, "/ours")) == {}
    assert foreign_environment({}, {"PYTHONPATH": "/theirs"}) == {"PYTHONPATH": "/theirs"}, (
        "but for what is handed over"
    )


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("HTTPS_PROXY", "http://me:hush@proxy.example:3128", "http://proxy.example:3128"),
        ("https_proxy", "http://me@proxy.example:3128/", "http://proxy.example:3128/"),
        ("ALL_PROXY", "socks5h://me:hush@proxy.example:1080", "socks5h://proxy.example:1080"),
        ("HTTP_PROXY", "me:hush@proxy.example:3128", "proxy.example:3128"),
        ("HTTP_PROXY", "me:hu@sh@proxy.example:3128", "proxy.example:3128"),
        ("HTTP_PROXY", "http://proxy.example:3128", "http://proxy.example:3128"),
        ("HF_ENDPOINT", "https://me:hush@mirror.example", "https://mirror.example"),
    ],
)
def test_addresses_lose_their_passwords_but_for_who_installs(name: str, value: str, kept: str) -> None:
    assert foreign_environment({name: value}) == {name: kept}
    assert foreign_environment({name: value}, installs=True) == {name: value}


def test_who_installs_reaches_its_index() -> None:
    index = {"PIP_INDEX_URL": "https://me:hush@index.example/simple", "UV_INDEX_OWN_PASSWORD": "hush", "PIP_CERT": "/c"}
    assert foreign_environment(index) == {}
    assert foreign_environment({**index, "UV_PUBLISH_PASSWORD": "hush"}, installs=True) == index


def test_the_list_is_enough_to_run_a_program() -> None:
    names = json.loads(
        subprocess.run(
            [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"],
            env=foreign_environment({**os.environ, **dict.fromkeys(SECRETS, "secret-value")}),
            capture_output=True,
            check=True,
        ).stdout
    )
    assert "secret-value" not in names.values() and "PATH" in names


# Our own programs in our own Python, which need the keys and settings that they would have in a terminal.
OURS = {"ui/commands.py", "core/console/processes.py"}


def started(path: Path) -> Iterator[tuple[int, str]]:
    """Line and `env` of every program that a module starts."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in {"os.system", "os.popen", "os.execv", "os.spawnv"} or called.startswith(("os.exec", "os.spawn")):
            yield node.lineno, called
        if called.startswith("subprocess.") and called.rpartition(".")[2] in {
            "run", "Popen", "call", "check_call", "check_output", "getoutput", "getstatusoutput",
        }:  # fmt: skip
            yield node.lineno, next((ast.unparse(one.value) for one in node.keywords if one.arg == "env"), "everything")


def test_every_program_that_is_not_ours_gets_the_list() -> None:
    wrong, seen = [], 0
    for package in ("core", "plugins", "agents", "training", "evaluation", "ui"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            for line, given in started(path):
                seen += 1
                if name not in OURS and not given.startswith("foreign_environment("):
                    wrong.append(f"{name}:{line} passes {given}")
    assert not wrong and seen >= 5
