"""The two stages of pocket, on features that the frozen vision model computed once.

    python -m training.pocket.train FEATURES RUN --stage 1  (short captions, "Question: ... Answer: ...")
    python -m training.pocket.train FEATURES RUN --stage 2  (long descriptions and chat)

Unlike for the 7B, there is no pretrained Q-Former or Vicuna of this size, so both train together with the linear layer;
the vision model stays frozen. Several questions about one picture share its tokens in one sequence: each attends to the
picture and to itself only. An interrupted run resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Blip2Config, Blip2QFormerConfig, Blip2VisionConfig, LlamaConfig, PreTrainedTokenizerFast

from core.errors import UsageError
from core.files.atomic import replacing
from plugins.pocket.engine import SHORT_CAPTION
from plugins.pocket.modeling import CELL_DIM, HINT_TOKENS
from plugins.pocket.transformers_model import PocketForConditionalGeneration
from training.pocket.foundation import LIMITS, known_names, read_truth
from training.pocket.photo_questions import PhotoQuestions
from training.pocket.questions import CONTINUE, Pair
from training.pocket.recognition import as_recognised, without_list
from training.pocket.scene_questions import SceneQuestions
from training.pocket.vocabulary import IMAGE, corpus, fill_hint_tables, hints, imagenet, train_tokenizer

QUERIES = 16
IGNORE = -100
CHECKPOINT = 100  # steps


@dataclass(frozen=True, slots=True)
class PocketRecipe:
    """The hyperparameters of a run."""

    steps: int
    batch: int = 20  # pictures per step
    questions: int = 8  # per picture
    lr: float = 1e-3
    lr_end: float = 5e-5
    warmup: int = 150
    weight_decay: float = 0.05
    photographs: float = 0.35  # share of photographs among the pictures
    invented_hints: float = 0.6  # share of photographs that get the hints of a random class
    strangers: float = 0.2  # share of photographs with an invented stranger in the list of things
    chains: float = 0.3  # stage 2: share of segments that hold two turns
    withheld: float = 0.15  # share of scenes without the list of things, so that the Q-Former learns to name them
    length: int = 248  # tokens per picture; questions that do not fit are dropped
    seed: int = 42


RECIPES = {1: PocketRecipe(1600), 2: PocketRecipe(3000, lr=7e-4, lr_end=2e-5, warmup=50)}


def build(tokenizer: PreTrainedTokenizerFast, names: list[tuple[str, str]]) -> PocketForConditionalGeneration:
    """A fresh model around this vocabulary: 16 queries, 3 Q-Former layers and 4 Llama layers of width 256."""
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    qformer = Blip2QFormerConfig(
        vocab_size=8,
        hidden_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=768,
        cross_attention_frequency=1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=8,
    )
    vision = Blip2VisionConfig(
        hidden_size=CELL_DIM,
        intermediate_size=1,
        num_hidden_layers=0,
        num_attention_heads=1,
        image_size=260,
        patch_size=29,
    )
    config = Blip2Config(
        vision_config=vision,
        qformer_config=qformer,
        text_config=text,
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
    )
    config.pocket_known = len(names)
    config.pocket_names = [name for name, _ in names]
    config.pocket_limits = asdict(LIMITS)
    model = PocketForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens, std=0.5)
    fill_hint_tables(model, tokenizer)
    matching_heads(model)
    return model


@torch.no_grad()
def matching_heads(model: PocketForConditionalGeneration, strength: float = 1.7) -> None:
    """Initialise one attention head in each of the first two layers to attend to similar tokens.

    A name in a question then finds the same name among the hints from the first step on, which takes longest to learn
    from a random start (compare Trockman & Kolter 2023, https://arxiv.org/abs/2305.09828: attention initialised as
    multiples of the identity). Only low-frequency rotary dimensions are used, so that distance hardly matters.
    """
    text = model.config.text_config
    size = text.hidden_size // text.num_attention_heads
    half = size // 2
    slow = [*range(half * 9 // 16, half)]
    slow += [half + i for i in slow]
    for layer in model.language_model.model.layers[:2]:
        attention = layer.self_attn
        basis = torch.linalg.qr(torch.randn(text.hidden_size, text.hidden_size))[0]
        for projection in (attention.q_proj, attention.k_proj):
            projection.weight[:size] *= 0.1
            projection.weight[slow] = strength * basis[: len(slow)]
        attention.v_proj.weight[:size] = basis[-size:]
        attention.o_proj.weight[:, :size] = 0.1 * basis[-size:].T


class Pictures:
    """Cached features and facts of pictures with their truth; draws training samples."""

    def __init__(self, folder: Path, split: str, names: list[tuple[str, str]]) -> None:
        self.truths = read_truth(folder, split)
        self.features = np.load(folder / f"{split}-features.npy")
        self.facts = np.load(folder / f"{split}-facts.npy")
        self.names = names
        self.classes = imagenet()
        self.others = [phrase.split(" ", 1)[1] for phrase, _, _ in self.classes]
        photo = [truth["background"] == "photograph" for truth in self.truths]
        self.photographs = [i for i, is_photo in enumerate(photo) if is_photo]
        # a background photograph without objects is a photograph, too
        bare = [not truth["things"] and truth["background"] == "photo" for truth in self.truths]
        self.photographs += [i for i, is_bare in enumerate(bare) if is_bare]
        words = [name for name, _ in names]
        scenes = [i for i, is_photo in enumerate(photo) if not is_photo and not bare[i]]
        self.seen = {i: seen for i in scenes if (seen := as_recognised(self.truths[i], self.facts[i].tolist(), words))}
        self.scenes = list(self.seen)

    def invented(self, rng: random.Random, facts: list[int]) -> list[int]:
        """Hints of a random class that the picture does not show, so that every class is learned."""
        confidence = rng.choices((0, 1, 2), (25, 30, 45))[0]
        index = rng.randrange(len(self.classes))
        grouped = bool(self.classes[index][1]) and (confidence == 2 or rng.random() < 0.4)
        setting = rng.choices((0, 1, 2), (50, 20, 30))[0]
        palette = rng.sample(range(1, 12), rng.randint(1, 3))
        middle = rng.sample(range(1, 12), rng.randint(1, 2))
        column, row = rng.randrange(3), rng.randrange(3)
        colours = [*palette, *[0] * (3 - len(palette)), *middle, *[0] * (2 - len(middle))]
        return [facts[0], confidence, index, int(grouped), column, row, setting, *colours, *facts[12:]]

    def draw(self, rng: random.Random, recipe: PocketRecipe, *, chat: bool) -> tuple[int, list[int], list[Pair]]:
        """(row, facts, question-answer pairs)."""
        if rng.random() < recipe.photographs:
            row = rng.choice(self.photographs)
            facts = self.facts[row].tolist()
            if rng.random() < recipe.invented_hints:
                facts = self.invented(rng, facts)
            if rng.random() < recipe.strangers and facts[0] == 0:
                facts[12:15] = [len(self.names) + 1, rng.randrange(9), rng.randint(1, 11)]
            return (
                row,
                facts,
                PhotoQuestions(hints(facts), self.names, self.others).pairs(rng, recipe.questions, chat=chat),
            )
        row = rng.choice(self.scenes)
        facts = self.facts[row].tolist()
        if rng.random() < recipe.withheld:
            facts = without_list(facts)
        return row, facts, SceneQuestions(self.seen[row], self.names).pairs(rng, recipe.questions, chat=chat)


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """Sequences of B pictures; `image` marks the positions of the picture's tokens."""

    ids: Tensor  # (B, L)
    image: Tensor  # (B, L) bool
    labels: Tensor  # (B, L), shifted; IGNORE where there is no target
    positions: Tensor  # (B, L)
    mask: Tensor  # (B, 1, L, L) bool


