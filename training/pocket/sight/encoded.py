"""Compose scenes and keep what the finished vision model makes of them: all that the language model's training needs.

    python -m training.pocket.sight.encoded SOURCES OUT --scenes 8000 --photographs 1500

Writes `OUT/{split}-features.npy` (N, 81, CELL_DIM) float16, `-facts.npy` (N, FACTS) and `-truth.jsonl`, like
`training.pocket.foundation`, from the weights of an exported model instead of those of a new detection head. An
interrupted run resumes.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing as mp
from pathlib import Path

import numpy as np
import torch

from plugins.imagenet.tower import normalise
from plugins.pocket.backend import MODEL
from plugins.pocket.modeling import CELL_DIM, CELLS, FACTS
from plugins.pocket.runtime import PocketModel
from training.pocket.features import BATCH, _make, _start, resume

Job = tuple[str, int]


def encode(sources: Path, out: Path, split: str, jobs: list[Job], model: Path = MODEL, workers: int = 1) -> None:
    """Fill `out` for one split with the pictures of `jobs`."""
    shapes = {"features": (np.float16, (len(jobs), CELLS, CELL_DIM)), "facts": (np.int64, (len(jobs), FACTS))}
    done, lines_path, stores = resume(out, split, shapes)
    vision = PocketModel.load(model).vision_model
    with (
        mp.get_context("spawn").Pool(workers, _start, (str(sources), split != "train")) as pool,
        lines_path.open("a", encoding="utf-8") as lines,
    ):
        made = pool.imap(_make, jobs[done:], chunksize=8)
        while batch := list(itertools.islice(made, BATCH)):
            with torch.inference_mode():
                seen = vision(normalise(torch.from_numpy(np.stack([image for image, *_ in batch]))))
            rows = slice(done, done + len(batch))
            stores["features"][rows], stores["facts"][rows] = seen.cells.half().numpy(), seen.facts.numpy()
            lines.writelines(f"{truth}\n" for *_, truth in batch)
            lines.flush()
            done += len(batch)
            print(f"{split}: {done} of {len(jobs)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--scenes", type=int, default=8000)
    parser.add_argument("--photographs", type=int, default=1500)
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene and of the first photograph")
    parser.add_argument("--model", type=Path, default=MODEL, help="exported model whose vision model is used")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.scenes)
    photographs = range(options.first, options.first + options.photographs)
    encode(
        options.sources,
        options.out,
        options.split,
        [*(("scene", seed) for seed in seeds), *(("photograph", seed) for seed in photographs)],
        options.model,
    )
