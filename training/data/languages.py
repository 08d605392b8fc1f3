"""Which language a caption is in, offline: py3langid, whose model lies in the package (extra `train`)."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

ENOUGH: Final = 20_000  # captions that are looked at; shares do not change after that
SURE: Final = 0.8
# What most captions of the web are written in. Of all 97 that it knows, the detector is seldom sure of six words.
KNOWN: Final = (
    "ar bg ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv ms nb nl no pl pt ro ru sk sl sr sv th tr uk "
    "vi zh"
)


class Languages:
    """Counts languages. `available` is False where the package is missing."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self._detector: Any = None
        try:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier
        except ImportError:
            self.available = False
            return
        self.available = True
        self._detector = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        self._detector.set_languages([name for name in KNOWN.split() if name in self._detector.labels])

    def add(self, text: str) -> None:
        """Look at one caption, until there are enough."""
        if self._detector is None or self.counts.total() >= ENOUGH:
            return
        language, sure = self._detector.classify(text[:1000])
        language = language if language and sure >= SURE else "?"
        self.counts[language] += 1
        self.examples.setdefault(language, text[:200])
