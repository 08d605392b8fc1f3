"""The command line, `inquisight`.

    inquisight caption photo.jpg         an interview of two models, then a description
    inquisight chat photo.jpg            a conversation with a vision model
    inquisight ask "what is this?" photo.jpg
    inquisight batch photos --out captions.jsonl
    inquisight video clip.mp4            what happens in it
    inquisight plugins | history | show ID | prompts | tasks

This file only declares commands. Each imports what it needs when it runs, to keep `--help` fast.
`main` is the console command; it turns every error into one line on standard error and an exit code.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports, which Ctrl-C may break off
    from core.launch import guard

    guard()

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.cli.batch import add_to as add_batch
from agents.cli.errors import EXIT_INTERRUPTED, complain
from agents.cli.video import add_to as add_video
from core.console.options import (
    Context,
    Fresh,
    OverwriteBeside,
    Prompts,
    Questioner,
    Seed,
    Vision,
    day,
    number,
    whole_number,
)
from core.console.streams import EXIT_OUTPUT, finish_streams, output_error, prepare_streams
from core.errors import InquisightError
from core.launch import exit_code_of

Pictures = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURES", help="Files, or - for standard input.", show_default=False),
]

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


@app.command()
def caption(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PICTURES]...", help="Files, folders, or - for standard input.", show_default=False),
    ] = None,
    vision: Vision = None,
    questioner: Questioner = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            metavar="N",
            parser=whole_number,
            help="Number of questions, including the first [INQUISIGHT_ROUNDS; 10].",
        ),
    ] = None,
    context: Context = None,
    prompts: Prompts = None,
    seed: Seed = None,
    language: Annotated[
        str | None,
        typer.Option("--language", metavar="NAME", help="Language of the description, if the questioner supports it."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="JSON Lines on standard output: one caption per picture.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the description.")] = False,
    save_beside: Annotated[
        bool, typer.Option("--save-beside", help="Also write the description to PICTURE.txt beside each picture.")
    ] = False,
    overwrite: OverwriteBeside = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="ID", help="Resume a stopped or failed interview.")
    ] = None,
    fresh: Fresh = False,
) -> None:
    """Caption images by an interview of two models."""
    from agents.cli.caption import CaptionRequest, run_caption

    request = CaptionRequest(
        pictures=tuple(pictures or ()),
        vision=vision,
        questioner=questioner,
        rounds=rounds,
        context=context,
        prompts=prompts,
        seed=seed,
        language=language,
        json=json,
        quiet=quiet,
        save_beside=save_beside,
        overwrite=overwrite,
        resume=resume,
        fresh=fresh,
    )
    raise typer.Exit(run_caption(request))


@app.command()
def chat(
    pictures: Pictures = None,
    ask: Annotated[
        list[str] | None,
        typer.Option("--ask", metavar="TEXT", help="Ask this and exit; repeatable.", show_default=False),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="NAME",
            help="A preset prompt (see `inquisight tasks`); repeatable.",
            show_default=False,
        ),
    ] = None,
    list_tasks: Annotated[bool, typer.Option("--list-tasks", help="List the preset prompts and exit.")] = False,
    tasks: Annotated[
        Path | None,
        typer.Option("--tasks", metavar="FILE", help="Your preset prompts; start from `inquisight tasks --print`."),
    ] = None,
    vision: Vision = None,
    short: Annotated[bool, typer.Option("--short", help="Ask for short answers.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Ask for long answers.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Output file of the task webpage; never overwritten."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="N",
            parser=whole_number,
            help="Random seed; the same questions then get the same answers.",
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            metavar="X",
            parser=number,
            help="Sampling temperature; 0 is greedy [1; 0 for VQA models].",
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-new-tokens",
            metavar="N",
            parser=whole_number,
            help="Maximum tokens of an answer [300, or the task's].",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the finished conversation as one JSON object.")] = False,
) -> None:
    """Chat with a vision model about images."""
    from agents.cli.chat import ChatRequest, run_chat

    request = ChatRequest(
        pictures=tuple(pictures or ()),
        asks=tuple(ask or ()),
        tasks=tuple(task or ()),
        task_file=tasks,
        vision=vision,
        out=out,
        seed=seed,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        short=short,
        long=long,
        json=json,
        list_tasks=list_tasks,
    )
    raise typer.Exit(run_chat(request))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question, in quotes.")],
    pictures: Pictures = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="agent: language model with tools; interview: questioner and vision model; chat: vision model only "
            "[agent if the questioner supports tools, else interview].",
        ),
    ] = None,
    questioner: Annotated[
        str | None,
        typer.Option(
            "--questioner",
            metavar="NAME",
            help="Language model of the agent or interview [INQUISIGHT_QUESTIONER; scripted].",
        ),
    ] = None,
    vision: Vision = None,
    talk_vision: Annotated[
        str | None,
        typer.Option("--talk-vision", metavar="NAME", help="Second vision model, which the agent can chat with."),
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", parser=whole_number, help="Maximum tool calls of the agent.")
    ] = 8,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", metavar="N", parser=whole_number, help="Questions per interview [6]."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", parser=whole_number, help="Random seed of a repeatable run.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON Lines, the answer last.")] = False,
) -> None:
    """Answer a question about images with an agent."""
    from agents.cli.ask import AskRequest, run_ask

    request = AskRequest(
        question=question,
        pictures=tuple(pictures or ()),
        mode=mode,
        questioner=questioner,
        vision=vision,
        talk_vision=talk_vision,
        steps=steps,
        rounds=rounds,
        seed=seed,
        json=json,
    )
    raise typer.Exit(run_ask(request))


@app.command()
def plugins() -> None:
    """List vision models, questioners and trainers."""
    from agents.cli.listing import print_plugins
    from core.registry import get_registry

    print_plugins(get_registry())


@app.command()
def history(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORDS]...", help="Transcripts that contain these words.", show_default=False),
    ] = None,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Kind: interview, chat or ask.")] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS", help="Status of the interview: complete, stopped or failed."),
    ] = None,
    vision: Annotated[
        str | None,
        typer.Option("--vision", metavar="NAME", help="Vision model, as named in transcripts."),
    ] = None,
    questioner: Annotated[
        str | None, typer.Option("--questioner", metavar="NAME", help="Questioner, as named in transcripts.")
    ] = None,
    since: Annotated[
        date | None, typer.Option("--since", metavar="DAY", parser=day, help="First day, such as 2026-03-31.")
    ] = None,
    until: Annotated[
        date | None, typer.Option("--until", metavar="DAY", parser=day, help="Last day, inclusive.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            parser=whole_number,
            help="Maximum number of transcripts [20; all with --export and --delete].",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON Lines, one object per transcript.")] = False,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Export full transcripts to a .jsonl, .csv or .parquet file."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Allow --export to replace an existing file.")] = False,
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Delete the transcripts after confirmation; with --export, after writing them."),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="With --delete and no filter: delete all transcripts.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --delete: skip the confirmation.")] = False,
) -> None:
    """List, search, export or delete transcripts.

    The newest comes first; where words are given, what fits them best.
    """
    from agents.cli.history import HistoryRequest, run_history

    request = HistoryRequest(
        words=tuple(words or ()),
        kind=kind,
        status=status,
        vision=vision,
        questioner=questioner,
        since=since,
        until=until,
        limit=limit,
        json=json,
        export=export,
        overwrite=overwrite,
        delete=delete,
        everything=everything,
        yes=yes,
    )
    raise typer.Exit(run_history(request))


@app.command()
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="Transcript ID or a unique prefix.")],
    json: Annotated[bool, typer.Option("--json", help="Print the record as one JSON object.")] = False,
) -> None:
    """Show one transcript."""
    from core.records import Chat
    from core.store.transcripts import TranscriptStore

    record = TranscriptStore().get_record(id)
    if isinstance(record, Chat):
        from agents.cli.render.chat import make_chat_printer, replay_chat

        chat_printer = make_chat_printer(json=json)
        for chat_event in replay_chat(record):
            chat_printer.event(chat_event)
        return
    from agents.cli.render.interview import make_printer, replay

    printer = make_printer(json=json)
    for event in replay(record):
        printer.event(event)


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
    from agents.cli.chat import print_tasks

    print_tasks()


add_batch(app)
add_video(app)


def main(argv: Sequence[str] | None = None) -> None:
    """The console command `inquisight`. Does not return."""
    sys.exit(finish_streams(run(argv if argv is not None else sys.argv[1:])))


def run(argv: Sequence[str], *, command: str | None = None, program: str = "inquisight") -> int:
    """Run the command line and return its exit code; raises nothing.

    `command` runs that one as a program of its own, so that its help and errors bear the right name.
    """
    prepare_streams()
    try:
        from core.net.endpoints import typed_by_owner
        from core.registry import get_registry
        from core.shadow import check_not_shadowed

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
    except SystemExit as leaving:  # typer, when its own output goes nowhere; or a plugin's command
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:
        if isinstance(error, OSError) and output_error():
            return EXIT_OUTPUT  # `finish_streams` says why
        if not isinstance(error, InquisightError) and (code := exit_code_of(error)):
            return code  # an import that Ctrl-C broke off says so in words of its own
        return complain(error)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"inquisight {version('inquisight')}"
    except PackageNotFoundError:
        return "inquisight, from a checkout that is not installed"
