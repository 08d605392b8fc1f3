"""The options of each command; the docstring below a field is its help (see `core.console.dataclass_commands`).

None means: as set in the environment, or the default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from agents.styles.request import OwnerRequest
from core.console.options import (
    Asking,
    Audit,
    Claims,
    ExistingCaptions,
    Fallback,
    Fresh,
    History,
    MinRounds,
    OverwriteBeside,
    Prompts,
    Questioner,
    SaveXmp,
    Seed,
    Threshold,
    Vision,
    Witness,
    WriteMetadata,
    XmpNames,
    number,
)

Pictures = Annotated[tuple[str, ...], typer.Argument(metavar="PICTURES", help="Files, or - for standard input.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q")]


def parse_time(text: str) -> float:
    """Seconds in "90", "1:30" or "1:02:03.5"."""
    if not re.fullmatch(r"(?:\d+:){0,2}\d+(?:\.\d+)?", text):
        raise typer.BadParameter(f"{text!r} is not a time; write seconds, 1:30 or 1:02:03.5")
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


@dataclass(frozen=True, slots=True)
class CaptionRequest(OwnerRequest):
    """Caption images by an interview of two models."""

    pictures: Annotated[tuple[str, ...], typer.Argument(metavar="[PICTURES]...")] = ()
    """Files, folders, or - for standard input."""
    vision: Vision = None
    questioner: Questioner = None
    witness: Witness = None
    rounds: int | None = None
    """Number of questions, including the first [INQUISIGHT_ROUNDS; 10]."""
    min_rounds: MinRounds = None
    fallback: Fallback = None
    asking: Asking = None
    audit: Audit = None
    threshold: Threshold = None
    claims: Claims = None
    history: History = None
    prompts: Prompts = None
    seed: Seed = None
    language: str | None = None
    """Language of the description, if the questioner supports it."""
    json: bool = False
    """JSON Lines on standard output: one caption per picture."""
    quiet: Quiet = False
    """Print only the description."""
    save_beside: bool = False
    """Also write the description, or the first style, to PICTURE.txt beside each picture."""
    xmp: SaveXmp = False
    xmp_name: XmpNames = None
    write_metadata: WriteMetadata = False
    existing: ExistingCaptions = None
    overwrite: OverwriteBeside = False
    resume: Annotated[str | None, typer.Option("--resume", metavar="ID")] = None
    """Resume a stopped or failed interview."""
    fresh: Fresh = False


@dataclass(frozen=True, slots=True)
class VideoRequest(OwnerRequest):
    """Describe videos: frames are chosen, asked about and summarised."""

    videos: Annotated[tuple[str, ...], typer.Argument(metavar="VIDEOS")] = ()
    """Files or folders: MP4, WebM, Matroska, MOV, AVI, GIF, animated WebP."""
    vision: Vision = None
    questioner: Questioner = None
    witness: Witness = None
    frames: int | None = None
    """Number of frames [8; 4 per scene]."""
    sampling: Annotated[str | None, typer.Option("--sampling", metavar="HOW")] = None
    """uniform: evenly spaced; time: see --every; scene: some per scene; key: key frames [uniform]."""
    every: Annotated[float | None, typer.Option("--every", metavar="SECONDS", parser=number)] = None
    """Seconds between frames, for --sampling time."""
    scenes: int | None = None
    """Maximum number of scenes; 1 describes the video as a whole [1 up to a minute, then up to 12]."""
    begin: Annotated[float | None, typer.Option("--from", metavar="TIME", parser=parse_time)] = None
    """Start time: seconds, or 1:30."""
    until: Annotated[float | None, typer.Option("--to", metavar="TIME", parser=parse_time)] = None
    """End time: seconds, or 1:30."""
    rounds: int | None = None
    """Number of questions [30; 8 per scene]."""
    min_rounds: MinRounds = None
    fallback: Fallback = None
    asking: Asking = None
    audit: Audit = None
    threshold: Threshold = None
    claims: Claims = None
    history: int | None = None
    """Earlier answers about the frame shown with each question; -1: all [1]."""
    prompts: Path | None = None
    """Prompts file; start from --print-prompts."""
    print_prompts: bool = False
    """Print the prompts, as a template for --prompts, and exit."""
    seed: Seed = None
    language: str | None = None
    """Language of the story, if the questioner supports it."""
    json: bool = False
    """JSON Lines on standard output: one object per video."""
    quiet: Quiet = False
    """Print only the story."""
    timeline: tuple[Path, ...] = ()
    """Write the story with times as .vtt, .srt or .ffmetadata; repeatable."""
    sheet: Annotated[Path | None, typer.Option("--sheet", metavar="FILE.png")] = None
    """Write a contact sheet of the frames used."""
    overwrite: bool = False
    """Allow --timeline and --sheet to replace files."""
    fresh: Fresh = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Chat with a vision model about images."""

    pictures: Pictures = ()
    asks: Annotated[tuple[str, ...], typer.Option("--ask", metavar="TEXT")] = ()
    """Ask this and exit; repeatable."""
    tasks: Annotated[tuple[str, ...], typer.Option("--task", metavar="NAME")] = ()
    """A preset prompt (see `inquisight tasks`); repeatable."""
    list_tasks: bool = False
    """List the preset prompts and exit."""
    task_file: Annotated[Path | None, typer.Option("--tasks", metavar="FILE")] = None
    """Your preset prompts; start from `inquisight tasks --print`."""
    vision: Vision = None
    short: bool = False
    """Ask for short answers."""
    long: bool = False
    """Ask for long answers."""
    out: Path | None = None
    """Output file of the task webpage; never overwritten."""
    seed: int | None = None
    """Random seed; the same questions then get the same answers."""
    temperature: float | None = None
    """Sampling temperature; 0 is greedy [1; 0 for VQA models]."""
    max_new_tokens: int | None = None
    """Maximum tokens of an answer [300, or the task's]."""
    json: bool = False
    """Print the finished conversation as one JSON object."""


