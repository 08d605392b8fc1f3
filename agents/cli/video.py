"""The declaration of `inquisight video`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from core.console.options import Fresh, Questioner, Seed, Vision, number, whole_number


def _time(text: str) -> float:
    """ "90", "1:30" or "1:02:03.5" in seconds."""
    if not re.fullmatch(r"(?:\d+:){0,2}\d+(?:\.\d+)?", text):
        raise typer.BadParameter(f"{text!r} is not a time; write seconds, 1:30 or 1:02:03.5")
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def video(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEOS",
            help="Files or folders: MP4, WebM, Matroska, MOV, AVI, GIF, animated WebP.",
            show_default=False,
        ),
    ] = None,
    vision: Vision = None,
    questioner: Questioner = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames",
            metavar="N",
            parser=whole_number,
            help="Number of frames [8; 4 per scene].",
        ),
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(
            "--sampling",
            metavar="HOW",
            help="uniform: evenly spaced; time: see --every; scene: some per scene; key: key frames [uniform].",
        ),
    ] = None,
    every: Annotated[
        float | None,
        typer.Option("--every", metavar="SECONDS", parser=number, help="Seconds between frames, for --sampling time."),
    ] = None,
    scenes: Annotated[
        int | None,
        typer.Option(
            "--scenes",
            metavar="N",
            parser=whole_number,
            help="Maximum number of scenes; 1 describes the video as a whole [1 up to a minute, then up to 12].",
        ),
    ] = None,
    begin: Annotated[
        float | None, typer.Option("--from", metavar="TIME", parser=_time, help="Start time: seconds, or 1:30.")
    ] = None,
    until: Annotated[
        float | None, typer.Option("--to", metavar="TIME", parser=_time, help="End time: seconds, or 1:30.")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", metavar="N", parser=whole_number, help="Number of questions [30; 8 per scene]."),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            metavar="N",
            parser=whole_number,
            help="Earlier answers about the frame given as context; -1: all [1].",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", metavar="FILE", help="Prompts file; start from --print-prompts."),
    ] = None,
    print_prompts: Annotated[
        bool, typer.Option("--print-prompts", help="Print the prompts, as a template for --prompts, and exit.")
    ] = False,
    seed: Seed = None,
    language: Annotated[
        str | None,
        typer.Option("--language", metavar="NAME", help="Language of the story, if the questioner supports it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON Lines on standard output: one object per video.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the story.")] = False,
    timeline: Annotated[
        list[Path] | None,
        typer.Option(
            "--timeline",
            metavar="FILE",
            help="Write the story with times as .vtt, .srt or .ffmetadata; repeatable.",
            show_default=False,
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE.png", help="Write a contact sheet of the frames used."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Allow --timeline and --sheet to replace files.")
    ] = False,
    fresh: Fresh = False,
) -> None:
    """Describe videos: frames are chosen, asked about and summarised."""
    if print_prompts:
        from agents.video.prompts import DEFAULT_FILE

        print(DEFAULT_FILE.read_text("utf-8"), end="")
        return
    from agents.cli.video_run import VideoRequest, run_video

    request = VideoRequest(
        videos=tuple(videos or ()),
        vision=vision,
        questioner=questioner,
        frames=frames,
        sampling=sampling,
        every=every,
        scenes=scenes,
        begin=begin,
        until=until,
        rounds=rounds,
        context=context,
        prompts=prompts,
        seed=seed,
        language=language,
        json=json,
        quiet=quiet,
        timeline=tuple(timeline or ()),
        sheet=sheet,
        overwrite=overwrite,
        fresh=fresh,
    )
    raise typer.Exit(run_video(request))


def add_to(cli: typer.Typer) -> None:
    """Put `video` on the command line."""
    cli.command()(video)
