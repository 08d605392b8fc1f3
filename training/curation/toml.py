"""Read a TOML file into a closed pydantic model; errors become one line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import UsageError, printable, why

HERE: Final = Path(__file__).parent
DEFAULTS: Final = ("instructions", "repair", "kinds", "rules")


class Closed(BaseModel):
    """A frozen table in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=Closed)


def default_file(name: str) -> Path:
    """The default file of that name. Raises UsageError for an unknown name."""
    if name not in DEFAULTS:
        raise UsageError(f"there is no default file '{printable(name, 40)}': take {', '.join(DEFAULTS)}.")
    return HERE / f"{name}.toml"


class TomlFile(Closed):
    """A TOML file that users may replace by their own."""

    default: ClassVar[str]  # name of the default file

    @classmethod
    def load(cls, path: str | Path | None = None) -> Self:
        """Read the file at `path`, or the default file. Raises UsageError."""
        file = Path(path) if path is not None else default_file(cls.default)
        shown = f"the {cls.default} file '{printable(file)}'"
        try:
            content = file.read_bytes().decode("utf-8")
        except FileNotFoundError:
            raise UsageError(f"{shown} does not exist; {cls._way_out()}.") from None
        except UnicodeDecodeError:
            raise UsageError(f"{shown} is not UTF-8 text; save it as UTF-8.") from None
        except OSError as error:
            raise UsageError(f"{shown} cannot be read: {why(error)}.") from None
        return cls.parse(content, shown)

    @classmethod
    def parse(cls, content: str, shown: str = "") -> Self:
        """The same for the text of a file; `shown` names it in errors."""
        shown = shown or f"the {cls.default}"
        try:
            document = tomllib.loads(content)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{shown} is not valid TOML: {error}.") from None
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place, reason = _place(document, first["loc"]), printable(_reason(first["msg"]), 200)
            raise UsageError(f"{shown}: {place}: {reason}; {cls._way_out()}.") from None

    @classmethod
    def _way_out(cls) -> str:
        return f"`inquisight curate defaults {cls.default}` prints one to start from"


def checked(model: type[Model], values: Mapping[str, Any]) -> Model:
    """A model of command-line options. Raises UsageError naming the option, its value and what is allowed."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise UsageError(f"--{name} is {printable(first['input'], 60)}: {_reason(first['msg'])}.") from None


def _place(document: Any, location: tuple[int | str, ...]) -> str:
    """ "rule 'apology', pattern" for ("rule", 3, "pattern")."""
    parts: list[str] = []
    here = document
    for step in location:
        try:
            here = here[step]
        except (LookupError, TypeError):  # a missing key
            here = None
        if isinstance(step, int) and parts:
            called = here.get("name") if isinstance(here, dict) else None
            parts[-1] += f" '{printable(called, 40)}'" if isinstance(called, str) else f" number {step + 1}"
        else:
            parts.append(printable(step, 60))
    return ", ".join(parts) or "the file"


def _reason(message: str) -> str:
    message = message.removeprefix("Value error, ").rstrip(".")
    return f"{message[:1].lower()}{message[1:]}"