def collate(
    tokenizer: Any, samples: list[list[Pair]], rng: random.Random, *, chat: bool, chains: float, length: int
) -> SequenceBatch:
    """A prefix with the picture, then segments that attend to the prefix and to themselves only."""
    length_image = QUERIES + HINT_TOKENS
    prefix_text = ("###Human: <Img>", "</Img>") if chat else ("<s>", "")
    before, after = (tokenizer(text, add_special_tokens=False).input_ids for text in prefix_text)
    prefix = [*before, *[tokenizer.pad_token_id] * length_image, *after]
    texts: list[str] = []
    layouts: list[list[list[int]]] = []  # per picture: segments as indices into `texts`: prompt, answer, prompt, ...
    for pairs in samples:
        segments: list[list[int]] = []
        for number, (question, answer, kind) in enumerate(pairs):
            if chat:
                prompt, target = f" {question or SHORT_CAPTION} ###Assistant:", f" {answer}###"
            elif question is None:
                prompt, target = "", f" {answer}\n"
            else:
                prompt, target = f" Question: {question} Answer:", f" {answer}\n"
            chained = chat and (
                (kind == CONTINUE and segments) or number > 1 and len(segments[-1]) == 2 and rng.random() < chains
            )
            if chained:
                prompt = f"Human:{prompt}"
            else:
                segments.append([])
            segments[-1] += [len(texts), len(texts) + 1]
            texts += [prompt, target]
        layouts.append(segments)
    encoded = tokenizer(texts, add_special_tokens=False).input_ids
    rows = []
    for segments in layouts:
        size = len(prefix)
        ids, labels, positions, owner = list(prefix), [IGNORE] * size, list(range(size)), [0] * size
        for number, segment in enumerate(segments, start=1):
            start = len(ids)
            if start + sum(len(encoded[text]) for text in segment) > length:
                continue
            for order, text in enumerate(segment):
                piece = encoded[text]
                ids += piece
                labels += piece if order % 2 else [IGNORE] * len(piece)
            positions += range(len(prefix), len(prefix) + len(ids) - start)
            owner += [number] * (len(ids) - start)
        rows.append((ids, labels, positions, owner))

    # a fixed length, so that a compiled step is compiled once
    def padded(index: int, value: int) -> Tensor:
        return torch.tensor([row[index] + [value] * (length - len(row[index])) for row in rows])

    ids, labels, positions, owner_of = padded(0, tokenizer.pad_token_id), padded(1, IGNORE), padded(2, 0), padded(3, -1)
    shifted = torch.full_like(labels, IGNORE)
    shifted[:, :-1] = labels[:, 1:]
    # The first token of a caption without a prompt is predicted from the prefix's last token. Only the first segment
    # can use that position; a later caption learns from its second token on.
    for row, segments in enumerate(layouts):
        first = len(prefix)
        if not encoded[segments[0][0]]:
            shifted[row, first - 1] = ids[row, first]
    # ... and never from the end of another segment
    crossing = torch.zeros_like(labels, dtype=torch.bool)
    crossing[:, :-1] = (owner_of[:, 1:] != owner_of[:, :-1]) & (owner_of[:, :-1] != 0)
    shifted[crossing] = IGNORE
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    same = (owner_of[:, :, None] == owner_of[:, None, :]) | (owner_of[:, None, :] == 0)
    mask = causal[None] & same | torch.eye(length, dtype=torch.bool)[None]
    image = torch.zeros_like(ids, dtype=torch.bool)
    image[:, len(before) : len(before) + length_image] = True
    return SequenceBatch(ids, image, shifted, positions, mask[:, None])


