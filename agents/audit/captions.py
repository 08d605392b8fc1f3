"""The audit of one caption: its judged claims, and the text without the false ones.

audited = audited_caption(text, judged, seconds, turns=dialogue.turns)
audited.claims                  # each with its verdict, score, question and the turns that say the same
audited.repaired                # the text without the claims that are not supported
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.audit.auditor import Audited
from agents.audit.rewrite import without
from agents.claims.extract import extract_claims
from core.records import Claim, Turn


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


def audited_caption(text: str, audited: Audited, seconds: float, *, turns: Sequence[Turn] = ()) -> AuditedCaption:
    """`text` with its judged claims; each gets the numbers, from 1, of the `turns` that say the same."""
    said = [
        {_key(claim) for claim in extract_claims(one.answer)} if one.certainty == "sure" else set() for one in turns
    ]

    def sources(claim: Claim) -> tuple[int, ...]:
        return tuple(number for number, keys in enumerate(said, start=1) if _key(claim) in keys)

    claims = tuple(claim.model_copy(update={"turns": sources(claim)}) for claim in audited.claims)
    return AuditedCaption(text, claims, audited.questions, seconds)


def _key(claim: Claim) -> tuple[str, str, str]:
    return claim.kind, claim.about, claim.value


def counted(claims: Iterable[Claim]) -> str:
    """ "9 claims: 7 supported, 2 contradicted"."""
    verdicts = Counter(claim.verdict for claim in claims)
    total = verdicts.total()
    parts = [f"{verdicts[name]} {name}" for name in ("supported", "contradicted", "unsupported") if verdicts[name]]
    return f"{total} claim{'s' * (total != 1)}" + (f": {', '.join(parts)}" if parts else "")
