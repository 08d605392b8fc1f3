"""`inquisight examine`: what witnesses find in pictures, as text, JSON Lines or a picture with boxes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence

from agents.cli.errors import common_exit_code, complain
from agents.cli.requests import ExamineRequest
from agents.witnesses.choice import chosen, examine, left_out, load_witnesses
from agents.witnesses.sheet import draw_findings
from core.console.silence import hush_libraries
from core.console.status import Status
from core.datasets.folders import find_pictures
from core.datasets.left_out import LeftOut
from core.errors import InquisightError, UsageError, printable
from core.files.outputs import check_output, whole
from core.images.picture import open_picture
from core.settings import get_settings
from core.witness import Findings, Thing


def run_examine(request: ExamineRequest) -> int:
    """Examine every picture; one that cannot be opened is reported in one line. Returns the exit code.

    Raises InquisightError for what concerns all pictures.
    """
    skipped = LeftOut()
    sources = list(_sources(request.pictures, skipped))
    if not sources:
        raise UsageError("name at least one picture or folder, or - for standard input (see --help)")
    check_sheet(request, sources)
    hush_libraries()
    status, codes = Status(), []
    try:
        status.show("loading the witnesses")
        names = chosen(request.witness)
        if not names:
            raise UsageError("no witness takes part, so there is nothing to find; see `inquisight plugins`.")
        witnesses = load_witnesses(names)
        if missing := left_out(request.witness, names):
            status.clear()
            print(f"inquisight: not installed and left out: {', '.join(missing)}", file=sys.stderr, flush=True)
        for source in sources:
            try:
                status.show(f"examining {printable(source, limit=60)}")
                picture = open_picture(source, max_pixels=get_settings().max_pixels)
                found = examine(witnesses, picture)
                status.clear()
                print(as_json(picture.source, found) if request.json else as_text(picture.source, found), flush=True)
                if request.sheet is not None:
                    with whole(request.sheet, overwrite=request.overwrite) as file:
                        draw_findings(picture.image, found).save(file, "PNG")
            except InquisightError as error:
                status.clear()
                codes.append(complain(error, "" if printable(source) in str(error) else f"{printable(source)}: "))
    finally:
        status.clear()
    if skipped:
        if request.json:
            print(json.dumps({"left_out": skipped.as_json()}), flush=True)
        print(f"inquisight: {skipped}", file=sys.stderr, flush=True)
        codes += [1] if skipped.faults else []
    return common_exit_code(codes)


def check_sheet(request: ExamineRequest, sources: Sequence[str]) -> None:
    """Raise UsageError for a --sheet that could not be written."""
    if request.sheet is None:
        if request.overwrite:
            raise UsageError("--overwrite only means something together with --sheet")
        return
    if len(sources) > 1:
        raise UsageError("--sheet is for one picture; examine the pictures one at a time")
    if request.sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet '{printable(request.sheet)}' must end in .png")
    check_output(request.sheet, overwrite=request.overwrite)


def _sources(names: Sequence[str], skipped: LeftOut) -> Iterator[str]:
    """Files as they were typed, folders as the pictures in them."""
    for name in names:
        yield from map(str, find_pictures([name], skipped)) if os.path.isdir(name) else [name]


def as_json(source: str, found: Sequence[Findings]) -> str:
    """One object per picture: size, things, unsure things and lines of all witnesses."""
    things = [thing.model_dump(mode="json") for findings in found for thing in findings.things]
    maybe = [thing.model_dump(mode="json") for findings in found for thing in findings.maybe]
    lines = [line.model_dump(mode="json") | {"certain": line.certain} for findings in found for line in findings.lines]
    facts = {
        "source": source,
        "width": found[0].width,
        "height": found[0].height,
        "things": things,
        "maybe": maybe,
        "lines": lines,
        "witnesses": {findings.witness: findings.revision for findings in found},
    }
    return json.dumps(facts, ensure_ascii=False)


def as_text(source: str, found: Sequence[Findings]) -> str:
    """A title, then one row per thing and per line of text."""
    width, height = found[0].width, found[0].height
    rows = [f"{printable(source)} ({width} x {height})"]
    things = [thing for findings in found for thing in findings.things]
    lines = [line for findings in found for line in findings.lines]
    for thing in things:
        box = ", ".join(f"{edge:.0f}" for edge in (thing.box.left, thing.box.top, thing.box.right, thing.box.bottom))
        rows.append(f"  {thing.score:.2f}  {_named(thing)}, {thing.box.third(width)}  [{box}]")
    for line in lines:
        rows.append(f'  {line.score:.2f}  {"text" if line.certain else "perhaps text"}: "{printable(line.text)}"')
    if not things and not lines:
        rows.append("  nothing was found")
    return "\n".join(rows)


def _named(thing: Thing) -> str:
    return thing.name if thing.finer is None else f"{thing.name} ({thing.finer})"
