"""Declares `inquisight train ...`; the modules that do the work are imported when it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from core.console.silence import hush_libraries
from core.errors import InquisightError, UsageError, printable

EXIT_INTERRUPTED = 130
EXIT_UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h

train = typer.Typer(
    name="train",
    help="Train the projection of MiniGPT-4 in two stages.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class RecipeCommand(TyperCommand):
    """A command whose help ends with every field of a recipe; the recipes are read only then."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from training.recipes import fields

        with formatter.section("Fields of a recipe, for --set key=value [default]"):
            formatter.write_dl([(name, f"{about} [{default}]") for name, default, about in fields()])


RecipeOption = Annotated[
    str, typer.Option("--recipe", metavar="FILE|NAME", help="Recipe: a TOML file, or a name from `train recipes`.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe field; repeatable.")
]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Run folder; an existing one is resumed.")]


@train.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Train the projection of MiniGPT-4 in two stages."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit()
    hush_libraries()


@train.command(cls=RecipeCommand)
def stage1(recipe: RecipeOption, out: OutOption, set_: SetOption = None) -> None:
    """Stage 1: short captions, no prompt. Resumes an interrupted run."""
    _run("stage1", recipe, out, set_)


@train.command(cls=RecipeCommand)
def stage2(recipe: RecipeOption, out: OutOption, set_: SetOption = None) -> None:
    """Stage 2: long descriptions in the chat format. Resumable."""
    _run("stage2", recipe, out, set_)


def _run(stage: str, recipe: str, out: Path, changes: list[str] | None) -> None:
    from training.recipes import ready_recipe

    chosen = ready_recipe(recipe, changes or (), stage=stage)  # before the model libraries: most mistakes are here
    from training.run import train as go

    _tell(go(chosen, out))


@train.command(cls=RecipeCommand)
def features(recipe: RecipeOption, out: OutOption, set_: SetOption = None) -> None:
    """Cache the image features of a recipe, for --set features=DIR."""
    from training.recipes import ready_recipe

    chosen = ready_recipe(recipe, set_ or ())
    from training.features.keep import keep_features

    _tell(keep_features(chosen, out))


def _tell(path: Path) -> None:
    """The result, once, whatever the number of processes."""
    if os.environ.get("RANK", "0") == "0":
        print(path)


@train.command()
def prepare(
    llm: Annotated[
        str,
        typer.Option("--llm", metavar="DIR|NAME", help="Llama-family model: a directory or a hub name."),
    ],
    vision: Annotated[
        list[str],
        typer.Option("--vision", metavar="DIR|NAME|FILE", help="BLIP-2's vision half, as for `convert minigpt4`."),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Output directory.")],
    template: Annotated[
        str, typer.Option("--template", metavar="NAME", help="Conversation format: auto, vicuna or llama2.")
    ] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", metavar="TYPE", help="auto, bfloat16, float16 or float32.")] = "auto",
    qformer: Annotated[
        bool,
        typer.Option("--qformer/--no-qformer", help="Without Q-Former, four neighbouring patches become one token."),
    ] = True,
    qformer_heads: Annotated[
        int | None,
        typer.Option("--qformer-heads", metavar="N", min=1, help="As for `convert minigpt4`."),
    ] = None,
    vit_heads: Annotated[
        int | None, typer.Option("--vit-heads", metavar="N", min=1, help="As for `convert minigpt4`.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier conversion at --to.")] = False,
) -> None:
    """Join a language model and BLIP-2's vision half, untrained."""
    if template not in ("auto", "vicuna", "llama2"):
        raise UsageError(f"--template is '{printable(template, 40)}': take auto, vicuna or llama2.")
    if dtype not in ("auto", "bfloat16", "float16", "float32"):
        raise UsageError(f"--dtype is '{printable(dtype, 40)}': take auto, bfloat16, float16 or float32.")
    from plugins.minigpt4.convert.trained import prepare as join

    join(
        llm,
        tuple(vision),
        to,
        qformer=qformer,
        template=template,
        dtype=dtype,
        qformer_heads=qformer_heads,
        vit_heads=vit_heads,
        overwrite=overwrite,
    )


@train.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Output directory.")],
    base: Annotated[
        Path | None, typer.Option("--base", metavar="DIR", help="Directory of the base model, if it has moved.")
    ] = None,
) -> None:
    """Export a finished run as a model directory (minigpt4:DIR)."""
    from plugins.minigpt4.convert.trained import export as join

    print(join(run, to, base=base))


@train.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print this recipe, as a template.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Explain every field.")] = False,
) -> None:
    """List the shipped recipes, print one, or explain their fields."""
    from training.recipes import explain as explained
    from training.recipes import load_recipe, shipped

    if explain:
        print(explained())
        return
    known = shipped()
    if name is not None:
        if name not in known:
            load_recipe(name)  # says which name was meant
        print((known[name] if name in known else Path(name)).read_text("utf-8"), end="")
        return
    width = max(map(len, known))
    for each in known:
        recipe = load_recipe(each)
        print(f"{each:<{width}}  stage {recipe.stage}  {recipe.title}")


@train.command()
def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the status of a run: state, loss, speed, checkpoints."""
    from training.runs.status import describe, in_words

    facts = describe(run)
    if json:
        from json import dumps

        print(dumps(facts))
        return
    print("\n".join(in_words(facts)))


@train.command()
def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder to search, with subfolders.")] = Path("."),
) -> None:
    """List runs, newest first: folder, state, step."""
    from training.runs.manage import find_runs
    from training.runs.status import describe

    for run in find_runs(folder):
        facts = describe(run)
        print(f"{printable(run, None)}\t{facts['state']}\t{facts['step']}/{facts['steps'] or '?'}")


@train.command()
def stop(run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a running training.")]) -> None:
    """Stop a run on this machine after its step, with a checkpoint."""
    from training.runs.manage import stop as ask

    ask(run)


def add_to(cli: typer.Typer) -> None:
    """Put the group `train` on the command line."""
    cli.add_typer(train, name="train")


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m training.run ...`, which is what `accelerate launch` starts in each process; gives the exit code."""
    number = os.environ.get("RANK", "0")
    who = "inquisight" if number == "0" else f"inquisight (process {number})"
    try:
        runner: Any = typer.main.get_command(train)
        code = runner.main(
            args=list(argv if argv is not None else sys.argv[1:]), prog_name="training.run", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except InquisightError as error:
        print(f"{who}: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    except Exception as error:
        if os.environ.get("INQUISIGHT_DEBUG", "") == "1":
            raise
        if hasattr(error, "format_message"):  # typer's own usage errors
            print(f"{who}: {error.format_message()} (see --help)", file=sys.stderr)
            return int(getattr(error, "exit_code", 2))
        text = printable(" ".join(f"unexpected {type(error).__name__}: {error}".split()), 500)
        print(f"{who}: {text}; set INQUISIGHT_DEBUG=1 to see where it comes from", file=sys.stderr, flush=True)
        return EXIT_UNEXPECTED
