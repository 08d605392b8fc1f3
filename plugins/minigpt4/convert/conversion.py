"""`inquisight convert minigpt4`: check three sources, then join them into one Hugging Face directory.

    path = join_weights(ConversionRequest(projection=..., llm="vicuna-7b-v0", vision=("blip2-flan-t5-xxl",), to=...))

The directory opens with `transformers.Blip2ForConditionalGeneration.from_pretrained` (without a Q-Former: with
`plugins.minigpt4.runtime.modeling.open_model`). `manifest.json` is written last: a directory that has one is complete.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from core.console.silence import hush_libraries
from core.errors import BackendError, UsageError, printable
from plugins.hf.hub import revision
from plugins.hf.tensors import sha256
from plugins.minigpt4.convert import writing
from plugins.minigpt4.convert.llm import check_partner, open_llm
from plugins.minigpt4.convert.plan import JoinedWeights, join, pieces
from plugins.minigpt4.convert.projection import read_projection
from plugins.minigpt4.convert.request import ConvertOptions
from plugins.minigpt4.convert.tokens import SpecialTokens, chat_template, prepare
from plugins.minigpt4.convert.vision import QFORMER, VIT, open_vision
from plugins.minigpt4.convert.writing import Shard, Workplace
from plugins.minigpt4.runtime.loading import MEAN, STD

_VERSION = 1  # of the directory's layout; a change makes interrupted runs start anew
_SLOW = 100 * 1024**2  # bytes; reading more of them takes long enough to say so
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
# `Chat.answer` and demo.py of the original; greedy decoding is the caller's `do_sample=False`. Its repetition penalty
# of 1.05 (1.0 in the first release) counted the answer's tokens only; `generate` here would count the prompt's too.
_GENERATION: dict[str, Any] = {
    "do_sample": True,
    "num_beams": 1,
    "top_p": 0.9,
    "temperature": 1.0,
    "min_length": 1,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "max_new_tokens": 300,
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ConversionRequest(ConvertOptions):
    """What to join and where to put it: the options of the command, and those of other callers."""

    untrained: bool = False  # the projection holds random numbers, for stage 1
    max_shard: int = writing.MAX_SHARD


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """Every decision, made before anything is written."""

    request: ConversionRequest
    to: Path
    joined: JoinedWeights
    config: Any  # transformers.Blip2Config
    tokens: SpecialTokens
    template: str
    dtype: torch.dtype
    dtype_reason: str
    shards: tuple[Shard, ...]
    notes: tuple[str, ...]
    bytes: int
    fingerprint: str


def convert(options: ConvertOptions) -> int:
    """The command: progress on standard error, the directory's path on standard output."""
    _quiet_libraries()
    decided: list[str] = []  # shown once all checks have passed: an error is one line and nothing else
    request = ConversionRequest(**{one.name: getattr(options, one.name) for one in fields(options)})
    plan = prepare_plan(request, decided.append)
    for line in decided:
        _say(line)
    if options.check:
        _say("checked: everything fits; nothing was written")
        return 0
    try:
        with _progress(plan) as (say, step):
            print(write(plan, say, step))
    except KeyboardInterrupt:
        _say("stopped; the same command continues with the first missing file")
        raise
    return 0


def join_weights(request: ConversionRequest, say: Say = lambda _: None) -> Path:
    """Join the sources of `request` and return the directory. Raises UsageError, BackendError."""
    return write(prepare_plan(request, say), say)


