"""Any vision-language model of transformers with a chat template.

inquisight caption photo.jpg --vision transformers:Qwen/Qwen2.5-VL-3B-Instruct
inquisight caption photo.jpg --vision 'transformers:DIRECTORY?dtype=bfloat16'
"""

from __future__ import annotations

from core.hookspecs import hookimpl
from core.registry import Register
from plugins.capabilities import CHAT_CAPABILITIES


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `transformers:NAME` and `transformers:DIRECTORY`, with options such as `?quantize=4bit`."""
    register(
        "transformers",
        "plugins.vlm.backend:TransformersBackend",
        check="plugins.readiness:transformers",
        description="Any vision-language model of transformers (Qwen-VL, Idefics, LLaVA, ...): "
        "transformers:NAME or transformers:DIRECTORY.",
        capabilities=CHAT_CAPABILITIES,
    )