@dataclass(frozen=True, slots=True)
class AskRequest:
    """Answer a question about images with an agent."""

    question: Annotated[str, typer.Argument(metavar="QUESTION")]
    """The question, in quotes."""
    pictures: Pictures = ()
    mode: Annotated[str | None, typer.Option("--mode", metavar="MODE")] = None
    """agent: language model with tools; interview: questioner and vision model; chat: vision model only
    [agent if the questioner supports tools, else interview]."""
    questioner: str | None = None
    """Language model of the agent or interview [INQUISIGHT_QUESTIONER; scripted]."""
    vision: Vision = None
    talk_vision: str | None = None
    """Second vision model, which the agent can chat with."""
    witness: str = "auto"
    """Witnesses that the agent may ask, separated by commas; auto: all that are installed; none."""
    steps: int = 8
    """Maximum tool calls of the agent."""
    rounds: int | None = None
    """Questions per interview [6]."""
    seed: int | None = None
    """Random seed of a repeatable run."""
    json: bool = False
    """Print events as JSON Lines, the answer last."""


@dataclass(frozen=True, slots=True)
class ExamineRequest:
    """Find things and text in images, without a language model."""

    pictures: Annotated[tuple[str, ...], typer.Argument(metavar="[PICTURES]...")] = ()
    """Files, folders, or - for standard input."""
    witness: str = "auto"
    """Witnesses, separated by commas; auto: all that are installed."""
    sheet: Annotated[Path | None, typer.Option("--sheet", metavar="FILE.png")] = None
    """Write the picture with boxes."""
    overwrite: bool = False
    """Allow --sheet to replace a file."""
    json: bool = False
    """JSON Lines on standard output: one object per picture."""


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """List, search, export or delete transcripts.

    The newest comes first; where words are given, what fits them best.
    """

    words: Annotated[tuple[str, ...], typer.Argument(metavar="[WORDS]...")] = ()
    """Transcripts that contain these words."""
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND")] = None
    """Kind: interview, chat or ask."""
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS")] = None
    """Status of the interview: complete, stopped or failed."""
    vision: str | None = None
    """Vision model, as named in transcripts."""
    questioner: str | None = None
    """Questioner, as named in transcripts."""
    since: date | None = None
    """First day, such as 2026-03-31."""
    until: date | None = None
    """Last day, inclusive."""
    limit: int | None = None
    """Maximum number of transcripts [20; all with --export and --delete]."""
    json: bool = False
    """Print JSON Lines, one object per transcript."""
    export: Path | None = None
    """Export full transcripts to a .jsonl, .csv or .parquet file."""
    overwrite: bool = False
    """Allow --export to replace an existing file."""
    delete: bool = False
    """Delete the transcripts after confirmation; with --export, after writing them."""
    everything: Annotated[bool, typer.Option("--all")] = False
    """With --delete and no filter: delete all transcripts."""
    yes: bool = False
    """With --delete: skip the confirmation."""

    @property
    def filtered(self) -> bool:
        """Whether options select transcripts; words and limit do not count."""
        named = (self.kind, self.status, self.vision, self.questioner, self.since, self.until)
        return any(value is not None for value in named)


@dataclass(frozen=True, slots=True)
class ShowRequest:
    """Show one transcript."""

    id: Annotated[str, typer.Argument(metavar="ID")]
    """Transcript ID or a unique prefix."""
    json: bool = False
    """Print the record as one JSON object."""
