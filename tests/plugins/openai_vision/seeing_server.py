"""The server with eyes (tests/servers/openai_eye.py), and what it received."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.settings import Settings
from plugins.openai_vision.backend import OpenAIBackend
from tests.servers import HERE, _process

KEY = "sk-test-4f3c2b1a0987"
VARIABLES = (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "INQUISIGHT_API_KEY",
    "INQUISIGHT_BASE_URL",
    "INQUISIGHT_VISION_API_KEY",
    "INQUISIGHT_VISION_BASE_URL",
)


@contextmanager
def seeing_openai() -> Iterator[str]:
    """The base URL of an OpenAI-compatible server that says what it is shown."""
    with _process([sys.executable, "-u", str(HERE / "openai_eye.py")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"


def get(server: str, path: str) -> Any:
    with urllib.request.urlopen(f"{server.removesuffix('/v1')}/{path}", timeout=30) as answer:
        return json.loads(answer.read())


def received(server: str, model: str) -> list[dict[str, Any]]:
    """Everything that was received for a model."""
    requests: list[dict[str, Any]] = get(server, f"requests/{model}")
    return requests


def settings(**values: Any) -> Settings:
    return Settings(**{"timeout": 30.0, "max_retries": 2, "api_key": KEY} | values)


def eye(server: str, model: str = "looks", options: str = "", **values: Any) -> OpenAIBackend:
    return OpenAIBackend(f"{model}?base_url={server}{options}", settings=settings(**values))
