"""`inquisight audit`: check the claims of captions that exist already, by anybody, against their pictures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents.audit.captions import AuditedCaption, audit_caption, counted
from agents.cli.errors import common_exit_code, complain
from agents.cli.models import check_vision, load_vision
from agents.cli.render.audit import audit_lines, marks
from agents.cli.render.output import output_for
from agents.cli.requests import AuditRequest
from agents.interview.options import InterviewOptions
from agents.witnesses.choice import chosen, examine, load_witnesses
from core.console.silence import hush_libraries
from core.console.status import Status
from core.datasets.folders import find_pictures
from core.datasets.left_out import LeftOut
from core.errors import InquisightError, UsageError, printable
from core.files.sidecar import sidecar_of
from core.images.picture import open_picture
from core.records import Claim
from core.settings import get_settings

if TYPE_CHECKING:
    from core.vision import VisionBackend
    from core.witness import Witness


class CaptionMissingError(InquisightError):
    """A picture has no caption to audit."""

    exit_code = 2


def run_audit(request: AuditRequest) -> int:
    """Audit the caption of every picture; one that fails is reported in one line. Returns the exit code.

    Raises InquisightError for what concerns all pictures.
    """
    settings, skipped = get_settings(), LeftOut()
    sources = list(_sources(request.pictures, skipped))
    if not sources:
        raise UsageError("name at least one picture or folder, or - for standard input (see --help)")
    if request.text is not None and len(sources) > 1:
        raise UsageError("--text is for one picture; for several, write each caption to a .txt file beside its picture")
    if request.quiet and request.json:
        raise UsageError("--json and --quiet contradict each other; choose one")
    threshold = InterviewOptions().threshold if request.threshold is None else request.threshold
    InterviewOptions(threshold=threshold)  # checks it
    vision_name = request.vision or settings.vision
    check_vision(vision_name)
    given = _given(request.text)
    hush_libraries()
    status = Status()
    run = AuditRun(request, threshold, status)
    try:
        vision = load_vision(vision_name, status)
        try:
            status.show("loading the witnesses")
            run.use(vision, load_witnesses(chosen(request.witness or settings.witness)))
            for source in sources:
                run.serve(source, given)
        finally:
            vision.close()
    finally:
        status.clear()
    run.report()
    if skipped:
        if request.json:
            print(json.dumps({"left_out": skipped.as_json()}), flush=True)
        print(f"inquisight: {skipped}", file=sys.stderr, flush=True)
        run.codes += [1] if skipped.faults else []
    return common_exit_code(run.codes)


@dataclass
class AuditRun:
    """Audits one picture after the other, prints the results and collects exit codes."""

    request: AuditRequest
    threshold: float
    status: Status

    def __post_init__(self) -> None:
        self.output = output_for(sys.stdout)
        self.codes: list[int] = []
        self.claims: list[Claim] = []
        self.pictures = 0

    def use(self, vision: VisionBackend, witnesses: Sequence[Witness]) -> None:
        """The models to audit with."""
        self.vision, self.witnesses = vision, witnesses

    def serve(self, source: str, given: str | None) -> None:
        """Audit one picture's caption: `given`, or the one beside it."""
        try:
            self.status.show(f"auditing the caption of {printable(source, limit=60)}")
            text = given if given is not None else _beside(source)
            picture = open_picture(source, max_pixels=get_settings().max_pixels)
            found = examine(self.witnesses, picture) if self.witnesses else []
            [image] = self.vision.encode([picture])
            audited = audit_caption(text, image, self.vision, found, threshold=self.threshold)
            self.status.clear()
            self._print(picture.source, audited)
            self.claims += audited.claims
            self.pictures += 1
        except InquisightError as error:
            self.status.clear()
            self.codes.append(complain(error, "" if printable(source) in str(error) else f"{printable(source)}: "))

    def _print(self, source: str, audited: AuditedCaption) -> None:
        if self.request.json:
            facts = {
                "source": source,
                "text": audited.text,
                "repaired": audited.repaired,
                "claims": [claim.model_dump(mode="json") for claim in audited.claims],
                "threshold": self.threshold,
                "vision": self.vision.describe(),
                "questions": audited.questions,
                "seconds": round(audited.seconds, 4),
            }
            print(json.dumps(facts, ensure_ascii=False), flush=True)
        elif self.request.quiet:
            print(printable(audited.repaired, limit=None), flush=True)
        else:
            shown = printable(audited.text, limit=None)
            self.output.box(printable(source, limit=200), shown, marks(audited.claims, shown, audited.text))
            if audited.repaired != audited.text:
                self.output.labelled([("without them", printable(audited.repaired, None) or "(nothing is left)")], 14)
            self.output.dim(*audit_lines(audited.claims), "")

    def report(self) -> None:
        """All pictures together, if there are several."""
        if self.pictures > 1:
            print(f"inquisight: {self.pictures} captions, {counted(self.claims)}", file=sys.stderr, flush=True)


def _sources(names: Sequence[str], skipped: LeftOut) -> Iterator[str]:
    """Files as they were typed, folders as the pictures in them."""
    for name in names:
        yield from map(str, find_pictures([name], skipped)) if os.path.isdir(name) else [name]


def _given(text: str | None) -> str | None:
    """The caption itself, or what the file of this name holds."""
    if text is None:
        return None
    path = Path(text)
    try:
        is_file = len(text) < 1000 and path.is_file()
    except OSError:
        is_file = False
    caption = _read(path) if is_file else text.strip()
    if not caption:
        raise UsageError("--text is empty; write the caption, or the name of a file that holds it")
    return caption


def _beside(source: str) -> str:
    """The caption in the text file beside a picture. Raises CaptionMissingError."""
    path = sidecar_of(source)
    if source == "-" or not path.is_file():
        where = "standard input" if source == "-" else f"'{printable(path)}'"
        raise CaptionMissingError(f"there is no caption in {where}; name it with --text")
    caption = _read(path)
    if not caption:
        raise CaptionMissingError(f"'{printable(path)}' holds no caption")
    return caption


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CaptionMissingError(f"cannot read '{printable(path)}': {error.strerror}") from error
    except UnicodeDecodeError:
        raise CaptionMissingError(f"'{printable(path)}' is not UTF-8 text") from None
