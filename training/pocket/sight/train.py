"""The third stage of pocket: its language model learns to speak of what is made out in photographs.

    python -m training.pocket.sight.train ENCODED RUN          (ENCODED: written by training.pocket.sight.encoded)

Samples are symbols (training.pocket.sight.samples) beside composed scenes, whose abilities must stay. Only the language
model is trained; the vision model and the Q-Former stay as they are. Several questions share a picture in one sequence.
An interrupted run resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import AddedToken
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from plugins.pocket.asked import Vocabulary
from plugins.pocket.backend import MODEL
from plugins.pocket.engine import SHORT_CAPTION
from plugins.pocket.modeling import FACTS, HINT_TOKENS
from plugins.pocket.sight import MARKS, entries, tokens_of
from plugins.pocket.sight_tokens import gathered
from plugins.pocket.transformers_model import PocketForConditionalGeneration
from training.pocket.foundation import known_names, read_truth
from training.pocket.photo_questions import PhotoQuestions
from training.pocket.questions import CONTINUE
from training.pocket.recognition import as_recognised, without_list
from training.pocket.scene_questions import SceneQuestions
from training.pocket.sight.questions import Asked, SightQuestions
from training.pocket.sight.rewording import reworded
from training.pocket.sight.samples import random_sight
from training.pocket.sight.scene_words import WORDS
from training.pocket.train import IGNORE, QUERIES, PocketRecipe, run_steps
from training.pocket.vocabulary import hints, imagenet

RECIPE = PocketRecipe(
    3000, batch=16, questions=8, lr=7e-4, lr_end=2e-5, warmup=100, photographs=0.62, length=384, seed=31
)
WITHOUT_SIGHT = 0.1  # share of photographs of which nothing but the classifier's guess is known


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture: the row of its features, its facts, the sight in pieces, and questions."""

    row: int
    facts: list[int]
    pieces: list[str]
    asked: list[Asked]


class Samples:
    """Draws samples: composed scenes with their truth, and sights in symbols on the features of photographs."""

    def __init__(self, folder: Path) -> None:
        self.names = known_names()
        truths = read_truth(folder, "train")
        self.facts = np.load(folder / "train-facts.npy")[: len(truths)]
        bare = [not truth["things"] and truth["background"] in ("photo", "photograph") for truth in truths]
        self.photographs = [i for i, is_bare in enumerate(bare) if is_bare and self.facts[i][0] in (0, 3)]
        words = [name for name, _ in self.names]
        self.seen = {
            i: seen
            for i, truth in enumerate(truths)
            if not bare[i] and (seen := as_recognised(truth, self.facts[i].tolist(), words))
        }
        self.scenes = list(self.seen)
        self.classes = imagenet()
        self.others = sorted({phrase.split(" ", 1)[1] for phrase, _, _ in self.classes})
        self.vocabulary = Vocabulary(WORDS)

    def draw(self, rng: random.Random, recipe: PocketRecipe) -> Sample:
        """One sample."""
        if rng.random() < recipe.photographs:
            row = rng.choice(self.photographs)
            if rng.random() < WITHOUT_SIGHT:
                return self.without_sight(rng, recipe, row)
            facts = nothing_guessed(rng)
            sight = random_sight(rng, self.others)
            palette = hints(facts).palette
            questions = SightQuestions(sight, palette, self.vocabulary, self.others)
            return Sample(row, facts, entries(sight), questions.pairs(rng, recipe.questions))
        row = rng.choice(self.scenes)
        facts = self.facts[row].tolist()
        if rng.random() < recipe.withheld:
            facts = without_list(facts)
        pairs = SceneQuestions(self.seen[row], self.names).pairs(rng, recipe.questions, chat=True)
        asked = [Asked(question and reworded(rng, question), answer, kind) for question, answer, kind in pairs]
        return Sample(row, facts, [], asked)

    def without_sight(self, rng: random.Random, recipe: PocketRecipe, row: int) -> Sample:
        """A photograph of which only the classifier's guess and colours are known."""
        confidence = rng.choices((0, 1, 2), (40, 25, 35))[0]
        index = rng.randrange(len(self.classes))
        grouped = bool(self.classes[index][1]) and (confidence == 2 or rng.random() < 0.4)
        setting = rng.choices((0, 1, 2), (50, 20, 30))[0]
        place = rng.randrange(3), rng.randrange(3)
        facts = [0, confidence, index, int(grouped), *place, setting, *nothing_guessed(rng)[7:]]
        bare = [phrase.split(" ", 1)[1] for phrase, _, _ in self.classes]
        pairs = PhotoQuestions(hints(facts), self.names, bare).pairs(rng, recipe.questions, chat=True)
        return Sample(row, facts, [], [Asked(*pair) for pair in pairs])


