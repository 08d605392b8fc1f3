"""`inquisight serve` and `inquisight mcp`: start a server, by default for this machine only."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from core.console.dataclass_commands import add_command
from core.errors import UsageError
from core.hookspecs import hookimpl
from core.net.listening import free_port, is_local
from serving.access import address_of, check_access, read_keys
from serving.options import McpOptions, ServeOptions

if TYPE_CHECKING:
    from agents.interview.protocol import InterviewOptions
    from serving.mcp.tools import PictureTools


@hookimpl
def register_commands(cli: Any) -> None:
    """Add `serve` and `mcp`."""
    add_command(cli, "serve", ServeOptions, "serving.commands:run_serve")
    add_command(cli, "mcp", McpOptions, "serving.commands:run_mcp")


def run_serve(options: ServeOptions) -> int:
    """Load the models and serve until Ctrl-C; returns the exit code. Raises InquisightError."""
    check_packages(("fastapi", "uvicorn", "prometheus_client"), "serve")
    options.check()
    check_access(options.host, options.api_key_file, open_to_all=options.open_to_all)
    port = free_port(options.host, options.port)
    app = load_app(options)
    print(f"Inquisight serves {address_of(options.host, port)}/v1 (press Ctrl-C to stop)", flush=True)
    return serve(app, options.host, port, options.grace)


def run_mcp(options: McpOptions) -> int:
    """Serve tools until the client ends or Ctrl-C; returns the exit code. Raises InquisightError."""
    check_packages(("mcp",), "mcp")
    if not options.http and (options.api_key_file is not None or options.open_to_all):
        raise UsageError("--api-key-file and --open-to-all only mean something together with --http")
    from core.console.silence import hush_libraries
    from serving.mcp.server import NeedsKey, make_server

    hush_libraries()
    tools = load_tools(options)
    server = make_server(tools)
    try:
        if not options.http:
            server.run("stdio")
            return 0
        check_access(options.host, options.api_key_file, open_to_all=options.open_to_all)
        port = free_port(options.host, options.port)
        app: Any = server.streamable_http_app(host=options.host)
        if keys := read_keys(options.api_key_file):
            app = NeedsKey(app, keys)
        print(f"Inquisight's tools are at {address_of(options.host, port)}/mcp (press Ctrl-C to stop)", flush=True)
        return serve(app, options.host, port, grace=5)
    except KeyboardInterrupt:
        return 0
    finally:
        tools.close()


def serve(app: Any, host: str, port: int, grace: int) -> int:
    """Run an ASGI application until Ctrl-C; requests under way get `grace` seconds. Returns the exit code."""
    import uvicorn

    logging.basicConfig(format="inquisight: %(message)s", stream=sys.stderr)
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", server_header=False, timeout_graceful_shutdown=grace
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run()
    return 0


def check_packages(modules: Sequence[str], extra: str) -> None:
    """Raise UsageError naming the extra if a package is missing."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"this server needs the package {module}: pip install 'inquisight[{extra}]'")


def load_app(options: ServeOptions) -> Any:
    """The application of `serve` with its models. Raises InquisightError."""
    from agents.interview.options import audit_options
    from agents.llm.questioners import load_questioner
    from core.settings import get_settings
    from serving.openai.app import make_app
    from serving.openai.conversation import refuse
    from serving.openai.fetching import Fetcher
    from serving.openai.metrics import Metrics
    from serving.openai.models import Offer, load_visions

    settings = get_settings()
    interview = interview_options(options, audit_options(options.audit, options.threshold))
    questioner = load_questioner(options.questioner or settings.questioner)
    metrics = Metrics()
    names = options.vision or (settings.vision,)
    visions = load_visions(names, batch=options.batch, images=options.images, seen=metrics.saw_batch)
    return make_app(
        Offer(visions, questioner, interview),
        metrics,
        keys=read_keys(options.api_key_file),
        queue=options.queue,
        body_bytes=options.body_mb * 1_000_000,
        fetch=Fetcher(options.fetch) if options.fetch else refuse,
        hosts=("localhost", "127.0.0.1", "[::1]", options.host) if is_local(options.host) else ("*",),
    )


def load_tools(options: McpOptions) -> PictureTools:
    """The tools of `mcp`; models are loaded later. Raises InquisightError."""
    from agents.cli.models import check_vision
    from agents.llm.questioners import load_questioner
    from core.registry import get_registry
    from core.settings import get_settings
    from core.store.transcripts import TranscriptStore
    from serving.mcp.pictures import AllowedPictures
    from serving.mcp.tools import PictureTools
    from serving.queued import queued

    settings = get_settings()
    vision = options.vision or settings.vision
    check_vision(vision)
    return PictureTools(
        AllowedPictures(options.root),
        lambda: queued(get_registry().create_vision(vision)),
        lambda: load_questioner(options.questioner or settings.questioner),
        interview_options(options, {} if options.threshold is None else {"threshold": options.threshold}),
        None if options.no_store else TranscriptStore(settings.database_url),
    )


def interview_options(options: ServeOptions | McpOptions, audit: Mapping[str, Any]) -> InterviewOptions:
    """The options of interviews. Raises UsageError."""
    from agents.interview.options import InterviewOptions
    from agents.witnesses.choice import chosen
    from core.settings import get_settings

    settings = get_settings()
    return InterviewOptions(
        rounds=options.rounds if options.rounds is not None else settings.rounds,
        witnesses=tuple(chosen(options.witness or settings.witness)),
        **audit,
    )
