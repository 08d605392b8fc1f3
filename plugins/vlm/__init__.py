"""Any vision-language model that transformers can chat with, as an eye.

inquisight caption photo.jpg --vision transformers:Qwen/Qwen2.5-VL-3B-Instruct
inquisight caption photo.jpg --vision 'transformers:DIRECTORY?dtype=bfloat16'
"""

from __future__ import annotations

from core.hookspecs import hookimpl
from core.registry import Register


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `transformers:NAME` and `transformers:DIRECTORY`, with options such as `?quantize=4bit`."""
    register(
        "transformers",
        "plugins.vlm.backend:TransformersBackend",
        check="plugins.readiness:transformers",
        description="Any vision-language model of transformers (Qwen-VL, Idefics, LLaVA, ...): "
        "transformers:NAME or transformers:DIRECTORY.",
        capabilities={
            "follows_instructions": True,
            "streams": True,
            "max_images": 16,
            "interleaves": True,
            "languages": ("en",),
        },
    )