def nothing_guessed(rng: random.Random) -> list[int]:
    """The facts of a photograph whose sight holds all names: only colours."""
    palette = rng.sample(range(1, 12), rng.randint(1, 3))
    middle = rng.sample(range(1, 12), rng.randint(1, 2))
    colours = [*palette, *[0] * (3 - len(palette)), *middle, *[0] * (2 - len(middle))]
    return [0, 0, 0, 0, 1, 1, 0, *colours, *[0] * (FACTS - 12)]


@dataclass(frozen=True, slots=True)
class Sequences:
    """Sequences of B pictures; letters as in `training.pocket.train.SequenceBatch`."""

    ids: Tensor  # (B, L)
    pieces: Tensor  # (B, L): number of the entry that a token belongs to, 0 for none
    image: Tensor  # (B, L) bool
    labels: Tensor  # (B, L), shifted
    positions: Tensor  # (B, L)
    mask: Tensor  # (B, 1, L, L) bool


class Collator:
    """Makes sequences of samples: the picture, then segments that attend to the picture and to themselves only."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.pad = tokenizer.pad_token_id
        self.before, self.after = self.ids("###Human: <Img>"), self.ids("</Img>")

    def ids(self, text: str) -> list[int]:
        found: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return found

    def prompt(self, asked: Asked, number: int) -> tuple[list[int], list[int]]:
        """The tokens of the facts and the question, and the entry of each; `number`: entries so far."""
        ids, owner = tokens_of(self.tokenizer, asked.facts)
        text = self.ids(f" {asked.question or SHORT_CAPTION} ###Assistant:")
        return ids + text, [number + 1 + one for one in owner] + [0] * len(text)

    def segments(self, sample: Sample, rng: random.Random, chains: float) -> list[list[Asked]]:
        """Questions that stand alone, and pairs of turns."""
        found: list[list[Asked]] = []
        for asked in sample.asked:
            follows = asked.kind == CONTINUE and found
            if follows or (len(found) > 1 and len(found[-1]) == 1 and rng.random() < chains):
                found[-1].append(asked)
            else:
                found.append([asked])
        return found

    def row(self, sample: Sample, rng: random.Random, recipe: PocketRecipe) -> tuple[list[int], ...]:
        """ids, entries, labels, positions, owners of one picture; and where its image begins."""
        sight, owner = tokens_of(self.tokenizer, sample.pieces)
        ids = [*self.before, *[self.pad] * (QUERIES + HINT_TOKENS), *sight, *self.after]
        start = len(self.before) + QUERIES + HINT_TOKENS
        pieces = [0] * start + [1 + one for one in owner] + [0] * len(self.after)
        prefix = len(ids)
        labels, positions, owners = [IGNORE] * prefix, list(range(prefix)), [0] * prefix
        for number, turns in enumerate(self.segments(sample, rng, recipe.chains), start=1):
            begin = len(ids)
            segment: list[int] = []
            own: list[int] = []
            targets: list[int] = []
            for order, asked in enumerate(turns):
                if order:
                    head = self.ids("Human:")
                    segment, own, targets = segment + head, own + [0] * len(head), targets + [IGNORE] * len(head)
                prompt, entry = self.prompt(asked, max([*pieces, *own]))
                answer = self.ids(f" {asked.answer}###")
                segment += prompt + answer
                own += entry + [0] * len(answer)
                targets += [IGNORE] * len(prompt) + answer
            if begin + len(segment) > recipe.length:
                continue
            ids, pieces, labels = ids + segment, pieces + own, labels + targets
            positions += range(prefix, prefix + len(segment))
            owners += [number] * len(segment)
        return ids, pieces, labels, positions, owners

    def __call__(self, samples: list[Sample], rng: random.Random, recipe: PocketRecipe) -> Sequences:
        rows = [self.row(sample, rng, recipe) for sample in samples]
        length = recipe.length

        def padded(index: int, value: int) -> Tensor:
            return torch.tensor([row[index] + [value] * (length - len(row[index])) for row in rows])

        ids, pieces, labels, positions, owner = (padded(i, v) for i, v in enumerate((self.pad, 0, IGNORE, 0, -1)))
        shifted = torch.full_like(labels, IGNORE)
        shifted[:, :-1] = labels[:, 1:]
        crossing = torch.zeros_like(labels, dtype=torch.bool)
        crossing[:, :-1] = owner[:, 1:] != owner[:, :-1]
        shifted[crossing] = IGNORE
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        same = (owner[:, :, None] == owner[:, None, :]) | (owner[:, None, :] == 0)
        mask = causal[None] & same | torch.eye(length, dtype=torch.bool)[None]
        image = torch.zeros_like(ids, dtype=torch.bool)
        image[:, len(self.before) : len(self.before) + QUERIES + HINT_TOKENS] = True
        return Sequences(ids, pieces, image, shifted, positions, mask[:, None])


def extended(directory: Path = MODEL) -> tuple[PocketForConditionalGeneration, PreTrainedTokenizerFast]:
    """An exported model and its tokenizer, with the marks of sights added to the vocabulary where they are missing."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory)
    model = PocketForConditionalGeneration.from_pretrained(directory, dtype=torch.float32)
    marks = [AddedToken(mark, normalized=False, special=True) for mark in MARKS]
    if tokenizer.add_tokens(marks, special_tokens=True):
        torch.manual_seed(3)
        model.language_model.resize_token_embeddings(len(tokenizer), mean_resizing=True)
        model.config.text_config.vocab_size = len(tokenizer)
    return model, tokenizer


