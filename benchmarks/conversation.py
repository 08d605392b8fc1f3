"""Measure what caching saves in a conversation, against the original implementations with the same weights.

    python -m benchmarks.conversation                           about ten minutes on two quiet CPU cores
    python -m benchmarks.conversation --repeats 1 --size tiny   whether it works, in seconds

Three tasks, each held two ways in alternating order:

- a conversation of several turns: MiniGPT-4's demo encodes the picture at its upload and sends the whole prompt
  through the language model each turn (`answer_prepare`, `model_generate` in `conversation.py`); we read what is new.
- questions about one picture that are known beforehand: ChatCaptioner's way is one call per question and one for the
  plain caption, each with an encode, batch of 1; we encode once and ask all in one batch with a common prefix.
- the same as an interview, where a question is known only after the answer before: calls one after another for both.

The originals' way is `generate` of transformers on the same model: its loop keeps keys and values within an answer, and
nothing beyond it. Both ways must say the same, or the program says that they do not. Numbers are random; the sizes keep
the proportions of the 7B (a picture costs the language model's work for about 40 tokens). Told are ratios: of times
(median and range of paired repeats), of floating-point operations as PyTorch counts them, and each way's time in
floors: the operations divided by what a large matrix product reaches here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.first_caption import counted, peak
from benchmarks.full_size import words_of, write_tokenizer
from core import InquisightError
from core.errors import UsageError

ORIGINAL, OURS = "the originals' way", "ours"
CAPTION = "Write one short sentence that says what this image shows."
ASKED = (
    "What is in this image?",
    "Why is it there?",
    "Which of the two is red?",
    "Is there a dog on the green one?",
    "What words are in the image?",
    "Are there two cats?",
    "Is it the same image?",
    "What is the dog able to see?",
    "Say it in two words.",
    "What will be there once it is not red?",
)
# vision width and layers, language width, layers and MLP, Q-Former width and layers
SIZES = {"small": (352, 6, 768, 8, 2048, 192, 4), "tiny": (176, 1, 64, 2, 128, 128, 2)}


@dataclass(frozen=True, slots=True)
class Task:
    """The same work two ways; each gives what was said."""

    title: str
    ways: dict[str, Callable[[], list[str]]]


def make_engine(size: str, seed: int = 0) -> Any:
    """Random weights in `minigpt4`'s engine."""
    import torch
    from transformers import (
        AutoTokenizer,
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2QFormerConfig,
        Blip2VisionConfig,
        LlamaConfig,
    )

    from plugins.minigpt4.runtime.engine import Engine

    see, see_layers, talk, talk_layers, mlp, query, query_layers = SIZES[size]
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=see, intermediate_size=int(4.3637 * see), num_hidden_layers=see_layers,
            num_attention_heads=see // 88,
        ),
        qformer_config=Blip2QFormerConfig(
            hidden_size=query, intermediate_size=4 * query, num_hidden_layers=query_layers,
            num_attention_heads=query // 64, encoder_hidden_size=see,
        ),
        text_config=LlamaConfig(
            vocab_size=words_of(size) + 2, hidden_size=talk, intermediate_size=mlp, num_hidden_layers=talk_layers,
            num_attention_heads=talk // 64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        ),
        num_query_tokens=32,
        image_token_index=words_of(size) + 1,
    )  # fmt: skip
    torch.manual_seed(seed)
    # without gradients at all, or PyTorch's counter of operations looks for them
    model = Blip2ForConditionalGeneration(config).eval().requires_grad_(False)
    with torch.no_grad():
        model.query_tokens.normal_()
        # spread the logits, so that greedy decoding does not hang on the last bit of a sum
        model.language_model.lm_head.weight.normal_(std=0.3)
        model.language_model.get_input_embeddings().weight.normal_(std=0.5)
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder) / "t", words_of(size))
        tokenizer = AutoTokenizer.from_pretrained(Path(folder) / "t", local_files_only=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Engine(model.to(device), tokenizer)


def tasks(engine: Any, turns: int, tokens: int) -> list[Task]:
    """What is measured, on one picture."""
    import torch

    from plugins.hf.generation import GREEDY, StreamDecoder
    from plugins.minigpt4.runtime.conversation import ImageTokens, PromptTurns

    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1)).to(engine.embed.weight.device)
    # every answer has the same length, whatever random numbers would say
    options = replace(GREEDY, max_new_tokens=tokens, min_length=tokens)

    def look() -> Any:
        return ImageTokens("picture", engine.encode(pixels)[0])

    def say(talk: PromptTurns) -> str:
        """The whole prompt through the language model, by transformers."""
        row = engine.rows.row(talk, tokens)
        with torch.inference_mode():
            prompt = engine._embed(row, 0, len(row.keys))[None]
        ids = engine.language_model.generate(
            inputs_embeds=prompt,
            attention_mask=torch.ones(1, len(row.keys), dtype=torch.long, device=pixels.device),
            do_sample=False,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            eos_token_id=engine.eos_token_ids,
            suppress_tokens=engine.suppress_tokens,
            pad_token_id=0,
        )
        decoder = StreamDecoder(engine.tokenizer, engine.format.stops)
        pieces = [decoder.feed(token) for token in ids[0].tolist()]
        return "".join(pieces) + decoder.close()

    def hold(seen: Any, count: int, answer: Callable[[PromptTurns], str], *, again: bool = False) -> list[str]:
        """One conversation; `again` encodes the picture once more at each later turn."""
        talk, said = PromptTurns(), []
        for number, question in enumerate(ASKED[:count]):
            if again and number:
                seen = look()
            talk = talk.ask(*((seen,) if number == 0 else ()), question)
            said.append(answer(talk))
            talk = talk.answered(said[-1])
        return said

    def kept(talk: PromptTurns) -> str:
        text: str = engine.answer([talk], options)[0].text
        return text

    def fresh(work: Callable[[], list[str]]) -> Callable[[], list[str]]:
        def run() -> list[str]:
            engine.forget()
            return work()

        return run

    def batch() -> list[str]:
        seen = look()
        talks = [PromptTurns().ask(seen, question) for question in (CAPTION, *ASKED)]
        return [answer.text for answer in engine.answer(talks, options)]

    def interview(answer: Callable[[PromptTurns], str], *, again: bool) -> list[str]:
        seen = look()
        said = [answer(PromptTurns().ask(seen, CAPTION))]
        return said + hold(look() if again else seen, len(ASKED), answer, again=again)

    return [
        Task(
            f"a conversation of {turns} turns",
            {ORIGINAL: lambda: hold(look(), turns, say), OURS: fresh(lambda: hold(look(), turns, kept))},
        ),
        Task(
            f"{len(ASKED)} questions known beforehand, and a caption",
            {
                ORIGINAL: lambda: [say(PromptTurns().ask(look(), question)) for question in (CAPTION, *ASKED)],
                OURS: fresh(batch),
            },
        ),
        Task(
            f"an interview of {len(ASKED)} questions, and a caption",
            {
                ORIGINAL: lambda: interview(say, again=True),
                OURS: fresh(lambda: interview(kept, again=False)),
            },
        ),
    ]


