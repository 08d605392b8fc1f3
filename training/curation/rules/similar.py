"""Near-duplicates: texts that share most of their word n-grams with one that is kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from math import ceil

from agents.text.text_metrics import words_of

SHINGLE = 4


def shingles(text: str, size: int = SHINGLE) -> frozenset[tuple[str, ...]]:
    """All word n-grams; a shorter text is one shingle."""
    words = words_of(text)
    if len(words) < size:
        return frozenset([tuple(words)] if words else [])
    return frozenset(tuple(words[at : at + size]) for at in range(len(words) - size + 1))


def jaccard(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> float:
    """Shared over all, 0 to 1; two empty sets are equal."""
    return len(one & other) / len(one | other) if one or other else 1.0


def near_duplicates(texts: Mapping[str, str], similarity: float, size: int = SHINGLE) -> dict[str, tuple[str, float]]:
    """For each text that resembles an earlier kept one: which one, and how much (`similarity` or more).

    Exact, and still fast for many thousand texts: two sets whose Jaccard similarity reaches t must share one of the
    rarest |x| - ceil(t |x|) + 1 members of x (prefix filter; Bayardo et al. 2007, "Scaling up all pairs similarity
    search"), so that only texts with such a member in common are compared.
    """
    sets = {name: shingles(text, size) for name, text in texts.items()}
    common = Counter(one for members in sets.values() for one in members)
    kept_with: dict[tuple[str, ...], list[str]] = defaultdict(list)
    found: dict[str, tuple[str, float]] = {}
    for name, members in sets.items():
        rarest = sorted(members, key=lambda one: (common[one], one))
        prefix = rarest[: len(rarest) - ceil(similarity * len(rarest)) + 1]
        candidates = dict.fromkeys(other for one in prefix for other in kept_with[one])
        scored = ((other, jaccard(members, sets[other])) for other in candidates)
        close = [(other, score) for other, score in scored if score >= similarity]
        if close:
            found[name] = max(close, key=lambda pair: pair[1])
            continue
        for one in prefix:
            kept_with[one].append(name)
    return found
