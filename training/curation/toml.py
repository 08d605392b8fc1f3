"""Read a TOML file that people may replace into a closed model; what is wrong with it becomes one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import UsageError, printable

HERE: Final = Path(__file__).parent
DEFAULTS: Final = ("instructions", "repair", "kinds", "rules")


class Closed(BaseModel):
    """A frozen table in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=Closed)


def default_file(name: str) -> Path:
    """The file that is used where the user names none. Raises UsageError for an unknown name."""
    if name not in DEFAULTS:
        raise UsageError(f"there is no default file '{printable(name, 40)}': take {', '.join(DEFAULTS)}.")
    return HERE / f"{name}.toml"


def read(name: str, path: str | Path | None, model: type[Model]) -> Model:
    """The file at `path`, else the default one of that name. Raises UsageError with file, key and way out."""
    file = Path(path) if path is not None else default_file(name)
    shown = f"the {name} file '{printable(file)}'"
    start = f"`inquisight curate defaults {name}` prints one to start from"
    try:
        content = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UsageError(f"{shown} does not exist; {start}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown} is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise UsageError(f"{shown} cannot be read: {(error.strerror or 'unknown error').lower()}.") from None
    return parse(content, model, shown, start)


def parse(content: str, model: type[Model], shown: str, start: str) -> Model:
    """The same from the text of a file; `shown` and `start` are what it is called and a way out, for the error."""
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{shown} is not valid TOML: {error}.") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UsageError(f"{shown}: {_place(document, first['loc'])}: {_reason(first['msg'])}; {start}.") from None


def _place(document: Any, location: tuple[Any, ...]) -> str:
    """ "rule 'apology', pattern" for ("rule", 3, "pattern")."""
    parts: list[str] = []
    here = document
    for step in location:
        here = here[step] if isinstance(here, list | dict) and _has(here, step) else None
        if isinstance(step, int) and parts:
            called = here.get("name") if isinstance(here, dict) else None
            parts[-1] += f" '{printable(called, 40)}'" if isinstance(called, str) else f" number {step + 1}"
        else:
            parts.append(printable(step, 60))
    return ", ".join(parts) or "the file"


def _has(here: Any, step: Any) -> bool:
    return step in here if isinstance(here, dict) else isinstance(step, int) and step < len(here)


def _reason(message: str) -> str:
    message = message.removeprefix("Value error, ").rstrip(".")
    return printable(f"{message[:1].lower()}{message[1:]}", limit=200)
