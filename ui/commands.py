"""`inquisight ui`: start the dashboard, by default for this machine only. It sends no telemetry."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from core.errors import InquisightError, UsageError, printable
from core.hookspecs import hookimpl
from ui.state.options import HOST, PORT, UiOptions

APP: Final = Path(__file__).parent / "server" / "app.py"
_START: Final = 60.0  # maximum seconds to wait before opening a browser


@hookimpl
def register_commands(cli: Any) -> None:
    """Add `ui`."""
    cli.command()(ui)


def ui(
    port: Annotated[int, typer.Option("--port", metavar="N", help="Port; 0 picks a free one.")] = PORT,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = HOST,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="File whose first line is the visitors' password."),
    ] = None,
    oidc: Annotated[
        bool, typer.Option("--oidc", help="Visitors log in with the provider in Streamlit's secrets.toml.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", metavar="EMAIL", help="With --oidc: allowed e-mail, such as *@example.org; repeatable."
        ),
    ] = None,
    open_to_all: Annotated[
        bool, typer.Option("--open-to-all", help="Allow access without a password to anybody who reaches --host.")
    ] = False,
    vision: Annotated[
        list[str] | None,
        typer.Option("--vision", metavar="NAME", help="Offer only this vision model; repeatable [all]."),
    ] = None,
    questioner: Annotated[
        list[str] | None,
        typer.Option("--questioner", metavar="NAME", help="Offer only this language model; repeatable [all]."),
    ] = None,
    upload_mb: Annotated[
        int, typer.Option("--upload-mb", metavar="N", help="Upload limit for images, in MB.")
    ] = UiOptions.upload_mb,
    video_mb: Annotated[
        int, typer.Option("--video-mb", metavar="N", help="Upload limit for videos, in MB.")
    ] = UiOptions.video_mb,
    visitors_may_name_models: Annotated[
        bool,
        typer.Option(
            "--visitors-may-name-models",
            help="Let visitors type models: load any folder or plugin here, and send requests from this machine to "
            "any address.",
        ),
    ] = False,
    visitors_may_use_server_paths: Annotated[
        bool,
        typer.Option(
            "--visitors-may-use-server-paths",
            help="Show visitors Curate, Train and Plugins: read and write folders of this machine, start and stop "
            "curations and trainings.",
        ),
    ] = False,
    visitors_may_see_all_transcripts: Annotated[
        bool,
        typer.Option(
            "--visitors-may-see-all-transcripts",
            help="Let each visitor read, export and delete the transcripts of all others and of this machine.",
        ),
    ] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Start the dashboard in a browser."""
    options = UiOptions(
        host=host,
        password_file=password_file,
        oidc=oidc,
        allow=tuple(allow or ()),
        visions=tuple(vision or ()),
        questioners=tuple(questioner or ()),
        upload_mb=upload_mb,
        video_mb=video_mb,
        visitors_may_name_models=visitors_may_name_models,
        visitors_may_use_server_paths=visitors_may_use_server_paths,
        visitors_may_see_all_transcripts=visitors_may_see_all_transcripts,
    )
    check(options, open_to_all=open_to_all)
    port = free_port(host, port)
    where = f"http://{'[' + host + ']' if ':' in host else host}:{port}"
    ended = threading.Event()
    process = subprocess.Popen(
        [sys.executable, "-m", "ui.server.serve", "run", str(APP), *streamlit_options(options, port)],
        env={**os.environ, **options.to_environment()},
    )
    greeting = threading.Thread(target=greet, args=(where, ended), kwargs={"browser": not no_browser}, daemon=True)
    greeting.start()
    raise typer.Exit(_wait(process, ended))


def check(options: UiOptions, *, open_to_all: bool = False) -> None:
    """Raise InquisightError for options that are wrong, before anything is started."""
    if importlib.util.find_spec("streamlit") is None:
        raise UsageError("the dashboard needs the package Streamlit: pip install 'inquisight[ui]'")
    for name, megabytes in (("--upload-mb", options.upload_mb), ("--video-mb", options.video_mb)):
        if not 1 <= megabytes <= 1000:
            raise UsageError(f"{name} must be between 1 and 1000, not {megabytes}")
    if any("key_env=" in spec for spec in (*options.visions, *options.questioners)):
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
    if not options.local and not options.guarded and not open_to_all:
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


def free_port(host: str, port: int) -> int:
    """`port`, or a free one for 0. Raises UsageError if it is in use."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port must be between 0 and 65535, not {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    except OSError as error:
        raise UsageError(f"--host {printable(host)} is not an address of this machine: {error.strerror}") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise UsageError(f"{printable(host)}:{port} cannot be used: {reason}; choose another --port") from error
        return int(probe.getsockname()[1])


def greet(where: str, ended: threading.Event, *, browser: bool) -> None:
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
    terminated = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        code = 0
    finally:
        ended.set()
        signal.signal(signal.SIGTERM, terminated)
    if code > 0:
        raise InquisightError("the dashboard stopped unexpectedly; see its last messages above")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m ui.commands`: the command alone."""
    from agents.cli.errors import complain

    cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    register_commands(cli)
    try:
        runner: Any = typer.main.get_command(cli)
        arguments = list(argv if argv is not None else sys.argv[1:])
        code = runner.main(args=arguments, prog_name="inquisight ui", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except Exception as error:  # noqa: BLE001 - one line, whatever it is
        return complain(error)


if __name__ == "__main__":
    sys.exit(main())
