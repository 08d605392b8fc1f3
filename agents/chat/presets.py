"""Ready prompts for a chat ("why is this funny?"), read from a TOML file and checked.

tasks = Tasks.load()                # agents/chat/presets.toml
tasks = Tasks.load("mine.toml")     # a complete replacement
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.errors import UsageError, printable

DEFAULT_FILE: Final = Path(__file__).with_name("presets.toml")

Form = Literal["short", "long"]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Tokens = Annotated[int, Field(ge=1, le=100_000)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Forms(_Closed):
    """What `--short` and `--long` add to a question, and the most tokens of the answer."""

    short: Words
    long: Words
    short_tokens: Tokens = 120
    long_tokens: Tokens = 800

    def sentence(self, form: Form) -> str:
        return self.short if form == "short" else self.long

    def tokens(self, form: Form) -> int:
        return self.short_tokens if form == "short" else self.long_tokens


class ChatTask(_Closed):
    """One ready prompt."""

    title: Words
    prompt: Words
    question: Words | None = None
    short: Words | None = None
    long: Words | None = None
    max_new_tokens: Tokens | None = None
    writes: Literal["html"] | None = None


class Tasks(_Closed):
    """All ready prompts by name, with the hash that transcripts record."""

    forms: Forms
    task: dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")], ChatTask] = Field(min_length=1)
    sha256: str  # of the file's bytes
    source: str

    @classmethod
    def load(cls, path: str | Path | None = None) -> Self:
        """Read `path`, or the built-in file. Raises UsageError: one line that names file, key and way out."""
        file = Path(path) if path is not None else DEFAULT_FILE
        shown = f"the tasks file '{printable(file)}'"
        try:
            raw = file.read_bytes()
            document = tomllib.loads(raw.decode("utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{shown} does not exist; see `inquisight tasks --print` for a start.") from None
        except (OSError, ValueError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise UsageError(f"{shown} is not UTF-8 text; save it as UTF-8.") from None
            if isinstance(error, tomllib.TOMLDecodeError):
                raise UsageError(f"{shown} is not valid TOML: {error}.") from None
            reason = getattr(error, "strerror", None) or "its name cannot be one"
            raise UsageError(f"{shown} cannot be read: {reason.lower()}.") from None
        try:
            return cls.model_validate({**document, "sha256": hashlib.sha256(raw).hexdigest(), "source": str(file)})
        except ValidationError as error:
            raise UsageError(f"{shown}: {_explained(error)}.") from None

    def get(self, name: str) -> ChatTask:
        """The task called `name`. Raises UsageError with close names."""
        if name in self.task:
            return self.task[name]
        close = difflib.get_close_matches(name.casefold(), self.task, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there is {', '.join(self.task)}."
        raise UsageError(f"there is no task '{printable(name, limit=40)}': {hint}")

    @property
    def titles(self) -> Mapping[str, str]:
        """Name -> title, in the file's order."""
        return {name: task.title for name, task in self.task.items()}


_KNOWN: Final = {"": ("forms", "task"), "forms": tuple(Forms.model_fields), "task": tuple(ChatTask.model_fields)}


def _explained(error: ValidationError) -> str:
    """The first error: its place, and what was probably meant."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"] if part != "[key]"]
    where = f"'{printable('.'.join(place), limit=80)}'"
    if first["type"] == "extra_forbidden":
        known = _KNOWN[place[0] if len(place) > 1 else ""]
        close = difflib.get_close_matches(place[-1], known, n=1)
        return f"{where} is not known; " + (f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}")
    if first["type"] == "missing":
        return f"{where} is missing; copy it from `inquisight tasks --print`"
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}: {reason[:1].lower()}{reason[1:]}"
