"""Open a BLIP-2 with OPT or Flan-T5: the right kind of model, whole, with sizes that belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from core.entries import one_line
from core.errors import BackendError, UsageError, printable
from core.files.model_folder import read_json
from plugins.blip2.trained import PROMPTS, apply_run, check_same, find_base, is_run, open_blip2_run
from plugins.hf import checkpoint
from plugins.hf.checkpoint import Directory, part
from plugins.hf.load_options import BaseLoadOptions, placing
from plugins.minigpt4.runtime.load_options import EXACT
from plugins.minigpt4.runtime.loading import MEAN, STD
from plugins.minigpt4.runtime.training_run import Trained

HOW: Final = "blip2:Salesforce/blip2-opt-2.7b or blip2:DIRECTORY"
LANGUAGE_MODELS: Final = {"opt": "OPT", "t5": "Flan-T5"}
COCO_SIZE: Final = 364  # pixels; the models fine-tuned for COCO captions have it, the others 224
# `prompt` in LAVIS's lavis/configs/models/blip2/: "a photo of" for blip2_caption_*, "" for blip2_pretrain_*
COCO_PROMPT: Final = "a photo of"
QUESTION: Final = "Question: {} Answer:"  # {}: where the question goes
SHORT: Final = (
    "Question: {} Short answer:"  # `prompt` in LAVIS's lavis/projects/blip2/eval/vqav2_zeroshot_flant5xl_eval.yaml
)


@dataclass(frozen=True, slots=True)
class Blip2LoadOptions(BaseLoadOptions):
    """How a BLIP-2 is opened. On the command line: `blip2:DIRECTORY?dtype=bfloat16&caption=a photo of`."""

    plugin: ClassVar[str] = "blip2"
    needs: ClassVar[str] = f"blip2 needs a model: {HOW}."

    caption: str | None = None  # what a plain caption begins with; None: what the model was trained with
    question: str | None = None  # the form of a question, "Question: {} Answer:"; None: what the model was trained with
    base: str | None = None  # of a training run: the directory it was trained with, if that has moved


@dataclass(frozen=True, slots=True)
class CheckedBlip2:
    """A directory that looks like a BLIP-2 with a language model that we know."""

    directory: Directory
    kind: str  # "opt" or "t5"
    image_size: int
    caption: str  # prompt of a plain caption
    question: str = QUESTION  # prompt of a question, with {}
    trained: Trained | None = None  # the training whose tensors replace those of the directory

    @property
    def digest(self) -> str:
        """Of all weights that decide an answer."""
        return self.directory.digest + (f"-{self.trained.sha256[:12]}" if self.trained else "")

    @property
    def decoder_only(self) -> bool:
        return self.kind == "opt"


@dataclass(slots=True)
class LoadedBlip2:
    """The model with what prepares its inputs, and what was chosen and why."""

    model: Any
    tokenizer: Any
    image_processor: Any
    choices: dict[str, str]


def check(text: str, options: Blip2LoadOptions) -> CheckedBlip2:
    """What can be known without reading the weights. Raises UsageError, BackendError, one line.

    `text` is a directory, a name on the hub, or the folder of a finished training.
    """
    trained = open_blip2_run(Path(text)) if is_run(Path(text)) else None
    if options.base and trained is None:
        raise UsageError(f"{printable(text)} is no training run, so base= has no meaning; leave it out.")
    path = find_base(trained, options.base) if trained else checkpoint.find(text, "blip2")
    directory = checkpoint.check(path, "blip2")
    config = directory.config
    where = printable(path)
    if (model_type := config.get("model_type")) != "blip-2":
        raise BackendError(
            f"{where} holds a model of type {printable(model_type)!r}, not a BLIP-2; try "
            f"transformers:{printable(text)}."
        )
    inner = part(config, "text_config")
    kind = str(inner.get("model_type", "opt"))  # transformers leaves out what is the default
    if kind == "llama":
        raise BackendError(f"{where} is a MiniGPT-4, a BLIP-2 with a Llama inside; say minigpt4:{printable(text)}.")
    if kind not in LANGUAGE_MODELS:
        raise BackendError(
            f"the language model of {where} is a {printable(kind)!r}; blip2 knows {', '.join(LANGUAGE_MODELS)}."
        )
    if kind == "t5" and options.dtype == "float16":
        raise UsageError(
            "dtype=float16 does not work with Flan-T5: its numbers leave the range of float16, and answers come out "
            "empty or as garbage; say dtype=bfloat16 or dtype=float32."
        )
    checkpoint.check_projection(directory)
    names = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")
    if not any((path / name).is_file() for name in names):
        raise BackendError(f"{where} has no tokenizer ({', '.join(names)}); fetch the model again.")
    size = part(config, "vision_config").get("image_size", 224)
    image_size = int(size if isinstance(size, int) else size[0])
    learned = trained.facts["prompts"] if trained else part(config, PROMPTS)
    caption = learned.get("caption", COCO_PROMPT if image_size == COCO_SIZE else "")
    question = learned.get("question", QUESTION) if options.question is None else options.question
    if "{}" not in question:
        raise UsageError(f"question={printable(question)!r} has no {{}}, where the question goes: {QUESTION}")
    if trained:
        check_same(trained, directory.digest, path)
        if options.quantize != "none" and trained.lora_scale:
            raise UsageError("a run with LoRA cannot be opened quantised: `inquisight train export` it first.")
    return CheckedBlip2(
        directory, kind, image_size, caption if options.caption is None else options.caption, question, trained
    )


def load(checked: CheckedBlip2, options: Blip2LoadOptions) -> LoadedBlip2:
    """The model in memory. Raises BackendError, one line, if it cannot be loaded or the weights do not fit it."""
    from transformers import Blip2ForConditionalGeneration

    path = checked.directory.path
    device, dtype, why = checkpoint.choose(checked.directory, options, half=checked.decoder_only)
    arguments = placing(options, device, dtype, EXACT)
    model, _ = checkpoint.load(path, Blip2ForConditionalGeneration.from_pretrained, strict=True, **arguments)
    if checked.trained:
        apply_run(model, checked.trained)
    tokenizer = checkpoint.load_tokenizer(path)
    try:
        with checkpoint.quiet():
            image_processor = image_processor_of(checked)
    except checkpoint.LOADING_ERRORS as error:
        raise BackendError(f"the picture settings in {printable(path)} cannot be used: {one_line(error)}.") from error
    _check_tokenizer(checked, model, tokenizer)
    why_caption = f"as models for {checked.image_size} pixels learned"
    if options.caption is not None or checked.trained:
        why_caption = "as it was trained" if options.caption is None else "asked for"
    choices = {
        "language model": LANGUAGE_MODELS[checked.kind],
        "device": str(options.device_map or device),
        "dtype": dtype,
        "why": why,
        "quantize": options.quantize,
        "plain caption": f"{f'begins with {printable(checked.caption)!r}' if checked.caption else 'no prompt'}, "
        f"{why_caption}",
    }
    return LoadedBlip2(model, tokenizer, image_processor, choices)


def image_processor_of(checked: CheckedBlip2) -> Any:
    """As BLIP-2's own, on Pillow: bicubic to a square, CLIP's mean and deviation, or what the directory says.

    Raises BackendError if it resizes to another size than the vision tower's.
    """
    from transformers import BlipImageProcessorPil

    path = checked.directory.path
    nested = path / "processor_config.json"
    own = (path / "preprocessor_config.json").is_file()
    if own or (nested.is_file() and "image_processor" in read_json(nested)):
        processor = BlipImageProcessorPil.from_pretrained(path, local_files_only=True)
    else:
        size = {"height": checked.image_size, "width": checked.image_size}
        processor = BlipImageProcessorPil(size=size, image_mean=list(MEAN), image_std=list(STD))
    side = (processor.size["height"], processor.size["width"])
    if side != (checked.image_size, checked.image_size):
        raise BackendError(
            f"{printable(path)} resizes pictures to {side[0]} x {side[1]} pixels, but its vision tower reads "
            f"{checked.image_size} x {checked.image_size}; fetch preprocessor_config.json again."
        )
    return processor


def _check_tokenizer(checked: CheckedBlip2, model: Any, tokenizer: Any) -> None:
    rows = int(model.language_model.get_input_embeddings().weight.shape[0])
    # Blip2Processor adds its placeholder to the tokenizer even if the model has no row for it; it is never used.
    words = len(tokenizer) - ("<image>" in tokenizer.get_vocab())
    if words > rows:
        raise BackendError(
            f"the tokenizer in {printable(checked.directory.path)} has {words} tokens, its language model {rows}: "
            "they are of two models; fetch both from one place."
        )
