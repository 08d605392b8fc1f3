"""Options behind a model's name, as in `blip2:DIRECTORY?dtype=float16&quantize=8bit`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Final, Literal, Self, get_args, get_origin, get_type_hints
from urllib.parse import unquote

from core.errors import UsageError, printable
from core.net.endpoints import refuse_keys

_ON: Final = ("1", "true", "yes", "on")
_OFF: Final = ("0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Base of a plugin's options: fields of type str, int, float, bool or Literal, each perhaps `| None`.

    Raises UsageError for an unknown option or value.
    """

    plugin: ClassVar[str] = ""
    example: ClassVar[str] = "NAME?option=value"  # of an argument with an option
    needs: ClassVar[str] = ""  # the error if no name is given; "": a name is optional

    @classmethod
    def parse(cls, argument: str | None) -> tuple[str, Self]:
        """ "NAME?option=value&..." as name and options. Raises UsageError."""
        text, mark, query = (argument or "").partition("?")
        if mark and Path(argument or "").expanduser().exists():  # a directory with a question mark in its name
            text, query = argument or "", ""
        if not text and cls.needs:
            raise UsageError(cls.needs)
        return text, cls.from_query(query)

    @classmethod
    def from_query(cls, query: str) -> Self:
        """ "option=value&..." as options; `%26` stands for & in a value. Raises UsageError."""
        known = [one.name for one in fields(cls)]
        kinds = cls._kinds()
        given: dict[str, Any] = {}
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            refuse_keys([name])
            if name not in known:
                raise UsageError(
                    f"{cls.plugin} has no option {printable(name, 40)!r}; it has {', '.join(known)}, as in "
                    f"{cls.plugin}:{cls.example}."
                )
            given[name] = _value(name, unquote(value), kinds[name])
        return cls(**given)

    @classmethod
    def _kinds(cls) -> dict[str, tuple[Any, ...]]:
        """The types of each field."""
        hints = get_type_hints(cls)
        return {one.name: _members(hints[one.name]) for one in fields(cls)}

    def __post_init__(self) -> None:
        for name, kinds in self._kinds().items():
            choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
            value = getattr(self, name)
            if choices and value is not None and value not in choices:
                words = ", ".join(choice for choice in choices if choice)
                raise UsageError(f"{name}={printable(value, 40)!r} is not known; choose one of {words}.")


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) not in (None, Literal) else (hint,)


def _value(name: str, text: str, kinds: tuple[Any, ...]) -> Any:
    if bool in kinds:
        if text.lower() not in (*_ON, *_OFF):
            raise UsageError(f"{name}={printable(text, 40)!r} is not known; choose one of true, false.")
        return text.lower() in _ON
    for kind, what in ((int, "whole number"), (float, "number")):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                raise UsageError(f"{name}={printable(text, 40)!r} is no {what}.") from None
    return text
