"""`inquisight ui`: on this machine only unless somebody says otherwise, and every refusal is a sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from agents.cli.main import run
from core.errors import UsageError
from core.net.listening import free_port
from ui.commands import check, streamlit_options
from ui.state.options import UiOptions

ROOT = Path(__file__).resolve().parents[2]


def test_it_stays_on_this_machine_and_sends_nothing() -> None:
    said = streamlit_options(UiOptions(), 8501)
    for option in (
        "--server.address=127.0.0.1",
        "--server.enableXsrfProtection=true",
        "--browser.gatherUsageStats=false",
        "--client.showErrorDetails=none",
        "--server.enableAgentApi=false",
        "--server.maxUploadSize=200",
        "--server.allowedHosts=localhost",
    ):
        assert option in said


def test_streamlit_knows_every_option() -> None:
    from streamlit import config

    known = config.get_config_options()
    for option in streamlit_options(UiOptions(), 8501):
        assert option.removeprefix("--").partition("=")[0] in known


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_others_need_a_password(host: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--password-file"):
        check(UiOptions(host=host))
    check(UiOptions(host=host, open_to_all=True))
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    check(UiOptions(host=host, password_file=secret))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--password-file", "/no/such/file"], "/no/such/file"),
        (["--allow", "me@example.org"], "--oidc"),
        (["--vision", "openai:x?base_url=http://localhost/v1&key_env=MY_API_KEY"], "key_env has no effect"),
        (["--questioner", "openai:x?key_env=MY_API_KEY"], "key_env has no effect"),
        (["--upload-mb", "0"], "--upload-mb"),
        (["--video-mb", "1001"], "--video-mb"),
        (["--models", "0"], "--models"),
        (["--port", "70000"], "65535"),
        (["--host", "0.0.0.0"], "--password-file"),
    ],
)
def test_refusals_are_sentences(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ui", *arguments]) == 2
    said = capsys.readouterr().err
    assert word in said and said.startswith("inquisight: ") and said.count("\n") == 1


def test_a_password_file_that_others_can_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o644)
    check(UiOptions(password_file=secret))
    said = capsys.readouterr().err
    assert "chmod 600" in said and "sesame" not in said
    secret.write_text("\nsecond line")
    with pytest.raises(UsageError, match="empty line"):
        check(UiOptions(password_file=secret))


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="another --port"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", 0) > 0


@pytest.mark.slow
def test_it_starts_answers_and_ends(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.cli", "ui", "--port", "0", "--no-browser"],
        cwd=ROOT,
        env={**os.environ, "INQUISIGHT_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        where = said.removeprefix("Inquisight is at ").partition(" ")[0]
        assert where.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{where}/_stcore/health", timeout=30) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0 and "Traceback" not in errors
