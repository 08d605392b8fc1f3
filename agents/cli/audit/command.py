"""`inquisight audit`: the claims of any caption, checked one by one; of one image, or of a data set."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, Final

from agents.audit.auditor import THRESHOLD, Audited, PictureClaims, audit_claims
from agents.audit.rewrite import false_claims, without
from agents.claims.questioner import ReadClaims
from agents.cli.audit.claims import claim_reader
from agents.cli.audit.request import AuditRequest
from agents.cli.errors import common_exit_code, complain
from agents.cli.models import load_vision
from agents.cli.render.audit import STYLES, counts_line
from agents.cli.render.output import Output, output_for
from agents.witnesses.choice import chosen
from agents.witnesses.examination import examine_pictures
from core.console.silence import hush_libraries
from core.datasets.samples.kinds import open_source
from core.datasets.samples.sample import BrokenSample
from core.datasets.samples.spec import DataSpec
from core.errors import InquisightError, UsageError, printable, why
from core.images.picture import Picture, open_picture
from core.records import ClaimCounts
from core.settings import get_settings
from core.vision import VisionBackend

TOGETHER: Final = 16  # captions of a data set whose claims are asked about at a time
_MARKS: Final = {"supported": "+", "contradicted": "-", "unsupported": "?"}


def run_audit(request: AuditRequest) -> int:
    """Audit one caption or every caption of a data set. Returns the exit code.

    A caption that fails is reported in one line. Raises InquisightError for what concerns all captions.
    """
    threshold = THRESHOLD if request.threshold is None else request.threshold
    if not 0 < threshold < 1:
        raise UsageError(f"--threshold is {threshold:g}: it must lie between 0 and 1.")
    codes: list[int] = []
    captions = _captions(request, codes)
    settings = get_settings()
    names = chosen(request.witness or settings.witness)
    hush_libraries()
    output = output_for(sys.stdout)
    read = claim_reader(request)
    with closing(load_vision(request.vision or settings.vision)) as vision:
        while group := tuple(islice(captions, TOGETHER)):
            start = time.perf_counter()
            found = read([text for _, text in group])
            some: list[tuple[Picture, str, ReadClaims]] = []
            for (picture, text), one in zip(group, found, strict=True):
                if isinstance(one, InquisightError):
                    codes.append(complain(one, f"{printable(picture.source)}: "))
                else:
                    some.append((picture, text, one))
            audits = _audited(vision, some, names, threshold) if some else []
            for (picture, text, claims), audited in zip(some, audits, strict=True):
                seconds = (time.perf_counter() - start) / len(some)
                _print(request, output, _facts(picture, text, claims, audited, seconds), audited)
    return common_exit_code(codes)


def _captions(request: AuditRequest, codes: list[int]) -> Iterator[tuple[Picture, str]]:
    """Pictures with their captions. Raises UsageError at once, and ImageError for the only picture."""
    if request.text is not None and request.file is not None:
        raise UsageError("give the caption with --text or in a file, not both.")
    text = request.text
    if request.file is not None:
        try:
            text = request.file.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = why(error) if isinstance(error, OSError) else "it is not UTF-8"
            raise UsageError(f"the caption in '{printable(request.file)}' cannot be read: {reason}.") from error
    if text is None:
        return _samples(request.source, codes)
    if not text.strip():
        raise UsageError("the caption is empty; give one with --text.")
    return iter([(open_picture(request.source, max_pixels=get_settings().max_pixels), text.strip())])


def _samples(source: str, codes: list[int]) -> Iterator[tuple[Picture, str]]:
    data = open_source(DataSpec(path=source))

    def read() -> Iterator[tuple[Picture, str]]:
        for part in range(data.parts):
            for place in data.read(part):
                try:
                    sample = place.load()
                    if isinstance(sample, BrokenSample):
                        raise UsageError(str(sample))
                    yield sample.open(get_settings().max_pixels), sample.text
                except InquisightError as error:
                    codes.append(complain(error))

    return read()


def _audited(
    vision: VisionBackend,
    captions: Sequence[tuple[Picture, str, ReadClaims]],
    witnesses: list[str],
    threshold: float,
) -> list[Audited]:
    pictures = {picture.sha256: picture for picture, _, _ in captions}
    with vision.turn():
        encoded = dict(zip(pictures, vision.encode(list(pictures.values())), strict=True))
    examined = dict(zip(pictures, examine_pictures(witnesses, list(pictures.values())), strict=True))
    asked = [
        PictureClaims(encoded[one.sha256], read.claims, examined[one.sha256].findings) for one, _, read in captions
    ]
    with vision.turn():
        return audit_claims(vision, asked, threshold=threshold)


def _facts(picture: Picture, text: str, read: ReadClaims, audited: Audited, seconds: float) -> dict[str, Any]:
    return {
        "source": picture.source,
        "sha256": picture.sha256,
        "text": text,
        "claims": [claim.model_dump(mode="json") for claim in audited.claims],
        "without_false": without(text, audited.claims),
        "questions": audited.questions,
        "seconds": round(seconds, 3),
        **({"claim_counts": read.counts.model_dump()} if read.counts else {}),
    }


def _print(request: AuditRequest, output: Output, facts: dict[str, Any], audited: Audited) -> None:
    if request.json:
        print(json.dumps(facts, ensure_ascii=False), flush=True)
        return
    if request.drop:
        output.line(printable(facts["without_false"], limit=None))
        return
    output.heading(printable(facts["source"], limit=None))
    output.line(printable(facts["text"], limit=None))
    for claim in audited.claims:
        verdict = claim.verdict or "unsupported"
        row = f"  {_MARKS[verdict]} {claim.score or 0.0:.2f}  {verdict:12}  {printable(claim.text)}"
        asked = f"  ({printable(claim.question)})" if claim.question else ""
        output.line(row + asked, style=STYLES[verdict])
    if "claim_counts" in facts:
        output.line(counts_line(ClaimCounts(**facts["claim_counts"])))
    if not audited.claims:
        output.line("  no claim was found")
    elif false_claims(audited.claims):
        output.line(f"without them: {printable(facts['without_false'], limit=None) or '(nothing is left)'}")