def prepare_plan(request: ConversionRequest, say: Say = lambda _: None) -> ConversionPlan:
    """Every check and every decision; writes nothing. Raises UsageError, BackendError."""
    to = writing.check_place(request.to, overwrite=request.overwrite)
    projection = read_projection(request.projection)
    kind = projection.release.title if projection.release else "your own"
    say(f"projection: {projection.inputs} to {projection.outputs} numbers, {kind}")
    llm = open_llm(request.llm)
    say(f"language model: {llm.family}, {len(llm.weights.files)} file(s)")
    notes = [*llm.notes, *check_partner(llm, projection, own=request.own_projection)]
    vision = open_vision(request.vision)
    origin = f"trained for {vision.partner}" if vision.partner else "of unknown origin"
    say(f"vision model: {vision.layout} layout, Q-Former {origin}")
    notes += vision.notes
    joined = join(projection, llm, vision, own=request.own_projection, qformer=request.qformer)
    notes.append(vision.settle_heads(VIT, request.vit_heads))
    if joined.qformer:
        notes.append(vision.settle_heads(QFORMER, request.qformer_heads))
    elif request.qformer_heads is not None:
        raise UsageError("--qformer-heads is given, but this projection is for the variant without a Q-Former.")
    if joined.qformer and vision.from_flan_t5_xxl is None:
        notes.append("the vision model's files do not say whether its Q-Former is that of BLIP-2 with FlanT5-XXL")
    if not joined.qformer:
        notes.append(f"no Q-Former: {joined.tokens_per_picture} tokens of four patches each; open it with open_model")
        if projection.layernorm is None:
            notes.append("the LayerNorm behind the ViT is ones and zeros: the original never loads BLIP-2's here")
    template = request.template
    if template == "auto":
        template = projection.release.template if projection.release else ("vicuna" if joined.qformer else "llama2")
        notes.append(f"conversation format {template}, by the projection's shape")
    dtype, reason = _choose_dtype(request.dtype, llm.stored_dtype)
    say(f"dtype: {reason}")
    tokens = prepare(llm.directory, request.llm, llm.rows, template)
    notes += tokens.notes
    config = _configuration(joined, tokens, dtype)
    shards = tuple(writing.into_shards(pieces(joined, config, dtype), request.max_shard))
    llm.weights.close()
    vision.weights.close()
    fingerprint = _fingerprint(joined, shards, config, template)
    needed = writing.check_space(to, shards, writing.finished_bytes(to, fingerprint))
    for note in notes:
        say(f"note: {note}")
    say(f"to write: {needed / 1e9:.1f} GB in {len(shards)} file(s)")
    return ConversionPlan(
        request, to, joined, config, tokens, template, dtype, reason, shards, tuple(notes), needed, fingerprint
    )


def write(plan: ConversionPlan, say: Say = lambda _: None, step: Callable[[int], None] = lambda _: None) -> Path:
    """Carry out `plan`. Raises UsageError, BackendError; finished files stay for the next try.

    `step` receives the bytes of each tensor written.
    """
    with writing.workplace(plan.to, plan.fingerprint) as place:
        for shard in plan.shards:
            if place.has(shard):
                say(f"{shard.name}: written before")
                step(shard.bytes)
                continue
            place.shards[shard.name] = writing.write_shard(place.partial / shard.name, shard.pieces, step)
            place.remember()
            say(f"{shard.name}: {shard.bytes / 1e9:.2f} GB")
        plan.joined.llm.weights.close()
        plan.joined.vision.weights.close()
        sources = _source_list(plan, place, say)
        _write_small_files(plan, place.partial)
        writing.write_json(place.partial / writing.MANIFEST, _manifest(plan, place, sources))
        place.finish(plan.to)
    return plan.to


def _choose_dtype(requested: str, stored: torch.dtype) -> tuple[torch.dtype, str]:
    if requested != "auto":
        return _DTYPES[requested], f"{requested}, as --dtype says"
    name = str(stored).removeprefix("torch.")
    if stored in _DTYPES.values():
        return stored, f"{name}, as the language model is stored: nothing is lost (Q-Former and projection: float32)"
    return torch.float32, f"float32, because the language model is stored as {name}"


def _plain(config: Any) -> Any:
    """Copy only Llama's fields: others in a config.json may make transformers load code."""
    own = {field.name for field in fields(config)} - {"transformers_version"}
    return type(config)(**{name: copy.deepcopy(getattr(config, name)) for name in own})


def _configuration(joined: JoinedWeights, tokens: SpecialTokens, dtype: torch.dtype) -> Any:
    from transformers import Blip2Config, Blip2QFormerConfig, Blip2VisionConfig

    from plugins.minigpt4.runtime.modeling import MiniGPT4WithoutQFormer

    text = _plain(joined.llm.config)
    text.vocab_size = tokens.rows
    text.bos_token_id = int(tokens.tokenizer.bos_token_id)
    text.eos_token_id = int(tokens.tokenizer.eos_token_id)
    text.pad_token_id = int(tokens.tokenizer.pad_token_id)
    text.dtype = dtype
    text.architectures = None
    try:
        vision = Blip2VisionConfig(**joined.vision.vision)
        sizes = (joined.vision.qformer or {}) if joined.qformer else {"num_hidden_layers": 0}
        qformer = Blip2QFormerConfig(**{**sizes, "encoder_hidden_size": vision.hidden_size})
        config = Blip2Config(
            vision_config=vision,
            qformer_config=qformer,
            text_config=text,
            num_query_tokens=joined.tokens_per_picture,
            image_token_index=tokens.image,
            tie_word_embeddings=bool(text.tie_word_embeddings),
            dtype=dtype,
        )
    except Exception as error:  # whatever transformers' validation finds
        reason = printable(" ".join(str(error).split()), 160)
        raise BackendError(f"the sizes do not make a BLIP-2 that transformers accepts ({reason}).") from error
    config.architectures = ["Blip2ForConditionalGeneration" if joined.qformer else MiniGPT4WithoutQFormer.__name__]
    return config


