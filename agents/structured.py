"""Answers of a vision model that fit a JSON Schema.

    found = answer_as({"type": "object", "properties": {"animal": {"type": "string"}}}, vision, question)
    found.value         # {"animal": "cat"}

A model that follows instructions gets the schema in its prompt; a reply that does not fit is sent back with the fault,
at most `REPAIRS` times. Any other model is asked one short question per property: its `description`, or one made of its
name. `enum` and `boolean` are chosen by `VisionBackend.score`, which every model has, so such answers always fit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from core.errors import BackendError, UsageError, printable
from core.scoring import named_choice
from core.vision import Reply, VisionBackend, VisualQuestion

REPAIRS: Final = 2
MAX_PROPERTIES: Final = 64
_NUMBER: Final = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")
_COUNTS: Final = [str(number) for number in range(13)]
_PROMPT: Final = "Answer with one JSON value that fits this JSON Schema, and nothing else:\n{schema}"
_REPAIR: Final = "That does not fit: {fault} Answer again with the JSON value alone."


@dataclass(frozen=True, slots=True)
class Structured:
    """A value that fits the schema. `scores`: of the choices, if the whole schema is one choice."""

    value: Any
    reply: Reply
    """The value as JSON, with the token counts of all calls where they are known."""
    chosen: str = ""
    scores: tuple[tuple[str, float], ...] = ()


def answer_as(schema: Mapping[str, Any], vision: VisionBackend, question: VisualQuestion) -> Structured:
    """The model's answer to `question` as a value that fits `schema`.

    Raises UsageError for a schema that is none or that the model cannot fill, and BackendError if no reply fits.
    """
    check_schema(schema)
    if question.question is None:
        question = replace(question, question="Describe this picture.")
    filling = _Filling(vision, question, schema)
    if (choices := _choices(schema)) is not None:
        return filling.choose(schema, choices)
    if vision.follows_instructions:
        return filling.by_prompt()
    value = filling.by_questions(schema, ())
    if fault := fault_of(value, schema):
        raise BackendError(f"{printable(vision.name)} gave no answer that fits the schema: {fault}")
    return filling.structured(value)


def check_schema(schema: Mapping[str, Any]) -> None:
    """Raise UsageError if `schema` is no JSON Schema, or points outside itself."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise UsageError(f"the schema is no JSON Schema: {printable(error.message)}") from None
    except RecursionError:
        raise UsageError("the schema is nested too deeply") from None
    for name, value in _keywords(schema):
        if name in ("pattern", "patternProperties"):
            raise UsageError(f"the schema has a {name}, which is not checked here; leave it out")
        if name in ("$ref", "$dynamicRef") and not str(value).startswith("#"):
            raise UsageError(f"the schema points to '{printable(value, 60)}'; put the definition into its $defs")


