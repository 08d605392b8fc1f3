"""`inquisight serve`: start the server, by default for this machine only."""

from __future__ import annotations

import importlib.util
import logging
import sys
from typing import TYPE_CHECKING, Any

from core.console.dataclass_commands import add_command
from core.errors import UsageError, printable
from core.hookspecs import hookimpl
from core.net.listening import free_port, is_local
from serving.options import ServeOptions

if TYPE_CHECKING:
    from fastapi import FastAPI


@hookimpl
def register_commands(cli: Any) -> None:
    """Add `serve`."""
    add_command(cli, "serve", ServeOptions, "serving.commands:run")


def run(options: ServeOptions) -> int:
    """Load the models and serve until Ctrl-C; returns the exit code. Raises InquisightError."""
    check(options)
    port = free_port(options.host, options.port)
    app = load(options)
    import uvicorn

    logging.basicConfig(format="inquisight: %(message)s", stream=sys.stderr)
    where = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{port}"
    config = uvicorn.Config(
        app,
        host=options.host,
        port=port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=options.grace,
    )
    server = uvicorn.Server(config)
    print(f"Inquisight serves {where}/v1 (press Ctrl-C to stop)", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:
        return 0
    return 0


def check(options: ServeOptions) -> None:
    """Raise InquisightError for options that are wrong, before a model is loaded."""
    for module in ("fastapi", "uvicorn", "prometheus_client", "jsonschema"):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"the server needs the package {module}: pip install 'inquisight[serve]'")
    options.check()
    options.keys()
    if options.readable_by_others():
        shown = printable(options.api_key_file)
        print(f"inquisight: others can read '{shown}'; restrict it with: chmod 600 {shown}", file=sys.stderr)
    if not is_local(options.host) and options.api_key_file is None and not options.open_to_all:
        raise UsageError(
            f"--host {printable(options.host)} gives access to everybody who reaches this machine; add "
            "--api-key-file FILE, or --open-to-all if that is intended"
        )


def load(options: ServeOptions) -> FastAPI:
    """The application with its models. Raises InquisightError."""
    from agents.interview.options import audit_options
    from agents.interview.protocol import InterviewOptions
    from agents.llm.questioners import load_questioner
    from agents.witnesses.choice import chosen
    from core.settings import get_settings
    from serving.app import make_app
    from serving.conversation import refuse
    from serving.fetching import Fetcher
    from serving.metrics import Metrics
    from serving.models import Offer, load_visions

    settings = get_settings()
    interview = InterviewOptions(
        rounds=options.rounds if options.rounds is not None else settings.rounds,
        witnesses=tuple(chosen(options.witness or settings.witness)),
        **audit_options(options.audit, options.threshold),
    )
    questioner = load_questioner(options.questioner or settings.questioner)
    metrics = Metrics()
    names = options.vision or (settings.vision,)
    visions = load_visions(names, batch=options.batch, images=options.images, seen=metrics.saw_batch)
    return make_app(
        Offer(visions, questioner, interview),
        metrics,
        keys=options.keys(),
        queue=options.queue,
        body_bytes=options.body_mb * 1_000_000,
        fetch=Fetcher(options.fetch) if options.fetch else refuse,
        hosts=("localhost", "127.0.0.1", "[::1]", options.host) if is_local(options.host) else ("*",),
    )
