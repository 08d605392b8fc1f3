"""Make a small BLIP-2 to try `inquisight train blip2` with, and count what a training taught it.

    python -m benchmarks.blip2_small small-blip2                      make the model, about a minute
    inquisight data sample my-pictures --pictures 240
    inquisight train blip2 --model small-blip2 --set data=my-pictures --set lr=1e-3 --set steps=600 --out small-run
    python -m benchmarks.blip2_small small-blip2 --score small-run    count before and after, on new pictures

The model is a BLIP-2 in every respect but its size and its beginning: a vision tower and a Q-Former of random numbers,
and an OPT that learned the sentences of drawn sample pictures, so that it can write them and knows nothing of pictures.
It shows that a training works, not how well BLIP-2 sees.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessorPil,
    OPTConfig,
    PreTrainedTokenizerFast,
)

from core.errors import InquisightError
from core.images.picture import open_picture
from core.vision import VisionBackend, VisualQuestion
from plugins.blip2.backend import Blip2Backend
from training.data.sample_set import write_sample

SIDE: Final = 56  # pixels
QUERIES: Final = 8
WIDTH: Final = 96  # of vision tower and Q-Former
STEPS, BATCH, RATE = 400, 32, 2e-3
NEW: Final = 40  # pictures to count on
_SEED: Final = 99  # of pictures that no training sees
_TEXTS: Final = 300


def make(folder: Path) -> float:
    """Write the model; returns the last loss of its language model, in nats per token."""
    torch.manual_seed(0)
    texts = _texts(_TEXTS, seed=7)
    tokenizer = _tokenizer(texts)
    text_config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        ffn_dim=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        word_embed_proj_dim=128,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer("\n", add_special_tokens=False).input_ids[0],
        dropout=0.0,
    )
    shared = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 4}
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            **shared, num_hidden_layers=1, image_size=SIDE, patch_size=8, initializer_range=0.1
        ),
        qformer_config=Blip2QFormerConfig(**shared, vocab_size=8, num_hidden_layers=2, encoder_hidden_size=WIDTH),
        text_config=text_config,
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config)
    with torch.no_grad():
        model.query_tokens.normal_(std=0.5)
    loss = _teach(model.language_model, tokenizer, texts)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return loss


def _texts(count: int, seed: int) -> list[str]:
    with tempfile.TemporaryDirectory() as temporary:
        files = sorted(write_sample(Path(temporary), count, seed=seed).glob("*.txt"))
        return [file.read_text("utf-8").strip() for file in files]


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with the special tokens of OPT's: `</s>` begins a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<pad>", "</s>", "<image>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="</s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=["<image>"],
    )


def _teach(language_model: Any, tokenizer: Any, texts: list[str]) -> float:
    """Teach the language model the sentences, after noise where the picture's tokens will be."""
    optimizer = torch.optim.AdamW(language_model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    ids = [torch.tensor(tokenizer(f"{text}\n").input_ids) for text in texts]
    embed = language_model.get_input_embeddings()
    loss = torch.zeros(())
    for _ in range(STEPS):
        chosen = [ids[place] for place in torch.randint(len(ids), (BATCH,)).tolist()]
        rows = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True, padding_value=-100)
        noise = torch.randn(BATCH, QUERIES, embed.weight.shape[1]) * embed.weight.detach().std()
        inputs = torch.cat([noise, embed(rows.clamp(min=0))], 1)
        labels = torch.cat([rows.new_full((BATCH, QUERIES + 1), -100), rows[:, 1:]], 1)
        loss = language_model(inputs_embeds=inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return float(loss.detach())


def score(vision: VisionBackend) -> tuple[dict[str, int], str]:
    """Count the captions of new pictures that name colour, thing, background and place right; also the first one."""
    with tempfile.TemporaryDirectory() as temporary:
        files = sorted(write_sample(Path(temporary), NEW, seed=_SEED).glob("*.png"))
        texts = [file.with_suffix(".txt").read_text("utf-8") for file in files]
        images = vision.encode([open_picture(file) for file in files])
        captions = vision.answer([VisualQuestion(image, None) for image in images])
    found = {"background": 0, "place": 0, "colour": 0, "thing": 0}
    for text, caption in zip(texts, captions, strict=True):
        expected, got = _parts(text), _parts(caption)
        for name in found:
            found[name] += name in got and expected[name] == got[name]
    return found, captions[0]


def _parts(text: str) -> dict[str, str]:
    """Return what a caption says, by its part; empty if it is no such caption."""
    first, _, rest = text.strip().partition(" background. ")
    place, _, what = rest.partition(" there is ")
    _, _, shown = what.rstrip(".").partition(" ")
    colour, _, thing = shown.partition(" ")
    if not thing:
        return {}
    return {"background": first.rpartition(" ")[2], "place": place.lower(), "colour": colour, "thing": thing}


def main() -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blip2_small", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="directory of the model")
    parser.add_argument("--score", type=Path, metavar="RUN", help="finished training to count")
    options = parser.parse_args()
    try:
        if options.score is None:
            begun = time.monotonic()
            loss = make(options.folder)
            print(f"{options.folder}: language model at {loss:.3f} nats a token, {time.monotonic() - begun:.0f} s")
            return 0
        for name in (options.folder, options.score):
            found, first = score(Blip2Backend(str(name)))
            counts = ", ".join(f"{part} {count}" for part, count in found.items())
            print(f"{name}, right of {NEW} new pictures: {counts}; the first: {first}")
    except InquisightError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
