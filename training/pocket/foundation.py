"""Foundation of pocket's sight: train the neck on composed scenes, then write what the frozen eye says of each picture.

    python -m training.pocket.foundation FEATURES        (folder written by training.pocket.features)

The truth of a composed scene is known for every cell: which cut-out covers it and where that cut-out's centre is.
Photographs teach the neck what "nothing I know" looks like.
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

from plugins.pocket.colours import COLOURS
from plugins.pocket.modeling import CELLS, EYE_DIM, FACTS, Eye, Limits, Neck, Seen
from plugins.pocket.tower import GRID
from training.pocket.features import released_tower
from training.pocket.sources import TABLE

# Where held-out scenes gain most and photographs lose least.
LIMITS = Limits(peak=0.3, named=(0.15, 0.15), sure=(0.5, 0.5), mirror=True)
COVERED, TOUCHED = 0.35, 0.10
SPREAD = 0.6  # of a centre's peak, in cells


def known_names() -> list[tuple[str, str]]:
    """(name, kind) of everything the neck can tell apart, in the order of its classes."""
    rows = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return sorted({(row[1], row[2]) for row in {row[1]: row for row in rows}.values()})


def read_truth(folder: Path, split: str) -> list[dict[str, Any]]:
    """One truth per picture."""
    return [json.loads(line) for line in (folder / f"{split}-truth.jsonl").read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True, slots=True)
class Targets:
    """What the neck should say of the cells of N pictures."""

    classes: Any  # (N, 81) -100 where undecided
    colours: Any  # (N, 81) -100 where nothing is to be said
    centres: Any  # (N, 81) 0..1
    geometry: Any  # (N, 81, 4) NaN where nothing is to be said

    def rows(self, rows: np.ndarray, device: str) -> Targets:
        """These pictures', as tensors."""
        return Targets(*(torch.from_numpy(getattr(self, name)[rows]).to(device) for name in self.__slots__))

    @classmethod
    def joined(cls, parts: list[Targets]) -> Targets:
        """Of one picture each, as of N."""
        return cls(*(np.stack([getattr(part, name) for part in parts]) for name in cls.__slots__))


def targets(truth: dict[str, Any], coverage: np.ndarray, index: dict[str, int]) -> Targets:
    """Of one picture; coverage (81, things)."""
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
        told = mine | (peak > 0.4)  # a ring has nothing where its centre is
        width, height = (np.full(told.sum(), math.log(side)) for side in (x1 - x0, y1 - y0))
        geometry[told] = np.stack([across[told], down[told], width, height], -1)
    return Targets(classes, colours, np.where(peaks > 0.05, peaks, 0).astype(np.float32), geometry)


def batches(folder: Path, split: str, number: int, size: int) -> Any:
    stores = [np.load(folder / f"{split}-{name}.npy", mmap_mode="r") for name in ("cells", "rgb")]
    for start in range(0, number, size):
        yield (torch.from_numpy(np.array(store[start : start + size])) for store in stores)


