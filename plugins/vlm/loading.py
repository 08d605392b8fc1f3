"""Open any vision-language model of transformers: the model, its processor and its chat template.

A processor for pictures and videos needs torchvision for videos. Without it, the processor is opened without its video
half, because pictures do not need it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from core.entries import one_line
from core.errors import BackendError, UsageError, printable
from plugins.hf import checkpoint as opening
from plugins.hf.checkpoint import Directory
from plugins.hf.load_options import BaseLoadOptions, placing

HOW: Final = "transformers:Qwen/Qwen2.5-VL-3B-Instruct or transformers:DIRECTORY"
OTHER_PLUGINS: Final = {"blip-2": "blip2"}  # model types that another built-in plugin opens


@dataclass(frozen=True, slots=True)
class VlmLoadOptions(BaseLoadOptions):
    """How a model is opened. On the command line: `transformers:DIRECTORY?dtype=bfloat16&template=chat.jinja`."""

    plugin: ClassVar[str] = "transformers"
    needs: ClassVar[str] = f"transformers needs a model: {HOW}."

    template: str | None = None  # file of a Jinja chat template, for a model that has none


@dataclass(slots=True)
class LoadedVlm:
    """The model with what prepares its inputs, and what was chosen and why."""

    model: Any
    processor: Any
    template: str
    choices: dict[str, str]


def check(text: str) -> Directory:
    """What can be known without reading the weights. Raises UsageError, BackendError, one line."""
    path = opening.find(text, "transformers")
    directory = opening.check(path, "transformers")
    model_type = str(directory.config.get("model_type"))
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    if model_type not in KNOWN:
        own_code = "auto_map" in directory.config
        way_out = "its own code would have to run, which is not done." if own_code else "is transformers up to date?"
        raise BackendError(
            f"{printable(path)} holds a model of type {printable(model_type)!r}, no vision-language model that "
            f"the installed transformers knows; {way_out}"
        )
    if model_type in OTHER_PLUGINS:
        plugin = OTHER_PLUGINS[model_type]
        if dict(directory.config.get("text_config") or {}).get("model_type") == "llama":
            plugin = "minigpt4"
        raise BackendError(
            f"{printable(path)} holds a model of type {printable(model_type)!r}, which does not chat by a template; "
            f"say {plugin}:{printable(text)}."
        )
    return directory


def load(directory: Directory, options: VlmLoadOptions) -> LoadedVlm:
    """The model in memory. Raises BackendError, one line, if a part cannot be opened or does not fit."""
    from transformers import AutoModelForImageTextToText

    path = directory.path
    processor = _processor(path)
    template, where = _template(path, processor, options)
    device, dtype, why = opening.choose(directory, options)
    model, unused = opening.load(
        path,
        AutoModelForImageTextToText.from_pretrained,
        strict=False,
        **placing(options, device, dtype),
    )
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    choices = {
        "device": str(options.device_map or device),
        "dtype": dtype,
        "why": why,
        "quantize": options.quantize,
        "template": where,
        "picture processor": type(processor.image_processor).__name__,
    }
    if unused:
        choices["unused tensors"] = f"{len(unused)}, such as {printable(unused[0])}"
    return LoadedVlm(model, processor, template, choices)


def _processor(path: Path) -> Any:
    """Raises BackendError if it does not open or does not process pictures and text."""
    from transformers import AutoConfig, AutoProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    kind = chosen = AutoProcessor
    try:
        with opening.quiet():
            config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
            kind = PROCESSOR_MAPPING.get(type(config), AutoProcessor)
            chosen = kind if importlib.util.find_spec("torchvision") else _without_video(kind)
            processor = chosen.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except opening.LOADING_ERRORS as error:
        hint = "; it may need torchvision, for its video half" if chosen is not kind else ""
        raise BackendError(f"the processor of {printable(path)} cannot be opened: {one_line(error)}{hint}.") from error
    missing = [part for part in ("tokenizer", "image_processor") if getattr(processor, part, None) is None]
    if missing:
        raise BackendError(
            f"the processor of {printable(path)} is a {type(processor).__name__} without {' and '.join(missing)}: "
            "pictures and text cannot be read with it."
        )
    return processor


def _without_video(kind: Any) -> Any:
    """The processor class without its video processor, or the class itself if it has none."""
    names = kind.get_attributes() if hasattr(kind, "get_attributes") else []
    if "video_processor" not in names:
        return kind
    place = names.index("video_processor")

    def get_attributes(cls: Any, /) -> list[str]:
        return [name for name in names if name != "video_processor"]

    def from_args_and_dict(cls: Any, /, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        return kind.from_args_and_dict.__func__(cls, [*args[:place], None, *args[place:]], processor_dict, **kwargs)

    # transformers checks the class's name in a few special cases, so it is kept
    return type(
        kind.__name__,
        (kind,),
        {
            "get_attributes": classmethod(get_attributes),
            "from_args_and_dict": classmethod(from_args_and_dict),
            "video_processor": None,
            "__module__": kind.__module__,
        },
    )


def _template(path: Path, processor: Any, options: VlmLoadOptions) -> tuple[str, str]:
    """The chat template and its source. Raises UsageError, BackendError."""
    if options.template is not None:
        file = Path(options.template).expanduser()
        try:
            return file.read_text("utf-8"), printable(file)
        except (OSError, ValueError):
            raise UsageError(f"template={printable(options.template)} is no readable text file.") from None
    for owner, where in ((processor, "the model's own"), (processor.tokenizer, "its tokenizer's")):
        template = getattr(owner, "chat_template", None)
        if isinstance(template, dict):
            template = template.get("default")
        if template:
            return str(template), where
    raise BackendError(
        f"{printable(path)} has no chat template, so the form of its prompts is not known: take a model made for chat "
        f"(often named -Instruct or -it), or give a Jinja file: transformers:{printable(path)}?template=FILE."
    )
