"""BLIP-2 through transformers, with OPT or Flan-T5: the vision model of ChatCaptioner.

inquisight caption photo.jpg --vision blip2:Salesforce/blip2-opt-2.7b
inquisight caption photo.jpg --vision 'blip2:DIRECTORY?dtype=bfloat16'
"""

from __future__ import annotations

from core.hookspecs import hookimpl
from core.registry import Register


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `blip2:NAME` and `blip2:DIRECTORY`, with options such as `?quantize=8bit`."""
    register(
        "blip2",
        "plugins.blip2.backend:Blip2Backend",
        check="plugins.readiness:blip2",
        description="BLIP-2 with OPT or Flan-T5: blip2:Salesforce/blip2-opt-2.7b, or a directory with such a model.",
        capabilities={
            "follows_instructions": False,
            "streams": True,
            "scores": True,
            "max_images": 1,
            "languages": ("en",),
        },
    )
