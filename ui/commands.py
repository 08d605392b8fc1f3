"""`inquisight ui`: start the dashboard, by default for this machine only. It sends no telemetry."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from core.console.dataclass_commands import add_command
from core.errors import InquisightError, UsageError, printable
from core.hookspecs import hookimpl
from core.net.listening import free_port
from ui.state.options import HOST, UiOptions

APP: Final = Path(__file__).parent / "server" / "asgi.py"
_START: Final = 60.0  # maximum seconds to wait before opening a browser


@hookimpl
def register_commands(cli: Any) -> None:
    """Add `ui`."""
    add_command(cli, "ui", UiOptions, "ui.commands:run")


def run(options: UiOptions) -> int:
    """Start the server, and wait for its end; returns the exit code."""
    check(options)
    port = free_port(options.host, options.port)
    where = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{port}"
    ended = threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-m", "ui.server.serve", "run", str(APP), *streamlit_options(options, port)],
        env={**os.environ, **options.to_environment()},
    )
    threading.Thread(target=greet, args=(where, ended, not options.no_browser), daemon=True).start()
    return _wait(process, ended)


def check(options: UiOptions) -> None:
    """Raise InquisightError for options that are wrong, before anything is started."""
    if importlib.util.find_spec("streamlit") is None:
        raise UsageError("the dashboard needs the package Streamlit: pip install 'inquisight[ui]'")
    if options.folder is not None:
        shown = f"'{printable(options.folder)}'"
        if not options.folder.is_dir():
            raise UsageError(f"{shown} {'is a file' if options.folder.exists() else 'does not exist'}; name a folder")
        if not options.may_use_server_paths:
            raise UsageError(f"visitors see {shown} only with --visitors-may-use-server-paths; add it, or leave it out")
    limits = {"upload-mb": options.upload_mb, "video-mb": options.video_mb, "models": options.models}
    for name, value in limits.items():
        if not 1 <= value <= 1000:
            raise UsageError(f"--{name} must be between 1 and 1000, not {value}")
    if any("key_env=" in spec for spec in (*options.vision, *options.questioner)):
        raise UsageError(
            "key_env has no effect in the dashboard; set the key and the address of the server instead: "
            "INQUISIGHT_VISION_API_KEY and INQUISIGHT_VISION_BASE_URL, or INQUISIGHT_API_KEY and INQUISIGHT_BASE_URL"
        )
    if options.allow and not options.oidc:
        raise UsageError("--allow needs --oidc")
    if options.oidc and importlib.util.find_spec("authlib") is None:
        raise UsageError("--oidc needs the package Authlib: pip install 'Authlib>=1.3.2'")
    if options.password_file is not None:
        options.password()
        if os.name == "posix" and options.password_file.stat().st_mode & 0o077:
            shown = printable(options.password_file)
            print(f"inquisight: others can read '{shown}'; restrict it with: chmod 600 {shown}", file=sys.stderr)
    if not options.local and not options.guarded and not options.open_to_all:
        raise UsageError(
            f"--host {printable(options.host)} gives access to everybody who reaches this machine; add --password-file "
            "FILE or --oidc, or --open-to-all if that is intended"
        )


def streamlit_options(options: UiOptions, port: int) -> list[str]:
    """The options of `streamlit run`; they override every config.toml of the user."""
    values: Mapping[str, Any] = {
        "server.address": options.host,
        "server.port": port,
        "server.headless": "true",  # no question about an e-mail address; `greet` opens the browser
        # The pages check the limits of images and videos.
        "server.maxUploadSize": max(options.upload_mb, options.video_mb),
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.enableStaticServing": "false",
        "server.enableAgentApi": "false",
        "server.fileWatcherType": "none",
        "server.runOnSave": "false",
        "runner.postScriptGC": "false",  # it would delay running jobs after each refresh
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "logger.hideWelcomeMessage": "true",
        "theme.light.primaryColor": "#0f766e",
        "theme.dark.primaryColor": "#2dd4bf",
    }
    arguments = [f"--{name}={value}" for name, value in values.items()]
    if options.local:  # against DNS rebinding
        arguments += [f"--server.allowedHosts={name}" for name in dict.fromkeys(("localhost", HOST, options.host))]
    return arguments


def greet(where: str, ended: threading.Event, browser: bool) -> None:
    """Wait until the server answers, then print its address and open a browser."""
    deadline = time.monotonic() + _START
    while not ended.wait(0.2) and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{where}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    break
        except OSError:
            continue
    else:
        return
    print(f"Inquisight is at {where} (press Ctrl-C to stop)", flush=True)
    if browser:
        import webbrowser

        webbrowser.open(where)


def _wait(process: subprocess.Popen[bytes], ended: threading.Event) -> int:
    """Wait for the server to end; Ctrl-C, which the terminal sends to the server too, is a regular end."""
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
    except KeyboardInterrupt:
        code = 0
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    finally:
        ended.set()
        signal.signal(signal.SIGTERM, before)
    if code > 0 and code not in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise InquisightError("the dashboard stopped unexpectedly; see its last messages above")
    return 0
