"""Measure training samples per second: the original's step against ours, plain, packed and cached.

    python -m benchmarks.training_throughput                         a small model, about two minutes on two CPU cores
    python -m benchmarks.training_throughput --stage 2 --spread 0    long descriptions, all of one length
    python -m benchmarks.training_throughput --size 7b               7B shapes and random weights, on a GPU

All ways train the same projection on the same samples with the same weights, in the same run and in turn:

- the original's way: ViT and Q-Former for every picture of every step, captions padded to the longest of the batch, an
  output layer over all places (`forward` in Vision-CAIR/MiniGPT-4's `minigpt_base.py`, stated anew here in terms of
  transformers; on a GPU under autocast, as there);
- plain: ours, one sample per row; the output layer only where a target stands;
- packed: several samples per row;
- cached: what the Q-Former said was kept, so that no picture is looked at; also packed.

The first losses of all ways must agree, or the comparison is void and the program says so. Reading and decoding files
is in none of them. Texts have the lengths of short web captions in stage 1 (`--mean` tokens of at most 32) and of
descriptions in stage 2 (at most 160), drawn once; `--spread 0` gives all the same. What `packing=auto` chooses for
these lengths is printed, with its estimate beside the measured ratio of packed to plain, both with pictures cached.

The floor is arithmetic: operations that a step needs, padding not counted, divided by what a large matrix product
reaches on this machine in the same run. Of each batch the fastest round counts, because another program on the same
cores is not our cost. Ratios and shares travel to other machines; samples per second do not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core import InquisightError
from core.errors import UsageError
from training.fitting import choose_packing
from training.packing import Words, forwards
from training.recipes import Recipe
from training.runs.progress import measure_peak
from training.stages import StageTask, vision_work

LONGEST = {1: 32, 2: 160}  # target tokens, by stage
MEAN = {1: 14.0, 2: 80.0}
BATCH = {1: 64, 2: 12}  # samples per step: the original's
PROMPT = {1: (1, 0), 2: (6, 24)}  # tokens before and behind the picture
SIZES: dict[str, dict[str, dict[str, int]]] = {
    # vision model and language model in about the proportion of the 7B
    "small": {
        "vision": {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4},
        "qformer": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4},
        "text": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "num_attention_heads": 4,
                 "vocab_size": 4000},
    },
    "7b": {"vision": {}, "qformer": {}, "text": {"vocab_size": 32001}},
    "13b": {"vision": {}, "qformer": {}, "text": {"vocab_size": 32001, "hidden_size": 5120, "num_attention_heads": 40,
                                                  "intermediate_size": 13824, "num_hidden_layers": 40}},
}  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """One step's samples."""

    words: list[Words]
    pixels: Tensor  # (S, 3, 224, 224)
    features: Tensor  # (S, 32, width)


@dataclass(frozen=True)
class Way:
    """One way of doing a step; `step` gives the loss, `work` the operations it needs for a batch."""

    name: str
    step: Callable[[Batch], Tensor]
    work: Callable[[Batch], float]


