"""Measure on a GPU what a CPU cannot tell: training with 7B shapes, and decoding at batch 1 and 32 in 16, 8 and 4 bit.

    python -m benchmarks.gpu                  a table; "not measured" for what this machine cannot do
    python -m benchmarks.gpu --size small     the same code with a small model, on a CPU as well

Weights are random: they take memory and time like trained ones. Training: `benchmarks.training_throughput`, stage 1,
with the share of what a large matrix product reaches in bfloat16 on this machine in the same run. Decoding: seconds per
token after a prompt of 64 tokens, beside the floor of batch 1: every weight of the language model is read once a token.
8 and 4 bit need the package bitsandbytes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import torch

from benchmarks import training_throughput as training
from core.errors import InquisightError

BATCHES: Final = (1, 32)
BITS: Final = (16, 8, 4)
PROMPT: Final = 64
TRAINING: tuple[str, ...] = ()  # options of `benchmarks.training_throughput`
NONE: Final = "not measured"


def train(size: str, device: str) -> dict[str, Any]:
    """Samples per second and share of the peak of stage 1, cached features, packed."""
    found = training.measure(training.read_options(["--size", size, "--device", device, *TRAINING]))
    row = found["ways"]["packed + cached"]
    return {
        "peak TFLOP/s": found["peak_flops"] / 1e12,
        "samples/s": row["samples_per_second"],
        "share of the peak": row["share_of_peak"],
    }


@torch.inference_mode()  # type: ignore[untyped-decorator]
def decode(model: Any, batch: int, tokens: int, device: str) -> float:
    """Seconds per token of greedy decoding, `batch` rows at a time; the prompt is not counted."""
    from transformers import DynamicCache

    ids = torch.randint(3, model.config.vocab_size, (batch, PROMPT), device=device)
    cache = DynamicCache()
    ids = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1:].argmax(-1)
    model(input_ids=ids, past_key_values=cache, use_cache=True)  # the first step chooses kernels
    _wait(device)
    begin = time.perf_counter()
    for _ in range(tokens):
        ids = model(input_ids=ids, past_key_values=cache, use_cache=True).logits[:, -1:].argmax(-1)
    _wait(device)
    return (time.perf_counter() - begin) / tokens


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def quantised(model: Any, bits: int) -> Any | None:
    """The model with 8 or 4 bit layers; None without bitsandbytes or a GPU."""
    if bits == 16:
        return model
    if importlib.util.find_spec("bitsandbytes") is None or not torch.cuda.is_available():
        return None
    import bitsandbytes as bnb
    from torch import nn

    for name, module in list(model.named_modules()):
        for child, layer in list(module.named_children()):
            if not isinstance(layer, nn.Linear) or child == "lm_head":
                continue
            made: Any
            if bits == 8:
                made = bnb.nn.Linear8bitLt(layer.in_features, layer.out_features, bias=False, has_fp16_weights=False)
                made.weight = bnb.nn.Int8Params(layer.weight.data.half().cpu(), requires_grad=False)
            else:
                made = bnb.nn.Linear4bit(layer.in_features, layer.out_features, bias=False, quant_type="nf4")
                made.weight = bnb.nn.Params4bit(layer.weight.data.cpu(), requires_grad=False, quant_type="nf4")
            setattr(model.get_submodule(name) if name else model, child, made.to("cuda:0"))
    return model


def measure(size: str, tokens: int) -> dict[str, Any]:
    """All figures; None for what this machine cannot do."""
    cuda = torch.cuda.is_available()
    if not cuda and size != "small":
        return {"device": "no GPU", "training": None, "decoding": {}}
    device = "cuda:0" if cuda else "cpu"
    found: dict[str, Any] = {"device": torch.cuda.get_device_name(0) if cuda else "CPU", "size": size}
    found["training"] = train(size, device)
    found["decoding"] = {}
    for bits in BITS:
        dtype = torch.bfloat16 if cuda else torch.float32
        model = quantised(training.build(size, device, dtype).language_model.eval(), bits)
        if model is None:
            continue
        rows = {str(batch): 1 / decode(model, batch, tokens, device) for batch in BATCHES}
        weights = sum(value.nbytes for value in model.parameters())
        found["decoding"][str(bits)] = {"GB of weights": weights / 1e9, "steps/s": rows}
        del model
        if cuda:
            torch.cuda.empty_cache()
    return found


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    trained = found["training"]
    lines = [f"device: {found['device']}", "", "| figure | value |", "|---|---:|"]
    for name in ("peak TFLOP/s", "samples/s", "share of the peak"):
        lines.append(f"| stage 1, {name} | {f'{trained[name]:.3g}' if trained else NONE} |")
    for bits in BITS:
        row = found["decoding"].get(str(bits))
        for batch in BATCHES:
            value = f"{batch * row['steps/s'][str(batch)]:.3g}" if row else NONE
            lines.append(f"| decoding, {bits} bit, batch {batch}, tokens/s | {value} |")
        lines.append(f"| weights, {bits} bit, GB | {format(row['GB of weights'], '.3g') if row else NONE} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(training.SIZES), default="7b", help="shapes of the model [7b]")
    parser.add_argument("--tokens", type=int, default=64, help="number of decoded tokens per measurement [64]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    try:
        found = measure(options.size, options.tokens)
    except InquisightError as error:
        print(f"inquisight: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(found, indent=1) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
