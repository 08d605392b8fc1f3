"""The prompts of an interview: read from a TOML file, checked and filled in.

prompts = Prompts.load()                  # agents/interview/prompts.toml
prompts = Prompts.load("mine.toml")       # a complete replacement
"""

from __future__ import annotations

import hashlib
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final

from agents.styles.own import StylePrompt, read_styles
from core.errors import UsageError
from core.records import canonical_json

DEFAULT_FILE: Final = Path(__file__).with_name("prompts.toml")
_SHOWN_BY: Final = "inquisight prompts"

Keys = Mapping[str, frozenset[str]]
"""Key -> its required placeholders; no others are allowed, so typing errors are found."""

ASKING_KEYS: Final[Keys] = {
    "questioner.named": frozenset({"things"}),
    "questioner.way_out": frozenset({"nothing_new"}),
    "questioner.choose": frozenset({"questions"}),
    "refusal.question": frozenset(),
    "refusal.repeated": frozenset(),
    "refusal.said": frozenset(),
    "refusal.vague": frozenset(),
    "refusal.unnamed": frozenset(),
    "refusal.negated": frozenset(),
    "refusal.unfaithful": frozenset(),
    "refusal.too_early": frozenset(),
    "summary.again": frozenset(),
}
"""Keys that the prompts of pictures and videos share."""

_KEYS: Final[Keys] = {
    "questioner.brief": frozenset(),
    "questioner.hello": frozenset(),
    "questioner.answered": frozenset({"answer", "named", "way_out"}),
    **ASKING_KEYS,
    "fallback.spare": frozenset(),
    "answerer.opening": frozenset(),
    "answerer.short": frozenset({"question"}),
    "answerer.instructed": frozenset({"question"}),
    "witness.things": frozenset(),
    "witness.text": frozenset(),
    "summary.brief": frozenset(),
    "summary.request": frozenset({"notes", "language"}),
    "summary.language": frozenset({"name"}),
    "summary.nothing_certain": frozenset(),
}
_OPTIONAL_FIELDS: Final = frozenset({"named", "way_out"})  # hints: what is left to ask, and how to stop


@dataclass(frozen=True, slots=True)
class Prompts:
    """All prompts by key ("questioner.brief", ...), with the hash that transcripts record."""

    texts: dict[str, str]
    sha256: str  # of all but the styles, which change nothing in an interview
    source: str
    styles: Mapping[str, StylePrompt] = field(default_factory=dict)
    """What is asked for in each style: the built-in ones, and those of the file."""

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        keys: Keys = _KEYS,
        default: Path = DEFAULT_FILE,
        shown_by: str = _SHOWN_BY,
    ) -> Prompts:
        """Read `path`, or the built-in file. Raises UsageError: one line with file, key and way out.

        `keys`, `default` and `shown_by` (the command that prints it) select another set of prompts than a picture's.
        """
        file = Path(path) if path is not None else default
        try:
            raw = file.read_bytes()
            document = tomllib.loads(raw.decode("utf-8"))
        except FileNotFoundError:
            raise UsageError(f"there is no prompts file {str(file)!r}; see `{shown_by}` for a start") from None
        except OSError as error:
            raise UsageError(f"cannot read the prompts file {str(file)!r}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"the prompts file {str(file)!r} is not UTF-8 text") from error
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"the prompts file {str(file)!r} is not valid TOML: {error}") from error
        try:
            styles = read_styles(document.pop("style", {}))
            texts = _checked(document, keys, shown_by)
        except ValueError as error:
            raise UsageError(f"the prompts file {str(file)!r}: {error}") from None
        if file != DEFAULT_FILE:
            styles = {**_built_in_styles(), **styles}
        return cls(texts, hashlib.sha256(canonical_json(texts)).hexdigest(), str(file), styles)

    def form_of(self, style: str) -> str:
        """Whether a style is a "text" or a list of "tags"."""
        return self.styles[style].form if style in self.styles else "text"

    def text(self, key: str, **values: str) -> str:
        """The prompt `key` with its placeholders replaced by `values`, which are not parsed."""
        return self.texts[key].format(**values)


@cache
def _built_in_styles() -> dict[str, StylePrompt]:
    return read_styles(tomllib.loads(DEFAULT_FILE.read_text("utf-8"))["style"])


def _checked(document: dict[str, object], keys: Keys, shown_by: str) -> dict[str, str]:
    """Flatten the tables to "table.key" and check them against `keys`. Raises ValueError."""
    found: dict[str, object] = {}
    for table, body in document.items():
        found.update(
            {f"{table}.{key}": value for key, value in body.items()} if isinstance(body, dict) else {table: body}
        )
    for key in found:
        if key not in keys:
            near = get_close_matches(key, keys, n=1)
            raise ValueError(f"unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else ""))
    missing = [key for key in keys if key not in found]
    if missing:
        raise ValueError(f"missing key {', '.join(map(repr, missing))}; copy it from `{shown_by}`")
    return {key: _template(key, found[key], keys[key]) for key in keys}


def _template(key: str, value: object, required: frozenset[str]) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key!r} must be a text that is not empty")
    text = value.strip("\n") if key != "summary.language" else value
    try:
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise ValueError(f"{key!r} has a stray brace ({error}); write {{{{ and }}}} for braces of your own") from None
    for name in sorted(fields - required):
        allowed = ", ".join(f"{{{field}}}" for field in sorted(required)) or "none"
        raise ValueError(f"{key!r} uses {{{name}}}, which is not known there (allowed: {allowed})")
    for name in sorted(required - fields - _OPTIONAL_FIELDS):
        raise ValueError(f"{key!r} must contain {{{name}}}")
    try:
        text.format(**dict.fromkeys(required, "sample"))
    except (ValueError, LookupError) as error:
        raise ValueError(f"{key!r} cannot be filled in: {error}") from None
    return text
