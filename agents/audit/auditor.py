"""Ask about the claims of captions, each alone, parents first, and judge them by the vision model's scores.

    [audited] = audit_claims(vision, [PictureClaims(encoded, claims, findings)])
    audited.claims                      # with verdict, score and question
    audited.questions                   # how many were scored

The claims of many pictures are asked together. A picture is encoded once, by the caller. A question about the same
picture is scored once, even if several claims ask it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agents.audit.checks import Check, checks_of
from agents.audit.evidence import Evidence, evidence_for
from core.findings import Findings
from core.records import Claim, Verdict
from core.vision import EncodedImage, VisionBackend, VisualQuestion

THRESHOLD: Final = 0.5
CONTRADICTED: Final = 0.5  # share of the threshold: a claim that scores less is contradicted


@dataclass(frozen=True, slots=True)
class PictureClaims:
    """An encoded picture, the claims of its caption, and what witnesses found in it."""

    image: EncodedImage
    claims: Sequence[Claim]
    findings: Sequence[Findings] = ()
    asked: Collection[int] | None = None  # numbers of the claims to ask about, with their parents; None: all


@dataclass(frozen=True, slots=True)
class Audited:
    """Claims with verdict, score, question and evidence; how many questions were scored for them."""

    claims: tuple[Claim, ...]
    questions: int = 0


def verdict_of(score: float, threshold: float = THRESHOLD) -> Verdict:
    """Supported above the threshold, contradicted under half of it, else unsupported: a score of .5 says nothing."""
    if score > threshold:
        return "supported"
    return "contradicted" if score < threshold * CONTRADICTED else "unsupported"


def audit_claims(
    vision: VisionBackend, pictures: Sequence[PictureClaims], *, threshold: float = THRESHOLD
) -> list[Audited]:
    """Judge the claims of each picture. Raises BackendError if the vision model fails.

    A claim whose parent is denied is not asked; it has its parent's score and verdict.
    """
    audits = [_Audit(one, threshold) for one in pictures]
    known: dict[tuple[str, str, tuple[str, ...]], tuple[float, ...]] = {}
    while any(audit.waiting for audit in audits):
        wanted = [(audit, number, check) for audit in audits for number, check in audit.next_checks()]
        new: dict[tuple[str, str, tuple[str, ...]], VisualQuestion] = {}
        for audit, _, check in wanted:
            key = audit.key(check)
            if key not in known and key not in new:
                new[key] = VisualQuestion(audit.picture.image, check.question)
                audit.questions += 1
        if new:
            scores = vision.score(list(new.values()), [choices for _, _, choices in new])
            known.update(zip(new, scores, strict=True))
        for audit, number, check in wanted:
            audit.answers.setdefault(number, []).append((check, known[audit.key(check)]))
        for audit in audits:
            audit.judge(vision.name)
    return [Audited(tuple(audit.claims), audit.questions) for audit in audits]


class _Audit:
    """The claims of one picture while they are asked about."""

    def __init__(self, picture: PictureClaims, threshold: float) -> None:
        self.picture, self.threshold = picture, threshold
        self.claims = list(picture.claims)
        self.waiting = self._with_parents(range(len(self.claims)) if picture.asked is None else picture.asked)
        self.asked: list[int] = []
        self.answers: dict[int, list[tuple[Check, tuple[float, ...]]]] = {}
        self.evidence: dict[int, Evidence] = {}
        self.questions = 0

    def key(self, check: Check) -> tuple[str, str, tuple[str, ...]]:
        return self.picture.image.key, check.question, check.choices

    def next_checks(self) -> Iterator[tuple[int, Check]]:
        """The questions about the claims whose parents are judged; children of a denied one get its score."""
        self.asked = [number for number in self.waiting if self._parent(number) not in self.waiting]
        if not self.asked:  # parents in a circle: nobody's claim of claims, but never endless
            self.asked = list(self.waiting)
        for number in self.asked:
            claim = self.claims[number]
            parent = self._parent(number)
            above = self.claims[parent] if parent is not None else None
            if above is not None and above.verdict not in (None, "supported"):
                continue
            self.evidence[number] = evidence_for(claim, self.picture.findings)
            if not self.evidence[number].decides:
                for check in checks_of(claim, self.claims):
                    yield number, check

    def _with_parents(self, numbers: Collection[int]) -> list[int]:
        found: set[int] = set()
        for number in numbers:
            one: int | None = number
            while one is not None and one not in found:
                found.add(one)
                one = self._parent(one)
        return sorted(found)

    def _parent(self, number: int) -> int | None:
        parent = self.claims[number].parent
        return parent if parent is not None and 0 <= parent < len(self.claims) and parent != number else None

    def judge(self, vision: str) -> None:
        """Give the claims that were asked their verdicts."""
        for number in self.asked:
            claim = self.claims[number]
            if number in self.evidence:
                update = self._judged(number, vision)
            else:
                parent = self._parent(number)
                above = self.claims[parent if parent is not None else number]
                update = {"verdict": above.verdict, "score": above.score, "evidence": above.evidence}
            self.claims[number] = claim.model_copy(update=update)
        self.waiting = [number for number in self.waiting if number not in self.asked]

    def _judged(self, number: int, vision: str) -> dict[str, object]:
        answers, evidence = self.answers.get(number, []), self.evidence[number]
        weights = sum(check.weight for check, _ in answers)
        odds = evidence.log_odds
        if answers:
            odds += sum(check.weight * check.log_odds(scores) for check, scores in answers) / weights
        score = 1 / (1 + math.exp(-odds))
        return {
            "verdict": verdict_of(score, self.threshold),
            "score": round(score, 4),
            "question": answers[0][0].question if answers else "",
            "evidence": ", ".join([*evidence.witnesses, *([vision] if answers else [])]),
        }
