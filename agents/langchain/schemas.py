"""Structured output: the schema of a call, and the parser behind it."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from core.errors import UsageError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


def schema_of(response_format: Any) -> Mapping[str, Any] | None:
    """The JSON Schema in OpenAI's `response_format`; None for text. Raises UsageError."""
    if response_format is None or response_format == {"type": "text"}:
        return None
    inner = response_format.get("json_schema") if isinstance(response_format, Mapping) else None
    schema = inner.get("schema") if isinstance(inner, Mapping) else None
    if not isinstance(schema, Mapping):
        raise UsageError(
            'response_format must be {"type": "json_schema", "json_schema": {"name": ..., "schema": ...}}; or use '
            "with_structured_output"
        )
    return schema


def with_schema(model: BaseChatModel, schema: Any, *, include_raw: bool) -> Runnable[Any, Any]:
    """`model`, bound to `schema`, and a parser. Raises UsageError if `schema` is none."""
    try:
        converted = convert_to_json_schema(schema)
    except (TypeError, ValueError) as error:
        raise UsageError(f"this is no schema: {error}") from None
    name = str(converted.get("title", "answer"))
    bound = model.bind(
        response_format={"type": "json_schema", "json_schema": {"name": name, "schema": converted}},
        ls_structured_output_format={"kwargs": {"method": "json_schema"}, "schema": schema},
    )
    of_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    parser: Any = PydanticOutputParser(pydantic_object=schema) if of_class else JsonOutputParser()
    if not include_raw:
        parsed: Runnable[Any, Any] = bound | parser
        return parsed
    read = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    with_raw: Runnable[Any, Any] = RunnableMap(raw=bound)
    return with_raw | read.with_fallbacks([failed], exception_key="parsing_error")