def _write_small_files(plan: ConversionPlan, directory: Path) -> None:
    from transformers import GenerationConfig

    plan.config.save_pretrained(directory)
    if len(plan.shards) > 1:
        writing.write_json(directory / "model.safetensors.index.json", writing.index_of(plan.shards))
    tokenizer = plan.tokens.tokenizer
    GenerationConfig(
        **_GENERATION,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=plan.tokens.stops,
        pad_token_id=tokenizer.pad_token_id,
    ).save_pretrained(directory)
    plan.tokens.save(directory, chat_template(plan.template, plan.joined.tokens_per_picture, plan.tokens.joint))
    size = plan.joined.vision.vision["image_size"]
    # A plain bicubic resize: `Blip2ImageEvalProcessor` in `minigpt4/processors/blip_processors.py`.
    images = {
        "image_processor_type": "BlipImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 3,  # bicubic
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }
    # The template writes a picture's placeholders itself, in the middle of the text. With a number here the processor
    # would put as many again before the text.
    writing.write_json(
        directory / "processor_config.json",
        {"processor_class": "Blip2Processor", "num_query_tokens": None, "image_processor": images},
    )
    writing.write_json(directory / "preprocessor_config.json", {"processor_class": "Blip2Processor", **images})


def _source_list(plan: ConversionPlan, place: Workplace, say: Say) -> list[dict[str, Any]]:
    """Every source file, with its sha256."""
    joined = plan.joined
    listed: list[tuple[str, Path]] = [("projection", joined.projection.file)]
    listed += [("language model", file) for file in joined.llm.weights.files]
    listed += [("language model", file) for file in sorted(joined.llm.directory.iterdir()) if _is_small(file)]
    listed += [("vision model", file) for file in joined.vision.weights.files]
    if joined.vision.directory:
        listed.append(("vision model", joined.vision.directory / "config.json"))
    result = []
    for role, file in listed:
        key = str(file)
        if key not in place.sources:
            if file.stat().st_size > _SLOW:
                say(f"sha256 of {printable(file.name)}")
            place.sources[key] = sha256(file)
            place.remember()
        entry: dict[str, Any] = {"role": role, "file": key, "bytes": file.stat().st_size, "sha256": place.sources[key]}
        if commit := revision(file.parent):
            entry["revision"] = commit
        result.append(entry)
    return result


def _is_small(file: Path) -> bool:
    """Configuration and tokenizer of a language model."""
    return file.is_file() and file.suffix in {".json", ".model"} and not file.name.endswith(".index.json")


def _manifest(plan: ConversionPlan, place: Workplace, sources: list[dict[str, Any]]) -> dict[str, Any]:
    request = asdict(plan.request)
    return {
        "kind": writing.KIND,
        "version": _VERSION,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "variant": "qformer" if plan.joined.qformer else "no-qformer",
        "release": plan.joined.projection.release.title if plan.joined.projection.release else None,
        "language_model": plan.joined.llm.family,
        "format": plan.template,  # of conversations
        "tokens_per_picture": plan.joined.tokens_per_picture,
        "image_token_id": plan.tokens.image,
        "dtype": str(plan.dtype).removeprefix("torch."),
        "dtype_reason": plan.dtype_reason,
        "decisions": list(plan.notes),
        **({"untrained": True} if plan.request.untrained else {}),
        "request": {name: request[name] for name in ("dtype", "template", "own_projection")},
        "sources": sources,
        "files": [
            {
                "file": shard.name,
                "bytes": (place.partial / shard.name).stat().st_size,
                "sha256": place.shards[shard.name],
            }
            for shard in plan.shards
        ],
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("inquisight", "torch", "transformers", "tokenizers", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "a checkout that is not installed"
    return found


def _fingerprint(joined: JoinedWeights, shards: Sequence[Shard], config: Any, template: str) -> str:
    """Changes with anything that changes what is written."""
    files = (joined.projection.file, *joined.llm.weights.files, *joined.vision.weights.files)
    state = {
        "version": _VERSION,
        "versions": _versions(),
        "files": [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files],
        "shards": [
            (shard.name, [(piece.target, piece.shape, str(piece.dtype)) for piece in shard.pieces]) for shard in shards
        ],
        "config": config.to_dict(),
        "template": template,
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()


def _quiet_libraries() -> None:
    """Hide warnings about files that are checked here; a download shows its progress on a terminal only."""
    if sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "0")
    hush_libraries()


@contextmanager
def _progress(plan: ConversionPlan) -> Iterator[tuple[Say, Callable[[int], None]]]:
    """A bar on a terminal; elsewhere the lines alone, one per file."""
    if not sys.stderr.isatty():
        yield _say, lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True, highlight=False, markup=False)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=sum(shard.bytes for shard in plan.shards))
        yield console.print, lambda count: bar.advance(task, count)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