def measure(engine: Any, work: Sequence[Task], repeats: int) -> str:
    """The report as Markdown."""
    lines = [
        "| | times slower: the originals' way | range | operations | in floors: the originals' way | ours |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    same, encodes = True, []
    best = 0.0
    for task in work:
        flop, said, looked = {}, {}, {}
        for way, go in task.ways.items():
            print(f"{task.title}: counting, {way} ...", file=sys.stderr, flush=True)
            before = engine.counts.pictures
            with counted() as operations:
                said[way] = go()
            flop[way], looked[way] = operations[0], engine.counts.pictures - before
        same &= said[ORIGINAL] == said[OURS]
        encodes.append(f"{looked[ORIGINAL]} and {looked[OURS]}")
        seconds: dict[str, list[float]] = {way: [] for way in task.ways}
        for repeat in range(repeats):
            print(f"{task.title}: {repeat + 1} of {repeats} ...", file=sys.stderr, flush=True)
            for way in (ORIGINAL, OURS) if repeat % 2 == 0 else (OURS, ORIGINAL):
                start = time.perf_counter()
                task.ways[way]()
                seconds[way].append(time.perf_counter() - start)
        best = max(best, peak())
        ratios = sorted(a / b for a, b in zip(seconds[ORIGINAL], seconds[OURS], strict=True))
        floors = [statistics.median(seconds[way]) / (flop[way] / best) for way in (ORIGINAL, OURS)]
        lines.append(
            f"| {task.title} | {statistics.median(ratios):.2f} | {ratios[0]:.2f}-{ratios[-1]:.2f} "
            f"| {flop[ORIGINAL] / flop[OURS]:.2f} | {floors[0]:.1f} | {floors[1]:.1f} |"
        )
    lines += ["", f"Encodes, the originals' way and ours: {'; '.join(encodes)}. {repeats} repeats."]
    lines.append("Both ways said the same." if same else "THE ANSWERS DIFFER: do not compare these columns.")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, or one line on standard error and the error's own code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conversation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--turns", type=int, default=6, help=f"turns of the conversation, at most {len(ASKED)}")
    parser.add_argument("--tokens", type=int, default=24, help="tokens per answer")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(argv)
    try:
        if not 1 <= options.turns <= len(ASKED):
            raise UsageError(f"--turns must be 1 to {len(ASKED)}.")
        if options.tokens < 1 or options.repeats < 1:
            raise UsageError("--tokens and --repeats must be 1 or more.")
        engine = make_engine(options.size)
        print(measure(engine, tasks(engine, options.turns, options.tokens), options.repeats))
    except InquisightError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
