"""Real servers in processes of their own, for tests of what talks to them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


@contextmanager
def scripted_openai() -> Iterator[str]:
    """The base URL of `openai_wire.py`: an OpenAI-compatible server whose model names say how it behaves."""
    with _process([sys.executable, "-u", str(HERE / "openai_wire.py")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())  # printed once it listens
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def model_server(key: str = "") -> Iterator[str]:
    """The address, without /v1, of `model_server.py`: a server with two models behind a key."""
    with _process([sys.executable, "-u", str(HERE / "model_server.py"), key], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}"


@contextmanager
def transformers_serve(model: Path, port: int, timeout: float = 120.0) -> Iterator[str]:
    """The base URL of `transformers serve` with one local model, ready to answer."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    code = "import sys; from transformers.cli.transformers import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", str(model), "--device", "cpu", "--host", "127.0.0.1"]
    with _process([*command, "--port", str(port)], env=environment) as process:
        _wait(f"http://127.0.0.1:{port}/health", process, timeout)
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def llama_cpp(
    model: Path, mmproj: Path | None = None, *, key: str = "", context: int = 1024, name: str = "tiny"
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The base URL of the llama.cpp server with one model (`name`), and its process; images need `mmproj`."""
    command = [sys.executable, "-u", str(HERE / "llama_cpp.py"), str(model), "--context", str(context), "--name", name]
    command += ["--mmproj", str(mmproj)] if mmproj else []
    command += ["--key", key] if key else []
    with _process(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        address = process.stdout.readline().decode().strip()
        if not address:
            raise RuntimeError(f"llama.cpp's server ended with exit code {process.wait(10)}")
        yield f"{address}/v1", process


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def _process(command: list[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def _wait(url: str, process: subprocess.Popen[bytes], timeout: float) -> None:
    """Until `url` answers 200. Raises RuntimeError where the process ends or the time runs out."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)  # the interval of polling, not a guess at the duration
    raise RuntimeError(f"{url} was not ready within {timeout:.0f} s")
