"""The command group `inquisight train`. Each command imports what it needs when it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from core.console.options import show_help, text_option
from core.console.silence import hush_libraries
from core.errors import printable
from plugins.minigpt4.convert.request import DTypeOption, QFormerHeadsOption, TemplateOption, VitHeadsOption

ABOUT = "Train MiniGPT-4 in two stages, or fine-tune a BLIP-2."
train = typer.Typer(name="train", help=ABOUT)


class RecipeCommand(TyperCommand):
    """A command whose help ends with the fields of a recipe, which are read only then."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from training.recipes import fields, recipe_class

        kind = recipe_class({"stage": ctx.command.name})
        with formatter.section("Fields of a recipe, for --set key=value [default]"):
            formatter.write_dl([(name, f"{about} [{default}]") for name, default, about in fields(kind)])


RecipeOption = Annotated[
    str, text_option("--recipe", "Recipe: a TOML file, or a name from `train recipes`.", "FILE|NAME")
]
SetOption = Annotated[list[str] | None, text_option("--set", "Override a recipe field; repeatable.", "KEY=VALUE")]
OutOption = Annotated[Path, text_option("--out", "Run folder; an existing one is resumed.", "DIR")]
ToOption = Annotated[Path, text_option("--to", "Output directory.", "DIR")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]


@train.callback(invoke_without_command=True, help=ABOUT)
def group(context: typer.Context) -> None:
    """Print the help without a command, and silence model libraries for the others."""
    show_help(context)
    hush_libraries()


@train.command(cls=RecipeCommand)
def stage1(recipe: RecipeOption, out: OutOption, set_: SetOption = None) -> None:
    """Stage 1: short captions, no prompt. Resumes an interrupted run."""
    _run("stage1", recipe, out, set_)


@train.command(cls=RecipeCommand)
def stage2(recipe: RecipeOption, out: OutOption, set_: SetOption = None) -> None:
    """Stage 2: long descriptions in the chat format. Resumable."""
    _run("stage2", recipe, out, set_)


@train.command(cls=RecipeCommand)
def blip2(
    model: Annotated[
        str | None, text_option("--model", "BLIP-2: a hub name, a directory or a run [the recipe's].", "NAME|DIR")
    ] = None,
    recipe: RecipeOption = "blip2-caption",
    out: Annotated[
        Path | None, text_option("--out", "Run folder; an existing one is resumed [the recipe's name].", "DIR")
    ] = None,
    set_: SetOption = None,
) -> None:
    """Fine-tune a BLIP-2 on captions or questions. Resumable."""
    named = [f"model={json.dumps(model)}"] if model is not None else []
    _run("blip2", recipe, out or Path(Path(recipe).stem), [*(set_ or ()), *named])


def _run(stage: str, recipe: str, out: Path, changes: list[str] | None) -> None:
    from training.recipes import ready_recipe

    chosen = ready_recipe(recipe, changes or (), stage=stage)  # before the model libraries: most mistakes are here
    from training.run import train as go

    _print_once(go(chosen, out))


@train.command(cls=RecipeCommand)
def features(recipe: RecipeOption, out: OutOption, set_: SetOption = None) -> None:
    """Cache the image features of a recipe, for --set features=DIR."""
    from training.recipes import ready_recipe

    chosen = ready_recipe(recipe, set_ or ())
    from training.features.keep import keep_features

    _print_once(keep_features(chosen, out))


def _print_once(path: Path) -> None:
    """Print the result in the first process only."""
    if os.environ.get("RANK", "0") == "0":
        print(path)


@train.command()
def prepare(
    llm: Annotated[str, text_option("--llm", "Llama-family model: a directory or a hub name.", "DIR|NAME")],
    vision: Annotated[
        list[str], text_option("--vision", "BLIP-2's vision half, as for `convert minigpt4`.", "DIR|NAME|FILE")
    ],
    to: ToOption,
    template: TemplateOption = "auto",
    dtype: DTypeOption = "auto",
    qformer: Annotated[
        bool,
        typer.Option("--qformer/--no-qformer", help="Without Q-Former, four neighbouring patches become one token."),
    ] = True,
    qformer_heads: QFormerHeadsOption = None,
    vit_heads: VitHeadsOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier conversion at --to.")] = False,
) -> None:
    """Join a language model and BLIP-2's vision half, untrained."""
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
    to: ToOption,
    base: Annotated[Path | None, text_option("--base", "Directory of the base model, if it has moved.", "DIR")] = None,
    adapter: Annotated[bool, typer.Option("--adapter", help="BLIP-2 with LoRA: write a peft adapter alone.")] = False,
) -> None:
    """Export a finished run as a model directory."""
    from plugins.trained import export as write

    print(write(run, to, base=base, adapter=adapter))


@train.command()
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Print this recipe, as a template.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Explain every field.")] = False,
) -> None:
    """List the shipped recipes, print one, or explain their fields."""
    from training.recipes import Blip2Recipe, fields, find_recipe, load_recipe, shipped

    if explain:
        common = fields()
        print("\n".join(f"{name} [{default}]: {about}" for name, default, about in common))
        print('\nFor BLIP-2 (stage = "blip2"):')
        own = [field for field in fields(Blip2Recipe) if field not in common]
        print("\n".join(f"{name} [{default}]: {about}" for name, default, about in own))
    elif name is not None:
        print(find_recipe(name).read_text("utf-8"), end="")
    else:
        known = shipped()
        width = max(map(len, known))
        for each in known:
            recipe = load_recipe(each)
            print(f"{each:<{width}}  {recipe.label:<7}  {recipe.title}")


@train.command()
def status(
    run: RunArgument,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the status of a run: state, loss, speed, checkpoints."""
    from training.runs.status import describe, in_words

    facts = describe(run)
    print(json.dumps(facts) if json_ else "\n".join(in_words(facts)))


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
    """Add the group `train` to the command line."""
    cli.add_typer(train, name="train")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m training.run ...`, which `accelerate launch` starts in each process; returns the exit code."""
    from agents.cli import run

    return run(sys.argv[1:] if argv is None else argv, command="train", program="training.run")
