"""The training plugin: MiniGPT-4's two stages, BLIP-2's fine-tuning, their data, and the curation of those data.

    inquisight train stage1 --recipe stage1-7b --set model=minigpt4-7b --out stage1-7b
    inquisight train stage2 --recipe stage2-7b --set projection=stage1-7b --out stage2-7b
    inquisight caption photo.jpg --vision trained:stage2-7b

What it registers is named here and imported only when it is used.
"""

from __future__ import annotations

from typing import Any

from core.hookspecs import hookimpl
from core.registry import Register


@hookimpl
def register_vision_backends(register: Register) -> None:
    """Offer `trained:RUN`: the model of a finished training with what it learned."""
    register(
        "trained",
        "plugins.trained:open_trained",
        check="plugins.readiness:trained",
        description="The result of your training: trained:RUN, the folder of a finished one.",
        capabilities={
            "follows_instructions": True,
            "streams": True,
            "max_images": 16,
            "interleaves": True,
            "languages": ("en",),
        },
    )


@hookimpl
def register_trainers(register: Register) -> None:
    """Offer the two stages, BLIP-2's fine-tuning and the feature cache; each takes a recipe and a folder."""
    register("stage1", "training.run:stage1", description="Stage 1: short captions without a prompt.")
    register("stage2", "training.run:stage2", description="Stage 2: descriptions in the chat format.")
    register("blip2", "training.run:blip2", description="Fine-tuning of a BLIP-2 on captions or questions.")
    register(
        "features",
        "training.features.keep:keep_features",
        description="Encode every picture once and store the features.",
    )


@hookimpl
def register_commands(cli: Any) -> None:
    """Add `train`, `data` and `curate`."""
    from training import commands
    from training.curation import commands as curation_commands
    from training.data import commands as data_commands

    for module in (commands, data_commands, curation_commands):
        module.add_to(cli)
