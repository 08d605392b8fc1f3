"""Requests and answers of OpenAI's Chat Completions, as far as vision models have them.

Fields that are not listed are ignored, as clients send many. What is listed here and cannot be done is an error.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

MAX_CHOICES: Final = 16
MAX_STOPS: Final = 16


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class TextPart(_Read):
    type: Literal["text"]
    text: str


class ImageUrl(_Read):
    url: str
    """data:image/jpeg;base64,..., or a web address if the server opens them."""
    detail: str | None = None
    """Ignored: the model decides the size."""


class ImagePart(_Read):
    type: Literal["image_url"]
    image_url: ImageUrl


class Message(_Read):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]] | None = None


class JsonSchema(_Read):
    name: str = "answer"
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(_Read):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(_Read):
    include_usage: bool = False


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _nothing(value: Any) -> Any:
    """Refuse a value other than the neutral one of an option that no vision model here has."""
    if value not in (None, False, 0, "none", "auto", [], {}, ["text"]):
        raise ValueError("no model of this server can do that; leave it out")
    return value


def _seed(value: int | None) -> int | None:
    return None if value is None or value < 0 else value % (1 << 63)


Neutral = Annotated[Any, AfterValidator(_nothing)]


class ChatRequest(_Read):
    """The body of POST /v1/chat/completions."""

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=100_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=100_000)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: Annotated[int | None, AfterValidator(_seed)] = None
    """Negative: none, as some clients mean it."""
    n: int | None = Field(default=1, ge=1, le=MAX_CHOICES)
    stop: Annotated[Annotated[list[str], Field(max_length=MAX_STOPS)] | None, BeforeValidator(_one_or_more)] = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: Neutral = None
    tool_choice: Neutral = None
    functions: Neutral = None
    logit_bias: Neutral = None
    frequency_penalty: Neutral = None
    presence_penalty: Neutral = None
    modalities: Neutral = None
    audio: Neutral = None

    @property
    def limit(self) -> int | None:
        """Most tokens of an answer; None: the model's default."""
        return self.max_completion_tokens or self.max_tokens


# ---- answers -----------------------------------------------------------------------------------------------------


class _Written(BaseModel):
    model_config = ConfigDict(extra="allow")


class Usage(_Written):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class TokenScore(_Written):
    """A token of an answer, or an answer chosen from a list, and the natural logarithm of its probability."""

    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TokenScore] = []


class Logprobs(_Written):
    content: list[TokenScore]


class AnswerMessage(_Written):
    role: Literal["assistant"] = "assistant"
    content: str
    reasoning_content: str | None = None
    """The dialogue of an interview, one line for each question and answer."""


class Choice(_Written):
    index: int
    message: AnswerMessage
    logprobs: Logprobs | None = None
    finish_reason: str


class Completion(_Written):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    inquisight: dict[str, Any] | None = None
    """Beyond OpenAI's fields: `left_out`, `tokens_counted_by`; of an interview `caption`, its whole record."""


class ModelCard(_Written):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "inquisight"


class ModelList(_Written):
    object: Literal["list"] = "list"
    data: list[ModelCard]


class ErrorDetail(_Written):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(_Written):
    error: ErrorDetail
