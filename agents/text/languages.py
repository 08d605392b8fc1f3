"""Language identification, offline: py3langid, whose model is part of its package (extra `train`)."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any, Final

ENOUGH: Final = 20_000  # captions to inspect; shares do not change after that
SURE: Final = 0.8
# The languages of most captions on the web. With all 97 that it knows, the detector is seldom sure of six words.
KNOWN: Final = (
    "ar bg ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nb nl no pl pt ro ru sk sl sr sv th tr uk "
    "vi zh"
)


def _detector() -> Any | None:
    """Return the detector, or None if the package is missing."""
    try:
        from py3langid import langid
    except ImportError:
        return None
    return _loaded(langid)


@lru_cache(maxsize=1)
def _loaded(langid: Any) -> Any:
    detector = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    detector.set_languages([name for name in KNOWN.split() if name in detector.labels])
    return detector


def guess_language(text: str) -> tuple[str, float]:
    """Return (ISO 639-1 code, probability) of the most probable language; ("", 0) if py3langid is missing."""
    detector = _detector()
    language, sure = detector.classify(text[:1000]) if detector else ("", 0.0)
    return language or "", float(sure)


class Languages:
    """Counts of languages. `available` is False if the package is missing."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.available = _detector() is not None

    def add(self, text: str) -> None:
        """Count one caption, until there are enough."""
        if not self.available or self.counts.total() >= ENOUGH:
            return
        language, sure = guess_language(text)
        language = language if sure >= SURE else "?"
        self.counts[language] += 1
        self.examples.setdefault(language, text[:200])
