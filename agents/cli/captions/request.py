"""The options of `inquisight captions`; the docstring below a field is its help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from core.console.options import XmpNames

EDITS = ("replace", "prefix", "suffix", "trim", "remove_duplicates", "add_tag", "remove_tag")
"""Changes of many captions; one at a time."""
OTHERS = ("undo", "redo", "history", "versions", "restore", "write", "export")
"""What else the command does; one at a time, and none together with a change."""


@dataclass(frozen=True, slots=True)
class CaptionsRequest:
    """List, change and export the captions of a folder of images.

    Captions are read from .txt and .caption files, XMP sidecars and .jsonl files. Every change can be undone.
    """

    folder: Annotated[Path, typer.Argument(metavar="FOLDER")]
    """Folder of images, with its subfolders."""
    text: Annotated[str, typer.Argument(metavar="[TEXT]")] = ""
    """Only captions that contain this; upper and lower case count as equal."""
    missing: bool = False
    """Only images without caption."""
    edited: bool = False
    """Only captions that were changed since they were found or generated."""
    unsure: bool = False
    """Only images with an uncertain answer in their interview."""
    failed_audit: bool = False
    """Only images whose audit found a claim that is not supported."""
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT")] = None
    """Only images with this in their path."""
    below: Annotated[str | None, typer.Option("--below", metavar="SUBFOLDER")] = None
    """Only images in this subfolder."""
    sort: Annotated[str | None, typer.Option("--sort", metavar="ORDER")] = None
    """path, changed, length or longest [path]."""
    limit: int | None = None
    """Maximum number of lines [20]."""
    replace: Annotated[str | None, typer.Option("--replace", metavar="TEXT")] = None
    """Text to replace, or a regular expression with --regex."""
    by: Annotated[str | None, typer.Option("--by", metavar="TEXT")] = None
    """Text to put in its place; with --regex, \\1 is the first group."""
    regex: bool = False
    """Read --replace as a regular expression."""
    ignore_case: bool = False
    """Let upper and lower case count as equal in --replace."""
    words: bool = False
    """Replace whole words only."""
    prefix: Annotated[str | None, typer.Option("--prefix", metavar="TEXT")] = None
    """Text to put before captions, such as "sks, "."""
    suffix: Annotated[str | None, typer.Option("--suffix", metavar="TEXT")] = None
    """Text to put after captions."""
    trim: bool = False
    """Remove superfluous white space."""
    remove_duplicates: bool = False
    """Keep one of equal tags."""
    add_tag: Annotated[tuple[str, ...], typer.Option("--add-tag", metavar="TAG")] = ()
    """Add a tag where it is missing; repeatable."""
    remove_tag: Annotated[tuple[str, ...], typer.Option("--remove-tag", metavar="TAG")] = ()
    """Remove a tag; repeatable."""
    separator: Annotated[str, typer.Option("--separator", metavar="TEXT")] = ","
    """What separates tags."""
    apply: bool = False
    """Make the change without asking; without it, show what would change, and ask in a terminal."""
    write: Annotated[str | None, typer.Option("--write", metavar="PICTURE")] = None
    """Set the caption of one image to TEXT."""
    undo: bool = False
    """Take the last change back, as a whole."""
    redo: bool = False
    """Make the change again that was taken back last."""
    change: int | None = None
    """With --undo: the number of an earlier change, from --history."""
    history: bool = False
    """List the changes, also those by other programs."""
    versions: Annotated[str | None, typer.Option("--versions", metavar="PICTURE")] = None
    """List all versions of an image's caption."""
    restore: int | None = None
    """With --versions: set the caption to the version with this number; 0 is the first text."""
    export: Path | None = None
    """Export the captions to .csv, .jsonl, .parquet, .json (COCO), .tar (webdataset) or .zip."""
    export_format: str | None = None
    """With --export to .zip: txt, training (images, too) or xmp (sidecars) [txt]."""
    overwrite: bool = False
    """Allow --export to replace an existing file."""
    form: Annotated[str | None, typer.Option("--form", metavar="FORM")] = None
    """Read and write this form only: txt, caption, xmp or jsonl [all; new captions: the usual one]."""
    table: tuple[Path, ...] = ()
    """A .jsonl file with captions outside the folder; repeatable."""
    xmp_name: XmpNames = None
    json: bool = False
    """Print JSON Lines."""
