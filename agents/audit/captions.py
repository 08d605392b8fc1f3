"""The audit of one caption: its judged claims, and the text without the false ones.

claims = with_turns(extract_claims(text), dialogue.turns)       # each with the turns that say the same
audited = AuditedCaption(text, *judged, seconds)
audited.claims                  # each with its verdict, score and question as well
audited.repaired                # the text without the claims that are not supported
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.audit.rewrite import without
from agents.claims.extract import extract_claims
from core.records import Claim, Turn, Verdict


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


def with_turns(claims: Iterable[Claim], turns: Sequence[Turn]) -> tuple[Claim, ...]:
    """The claims, each with the numbers, from 1, of the certain turns that say the same."""
    said = [
        {_key(claim) for claim in extract_claims(one.answer)} if one.certainty == "sure" else set() for one in turns
    ]

    def sources(claim: Claim) -> tuple[int, ...]:
        return tuple(number for number, keys in enumerate(said, start=1) if _key(claim) in keys)

    return tuple(claim.model_copy(update={"turns": sources(claim)}) for claim in claims)


def _key(claim: Claim) -> tuple[str, str, str]:
    return claim.kind, claim.about, claim.value


def counted(claims: Iterable[Claim]) -> str:
    """ "9 claims: 7 supported, 2 contradicted"."""
    verdicts = Counter(claim.verdict for claim in claims)
    total = verdicts.total()
    order: tuple[Verdict | None, ...] = ("supported", "contradicted", "unsupported", None)
    parts = [f"{verdicts[verdict]} {verdict or 'not asked'}" for verdict in order if verdicts[verdict]]
    return f"{total} claim{'s' * (total != 1)}" + (f": {', '.join(parts)}" if parts else "")
