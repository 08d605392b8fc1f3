"""Train pocket's detection head on composed scenes, then compute the frozen vision features of each picture.

    python -m training.pocket.foundation FEATURES        (folder written by training.pocket.features)
    python -m training.pocket.foundation FEATURES --begin OLD/detection-head.safetensors --more MORE --steps 1500

The truth of a composed scene is known for every cell: which cut-out covers it and where that cut-out's centre is.
Photographs are examples of the class "background".
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.datasets.text_lines import split_lines
from plugins.imagenet.tower import GRID
from plugins.pocket.colours import COLOURS
from plugins.pocket.modeling import CELL_DIM, CELLS, FACTS, CellOutputs, CertaintyLimits, DetectionHead, PocketVision
from training.pocket.features import released_tower
from training.pocket.sources import TABLE

# Where held-out scenes gain most and photographs lose least.
LIMITS = CertaintyLimits(peak=0.3, named=(0.15, 0.15), sure=(0.5, 0.5), mirror=True, asked=0.1)
HEAD = "detection-head.safetensors"
COVERED, TOUCHED = 0.35, 0.10
SPREAD = 0.6  # of a centre's peak, in cells
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def known_names() -> list[tuple[str, str]]:
    """(name, kind) of every class of the detection head, in order."""
    rows = [line.split("\t") for line in split_lines(TABLE.read_text(encoding="utf-8")) if not line.startswith("#")]
    return sorted({(row[1], row[2]) for row in {row[1]: row for row in rows}.values()})


def read_truth(folder: Path, split: str) -> list[dict[str, Any]]:
    """One truth per picture."""
    return [json.loads(line) for line in split_lines((folder / f"{split}-truth.jsonl").read_text(encoding="utf-8"))]


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of the detection head for the cells of N pictures."""

    classes: Any  # (N, 81) -100 where undecided
    colours: Any  # (N, 81) -100 where there is no target
    centres: Any  # (N, 81) 0..1
    geometry: Any  # (N, 81, 4) NaN where there is no target

    @classmethod
    def rows(cls, parts: list[tuple[Targets, np.ndarray]], device: torch.device) -> Targets:
        """The targets of some rows of each part, as tensors."""
        picked = (np.concatenate([getattr(part, name)[rows] for part, rows in parts]) for name in cls.__slots__)
        return cls(*(torch.from_numpy(values).to(device) for values in picked))

    @classmethod
    def joined(cls, parts: list[Targets]) -> Targets:
        """Stack the targets of single pictures."""
        return cls(*(np.stack([getattr(part, name) for part in parts]) for name in cls.__slots__))


def targets(truth: dict[str, Any], coverage: np.ndarray, index: dict[str, int]) -> Targets:
    """The targets of one picture; coverage (81, things)."""
    known = len(index)
    classes, colours = np.full(CELLS, known + 1), np.full(CELLS, -100)
    geometry, peaks = np.full((CELLS, 4), np.nan, np.float32), np.zeros(CELLS, np.float32)
    things = truth["things"][: coverage.shape[1]]
    centres = (np.arange(GRID) + 0.5) / GRID
    xs, ys = np.tile(centres, GRID), np.repeat(centres, GRID)
    for cover in coverage.T[: len(things)]:
        classes[(cover >= TOUCHED) & (classes == known + 1)] = -100
    for number, thing in enumerate(things):
        cover = coverage[:, number]
        least = min(COVERED, max(float(cover.max()) * 0.8, TOUCHED))
        mine = (cover >= least) & (cover >= coverage.max(1))
        classes[mine] = index.get(thing["name"], known)
        colours[mine] = COLOURS.index(thing["colours"][0])
        x0, y0, x1, y1 = thing["box"]
        across, down = (x0 + x1) / 2 - xs, (y0 + y1) / 2 - ys
        peak = np.exp(-(across**2 + down**2) / (2 * (SPREAD / GRID) ** 2))
        peaks = np.maximum(peaks, peak)
        placed = mine | (peak > 0.4)  # a ring does not cover its centre
        width, height = (np.full(placed.sum(), math.log(side)) for side in (x1 - x0, y1 - y0))
        geometry[placed] = np.stack([across[placed], down[placed], width, height], -1)
    return Targets(classes, colours, np.where(peaks > 0.05, peaks, 0).astype(np.float32), geometry)


