"""Fit the linear head that tells composed scenes from photographs, on the frozen tower.

    python -m training.pocket.sight.composed SOURCES PHOTOGRAPHS RUN

SOURCES and PHOTOGRAPHS are folders filled by training.pocket.sources and training.photographs.fetch. Without this head
pocket takes one photograph in thirty for a composed scene, and names cut-outs that are not there. Photographs of the
held-out half are not used. The table shows, in cross-validation, what `plugins.pocket.modeling.COMPOSED` lets pass.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import torch

from core.images.picture import Picture, open_picture
from plugins.imagenet.tower import FEATURES
from plugins.pocket.backend import PocketBackend
from plugins.pocket.modeling import COMPOSED
from training.pocket.scenes import Composer
from training.pocket.sight.scene_words import rows

SCENES: Final = 800
FIRST: Final = 910_000  # seeds that no other training uses
BATCH: Final = 16


def measured(backend: PocketBackend, pictures: list[Picture]) -> tuple[np.ndarray, list[int]]:
    """The tower's mean features (N, 1280), and how sure the detection head is: 0, 1 or 2."""
    model = backend.engine.model.vision_model
    pixels = backend.pixels(pictures)
    with torch.inference_mode():
        cells = (model.cells(pixels) + model.cells(pixels.flip(-1))) / 2
        return cells[..., :FEATURES].float().mean(1).numpy(), model(pixels).facts[:, 0].tolist()


def fit(sources: Path, folder: Path, run: Path) -> None:
    """Write `composed.npz` (weight, bias) to `run`, and print what passes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    backend, composer = PocketBackend(), Composer(sources)
    halves = {name: half for name, half, *_ in rows("split.tsv")}
    names = [name for name, *_ in rows("scenes.tsv") if halves.get(name) != "held-out"]
    jobs: list[str | int] = [*names, *range(FIRST, FIRST + SCENES)]
    features, levels, composed = [], [], []
    for start in range(0, len(jobs), BATCH):
        pictures = []
        for job in jobs[start : start + BATCH]:
            if isinstance(job, str):
                pictures.append(open_picture(next(folder.glob(f"{job}.*"))))
                composed.append(False)
            else:
                scene = composer.scene(job)
                if not scene.things:
                    continue
                pictures.append(open_picture(scene.image))
                composed.append(True)
        found, sure = measured(backend, pictures)
        features.append(found)
        levels += sure
        print(f"features: {start + len(jobs[start : start + BATCH])} of {len(jobs)}", flush=True)
    values, level, truth = np.concatenate(features), np.array(levels), np.array(composed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=2e-3, class_weight="balanced", max_iter=500))
    odds = cross_val_predict(
        model, values, truth, cv=StratifiedKFold(5, shuffle=True, random_state=0), method="predict_proba"
    )[:, 1]
    passes = np.where(level == 2, odds >= COMPOSED[0], odds >= COMPOSED[1])
    held = (level == 1) | (level == 2)
    print("| | taken for composed scenes without the head | with it |\n|---|---:|---:|")
    for name, chosen in (("photographs", ~truth), ("composed scenes", truth)):
        print(f"| {chosen.sum()} {name} | {(held & chosen).sum()} | {(held & passes & chosen).sum()} |")
    model.fit(values, truth)
    weight = model[1].coef_[0] / model[0].scale_
    run.mkdir(parents=True, exist_ok=True)
    bias = model[1].intercept_[0] - weight @ model[0].mean_
    np.savez(run / "composed.npz", weight=weight[None].astype(np.float32), bias=np.array([bias], np.float32))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="folder filled by training.pocket.sources")
    parser.add_argument("photographs", type=Path, help="folder filled by training.photographs.fetch")
    parser.add_argument("run", type=Path, help="folder to write to")
    options = parser.parse_args()
    fit(options.sources, options.photographs, options.run)
