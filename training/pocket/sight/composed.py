"""Fit the linear head that tells composed scenes from photographs, on the frozen tower.

    python -m training.pocket.sight.composed SOURCES PHOTOGRAPHS RUN

SOURCES and PHOTOGRAPHS are folders filled by training.pocket.sources and training.photographs.fetch. Without this head
pocket takes one photograph in thirty for a composed scene, and names cut-outs that are not there. Each photograph takes
part as it is, as a crop, and behind a scene, so that only the cut-outs make the difference; photographs of the held-out
half are not used. The table shows what `plugins.pocket.modeling.COMPOSED` lets pass, in cross-validation by photograph.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from core.images.picture import Picture, open_picture
from plugins.pocket.backend import PocketBackend
from plugins.pocket.modeling import COMPOSED, FLAT, flipped, pooled
from training.pocket.scenes import Composer, is_on_photograph
from training.pocket.sight.scene_words import rows

SCENES: Final = 500  # of the kind that the detection head was trained on
FIRST, FIRST_BEHIND = 910_000, 2_000_000  # seeds that no other training uses
BATCH: Final = 16
UNDECIDED: Final = (
    0.2  # weight of a picture in which the detection head finds nothing, so that the head decides nothing
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture, the row of the table that counts it, and what it shares with others: they are never separated."""

    image: Path | Image.Image
    row: str
    group: str


def samples(composer: Composer, sources: Path, folder: Path, names: list[str]) -> Iterator[Sample]:
    """All pictures. `composer`: one that leaves backgrounds as they are."""
    seeds = (seed for seed in range(FIRST_BEHIND, 2 * FIRST_BEHIND) if is_on_photograph(seed, held_out=True))
    for name, seed in zip(names, seeds, strict=False):
        path = next(folder.glob(f"{name}.*"))
        composer.backgrounds = [path]
        scene = composer.scene(seed)
        yield Sample(path, "photographs", name)
        yield Sample(composer.crop(random.Random(f"{name} 0"), path), "crops of photographs", name)
        yield from [Sample(scene.image, "scenes on these photographs", name)] if scene.things else []
    trained = Composer(sources)
    for seed in range(FIRST, FIRST + SCENES):
        if (scene := trained.scene(seed)).things:
            yield Sample(scene.image, "scenes as in training", str(seed))


def measured(backend: PocketBackend, pictures: list[Picture]) -> tuple[np.ndarray, np.ndarray]:
    """What the head reads of each picture (N, 3520), and whether the detection head finds known things (N,)."""
    model = backend.engine.model.vision_model
    pixels = backend.pixels(pictures)
    with torch.inference_mode():
        cells = (model.cells(pixels) + flipped(model.cells(pixels.flip(-1)))) / 2
        return pooled(cells).numpy(), (model(pixels).facts[:, 0] % FLAT > 0).numpy()


def fitted(values: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Weight (3520,) and bias of a logistic regression on the standardised values."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(values)
    model = LogisticRegression(C=2e-3, class_weight="balanced", max_iter=500)
    model.fit(scaler.transform(values), truth, sample_weight=weight)
    direction = model.coef_[0] / scaler.scale_
    return direction, float(model.intercept_[0] - direction @ scaler.mean_)


def fit(sources: Path, folder: Path, run: Path) -> None:
    """Write `composed.npz` (weight, bias) to `run`, and print what passes."""
    from sklearn.model_selection import GroupKFold

    backend = PocketBackend()
    vision = backend.engine.model.vision_model
    vision.limits = replace(vision.limits, composed=None)
    halves = {name: half for name, half, *_ in rows("split.tsv")}
    names = [name for name, *_ in rows("scenes.tsv") if halves.get(name) != "held-out"]
    features, found, table, groups = [], [], [], []
    pending = samples(Composer(sources, held_out=True), sources, folder, names)
    while batch := list(islice(pending, BATCH)):
        measures = measured(backend, [open_picture(one.image) for one in batch])
        features.append(measures[0])
        found.append(measures[1])
        table += [one.row for one in batch]
        groups += [one.group for one in batch]
        print(f"features: {len(table)}", flush=True)
    values, held, row = np.concatenate(features), np.concatenate(found), np.array(table)
    truth, weight = np.char.startswith(row, "scenes"), np.where(held, 1.0, UNDECIDED)
    odds = np.zeros(len(truth))
    for train, test in GroupKFold(5).split(values, truth, groups):
        direction, bias = fitted(values[train], truth[train], weight[train])
        odds[test] = 1 / (1 + np.exp(-(values[test] @ direction + bias)))
    print("| | taken for composed scenes without the head | with it |\n|---|---:|---:|")
    for name in dict.fromkeys(table):
        chosen = held & (row == name)
        print(f"| {(row == name).sum()} {name} | {chosen.sum()} | {(chosen & (odds >= COMPOSED)).sum()} |")
    direction, bias = fitted(values, truth, weight)
    run.mkdir(parents=True, exist_ok=True)
    np.savez(run / "composed.npz", weight=direction[None].astype(np.float32), bias=np.array([bias], np.float32))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("photographs", type=Path, help="folder filled by training.photographs.fetch")
    parser.add_argument("run", type=Path, help="folder to write to")
    options = parser.parse_args()
    fit(options.sources, options.photographs, options.run)
