"""The options of an interview."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from agents.audit.auditor import THRESHOLD
from core.errors import UsageError

Fallback = Literal["scripted", "none"]
AskingMode = Literal["free", "guided"]
AuditMode = Literal["none", "mark", "drop"]
ClaimsBy = Literal["rules", "questioner"]
_OF_ASKING: Final = ("min_rounds", "fallback", "asking")


def asking_options(given: object, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`min_rounds`, `fallback` and `asking` of a request (an object or a mapping), else those of an earlier interview.

    Those that neither has, or has as None, are left out, so that they keep their defaults.
    """
    now = given if isinstance(given, Mapping) else {name: getattr(given, name) for name in _OF_ASKING}
    found = {name: now.get(name) for name in _OF_ASKING}
    for name, value in found.items():
        if value is None:
            found[name] = (earlier or {}).get(name)
    return {name: value for name, value in found.items() if value is not None}


def audit_options(
    audit: str | None,
    threshold: float | None,
    earlier: Mapping[str, Any] | None = None,
    *,
    claims: str | None = None,
) -> dict[str, Any]:
    """Options of an audit as given, else those of an earlier interview; left out where neither has them."""
    found = {"audit": audit, "threshold": threshold, "claims": claims}
    found = {name: value if value is not None else (earlier or {}).get(name) for name, value in found.items()}
    for name in ("threshold", "claims"):
        if found[name] is not None and found["audit"] in (None, "none"):
            raise UsageError(f"--{name} only means something together with --audit mark or --audit drop")
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class InterviewOptions:
    """Options of an interview. Raises UsageError for an invalid value."""

    rounds: int = 10
    """Number of questions, including the first; a person's questions do not count."""
    history: int = 1
    """Earlier question-answer pairs that the vision model gets with each question; -1: all."""
    language: str | None = None
    """Language of the summary; None is English."""
    context: str = ""
    """What the owner of the picture tells of it, as `agents.styles.owner.joined_context` makes it."""
    repeats: int = 2
    """How often a reply that is no new question is refused in a round before the fallback asks."""
    min_rounds: int | None = None
    """Rounds before the questioner may end asking; None: half of them. 0: at any time."""
    fallback: Fallback = "scripted"
    """Who asks when the questioner has no usable question: the built-in rules, or nobody, and asking ends."""
    asking: AskingMode = "free"
    """ "guided": the rules propose questions, and the questioner chooses one."""
    witnesses: tuple[str, ...] = ()
    """Names of the witnesses that examine the picture."""
    audit: AuditMode = "none"
    """Whether the claims of the description are checked one by one; "drop" also takes false ones out."""
    threshold: float = THRESHOLD
    """Least score of a claim that an audit supports, 0 to 1."""
    claims: ClaimsBy = "rules"
    """Who reads the claims out of the description for an audit."""
    question_tokens: int = 60
    summary_tokens: int = 300
    answer_tokens: int = 80

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise UsageError(f"rounds must be 1 or more, not {self.rounds}; 1 asks only the opening question")
        if self.history < -1:
            raise UsageError(f"history must be -1 (all earlier answers), 0 or more, not {self.history}")
        if self.repeats < 0:
            raise UsageError(f"repeats must be 0 or more, not {self.repeats}")
        if self.min_rounds is not None and not 0 <= self.min_rounds <= self.rounds:
            raise UsageError(f"min_rounds must be between 0 and rounds ({self.rounds}), not {self.min_rounds}")
        if not 0 < self.threshold < 1:
            raise UsageError(f"threshold must be between 0 and 1, not {self.threshold}")
        for name, value, known in (
            ("fallback", self.fallback, Fallback),
            ("asking", self.asking, AskingMode),
            ("audit", self.audit, AuditMode),
            ("claims", self.claims, ClaimsBy),
        ):
            if value not in get_args(known):
                raise UsageError(f"{name} must be {' or '.join(get_args(known))}, not {value!r}")
        if self.language is not None and not (0 < len(self.language.strip()) <= 40 and self.language.isprintable()):
            raise UsageError(f"language must be a name or tag such as 'German' or 'zh', not {self.language!r}")

    @property
    def fewest_rounds(self) -> int:
        """Rounds before the questioner may end asking."""
        return (self.rounds + 1) // 2 if self.min_rounds is None else self.min_rounds
