"""Parse what follows `openai:`: model and options of its endpoint. Address and key: `core/net/endpoints.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from core.errors import UsageError
from core.net.endpoints import check_address, check_key_env
from plugins.options import QueryOptions

EXAMPLE: Final = "openai:gpt-4o-mini or 'openai:qwen?base_url=http://localhost:8000/v1'"

Format = Literal["auto", "jpeg", "png"]
Detail = Literal["", "auto", "low", "high"]


@dataclass(frozen=True, slots=True)
class EndpointOptions(QueryOptions):
    """How an endpoint is used. On the command line: `openai:MODEL?base_url=http://localhost:8000/v1&max_side=768`."""

    plugin: ClassVar[str] = "openai"
    example: ClassVar[str] = "qwen?base_url=http://localhost:8000/v1"
    needs: ClassVar[str] = f"openai needs a model: write {EXAMPLE}."

    base_url: str = ""  # "": INQUISIGHT_VISION_BASE_URL, INQUISIGHT_BASE_URL, OPENAI_BASE_URL, then OpenAI's own
    key_env: str = ""  # variable that holds this endpoint's key, such as TOGETHER_API_KEY; on the command line alone
    max_side: int = 1024  # pixels; a larger picture is scaled down before it is sent
    format: Format = "auto"  # "auto": PNG if it is smaller, else JPEG
    detail: Detail = ""  # OpenAI's `detail` of a picture; "": not sent
    workers: int = 8  # requests at a time

    def __post_init__(self) -> None:
        QueryOptions.__post_init__(self)
        for name, (least, most) in {"max_side": (32, 8192), "workers": (1, 256)}.items():
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"{name} is {getattr(self, name)}, but must be between {least} and {most}.")
        check_key_env(self.key_env)
        if self.base_url:
            check_address(self.base_url, "base_url")
