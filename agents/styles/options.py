"""Which texts are written about a picture, and their limits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agents.styles.own import BUILT_IN, LEAST, MOST, StylePrompt
from agents.styles.vocabulary import Vocabulary
from agents.text.cleaning import clean_quoted, plain_text
from core.errors import UsageError, printable

LIMITS: Final = {"alt": 125, "short": 100, "prompt": 300}
"""Characters of the built-in styles, without a limit of the user's; of "alt", at most."""
EMPTY_FOR: Final = ("decorative", "redundant")
"""Purposes for which an alt text is empty: the picture adds nothing, or the text beside it says the same."""
TEXT_CHARS: Final = 300  # of a purpose, a prefix or a suffix


def style_names(given: Iterable[str]) -> tuple[str, ...]:
    """The styles of `--style alt,tags --style prompt`, each once, in order."""
    names = (name.strip().lower() for one in given for name in one.split(","))
    return tuple(dict.fromkeys(name for name in names if name))


@dataclass(frozen=True, slots=True)
class StyleOptions:
    """Options of the texts that are written after an interview. Raises UsageError for an invalid value."""

    styles: tuple[str, ...] = ()
    """Names, in order; without any, the description alone is there."""
    purpose: str = ""
    """What an alt text is for: "product page for a mug", "link to the shop", "decorative"."""
    vocabulary: Vocabulary | None = None
    """Tags to choose from; None: any."""
    prefix: str = ""
    """Before a training caption."""
    suffix: str = ""
    """After a training caption."""
    trigger: str = ""
    """The word that a training caption teaches, once, at its beginning."""
    max_chars: int | None = None
    """Most characters of every style."""

    def __post_init__(self) -> None:
        if self.max_chars is not None and not LEAST <= self.max_chars <= MOST:
            raise UsageError(f"max-chars must be between {LEAST} and {MOST:,}, not {self.max_chars}")
        for name in ("purpose", "prefix", "suffix", "trigger"):
            if len(getattr(self, name)) > TEXT_CHARS:
                raise UsageError(f"{name} is longer than {TEXT_CHARS} characters; shorten it")
        for name, value, needs in (
            ("purpose", self.purpose, {"alt"}),
            ("vocabulary", self.vocabulary, {"tags"}),
            *((name, getattr(self, name), {"prompt"}) for name in ("prefix", "suffix", "trigger")),
        ):
            if value and needs.isdisjoint(self.styles) and not set(self.styles) - set(BUILT_IN):
                raise UsageError(f"--{name} only means something together with --style {min(needs)}")
        if "prompt" in self.styles and self.room_of("prompt") < LEAST:
            raise UsageError(
                f"prefix, trigger and suffix leave fewer than {LEAST} of {self._limit('prompt')} characters for the "
                "caption; shorten them, or raise --max-chars"
            )

    def check(self, known: Mapping[str, StylePrompt]) -> None:
        """Raise UsageError for a style that is neither built in nor in the prompts file."""
        names = dict.fromkeys([*BUILT_IN, *known])
        for name in self.styles:
            if name not in names:
                raise UsageError(
                    f"there is no style '{printable(name, 40)}'; there is {', '.join(names)}, and a prompts file can "
                    "add others (see `inquisight prompts`)"
                )

    def _limit(self, style: str, prompt: StylePrompt | None = None) -> int | None:
        own = prompt.max_chars if prompt and prompt.max_chars else LIMITS.get(style)
        if style == "alt":
            return min(LIMITS["alt"], own or MOST, self.max_chars or MOST)
        return self.max_chars or own

    def limit_of(self, prompt: StylePrompt) -> int | None:
        """Most characters of a style; None: any number."""
        return self._limit(prompt.name, prompt)

    def room_of(self, style: str, prompt: StylePrompt | None = None) -> int:
        """Characters that the text itself may have, beside prefix, trigger and suffix."""
        most = self._limit(style, prompt) or MOST
        around = framed(self, "") if style == "prompt" else ""
        return most - len(around) - 2 * bool(around)

    def described(self, prompt: StylePrompt) -> dict[str, Any]:
        """What decides the text of a style, besides the interview and the questioner."""
        style = prompt.name
        found: dict[str, Any] = {"max_chars": self.limit_of(prompt)}
        if style == "prompt":
            found |= {"prefix": self.prefix, "suffix": self.suffix, "trigger": self.trigger}
        elif style not in ("description", "short", "tags"):
            found["purpose"] = self.purpose
        if prompt.form == "tags" and self.vocabulary is not None:
            found["vocabulary"] = self.vocabulary.sha256
        if style != "description":
            found["request"] = hashlib.sha256(prompt.request.encode()).hexdigest()[:16]
        return {name: value for name, value in found.items() if value}


def cleaned_text(text: str) -> str:
    """A purpose or a context as it may enter a prompt: no control characters, no role marks, one line."""
    return clean_quoted(text)


def framed(options: StyleOptions, body: str) -> str:
    """A training caption: prefix, trigger, the text itself, suffix."""
    prefix, trigger, suffix = (plain_text(text) for text in (options.prefix, options.trigger, options.suffix))
    text = ", ".join(part for part in (trigger, body) if part)
    text = " ".join(part for part in (prefix, text) if part)
    if not suffix:
        return text
    return f"{text.rstrip(' .,')}{suffix}" if suffix[0] in ",.;:!?)" else f"{text.rstrip(' .,')}, {suffix}"
