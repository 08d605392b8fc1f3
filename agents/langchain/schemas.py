"""Structured output and tools: the schema of a call with the parser behind it, and calls of tools in a reply."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.messages.tool import ToolCall, ToolCallChunk, tool_call, tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from core.errors import UsageError, printable
from core.vision import Reply, Tools

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


def tools_of(call: Mapping[str, Any]) -> Tools | None:
    """The tools that a call offers, in OpenAI's form. Raises UsageError for a `tool_choice` that is none of them."""
    offered, choice = call.get("tools") or [], call.get("tool_choice")
    if not offered:
        return None
    if isinstance(choice, Mapping):
        choice = (choice.get("function") or {}).get("name")
    names = [str(tool["function"]["name"]) for tool in offered]
    chosen = {None: "auto", False: "auto", True: "any", "required": "any"}.get(choice, choice)
    if chosen == "none":
        return None
    if chosen not in ("auto", "any", *names):
        raise UsageError(
            f"tool_choice is '{printable(choice, 60)}': take auto, any, none or one of {', '.join(names)}."
        )
    return Tools(tuple(json.dumps(tool, ensure_ascii=False) for tool in offered), choice=chosen)


def tool_calls(reply: Reply) -> list[ToolCall]:
    """The calls of a reply in LangChain's form, each with an id of its own."""
    return [
        tool_call(name=one.name, args=json.loads(one.arguments), id=one.id or f"call_{uuid.uuid4().hex}")
        for one in reply.calls
    ]


def call_chunks(reply: Reply) -> list[ToolCallChunk]:
    """The same for a stream: each call in one piece."""
    return [
        tool_call_chunk(name=one["name"], args=json.dumps(one["args"], ensure_ascii=False), id=one["id"], index=place)
        for place, one in enumerate(tool_calls(reply))
    ]