def build(size: str, device: str, dtype: torch.dtype) -> StageTask:
    """A frozen random model of that size with a projection to train."""
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2QFormerConfig,
        Blip2VisionConfig,
        LlamaConfig,
    )

    sizes = SIZES[size]
    vision = Blip2VisionConfig(**sizes["vision"])
    config = Blip2Config(
        vision_config=vision,
        qformer_config=Blip2QFormerConfig(**sizes["qformer"], encoder_hidden_size=vision.hidden_size),
        text_config=LlamaConfig(**sizes["text"]),
        num_query_tokens=32,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            whole = Blip2ForConditionalGeneration(config).to(dtype).eval().requires_grad_(False)
            whole.query_tokens.data.normal_(std=0.02)
    finally:
        torch.set_default_dtype(before)
    projection, language_model = whole.language_projection.float().requires_grad_(True), whole.language_model
    whole.language_model = whole.language_projection = None
    return StageTask(language_model, projection, whole, pictures=config.num_query_tokens)


def make_batches(task: StageTask, options: argparse.Namespace, device: str) -> list[Batch]:
    """The same every time: caption lengths as of short web captions, random tokens and pictures."""
    generator = torch.Generator().manual_seed(1)
    vocabulary = task.language_model.config.vocab_size
    batches = []
    for _ in range(options.steps):
        spread = torch.randn(options.batch, generator=generator).mul(options.spread).exp()  # log-normal, as texts are
        lengths = (spread * options.mean / spread.mean()).round().long().clamp(3, LONGEST[options.stage]).tolist()

        def draw(length: int) -> tuple[int, ...]:
            return tuple(torch.randint(3, vocabulary, (length,), generator=generator).tolist())

        before, after = PROMPT[options.stage]
        words = [Words(draw(before), draw(after), draw(length)) for length in lengths]
        pixels = torch.randn(options.batch, 3, 224, 224, generator=generator).to(device)
        with torch.no_grad():
            features = torch.cat([task.encode(part) for part in pixels.split(16)])
        batches.append(Batch(words, pixels, features))
    return batches


def the_originals(task: StageTask, device: str, dtype: torch.dtype) -> Callable[[Batch], Tensor]:
    """A step as the original does it, backward included."""

    def step(batch: Batch) -> Tensor:
        longest = max(len(one.after) + len(one.target) for one in batch.words)
        ids = torch.zeros(len(batch.words), longest, dtype=torch.long)
        labels = torch.full((len(batch.words), longest), -100)
        for row, one in enumerate(batch.words):
            start, end = len(one.after), len(one.after) + len(one.target)
            ids[row, :end] = torch.tensor(one.after + one.target)
            labels[row, start:end] = ids[row, start:end]
        first = torch.tensor([one.before for one in batch.words]).to(device)
        seen = torch.arange(longest) < torch.tensor([[len(one.after) + len(one.target)] for one in batch.words])
        ids, labels = ids.to(device), labels.to(device)
        model = task.language_model
        embed = model.get_input_embeddings()
        with torch.autocast(device.partition(":")[0], dtype=dtype, enabled=dtype != torch.float32):
            pictures = task.language_projection(task.encode(batch.pixels).to(torch.float32))
            begin = embed(first)
            embedded = torch.cat([begin, pictures.to(begin.dtype), embed(ids)], dim=1)
            blank = torch.full((len(ids), begin.shape[1] + pictures.shape[1]), -100, device=device)
            mask = torch.cat([torch.ones_like(blank), seen.to(device)], dim=1)
            logits = model(inputs_embeds=embedded, attention_mask=mask, use_cache=False).logits.float()
            targets = torch.cat([blank, labels], dim=1)
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)
        loss.backward()
        return loss.detach()

    return step


def ours(task: StageTask, device: str, size: int, cached: bool, budget: int) -> Callable[[Batch], Tensor]:
    """A step as `training/run.py` does it, backward included."""

    def step(batch: Batch) -> Tensor:
        tokens = sum(len(one.target) for one in batch.words)
        loss = torch.zeros((), device=device)
        for rows in forwards(batch.words, task.pictures, size, budget):
            order = list(rows.order)
            rows = rows.to(device)
            features = batch.features[order] if cached else task.encode(batch.pixels[order])
            total = task(rows, features).sum() / tokens
            total.backward()
            loss += total.detach()
        return loss

    return step


