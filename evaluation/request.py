"""The options of `inquisight evaluate`; the docstring below a field is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from core.console.options import Questioner, Seed, Vision, Witness

TASKS = ("pope", "chair", "coverage", "vqa", "mirror", "reading", "telling", "failures")


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """Measure what a vision model knows, says and invents."""

    task: Annotated[str, typer.Argument(metavar="TASK")]
    """pope, chair, coverage, vqa, mirror, reading, telling or failures."""
    data: Annotated[Path, typer.Option("--data", metavar="FILE|DIR")]
    """Labels: COCO instances (.json), POPE's lines, VQA questions (.json), a table (.csv, .tsv, .jsonl), or a
    folder with one of these, or with images only."""
    out: Annotated[Path, typer.Option("--out", metavar="DIR")]
    """Folder of the results; an existing one is resumed."""
    images: Annotated[Path | None, typer.Option("--images", metavar="DIR")] = None
    """Folder of the images [the folder of the labels, and images in it]."""
    references: Path | None = None
    """chair: COCO captions (.json) whose objects count as present, too."""
    answers: Path | None = None
    """vqa: the annotations (.json) of the questions."""
    vision: Vision = None
    questioner: Questioner = None
    witness: Witness = None
    rounds: int | None = None
    """Questions per interview, including the first [INQUISIGHT_ROUNDS; 10]."""
    captions: Annotated[str | None, typer.Option("--captions", metavar="KIND,...")] = None
    """Captions to measure: plain, detailed, interview, audited, or none [all four; none with --caption-file]."""
    caption_file: Annotated[tuple[Path, ...], typer.Option("--caption-file", metavar="FILE")] = ()
    """Captions of others: COCO results (.json), a table, or the folder of an earlier run; repeatable."""
    synonyms: Path | None = None
    """Names of the objects, one object a line, in the format of CHAIR's synonyms.txt [built in]."""
    sampling: Annotated[str | None, typer.Option("--sampling", metavar="HOW,...")] = None
    """pope: random, popular, adversarial [all three]."""
    per_image: int = 3
    """pope: objects per image that are there, and as many that are not."""
    prompt: Annotated[str | None, typer.Option("--prompt", metavar="TEXT")] = None
    """Question or instruction in place of the task's own; {} is the object."""
    limit: int | None = None
    """Number of images, drawn at random [all]."""
    seed: Seed = None
    batch: int = 32
    """Images or questions per batch of the vision model."""
    export: Annotated[str | None, typer.Option("--export", metavar="FORMAT")] = None
    """Write the questions for lmms-eval or vlmevalkit to --out, and ask nothing."""
    json: bool = False
    """Print the result as one JSON object."""
    fresh: Annotated[bool, typer.Option("--fresh")] = False
    """Start over instead of resuming."""
