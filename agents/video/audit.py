"""The audit of a video's description: a claim is asked of frames, and holds if one of them shows it.

    audit = FrameAudit(claims, turns, frames=8)
    while asked := audit.next_frames():                     # {frame: numbers of claims}
        audit.take(asked, audit_claims(...))                # one result for each of these frames
    audit.judged                                            # Audited

First come the frames whose answers say the claim, then the others, as long as no frame supports it. What witnesses say
is supported by them. No frame shows what happens in time: such claims are not asked about and have no verdict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from agents.audit.auditor import Audited
from agents.video.interview import frame_of
from core.records import Claim, Turn

BATCH: Final = 16  # frames whose claims are asked about together
_TIME: Final = frozenset(
    "first last later then now there start end beginning time second minute moment while before after until during "
    "again longer nearly finally eventually throughout video clip film footage scene frame".split()
)
_MOVEMENT: Final = frozenset(
    "coming going entering leaving moving appearing disappearing arriving departing returning passing crossing "
    "approaching drifting turning changing zooming panning starting stopping ending beginning continuing lasting "
    "becoming happening following".split()
)
_WORD: Final = re.compile(r"[a-z]+")
_CLOCK: Final = re.compile(r"\d:\d\d")


def tells_of_time(claim: Claim, claims: Sequence[Claim]) -> bool:
    """Whether one of `claims`, or what it depends on, is about a time, an order or a movement."""
    words = set(_WORD.findall(claim.text.lower()))
    if claim.about in _TIME or (claim.kind not in ("thing", "number") and words & _TIME) or _CLOCK.search(claim.text):
        return True
    if claim.kind in ("action", "relation") and words & _MOVEMENT:
        return True
    parent = claims[claim.parent] if claim.parent is not None else None
    return parent is not None and parent.about in _TIME


class FrameAudit:
    """The claims of one description while they are asked about; `claims` know the numbers of their turns."""

    def __init__(self, claims: Sequence[Claim], turns: Sequence[Turn], frames: int) -> None:
        self.claims = tuple(claims)
        self.frames = range(1, frames + 1)
        self.questions = 0
        self._judged: dict[int, Claim] = {}  # by number, from 0: the best verdict so far
        self._asked: dict[int, set[int]] = {frame: set() for frame in self.frames}
        self._said: dict[int, set[int]] = {frame: set() for frame in self.frames}  # claims of the frame's answers
        self._open: set[int] = set()  # to be asked about
        for number, claim in enumerate(self.claims):
            if tells_of_time(claim, self.claims):
                continue
            said = [turns[turn - 1] for turn in claim.turns]
            if witnesses := ", ".join(dict.fromkeys(turn.answered_by for turn in said if turn.answered_by)):
                self._judged[number] = claim.model_copy(update={"verdict": "supported", "evidence": witnesses})
                continue
            self._open.add(number)
            for turn in said:
                if (frame := frame_of(turn.question)) in self._said:
                    self._said[frame].add(number)

    def next_frames(self) -> dict[int, frozenset[int]]:
        """The next frames, at most `BATCH`, with the numbers of the claims to ask about; empty at the end."""
        for wanted in (self._said, dict.fromkeys(self.frames, self._open)):
            left = {frame: frozenset(wanted[frame] & self._open - self._asked[frame]) for frame in self.frames}
            if some := [frame for frame in self.frames if left[frame]][:BATCH]:
                return {frame: left[frame] for frame in some}
        return {}

    def take(self, asked: Mapping[int, frozenset[int]], results: Sequence[Audited]) -> None:
        """Take the judged claims of these frames."""
        for frame, result in zip(asked, results, strict=True):
            self.questions += result.questions
            self._asked[frame] |= asked[frame]
            for number, claim in enumerate(result.claims):
                if claim.verdict is None:
                    continue
                self._asked[frame].add(number)
                best = self._judged.get(number)
                if number in self._open and (best is None or _score(claim) > _score(best)):
                    where = f" in frame {frame}" if claim.verdict == "supported" else ""
                    self._judged[number] = claim.model_copy(update={"evidence": f"{claim.evidence}{where}"})
        self._open -= {number for number, claim in self._judged.items() if claim.verdict == "supported"}

    @property
    def judged(self) -> Audited:
        """The claims with their verdicts; those about times and movements have none."""
        claims = tuple(self._judged.get(number, claim) for number, claim in enumerate(self.claims))
        return Audited(claims, self.questions)


def _score(claim: Claim) -> float:
    return claim.score or 0.0
