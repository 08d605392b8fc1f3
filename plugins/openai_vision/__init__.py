"""Any vision model behind an OpenAI-compatible server: OpenAI, vLLM, llama.cpp, `transformers serve`, ...

inquisight caption photo.jpg --vision openai:gpt-4o-mini
inquisight caption photo.jpg --vision 'openai:qwen?base_url=http://localhost:8000/v1'
"""

from __future__ import annotations

from core.hookspecs import hookimpl
from core.registry import Register
from plugins.capabilities import CHAT_CAPABILITIES


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `openai:MODEL`, with options such as `openai:MODEL?base_url=http://localhost:8000/v1`."""
    register(
        "openai",
        "plugins.openai_vision.backend:OpenAIBackend",
        check="plugins.readiness:openai",
        description="Any OpenAI-compatible vision endpoint: openai:MODEL, openai:MODEL?base_url=http://HOST:PORT/v1.",
        capabilities=CHAT_CAPABILITIES,
        extra="inquisight[openai]",
    )
