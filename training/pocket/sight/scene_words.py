"""Fit the linear heads for scene words on the frozen tower, and find the odds from which each word may be said.

    python -m training.pocket.sight.scene_words PHOTOGRAPHS RUN      (a folder filled by training.photographs.fetch)

Labels: scenes.tsv of training/photographs. The 150 photographs of split.tsv are never trained on; those to develop on,
which have complete labels, measure as well. A word is said from the least odds at which its precision is at least
`PRECISION` in cross-validation. Of `THINGS`, scenes.tsv lists only main ones, so for these the precision on the
photographs to develop on decides. A word without such odds is never said, and counts only where a question names it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.datasets.text_lines import split_lines
from core.images.picture import open_picture

WORDS: Final = (
    "indoors", "outdoors", "sky", "sea", "beach", "snow", "forest", "mountain", "street", "building", "night", "sunset",
    "grass", "tree", "water", "flower", "plant", "rock",
)  # fmt: skip
THINGS: Final = {  # scene words that are things: the names of things in the labels that make them true
    "tree": "tree, palm tree, fir, pine",
    "water": "lake, river, canal, waterfall, sea, pool, pond, fountain, ocean",
    "flower": "flower, bud, blossom, rose",
    "plant": "plant, bush, flower, tree, leaf, palm tree, grass, flower pot, potted plant, branch, hedge, tree stump",
    "rock": "rock, cliff, stone, canyon",
    "building": "building, house, church, castle, tower, palace, temple, skyscraper, cathedral, hut, fort, dome",
}
IMPLIED: Final = {"sea": "water", "beach": "water", "forest": "tree plant", "grass": "plant"}
PRECISION: Final = 0.92
ON_DEVELOPMENT, LEAST, IN_VALIDATION = (
    0.90,
    4,
    0.80,
)  # for THINGS: precision, said at least so often, precision there too
STEPS: Final = np.arange(0.50, 0.96, 0.05)
LABELS: Final = Path(__file__).parents[2] / "photographs"
NEVER: Final = 2.0  # odds that nothing reaches


def rows(file: str) -> Iterator[list[str]]:
    """The rows of a table of training/photographs."""
    for line in split_lines((LABELS / file).read_text(encoding="utf-8")):
        if not line.startswith("#"):
            yield [*line.split("\t"), "", "", "", ""]


def labels() -> dict[str, tuple[set[str], set[str]]]:
    """For each photograph the scene words that hold, and those that nobody is sure of."""
    found = {}
    for name, holds, unsure, things, *_ in rows("scenes.tsv"):
        found[name] = words_of(set(holds.split(", ")), things_of(things)), set(unsure.split(", "))
    for line in split_lines((LABELS / "truth.jsonl").read_text(encoding="utf-8")):
        truth: dict[str, Any] = json.loads(line)
        named = {thing["name"] for thing in truth["things"]}
        before, doubtful = found[truth["id"]]
        found[truth["id"]] = words_of(before | set(truth["scene"]), named), doubtful | set(truth["maybe"])
    return found


def things_of(text: str) -> set[str]:
    """The names of the main things, as scenes.tsv lists them: "person 1, building 3+"."""
    return {thing.strip().rsplit(" ", 1)[0] for thing in text.split(",")} - {""}


def words_of(holds: set[str], things: set[str]) -> set[str]:
    """The scene words that hold, with those that follow from things and from other words."""
    holds = holds | {word for word, names in THINGS.items() if things & set(names.split(", "))}
    return holds | {wider for word in holds for wider in IMPLIED.get(word, "").split()}


def features(folder: Path, names: list[str]) -> np.ndarray:
    """The tower's mean features, (N, 1280), of the photographs and their mirror images."""
    import torch

    from plugins.imagenet.tower import FEATURES
    from plugins.pocket.backend import PocketBackend

    backend = PocketBackend()
    model = backend.engine.model.vision_model
    found = []
    for start in range(0, len(names), 16):
        files = [next(folder.glob(f"{name}.*")) for name in names[start : start + 16]]
        pixels = backend.pixels([open_picture(file) for file in files])
        with torch.inference_mode():
            cells = (model.cells(pixels) + model.cells(pixels.flip(-1))) / 2
        found.append(cells[..., :FEATURES].float().mean(1).numpy())
        print(f"features: {start + len(files)} of {len(names)}", flush=True)
    return np.concatenate(found)


def fit(folder: Path, run: Path) -> None:
    """Write `scene.npz` (weight, bias) and `scene.json` (word: odds) to `run`, and print the table."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    halves = {name: half for name, half, *_ in rows("split.tsv")}
    known = labels()
    names = [name for name in known if halves.get(name) != "held-out"]
    values = features(folder, names)
    developing = np.array([name in halves for name in names])
    weights, biases, said = [], [], {}
    print("| word | trained on | said from | precision | said | precision, development | said |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for word in WORDS:
        holds = np.array([word in known[name][0] for name in names])
        sure = np.array([holds[at] or word not in known[name][1] for at, name in enumerate(names)])
        train, develop = sure & ~developing, sure & developing
        model = make_pipeline(StandardScaler(), LogisticRegression(C=5e-4, class_weight="balanced", max_iter=300))
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        odds = cross_val_predict(model, values[train], holds[train], cv=folds, method="predict_proba")[:, 1]
        model.fit(values[train], holds[train])
        scaler, line = model[0], model[1]
        weight = line.coef_[0] / scaler.scale_
        weights.append(weight)
        biases.append(line.intercept_[0] - weight @ scaler.mean_)
        later = model.predict_proba(values[develop])[:, 1]

        def right(limit: float, odds: np.ndarray, truth: np.ndarray) -> tuple[float, int]:
            chosen = odds >= limit
            return (float(truth[chosen].mean()) if chosen.any() else 0.0), int(chosen.sum())

        said[word] = NEVER
        for limit in STEPS:
            validated, often = right(limit, odds, holds[train])
            developed, there = right(limit, later, holds[develop])
            if word in THINGS and word != "building":
                good = developed >= ON_DEVELOPMENT and there >= LEAST and validated >= IN_VALIDATION
            else:
                good = validated >= PRECISION and often >= LEAST and (developed >= ON_DEVELOPMENT or there < LEAST)
            if good:
                said[word] = round(float(limit), 2)
                break
        numbers = (*right(said[word], odds, holds[train]), *right(said[word], later, holds[develop]))
        shown = "never" if said[word] == NEVER else f"{said[word]:.2f}"
        measured = f"{numbers[0]:.2f} | {numbers[1]} | {numbers[2]:.2f} | {numbers[3]}"
        print(f"| {word} | {holds[train].sum()} | {shown} | {measured} |", flush=True)
    run.mkdir(parents=True, exist_ok=True)
    np.savez(run / "scene.npz", weight=np.stack(weights).astype(np.float32), bias=np.array(biases, np.float32))
    (run / "scene.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder filled by training.photographs.fetch")
    parser.add_argument("run", type=Path, help="folder to write to")
    options = parser.parse_args()
    fit(options.folder, options.run)
