"""The command line, `inquisight`.

    inquisight caption photo.jpg         an interview of two models, then a description
    inquisight chat photo.jpg            a conversation with a vision model
    inquisight ask "what is this?" photo.jpg
    inquisight examine photo.jpg         things and text, without a language model
    inquisight audit photo.jpg --text "A red car."    whether a caption is true
    inquisight batch photos --out captions.jsonl
    inquisight captions photos           captions of a folder, to search and change
    inquisight video clip.mp4            what happens in it
    inquisight new-plugin owl --kind vision           a plugin's package to begin with
    inquisight plugins | doctor | history | show ID | prompts | tasks

This file only declares commands; a command's module is imported when it runs, to keep `--help` fast.
`main` is the console command: every error becomes one line on standard error and an exit code.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which Ctrl-C may interrupt
    from core.launch import guard

    guard()

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from agents.batch.request import BatchRequest
from agents.cli.audit.request import AuditRequest
from agents.cli.captions.request import CaptionsRequest
from agents.cli.errors import EXIT_INTERRUPTED, complain
from agents.cli.new_plugin.request import NewPluginRequest
from agents.cli.requests import (
    AskRequest,
    CaptionRequest,
    ChatRequest,
    ExamineRequest,
    HistoryRequest,
    ShowRequest,
    VideoRequest,
)
from agents.doctor.request import DoctorRequest
from core.console.dataclass_commands import add_command
from core.console.streams import EXIT_OUTPUT, finish_streams, output_error, prepare_streams
from core.errors import InquisightError
from core.launch import exit_code_of

app = typer.Typer(
    name="inquisight",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def inquisight(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Caption images: a language model asks, a vision model answers, a description results."""
    if version:
        print(_version())
        raise typer.Exit()
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit()


add_command(app, "caption", CaptionRequest, "agents.cli.caption:run_caption")
add_command(app, "chat", ChatRequest, "agents.cli.listing:chat_or_tasks")
add_command(app, "ask", AskRequest, "agents.cli.ask:run_ask")
add_command(app, "examine", ExamineRequest, "agents.cli.examine:run_examine")
add_command(app, "audit", AuditRequest, "agents.cli.audit.command:run_audit")


@app.command()
def plugins() -> None:
    """List vision models, questioners and trainers."""
    from agents.cli.listing import print_plugins
    from core.registry import get_registry

    print_plugins(get_registry())


add_command(app, "doctor", DoctorRequest, "agents.doctor.command:run_doctor")
add_command(app, "new-plugin", NewPluginRequest, "agents.cli.new_plugin.command:run_new_plugin")

add_command(app, "history", HistoryRequest, "agents.cli.history:run_history")
add_command(app, "show", ShowRequest, "agents.cli.history:run_show")


@app.command()
def prompts() -> None:
    """Print the prompts, as a template for --prompts."""
    from agents.interview.prompts import DEFAULT_FILE

    print(DEFAULT_FILE.read_text("utf-8"), end="")


@app.command()
def tasks(
    show_file: Annotated[bool, typer.Option("--print", help="Print the file, as a template for --tasks.")] = False,
) -> None:
    """List the preset prompts for chats."""
    if show_file:
        from agents.chat.presets import DEFAULT_FILE

        print(DEFAULT_FILE.read_text("utf-8"), end="")
        return
    from agents.cli.listing import print_tasks

    print_tasks()


add_command(app, "batch", BatchRequest, "agents.cli.batch:run_batch")
add_command(app, "captions", CaptionsRequest, "agents.cli.captions.command:run_captions")
add_command(app, "video", VideoRequest, "agents.cli.video:run_video")


def main(argv: Sequence[str] | None = None) -> None:
    """The console command `inquisight`. Does not return."""
    sys.exit(finish_streams(run(argv if argv is not None else sys.argv[1:])))


def run(argv: Sequence[str], *, command: str | None = None, program: str = "inquisight") -> int:
    """Run the command line and return its exit code; raises nothing.

    `command` runs that command as a separate program, so its help and errors have the right name.
    """
    prepare_streams()
    try:
        from core.console.shadow import check_not_shadowed
        from core.net.endpoints import typed_by_owner
        from core.registry import get_registry

        check_not_shadowed()
        get_registry().register_commands(app)
        runner: Any = typer.main.get_command(app)
        if command is not None:
            runner = runner.commands[command]
        with typed_by_owner(argv):
            code = runner.main(args=list(argv), prog_name=program, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort) as stopped:
        return exit_code_of(stopped) or EXIT_INTERRUPTED
    except SystemExit as leaving:  # from typer when standard output is closed, or from a plugin's command
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:
        if isinstance(error, OSError) and output_error():
            return EXIT_OUTPUT  # `finish_streams` says why
        if not isinstance(error, InquisightError) and (code := exit_code_of(error)):
            return code  # an import that Ctrl-C interrupted raises its own error
        return complain(error)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"inquisight {version('inquisight')}"
    except PackageNotFoundError:
        return "inquisight, from a checkout that is not installed"
