"""Judged claims in a terminal: as lines, and as marks in the text that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agents.audit.captions import counted
from agents.audit.rewrite import false_claims
from agents.cli.render.output import Mark
from core.errors import printable
from core.records import Claim, ClaimCounts

STYLES: Final = {"supported": "green", "unsupported": "yellow", "contradicted": "bold red"}


def counts_line(counts: ClaimCounts) -> str:
    """What the questioner proposed as claims, and what became of it."""
    sentences = f"{counts.sentences:,} sentence{'s' * (counts.sentences != 1)}"
    read = f"{counts.proposed:,} proposed, {counts.dropped:,} dropped"
    return f"claims by the questioner: {read}; the rules found those of {counts.by_rules:,} of {sentences}"


def audit_lines(claims: Sequence[Claim]) -> list[str]:
    """How many claims there are by verdict, then one line for each that is not supported."""
    rows = [f"audit: {counted(claims)}"]
    for claim in false_claims(claims):
        evidence = f" ({claim.evidence})" if claim.evidence else ""
        asked = f": {claim.question}{evidence}" if claim.question else evidence
        score = "" if claim.score is None else f" {claim.score:.2f}"
        rows.append(f"      {claim.verdict}{score}  {printable(claim.text, 80)}{printable(asked, 160)}")
    return rows


def marks(claims: Sequence[Claim], shown: str, text: str) -> list[Mark]:
    """The claims as coloured stretches of a text; none if it is not `shown` as it is. False claims come last."""
    if shown != text:
        return []
    judged = [(claim, claim.verdict) for claim in claims if claim.verdict]
    order = sorted(judged, key=lambda one: list(STYLES).index(one[1]))
    return [(claim.start, claim.end, STYLES[verdict]) for claim, verdict in order]