def loss_of(model: PocketForConditionalGeneration, read: Tensor, facts: Tensor, batch: Sequences) -> Tensor:
    """Cross-entropy of the answers' tokens. `read` (B, 16, hidden): the projected queries of each picture."""
    language = model.language_model
    embeds = gathered(language.get_input_embeddings()(batch.ids), batch.pieces)
    hinted = model.hint_embeddings(model.hint_ids(facts))
    tokens = torch.cat([read, hinted.to(read.dtype)], 1)
    embeds = embeds.masked_scatter(batch.image[..., None], tokens.to(embeds.dtype))
    hidden = language.model(
        inputs_embeds=embeds, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    targets = batch.labels != IGNORE
    return F.cross_entropy(language.lm_head(hidden[targets]).float(), batch.labels[targets])


@torch.no_grad()
def projected(model: PocketForConditionalGeneration, folder: Path) -> Tensor:
    """The projected queries of every picture, (N, 16, hidden); computed once, since nothing of them is trained."""
    features = np.load(folder / "train-features.npy", mmap_mode="r")
    found = []
    for start in range(0, len(features), 256):
        cells = torch.from_numpy(np.array(features[start : start + 256])).float()
        found.append(model.language_projection(model.query(model.query_tokens.expand(len(cells), -1, -1), cells)))
    return torch.cat(found)


def train(folder: Path, run: Path, recipe: PocketRecipe, *, begin: Path, compiled: bool = False) -> None:
    """Train the language model and write `stage3.pt` and the tokenizer to `run`."""
    run.mkdir(parents=True, exist_ok=True)
    model, tokenizer = extended(begin)
    tokenizer.save_pretrained(run / "tokenizer")
    model.eval()
    read = projected(model, folder)
    samples, collate = Samples(folder), Collator(tokenizer)
    model.requires_grad_(False)
    model.language_model.requires_grad_(True).train()
    if compiled:
        language = model.language_model.model
        language.forward = torch.compile(language.forward, dynamic=False)
    trained = [weight for weight in model.parameters() if weight.requires_grad]

    def loss_at(rng: random.Random) -> Tensor:
        drawn = [samples.draw(rng, recipe) for _ in range(recipe.batch)]
        facts = torch.tensor([sample.facts for sample in drawn])
        return loss_of(model, read[[sample.row for sample in drawn]], facts, collate(drawn, rng, recipe))

    language_model = model.language_model
    run_steps(run, 3, recipe, trained, loss_at, language_model.state_dict, language_model.load_state_dict)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder written by training.pocket.sight.encoded")
    parser.add_argument("run", type=Path, help="folder of this run")
    parser.add_argument("--begin", type=Path, default=MODEL, help="exported model to begin from")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--compile", action="store_true", help="torch.compile the language model")
    options = parser.parse_args(arguments)
    changes: dict[str, Any] = {
        key: value for key in ("steps", "lr", "seed") if (value := getattr(options, key)) is not None
    }
    train(options.folder, options.run, replace(RECIPE, **changes), begin=options.begin, compiled=options.compile)


if __name__ == "__main__":
    main()
