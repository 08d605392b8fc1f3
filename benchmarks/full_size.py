"""Measure MiniGPT-4 in its real sizes with random weights: memory, and speed against the memory bandwidth.

    python -m benchmarks.full_size --size 7b            the memory plan of the 7B; nothing is allocated
    python -m benchmarks.full_size --size 13b --run     writes it to disk (28 GB), loads it, asks it, streams from it

Random numbers answer nonsense, but they load, take memory and time like trained ones. `--run` goes the way a user's
model goes: a directory on disk, opened as `minigpt4:DIRECTORY`. To say a token the language model's weights are read
once, so no more tokens per second are possible than memory bandwidth / bytes of these weights; the bandwidth is
measured in the same run. On a CPU only ratios to that floor are told: its seconds depend on what else runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.parity import minigpt4_recipe as recipe
from core import InquisightError
from core.errors import BackendError, UsageError, printable
from plugins.hf.memory import GB, Memory, free_memory, memory_plan

SIZES: dict[str, dict[str, int]] = {
    "7b": {},
    "13b": {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40},
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },  # for tests
}
WORDS = 32000  # of LLaMA's tokenizer; Vicuna v0 has one token more and the picture's placeholder is another
FEW_WORDS = 700
WAYS = (("float32", "none"), ("bfloat16", "none"), ("bfloat16", "8bit"), ("bfloat16", "4bit"))
GPUS = (8, 12, 16, 24, 40, 80)  # as they are sold, in units of 2**30 bytes; CUDA itself takes some of it
BLOCK = 1 << 24  # random numbers that are made once and used again from other places
TOKENS, QUESTIONS = 32, 16


def configuration(size: str) -> Any:
    """`Blip2Config` with BLIP-2's own ViT and Q-Former and a Llama of this size."""
    from transformers import Blip2Config, Blip2QFormerConfig, Blip2VisionConfig, LlamaConfig

    small = size == "tiny"
    vision = {"hidden_size": 176, "intermediate_size": 256, "num_hidden_layers": 1, "num_attention_heads": 2}
    qformer = {"hidden_size": 128, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    return Blip2Config(
        vision_config=Blip2VisionConfig(**(vision if small else {})),
        qformer_config=Blip2QFormerConfig(**(qformer | {"encoder_hidden_size": 176} if small else {})),
        text_config=LlamaConfig(vocab_size=words_of(size) + 2, pad_token_id=0, **SIZES[size]),
        num_query_tokens=32,
        image_token_index=words_of(size) + 1,
    )


def words_of(size: str) -> int:
    """Words of the tokenizer."""
    return FEW_WORDS if size == "tiny" else WORDS


def shapes_of(config: Any) -> dict[str, tuple[int, ...]]:
    """Of every tensor, from a model that holds none."""
    import torch
    from transformers import Blip2ForConditionalGeneration

    with torch.device("meta"):
        model = Blip2ForConditionalGeneration(config)
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


# --- the plan -------------------------------------------------------------------------------------------------------


def plan(size: str) -> dict[tuple[str, str], Memory]:
    """Bytes by type of numbers and quantisation."""
    config = configuration(size)
    shapes, told = shapes_of(config), config.to_dict()
    return {way: memory_plan(told, shapes, *way) for way in WAYS}


def plan_in_words(size: str) -> str:
    """The plan as Markdown."""
    plans = plan(size)
    names = [dtype if kind == "none" else kind for dtype, kind in WAYS]
    first = plans[WAYS[0]]
    lines = [f"| {size}, GB | parameters | {' | '.join(names)} |", "|---|---:|" + "---:|" * len(WAYS)]
    for part, count in first.parameters.items():
        cells = [f"{memory.weights[part] / GB:.2f}" for memory in plans.values()]
        lines.append(f"| {part} | {count:,} | {' | '.join(cells)} |")
    rows: list[tuple[str, Callable[[Memory], int]]] = [
        ("weights", lambda memory: memory.total_weights),
        (f"keys and values of {first.context} tokens", lambda memory: memory.conversation),
        ("working space, at most", lambda memory: memory.working),
        ("in all, one conversation", lambda memory: memory.needed),
        (
            f"in all, {QUESTIONS} conversations at a time",
            lambda memory: memory.needed + (QUESTIONS - 1) * memory.conversation,
        ),
    ]
    for title, value in rows:
        lines.append(f"| {title} | | {' | '.join(f'{value(memory) / GB:.2f}' for memory in plans.values())} |")
    cells = [f"{memory.per_token / 1e6:.2f}" for memory in plans.values()]
    lines.append(f"| keys and values of one token, MB | | {' | '.join(cells)} |")
    for title, room, cuda in [(f"a GPU of {gb} GB", 0.94 * gb * 2**30, True) for gb in GPUS] + here():
        cells = [
            "needs CUDA" if kind != "none" and not cuda else "yes" if memory.needed <= room else "-"
            for (_, kind), memory in plans.items()
        ]
        lines.append(f"| fits {title} | | {' | '.join(cells)} |")
    return "\n".join(lines)


def here() -> list[tuple[str, float, bool]]:
    """What this machine has free: title, bytes, whether it is a GPU."""
    import torch

    places = [f"cuda:{number}" for number in range(torch.cuda.device_count())] + ["cpu"]
    found = [(place, free_memory(place)) for place in places]
    return [
        (f"this machine's {place} with {free / GB:.1f} GB free", float(free), place != "cpu")
        for place, free in found
        if free is not None
    ]


# --- a directory of random weights ----------------------------------------------------------------------------------


def write_tokenizer(directory: Path, words: int = WORDS) -> None:
    """LLaMA's kind of tokenizer: `words` tokens, most of them fillers, Vicuna's `[PAD]`, the picture's placeholder."""
    from plugins.minigpt4.convert import tokens

    source = directory / "tokenizer-source"
    source.mkdir(parents=True)
    variant = recipe.VARIANTS[0]
    (source / "tokenizer.model").write_bytes(recipe.sentencepiece_model(words))
    for name, content in recipe.tokenizer_files(variant, words).items():
        (source / name).write_text(json.dumps(content))
    made = tokens.prepare(source, "random", words + 1, "vicuna")
    made.save(directory, tokens.chat_template("vicuna", 32, made.joint))
    shutil.rmtree(source)


def write_random(config: Any, directory: Path, dtype: str, tell: Callable[[str], None], words: int = WORDS) -> None:
    """`config`'s model with random numbers, as `minigpt4:` opens it. Raises BackendError where there is no room."""
    import torch

    from plugins.minigpt4.convert import writing
    from plugins.minigpt4.convert.pieces import TensorPiece

    kind = getattr(torch, dtype)
    block = (torch.randn(BLOCK, generator=torch.Generator().manual_seed(0)) * 0.02).to(kind)

    def make(name: str, shape: tuple[int, ...]) -> torch.Tensor:
        if len(shape) == 1:
            return torch.full(shape, float("norm" in name.lower() and name.endswith("weight")), dtype=kind)
        count = torch.Size(shape).numel()
        numbers = block.roll(-(zlib.crc32(name.encode()) % BLOCK))
        return numbers.repeat(-(-count // BLOCK))[:count].view(shape)

    pieces = []
    for name, shape in shapes_of(config).items():
        pieces.append(TensorPiece(name, shape, kind, partial(make, name, shape), None))
    shards = writing.into_shards(pieces)
    writing.check_space(directory, shards)
    directory.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        tell(f"writing {shard.name}, {shard.bytes / GB:.1f} GB")
        writing.write_shard(directory / shard.name, shard.pieces, lambda _: None)
    if len(shards) > 1:
        writing.write_json(directory / "model.safetensors.index.json", writing.index_of(shards))
    config.save_pretrained(directory)
    write_tokenizer(directory, words)


# --- running it -----------------------------------------------------------------------------------------------------


def bandwidth(device: str, size: int) -> float:
    """Bytes per second of a matrix-vector product, which is what saying a token is; the best of several."""
    import torch

    kind = torch.bfloat16 if device.startswith("cuda") else torch.float32
    matrix = torch.ones(size // kind.itemsize >> 12, 1 << 12, dtype=kind, device=device)
    vector = torch.ones(matrix.shape[1], dtype=matrix.dtype, device=device)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        (matrix @ vector)[0].item()  # .item() waits for a GPU
        best = min(best, time.perf_counter() - start)
    return float(matrix.nbytes / best)


def run(directory: Path, device: str, dtype: str, tell: Callable[[str], None], tokens: int = TOKENS) -> str:
    """Load, look, answer, stream, answer many; the report as Markdown. Raises InquisightError."""
    import torch

    from core.testing import make_picture
    from plugins.hf.generation import GREEDY
    from plugins.minigpt4.runtime.backend import MiniGPT4Backend
    from plugins.minigpt4.runtime.conversation import PromptTurns
    from plugins.minigpt4.runtime.loading import LoadOptions

    tell("loading")
    start = time.perf_counter()
    backend = MiniGPT4Backend(str(directory), options=LoadOptions(device=device, dtype=dtype))  # type: ignore[arg-type]
    loading = time.perf_counter() - start
    told, engine = backend.describe(), backend.engine
    gpu = told["device"].startswith("cuda")
    tell(f"{told['dtype']} on {told['device']} ({told['why']}); {told['memory']}")
    long = replace(GREEDY, max_new_tokens=tokens, min_length=tokens)
    [seen] = backend.encode([make_picture()])[0].data  # the first of everything is slow
    looking = _best(lambda: engine.encode(torch.zeros(1, 3, 224, 224)))
    talk = PromptTurns().ask(seen, "What is in this image?")
    tell("answering")
    first = engine.answer([talk], long)[0]
    if first.output_tokens != tokens:
        raise BackendError(f"{tokens} tokens were wanted, {first.output_tokens} came")
    stamps: list[float] = []
    engine.forget()
    start = time.perf_counter()
    pieces = []
    for piece in engine.stream(talk, long):
        stamps.append(time.perf_counter() - start)
        pieces.append(piece)
    total = time.perf_counter() - start
    if "".join(pieces) != first.text:
        raise BackendError("what was streamed is not what was answered")
    one = (total - stamps[0]) / max(tokens - 1, 1)
    tell(f"{QUESTIONS} questions at a time")
    engine.forget()
    questions = [PromptTurns().ask(seen, f"Is there a cat or {number} dogs?") for number in range(QUESTIONS)]
    start = time.perf_counter()
    said = sum(answer.output_tokens or 0 for answer in engine.answer(questions, long))
    batch = (time.perf_counter() - start) / said
    tell("measuring the memory's bandwidth")
    weights = sum(p.nbytes for name, p in engine.language_model.named_parameters() if "embed_tokens" not in name)
    speed = bandwidth(told["device"], min(weights, 1 << 30))  # 1 GB is far more than caches hold
    floor = weights / speed
    rows = [
        ("a token takes, in floors", f"{one / floor:.2f}"),
        (f"a token of {QUESTIONS} answers at a time, in floors", f"{batch / floor:.2f}"),
        ("tokens of the prompt", str(first.input_tokens)),
        ("the first piece of an answer takes, in floors", f"{stamps[0] / floor:.1f}"),
        ("encoding a picture takes, in floors", f"{looking / floor:.1f}"),
    ]
    if gpu:
        peak = torch.cuda.max_memory_allocated(told["device"])
        rows = [
            ("loading, s", f"{loading:.1f}"),
            ("memory at its peak, GB", f"{peak / GB:.2f}"),
            ("bandwidth measured, GB/s", f"{speed / GB:.0f}"),
            ("tokens/s at most (bandwidth / weights)", f"{1 / floor:.1f}"),
            ("tokens/s, one answer", f"{1 / one:.1f}"),
            (f"tokens/s, {QUESTIONS} answers at a time", f"{1 / batch:.1f}"),
            ("first piece of an answer, s", f"{stamps[0]:.3f}"),
            ("encoding a picture, s", f"{looking:.4f}"),
            *rows,
        ]
    else:
        import psutil

        rows.insert(0, ("memory of the process, GB", f"{psutil.Process().memory_info().rss / GB:.2f}"))
    backend.close()
    name = torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads"
    lines = [f"| {told['dtype']} on {name} | |", "|---|---:|", *(f"| {title} | {value} |" for title, value in rows)]
    return "\n".join(
        [*lines, "", "A floor is the language model's bytes / the bandwidth. Answered and streamed the same."]
    )


def _best(work: Callable[[], object], times: int = 3) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or one line on standard error and the error's own code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.full_size", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", choices=tuple(SIZES), default="7b")
    parser.add_argument("--run", action="store_true", help="write, load and run the model (always with a GPU)")
    parser.add_argument("--device", default="auto", help="as in minigpt4:DIRECTORY?device=")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "float16", "bfloat16"))
    parser.add_argument("--directory", type=Path, help="folder of the random model; an existing one is reused")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens per answer")
    options = parser.parse_args(argv)
    try:
        if options.tokens < 2:
            raise UsageError("--tokens must be 2 or more.")
        print(plan_in_words(options.size), flush=True)
        import torch

        if options.run or torch.cuda.is_available():
            print(f"\n{_run(options)}")
    except InquisightError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _run(options: argparse.Namespace) -> str:
    def tell(text: str) -> None:
        print(f"{text} ...", file=sys.stderr, flush=True)

    with ExitStack() as stack:
        if options.directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model"
        else:
            directory = options.directory.expanduser()
        if not (directory / "tokenizer_config.json").is_file():
            if directory.exists() and any(directory.iterdir()):
                raise UsageError(f"--directory {printable(directory)} holds something else: name an empty one.")
            stored = options.dtype if options.dtype != "auto" else "bfloat16"
            write_random(configuration(options.size), directory, stored, tell, words_of(options.size))
        return run(directory, options.device, options.dtype, tell, options.tokens)


if __name__ == "__main__":
    sys.exit(main())