def fault_of(value: Any, schema: Mapping[str, Any]) -> str:
    """Why `value` does not fit, in one line; "" if it does."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        error = best_match(Draft202012Validator(schema).iter_errors(value))
    except Exception as fault:  # noqa: BLE001 - a reference that leads nowhere has an error of another library
        raise UsageError(f"the schema cannot be used: {printable(fault)}") from None
    if error is None:
        return ""
    place = "/".join(map(str, error.absolute_path))
    return printable(f"{error.message}{f' at {place}' if place else ''}.")


def first_json(text: str) -> Any:
    """The first JSON object or array in `text`, else the whole text as JSON. Raises ValueError if there is none."""
    decoder = json.JSONDecoder()
    for place in [at for at, character in enumerate(text) if character in "{["][:20]:
        try:
            return decoder.raw_decode(text, place)[0]
        except (ValueError, RecursionError):
            continue
    return json.loads(text.strip().strip("`"))


@dataclass(slots=True)
class _Filling:
    vision: VisionBackend
    question: VisualQuestion
    schema: Mapping[str, Any]
    read: int | None = 0
    written: int | None = 0

    def structured(self, value: Any, **more: Any) -> Structured:
        text = json.dumps(value, ensure_ascii=False)
        return Structured(value, Reply(text, "stop", self.read or None, self.written or None), **more)

    def ask(self, question: VisualQuestion) -> Reply:
        [reply] = self.vision.replies([question])
        self._count(reply)
        return reply

    def _count(self, reply: Reply) -> None:
        known = None not in (reply.input_tokens, reply.output_tokens, self.read, self.written)
        self.read = (self.read or 0) + (reply.input_tokens or 0) if known else None
        self.written = (self.written or 0) + (reply.output_tokens or 0) if known else None

    def by_prompt(self) -> Structured:
        prompt = _PROMPT.format(schema=json.dumps(self.schema, ensure_ascii=False))
        asked = "\n\n".join(filter(None, (self.question.question, prompt)))
        question = replace(self.question, question=asked)
        fault = ""
        for _ in range(1 + REPAIRS):
            reply = self.ask(question)
            try:
                value = first_json(reply.text)
            except (ValueError, RecursionError):
                fault = "there is no JSON."
            else:
                fault = fault_of(value, self.schema)
                if not fault:
                    return self.structured(value)
            history = (*question.history, (question.question or "", reply.text))
            question = replace(question, question=_REPAIR.format(fault=fault), history=history)
        raise BackendError(
            f"{printable(self.vision.name)} gave {1 + REPAIRS} replies that do not fit the schema; in the last one "
            f"{fault}"
        )

    def by_questions(self, schema: Mapping[str, Any], path: tuple[str, ...]) -> Any:
        schema = _resolved(schema, self.schema)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if "const" in schema:
            return schema["const"]
        if kind == "object" or "properties" in schema:
            properties = schema.get("properties", {})
            if not properties:
                raise self._cannot(path, "an object without properties")
            if len(properties) > MAX_PROPERTIES or len(path) > 4:
                raise UsageError(f"the schema has more than {MAX_PROPERTIES} properties, or more than 4 levels")
            return {name: self.by_questions(one, (*path, name)) for name, one in properties.items()}
        if (choices := _choices(schema)) is not None:
            return self.choose(schema, choices, path).value
        asked = replace(self.question, question=_words(schema, path, kind), history=())
        if kind in ("integer", "number"):
            return self._number(self.ask(asked).text, asked.question or "", integer=kind == "integer")
        if kind in ("string", None):
            return self.ask(asked).text.strip()
        raise self._cannot(path, f"type '{printable(kind, 20)}'")

    def choose(self, schema: Mapping[str, Any], choices: Sequence[Any], path: tuple[str, ...] = ()) -> Structured:
        """The likeliest of `choices`; a boolean's are "yes" and "no"."""
        words = ["yes" if one is True else "no" if one is False else str(one) for one in choices]
        asked = self.question if not path else replace(self.question, question=_words(schema, path), history=())
        [scores] = self.vision.score([asked], [words])
        best = max(range(len(words)), key=scores.__getitem__)
        return self.structured(
            choices[best],
            chosen=json.dumps(choices[best], ensure_ascii=False),
            scores=tuple(
                (json.dumps(one, ensure_ascii=False), score) for one, score in zip(choices, scores, strict=True)
            ),
        )

    def _number(self, text: str, question: str, *, integer: bool) -> int | float:
        if (found := _NUMBER.search(text)) is not None:
            return int(float(found[0])) if integer else float(found[0])
        if (named := named_choice(text, _COUNTS, question)) is not None:
            return named
        raise BackendError(
            f"{printable(self.vision.name)} answered '{printable(question, 60)}' with '{printable(text, 60)}', which "
            "is no number"
        )

    def _cannot(self, path: tuple[str, ...], what: str) -> UsageError:
        place = f"'{printable('.'.join(path), 60)}'" if path else "the schema"
        return UsageError(
            f"{place} is {what}, which {printable(self.vision.name)} cannot fill, as it follows no instructions; use "
            "string, number, integer, boolean, enum and objects of them, or another model"
        )


def _words(schema: Mapping[str, Any], path: tuple[str, ...], kind: Any = None) -> str:
    """The question for a property: its description, or one made of its name."""
    if text := str(schema.get("description") or "").strip():
        return text
    name = " ".join(re.sub(r"[_-]|(?<=[a-z])(?=[A-Z])", " ", path[-1]).lower().split()) if path else "answer"
    if schema.get("type") == "boolean":
        return f"Is there a {name}?"
    return f"How many {name} are there?" if kind == "integer" else f"What is the {name}?"


def _choices(schema: Mapping[str, Any]) -> list[Any] | None:
    values = schema.get("enum")
    if (
        isinstance(values, list)
        and values
        and all(isinstance(one, str | int | float) and str(one).strip() for one in values)
    ):
        return values
    return [True, False] if schema.get("type") == "boolean" else None


def _keywords(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any]:
    """`schema`, or what it refers to in `root`, or the one branch of `anyOf` that is not null."""
    branches = [one for one in schema.get("anyOf", ()) if isinstance(one, Mapping) and one.get("type") != "null"]
    if depth > 8:
        raise UsageError("the schema refers to itself")
    if len(branches) == 1:
        own = {name: value for name, value in schema.items() if name != "anyOf"}
        return {**_resolved(branches[0], root, depth + 1), **own}
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) and part else found
    if not isinstance(found, Mapping):
        raise UsageError(f"the schema refers to '{printable(reference, 60)}', which is not in it")
    return {**_resolved(found, root, depth + 1), **{name: value for name, value in schema.items() if name != "$ref"}}