def ways(task: StageTask, options: argparse.Namespace, device: str, dtype: torch.dtype) -> list[Way]:
    """The four of the title."""

    def work(batch: Batch, looked: bool) -> float:
        needed = sum(task.work(rows) for rows in forwards(batch.words, task.pictures, 0, 1 << 40))
        return needed if looked else needed - len(batch.words) * vision_work(task.vision)

    def with_pictures(batch: Batch) -> float:
        return work(batch, True)

    def without(batch: Batch) -> float:
        return work(batch, False)

    pack, budget = options.pack, options.forward_tokens
    return [
        Way("the original's way", the_originals(task, device, dtype), with_pictures),
        Way("plain", ours(task, device, 0, False, budget), with_pictures),
        Way("packed", ours(task, device, pack, False, budget), with_pictures),
        Way("cached", ours(task, device, 0, True, budget), without),
        Way("packed + cached", ours(task, device, pack, True, budget), without),
    ]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds per step of every way, and what they are compared with. Raises InquisightError where losses differ."""
    device = options.device if options.device != "auto" else ("cuda:0" if torch.cuda.is_available() else "cpu")
    if device == "cpu" and options.size != "small":
        raise UsageError(f"--size {options.size} needs a GPU: leave it out for the small model.")
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    task = build(options.size, device, dtype)
    task.learning()
    batches = make_batches(task, options, device)
    optimizer = torch.optim.AdamW(task.language_projection.parameters(), lr=1e-6)
    chosen = ways(task, options, device, dtype)

    def step(way: Way, batch: Batch) -> float:
        begin = time.perf_counter()
        loss = way.step(batch)
        torch.nn.utils.clip_grad_norm_(task.language_projection.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()  # waits for the device
        return time.perf_counter() - begin

    first: dict[str, float] = {}
    for way in chosen:  # nothing is updated here: the same weights for all
        first[way.name] = float(way.step(batches[0]))
        optimizer.zero_grad(set_to_none=True)
    allowed = 1e-4 if dtype == torch.float32 else 2e-2
    expected = first[chosen[0].name]
    if wrong := [name for name, loss in first.items() if abs(loss - expected) > allowed * expected]:
        raise InquisightError(f"the losses differ, so there is nothing to compare: {first} ({', '.join(wrong)}).")
    peaks = [measure_peak(device, str(dtype).removeprefix("torch."))]
    seconds: dict[str, list[list[float]]] = {way.name: [] for way in chosen}
    for _ in range(options.repeats):
        for way in chosen:  # in turn, so that another program on the machine disturbs all alike
            seconds[way.name].append([step(way, batch) for batch in batches])
        peaks.append(measure_peak(device, str(dtype).removeprefix("torch.")))
    peak = max(peaks)
    rows = {}
    for way in chosen:
        each = statistics.mean(min(rounds) for rounds in zip(*seconds[way.name], strict=True))
        needed = statistics.mean(way.work(batch) for batch in batches)
        rows[way.name] = {
            "samples_per_second": options.batch / each,
            "seconds_per_step": each,
            "floor_seconds_per_step": needed / peak,
            "share_of_peak": needed / each / peak,
            "first_loss": first[way.name],
        }
    slowest = rows[chosen[0].name]["samples_per_second"]
    for row in rows.values():
        row["ratio"] = row["samples_per_second"] / slowest
    lengths = [len(one.target) for batch in batches for one in batch.words]
    places = [one.length(task.pictures) for batch in batches for one in batch.words]
    recipe = Recipe(stage=1, steps=1, warmup=0, batch=options.batch, pack_tokens=options.pack,
                    forward_tokens=options.forward_tokens)  # fmt: skip
    return {
        "size": options.size,
        "stage": options.stage,
        "load": os.getloadavg()[0],
        "choice": choose_packing(recipe, lambda: task.work_of(places, recipe, 1)).why["packing"],
        "packed_to_plain": rows["packed + cached"]["seconds_per_step"] / rows["cached"]["seconds_per_step"],
        "device": torch.cuda.get_device_name(device) if device != "cpu" else f"{torch.get_num_threads()} CPU threads",
        "dtype": str(dtype).removeprefix("torch."),
        "batch": options.batch,
        "mean_target_tokens": statistics.mean(lengths),
        "peak_flops": peak,
        "ways": rows,
    }


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"stage {found['stage']}, {found['size']} model, {found['device']}, {found['dtype']}, "
        f"batches of {found['batch']}, "
        f"{found['mean_target_tokens']:.1f} target tokens per sample, measured peak "
        f"{found['peak_flops'] / 1e12:.3g} TFLOP/s",
        "",
        "| way | samples/s | ratio | seconds per step | arithmetic floor | share of the peak |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in found["ways"].items():
        lines.append(
            f"| {name} | {row['samples_per_second']:.3g} | {row['ratio']:.2f} | {row['seconds_per_step']:.3g} | "
            f"{row['floor_seconds_per_step']:.3g} | {row['share_of_peak']:.0%} |"
        )
    lines += ["", f"packed to plain, pictures cached: {found['packed_to_plain']:.2f} of the time"]
    lines += [f"packing=auto chooses: {found['choice']}", f"load of the machine at the end: {found['load']:.1f}"]
    return "\n".join(lines)


def read_options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of `measure`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_throughput", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:0")
    parser.add_argument("--stage", type=int, choices=(1, 2), default=1, help="1: captions, 2: descriptions")
    parser.add_argument("--batch", type=int, help="samples per step [64 in stage 1, 12 in stage 2, as the original]")
    parser.add_argument("--steps", type=int, default=4, help="different batches")
    parser.add_argument("--repeats", type=int, default=3, help="rounds over all variants")
    parser.add_argument("--mean", type=float, help="target tokens of a text [14 in stage 1, 80 in stage 2]")
    parser.add_argument("--spread", type=float, default=0.45, help="deviation of their logarithm; 0: equal lengths")
    parser.add_argument(
        "--pack", type=int, help="length of packed rows [512, stage 2: 1024; small: 128 and 512, for its attention]"
    )
    parser.add_argument("--forward-tokens", type=int, default=8192, help="tokens per forward pass")
    parser.add_argument("--json", action="store_true", help="print all measurements as JSON")
    options = parser.parse_args(argv)
    options.batch = options.batch or BATCH[options.stage]
    options.mean = options.mean or MEAN[options.stage]
    options.pack = options.pack or (
        512 * options.stage if options.size != "small" else 128 if options.stage == 1 else 512
    )
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or one line on standard error and the error's own code."""
    options = read_options(argv)
    try:
        found = measure(options)
    except InquisightError as error:
        print(f"throughput: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(found, indent=1) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