def batches(folder: Path, split: str, number: int, size: int) -> Any:
    stores = [np.load(folder / f"{split}-{name}.npy", mmap_mode="r") for name in ("cells", "rgb")]
    for start in range(0, number, size):
        yield (torch.from_numpy(np.array(store[start : start + size])) for store in stores)


@dataclass(frozen=True, slots=True)
class Examples:
    """The tower features of the pictures of one folder, and the targets of the detection head."""

    cells: np.ndarray  # (N, 81, 1760) float16, on disk
    rgb: np.ndarray  # (N, 81, 12) float16, on disk
    targets: Targets

    @classmethod
    def read(cls, folder: Path, index: dict[str, int]) -> Examples:
        """The examples of the training split."""
        cells, rgb = (np.load(folder / f"train-{name}.npy", mmap_mode="r") for name in ("cells", "rgb"))
        coverage = np.load(folder / "train-coverage.npy").astype(np.float32)
        parts = [targets(truth, coverage[i], index) for i, truth in enumerate(read_truth(folder, "train"))]
        return cls(cells, rgb, Targets.joined(parts))

    def __len__(self) -> int:
        return len(self.targets.classes)


Batch = list[tuple[Examples, np.ndarray]]  # rows of each


def train_head(folder: Path, epochs: int, size: int = 64) -> DetectionHead:
    """Train on all rows but 384 random ones, which are used to measure."""
    names = known_names()
    examples = Examples.read(folder, {name: i for i, (name, _) in enumerate(names)})
    measure, rest = parted(examples)
    torch.manual_seed(42)
    head = DetectionHead(len(names)).to(DEVICE)
    steps = epochs * (len(rest) // size)
    learner = HeadTrainer(head, steps, lr=2e-3, weight_decay=0.02, warm_up=0.05)
    for epoch in range(epochs):
        shuffled = np.random.default_rng(epoch).permutation(rest)
        for start in range(0, len(rest) // size * size, size):
            learner.step([(examples, np.sort(shuffled[start : start + size]))])
        print(f"head: epoch {epoch + 1}, {measured(head, examples, measure)}", flush=True)
        save_head(head, folder)
    return head.eval().cpu()


def continue_head(begin: Path, folder: Path, more: Path, steps: int, lr: float, size: int = 64) -> DetectionHead:
    """Continue the training of a head with pictures of two folders, half of each batch from either; written to `more`.

    The class embeddings stay frozen, so a language model that was trained with `begin` remains compatible.
    """
    names = known_names()
    index = {name: i for i, (name, _) in enumerate(names)}
    old, new = Examples.read(folder, index), Examples.read(more, index)
    measure, rest = parted(old)
    measure_new, rest_new = parted(new)
    torch.manual_seed(42)
    head = DetectionHead(len(names))
    head.load_state_dict(load_file(begin))
    head.to(DEVICE).classes.requires_grad_(False)
    learner = HeadTrainer(head, steps, lr=lr, weight_decay=0.05, warm_up=0.1)
    rng = np.random.default_rng(42)
    for step in range(1, steps + 1):
        rows, rows_new = (np.sort(rng.choice(some, size // 2, replace=False)) for some in (rest, rest_new))
        learner.step([(old, rows), (new, rows_new)])
        if step % 500 == 0 or step == steps:
            print(f"head: {measured(head, old, measure)}; new: {measured(head, new, measure_new)}", flush=True)
            save_head(head, more)
    return head.eval().cpu()


class HeadTrainer:
    """A detection head, its optimizer and its schedule."""

    def __init__(self, head: DetectionHead, steps: int, *, lr: float, weight_decay: float, warm_up: float) -> None:
        self.head, self.steps, self.done = head.train(), steps, 0
        self.parameters = [weight for weight in head.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, lr, total_steps=steps, pct_start=warm_up)
        self.began = time.time()

    def step(self, batch: Batch) -> None:
        """Train on one batch."""
        self.head.train()
        loss, _ = loss_of(self.head, batch)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.done += 1
        if self.done % 100 == 0:
            seconds = time.time() - self.began
            print(f"head: step {self.done} of {self.steps}, loss {loss.item():.3f}, {seconds:.0f} s", flush=True)


def parted(examples: Examples, measure: int = 384) -> tuple[np.ndarray, np.ndarray]:
    """(rows to measure with, rows to train on); at most a tenth is used to measure."""
    order = np.random.default_rng(42).permutation(len(examples))
    measure = min(measure, len(order) // 10)
    return np.sort(order[:measure]), order[measure:]


def measured(head: DetectionHead, examples: Examples, rows: np.ndarray) -> str:
    """Loss and accuracy on rows that were not trained on."""
    head.eval()
    with torch.inference_mode():
        loss, seen = loss_of(head, [(examples, rows)])
    said, truth = seen.logits.argmax(-1).cpu(), torch.from_numpy(examples.targets.classes[rows])
    thing, empty = (truth >= 0) & (truth <= head.known), truth == head.known + 1
    return (
        f"loss {loss.item():.3f}, cells of things right {(said == truth)[thing].float().mean():.3f}, "
        f"empty cells right {(said == truth)[empty].float().mean():.4f}"
    )


def save_head(head: DetectionHead, folder: Path) -> None:
    """Write the weights."""
    save_file({key: value.contiguous() for key, value in head.state_dict().items()}, folder / HEAD)


def loss_of(head: DetectionHead, batch: Batch) -> tuple[Tensor, CellOutputs]:
    """Cross-entropy over the cells' things and colours, plus the errors of the centres and sizes."""
    device = head.positions.device
    x, colours = (
        torch.from_numpy(np.concatenate([getattr(examples, name)[rows] for examples, rows in batch])).float().to(device)
        for name in ("cells", "rgb")
    )
    if head.training:
        # augmentation: dropped channels, and cells a little stronger or weaker
        x = x * (1 + 0.05 * torch.randn_like(x[..., :1])) * (torch.rand_like(x[:, :1]) > 0.15)
        colours = colours + 0.02 * torch.randn_like(colours[:, :1])
    target = Targets.rows([(examples.targets, rows) for examples, rows in batch], device)
    with torch.autocast(device.type, torch.bfloat16):
        seen = head.detect(x, colours)
    loss = F.cross_entropy(
        seen.logits.float().flatten(0, 1), target.classes.flatten(), ignore_index=-100, label_smoothing=0.02
    )
    loss = loss + 8 * F.binary_cross_entropy_with_logits(seen.centre.float(), target.centres)
    placed = ~target.geometry[..., 0].isnan()
    if placed.any():
        loss = loss + 2 * F.smooth_l1_loss(seen.geometry.float()[placed], target.geometry[placed], beta=0.1)
    if (target.colours >= 0).any():
        loss = loss + 0.3 * F.cross_entropy(
            seen.colour.float().flatten(0, 1), target.colours.flatten(), ignore_index=-100
        )
    return loss, seen


def write_features(folder: Path, split: str, head: DetectionHead) -> None:
    """Write `{split}-features.npy` (N, 81, CELL_DIM) float16 and `{split}-facts.npy` (N, FACTS).

    The later stages need nothing else of a picture.
    """
    from training.pocket.vocabulary import fill_class_tables

    truths = read_truth(folder, split)
    vision = PocketVision(head.known, LIMITS).eval()
    vision.tower, vision.neck = released_tower(), head
    fill_class_tables(vision)
    tokens = np.zeros((len(truths), CELLS, CELL_DIM), np.float16)
    facts = np.zeros((len(truths), FACTS), np.int64)
    with torch.inference_mode():
        for number, (cells, rgb) in enumerate(batches(folder, split, len(truths), 128)):
            rows = slice(number * 128, number * 128 + len(cells))
            seen = head.detect(cells.float(), rgb.float())
            flat = torch.tensor([not t["things"] and t["background"] in ("plain", "two") for t in truths[rows]])
            said, seen = vision.judge(cells.float(), rgb.float(), seen, *coarse_shares(rgb.float()), flat)
            tokens[rows] = head.tokens(seen, rgb.float()).half().numpy()
            facts[rows] = said.numpy()
    np.save(folder / f"{split}-features.npy", tokens)
    np.save(folder / f"{split}-facts.npy", facts)
    print(f"{split}: accuracy of the list of things: {recognised(truths, facts)}")


def recognised(truths: list[dict[str, Any]], facts: np.ndarray) -> dict[str, float]:
    """Accuracy of the list of things in composed scenes: names, places, colours, and their number."""
    names = ["", *(name for name, _ in known_names()), ""]
    counts, named, placed, coloured, empty = [], [], [], [], []
    for truth, row in zip(truths, facts, strict=True):
        listed = [entry for entry in row[12:].reshape(-1, 3) if entry[0]]
        if truth["background"] == "photograph":
            empty.append(not listed)
            continue
        if truth["things"] or truth["background"] != "photo":  # the number of things in a bare photograph is unknown
            counts.append(len(listed) == len(truth["things"]))
        for thing in truth["things"]:
            if not thing["name"]:
                continue
            same = [entry for entry in listed if names[entry[0]] == thing["name"]]
            named.append(bool(same))
            if same:
                _, place, colour = same[0]
                words = ("left", "middle", "right")[place % 3], ("top", "centre", "bottom")[place // 3]
                placed.append(words == (thing["column"], thing["row"]))
                coloured.append(COLOURS[colour - 1] == thing["colours"][0])
    figures = {"count": counts, "name": named, "place of the named": placed, "colour of the named": coloured}
    figures["nothing on a photograph"] = empty
    return {name: round(float(np.mean(values)), 3) for name, values in figures.items()}


def coarse_shares(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Colour shares from the 18x18 quarter cells, (B, 11) of the whole picture and of its middle."""
    from plugins.pocket.colours import table

    quarters = rgb.unflatten(2, (3, 4)).permute(0, 1, 3, 2)  # (B, 81, 4, 3)
    steps = (quarters * 31.999).long().clamp(0, 31)
    named = F.one_hot(torch.from_numpy(table())[steps[..., 0], steps[..., 1], steps[..., 2]], len(COLOURS)).float()
    centre = [row * GRID + column for row in (3, 4, 5) for column in (3, 4, 5)]
    return named.mean((1, 2)), named[:, centre].mean((1, 2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder written by training.pocket.features")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--begin", type=Path, help="continue from these weights, with --more")
    parser.add_argument("--more", type=Path, help="another such folder, half of each batch; output folder")
    parser.add_argument("--steps", type=int, default=1500, help="with --begin")
    parser.add_argument("--lr", type=float, default=5e-4, help="with --begin")
    parser.add_argument(
        "--split", choices=("train", "held-out"), help="only compute the features of this split with the trained head"
    )
    arguments = parser.parse_args()
    if (arguments.begin is None) != (arguments.more is None):
        parser.error("--begin and --more go together")
    if arguments.begin is not None:
        continue_head(arguments.begin, arguments.folder, arguments.more, arguments.steps, arguments.lr)
    else:
        if arguments.split:
            head = DetectionHead(len(known_names())).eval()
            head.load_state_dict(load_file(arguments.folder / HEAD))
        else:
            head = train_head(arguments.folder, arguments.epochs)
        write_features(arguments.folder, arguments.split or "train", head)