def train_neck(folder: Path, epochs: int, size: int = 64) -> Neck:
    """Train on everything but the last 300 pictures' worth of random rows, which measure it."""
    names = known_names()
    index = {name: i for i, (name, _) in enumerate(names)}
    truths = read_truth(folder, "train")
    cells, rgb = (np.load(folder / f"train-{name}.npy", mmap_mode="r") for name in ("cells", "rgb"))
    coverage = np.load(folder / "train-coverage.npy").astype(np.float32)
    wanted = Targets.joined([targets(truth, coverage[i], index) for i, truth in enumerate(truths)])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(42)
    neck = Neck(len(names)).to(device)
    order = np.random.default_rng(42).permutation(len(truths))
    measure, rest = np.sort(order[:384]), order[384:]
    steps = epochs * (len(rest) // size)
    optimizer = torch.optim.AdamW(neck.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.05)
    began, step = time.time(), 0
    for epoch in range(epochs):
        shuffled = np.random.default_rng(epoch).permutation(rest)
        for start in range(0, len(rest) // size * size, size):
            rows = np.sort(shuffled[start : start + size])
            loss, _ = loss_of(neck, cells, rgb, wanted, rows, device)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(neck.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % 100 == 0:
                print(f"neck: step {step} of {steps}, loss {loss.item():.3f}, {time.time() - began:.0f} s", flush=True)
        neck.eval()
        with torch.inference_mode():
            loss, seen = loss_of(neck, cells, rgb, wanted, measure, device)
        said, truth = seen.logits.argmax(-1).cpu(), torch.from_numpy(wanted.classes[measure])
        thing = (truth >= 0) & (truth <= len(names))
        empty = truth == len(names) + 1
        print(
            f"neck: epoch {epoch + 1}, loss {loss.item():.3f}, "
            f"cells of things right {(said == truth)[thing].float().mean():.3f}, "
            f"empty cells right {(said == truth)[empty].float().mean():.4f}",
            flush=True,
        )
        neck.train()
        save_file({key: value.contiguous() for key, value in neck.state_dict().items()}, folder / "neck.safetensors")
    return neck.eval().cpu()


def loss_of(neck: Neck, cells: Any, rgb: Any, wanted: Targets, rows: np.ndarray, device: str) -> tuple[Tensor, Seen]:
    """Cross-entropy over the cells' things and colours, plus the errors of the centres and sizes."""
    x, colours = (torch.from_numpy(np.asarray(store[rows])).float().to(device) for store in (cells, rgb))
    if neck.training:
        # channels left out and cells a little stronger or weaker: the same thing never looks the same twice
        x = x * (1 + 0.05 * torch.randn_like(x[..., :1])) * (torch.rand_like(x[:, :1]) > 0.15)
        colours = colours + 0.02 * torch.randn_like(colours[:, :1])
    target = wanted.rows(rows, device)
    with torch.autocast(device, torch.bfloat16):
        seen = neck.look(x, colours)
    loss = F.cross_entropy(
        seen.logits.float().flatten(0, 1), target.classes.flatten(), ignore_index=-100, label_smoothing=0.02
    )
    loss = loss + 8 * F.binary_cross_entropy_with_logits(seen.centre.float(), target.centres)
    told = ~target.geometry[..., 0].isnan()
    if told.any():
        loss = loss + 2 * F.smooth_l1_loss(seen.geometry.float()[told], target.geometry[told], beta=0.1)
    if (target.colours >= 0).any():
        loss = loss + 0.3 * F.cross_entropy(
            seen.colour.float().flatten(0, 1), target.colours.flatten(), ignore_index=-100
        )
    return loss, seen


def write_eye(folder: Path, split: str, neck: Neck) -> None:
    """`{split}-eye.npy` (N, 81, EYE_DIM) float16 and `{split}-facts.npy` (N, FACTS).

    That is all that the later stages need of a picture.
    """
    from training.pocket.vocabulary import fill_class_tables

    truths = read_truth(folder, split)
    eye = Eye(neck.known, LIMITS).eval()
    eye.tower, eye.neck = released_tower(), neck
    fill_class_tables(eye)
    tokens = np.zeros((len(truths), CELLS, EYE_DIM), np.float16)
    facts = np.zeros((len(truths), FACTS), np.int64)
    with torch.inference_mode():
        for number, (cells, rgb) in enumerate(batches(folder, split, len(truths), 128)):
            rows = slice(number * 128, number * 128 + len(cells))
            seen = neck.look(cells.float(), rgb.float())
            flat = torch.tensor([not t["things"] and t["background"] in ("plain", "two") for t in truths[rows]])
            said, seen = eye.judge(cells.float(), rgb.float(), seen, *coarse_shares(rgb.float()), flat)
            tokens[rows] = neck.tokens(seen, rgb.float()).half().numpy()
            facts[rows] = said.numpy()
    np.save(folder / f"{split}-eye.npy", tokens)
    np.save(folder / f"{split}-facts.npy", facts)
    print(f"{split}: the eye's list of things is right in {recognised(truths, facts)}")


def recognised(truths: list[dict[str, Any]], facts: np.ndarray) -> dict[str, float]:
    """How often the eye's list names, places and colours a composed scene's things rightly, and has their number."""
    names = ["", *(name for name, _ in known_names()), ""]
    counts, named, placed, coloured, empty = [], [], [], [], []
    for truth, row in zip(truths, facts, strict=True):
        listed = [entry for entry in row[12:].reshape(-1, 3) if entry[0]]
        if truth["background"] == "photograph":
            empty.append(not listed)
            continue
        if truth["things"] or truth["background"] != "photo":  # nobody knows how many things a bare photograph shows
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
    """Colour shares from the 18x18 quarter cells, (B, 11) whole and middle: the pixels themselves are not kept."""
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
    parser.add_argument(
        "--split", choices=("train", "held-out"), help="only write what the trained neck says of this split"
    )
    arguments = parser.parse_args()
    if arguments.split:
        head = Neck(len(known_names())).eval()
        head.load_state_dict(load_file(arguments.folder / "neck.safetensors"))
    else:
        head = train_neck(arguments.folder, arguments.epochs)
    write_eye(arguments.folder, arguments.split or "train", head)