def loss_of(model: PocketForConditionalGeneration, features: Tensor, facts: Tensor, batch: SequenceBatch) -> Tensor:
    """Cross-entropy of the answers' tokens; logits are computed only where there is a target."""
    language = model.language_model
    embeds = language.get_input_embeddings()(batch.ids)
    tokens = model.image_tokens(features, facts)
    embeds = embeds.masked_scatter(batch.image[..., None], tokens.to(embeds.dtype))
    hidden = language.model(
        inputs_embeds=embeds, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    targets = batch.labels != IGNORE
    return F.cross_entropy(language.lm_head(hidden[targets]).float(), batch.labels[targets])


def rate(recipe: PocketRecipe, step: int) -> float:
    """Linear warm-up, then cosine."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    share = (step - recipe.warmup) / max(recipe.steps - recipe.warmup, 1)
    return recipe.lr_end + (recipe.lr - recipe.lr_end) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all."""
    with replacing(path, UsageError, part=f"{path.stem}.partial") as file:
        torch.save(state, file)


def train(
    folder: Path, run: Path, stage: int, recipe: PocketRecipe, *, compiled: bool = False, begin_from: Path | None = None
) -> None:
    """Train one stage and write its weights to `stage{N}.pt`.

    `begin_from`: initial weights, by default those of stage 1 for stage 2.
    """
    run.mkdir(parents=True, exist_ok=True)
    names = known_names()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer_path = run / "tokenizer"
    if not tokenizer_path.exists():
        train_tokenizer(corpus(read_truth(folder, "train"), names)).save_pretrained(tokenizer_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_path)
    torch.manual_seed(recipe.seed)
    model = build(tokenizer, names)
    model.vision_model.tower = torch.nn.Identity()
    earlier = begin_from or (run / "stage1.pt" if stage == 2 else None)
    if earlier:
        model.load_state_dict(torch.load(earlier, weights_only=True), strict=False)
    model.to(device).train()
    if compiled:
        language = model.language_model.model
        language.forward = torch.compile(language.forward, dynamic=False)
    pictures = Pictures(folder, "train", names)
    trained = [p for n, p in model.named_parameters() if not n.startswith("vision_model")]

    def loss_at(rng: random.Random) -> Tensor:
        drawn = [pictures.draw(rng, recipe, chat=stage == 2) for _ in range(recipe.batch)]
        pairs = [pairs for _, _, pairs in drawn]
        batch = collate(tokenizer, pairs, rng, chat=stage == 2, chains=recipe.chains, length=recipe.length)
        features = torch.from_numpy(pictures.features[[row for row, _, _ in drawn]]).float().to(device)
        facts = torch.tensor([facts for _, facts, _ in drawn], device=device)
        batch = SequenceBatch(*(getattr(batch, name).to(device) for name in SequenceBatch.__dataclass_fields__))
        with torch.autocast(device, torch.bfloat16):
            return loss_of(model, features, facts, batch)

    def restore(state: dict[str, Tensor]) -> None:
        model.load_state_dict(state, strict=False)

    run_steps(run, stage, recipe, trained, loss_at, lambda: trained_state(model), restore)


def run_steps(
    run: Path,
    stage: int,
    recipe: PocketRecipe,
    trained: list[Any],
    loss_at: Callable[[random.Random], Tensor],
    state_of: Callable[[], dict[str, Tensor]],
    restore: Callable[[dict[str, Tensor]], object],
) -> None:
    """Train the parameters `trained`; write `stage{N}.pt`, a log and checkpoints to `run`, and resume from the last.

    `loss_at` draws a batch with its generator and returns the loss. Raises SystemExit for a loss that is not finite.
    """
    decay = [p for p in trained if p.ndim > 1]
    plain = [p for p in trained if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.lr,
        betas=(0.9, 0.98),
    )
    checkpoint, begin, seconds = run / f"stage{stage}-checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        restore(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        begin, seconds = state["step"], state["seconds"]
        print(f"stage {stage}: resumes at step {begin}", flush=True)
    began = time.time()
    with (run / f"stage{stage}.jsonl").open("a", encoding="utf-8") as log:
        for step in range(begin, recipe.steps):
            for group in optimizer.param_groups:
                group["lr"] = rate(recipe, step)
            loss = loss_at(random.Random(f"{recipe.seed} {stage} {step}"))  # so that an interruption changes no sample
            if not torch.isfinite(loss):
                raise SystemExit(f"stage {stage}: the loss is {loss.item()} at step {step}; try a lower --lr")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            spent = seconds + time.time() - began
            entry = {"step": step, "loss": round(loss.item(), 4), "lr": rate(recipe, step), "seconds": round(spent, 1)}
            log.write(json.dumps(entry) + "\n")
            if step % 20 == 19:
                log.flush()
                left = (time.time() - began) / (step + 1 - begin) * (recipe.steps - step - 1)
                done = f"step {step + 1} of {recipe.steps}, loss {loss.item():.3f}"
                print(f"stage {stage}: {done}, {left / 60:.0f} min left", flush=True)
            if (step + 1) % CHECKPOINT == 0:
                state = {"model": state_of(), "optimizer": optimizer.state_dict()}
                save_atomically({**state, "step": step + 1, "seconds": spent}, checkpoint)
    save_atomically(state_of(), run / f"stage{stage}.pt")


def trained_state(model: PocketForConditionalGeneration) -> dict[str, Tensor]:
    """All weights but those of the frozen vision model."""
    return {name: value for name, value in model.state_dict().items() if not name.startswith("vision_model.")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder written by training.pocket.features and .foundation")
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--stage", type=int, choices=(1, 2), required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--seed", type=int, help="seed of samples and initial weights")
    parser.add_argument("--begin", type=Path, metavar="FILE", help="initial weights; the tokenizer is that of RUN")
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile the language model (needs a C++ compiler; 1.3x faster)"
    )
    options = parser.parse_args()
    changes = {key: value for key in ("steps", "lr", "seed") if (value := getattr(options, key)) is not None}
    chosen = replace(RECIPES[options.stage], **changes)
    train(options.folder, options.run, options.stage, chosen, compiled=options.compile, begin_from=options.begin)
