"""Audit one caption: its claims are judged, and where asked for, false ones are taken out of the text.

audited = audit_caption("A red car.", encoded, vision, findings, threshold=0.5)
audited.claims                  # each with its verdict, score and question
audited.repaired                # the text without the claims that are not supported
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.audit.auditor import THRESHOLD, Audited, PictureClaims, audit_claims
from agents.audit.rewrite import without
from agents.claims.extract import extract_claims
from core.findings import Findings
from core.records import Claim, Turn
from core.vision import EncodedImage, VisionBackend


@dataclass(frozen=True, slots=True)
class AuditedCaption:
    """A caption and its judged claims."""

    text: str
    claims: tuple[Claim, ...]
    questions: int  # that the vision model scored
    seconds: float

    @property
    def repaired(self) -> str:
        """The text without its false claims; "" if nothing is left."""
        return without(self.text, self.claims)


def audit_caption(
    text: str,
    image: EncodedImage,
    vision: VisionBackend,
    findings: Sequence[Findings] = (),
    *,
    threshold: float = THRESHOLD,
    turns: Sequence[Turn] = (),
) -> AuditedCaption:
    """Judge each claim of `text`. `turns`: of the interview that it comes from, for `Claim.turns`.

    Raises BackendError if the vision model fails.
    """
    start = time.perf_counter()
    [audited] = audit_claims(vision, [PictureClaims(image, extract_claims(text), findings)], threshold=threshold)
    return audited_caption(text, audited, time.perf_counter() - start, turns=turns)


def audited_caption(text: str, audited: Audited, seconds: float, *, turns: Sequence[Turn] = ()) -> AuditedCaption:
    """`text` with its judged claims, each with the turns that say the same."""
    claims = tuple(claim.model_copy(update={"turns": sources(claim, turns)}) for claim in audited.claims)
    return AuditedCaption(text, claims, audited.questions, seconds)


def sources(claim: Claim, turns: Sequence[Turn]) -> tuple[int, ...]:
    """The numbers, from 1, of the certain turns whose answers claim the same."""
    same = (claim.kind, claim.about, claim.value)
    return tuple(
        number
        for number, turn in enumerate(turns, start=1)
        if turn.certainty == "sure" and any((c.kind, c.about, c.value) == same for c in extract_claims(turn.answer))
    )


def counted(claims: Iterable[Claim]) -> str:
    """ "9 claims: 7 supported, 2 contradicted"."""
    verdicts = Counter(claim.verdict for claim in claims)
    total = verdicts.total()
    parts = [f"{verdicts[name]} {name}" for name in ("supported", "contradicted", "unsupported") if verdicts[name]]
    return f"{total} claim{'s' * (total != 1)}" + (f": {', '.join(parts)}" if parts else "")
