"""Fit the heads by which pocket answers "Is there a ...?" in one word, and print how right they are.

    python -m training.pocket.sight.nouns PHOTOGRAPHS                (a folder filled by training.photographs.fetch)

Heads: one for each kind of thing (synset of WordNet) that enough labelled photographs show, the 150 of split.tsv left
out. The line that weighs the heads with all other evidence is fitted on the questions of training.pocket.sight.measure
about the photographs to develop on, without those that a sure thing answers. The figures are of cross-validation over
these photographs, but the heads' settings were chosen on them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.english.wordnet import ascending
from plugins.pocket.asked import evidence, is_named, unknown_nouns
from plugins.pocket.backend import PocketBackend
from plugins.pocket.presence.evidence import WEIGHTS, NounHeads
from plugins.pocket.sight import Sight
from training.pocket.sight.measure import Names, encode, photographs, presence_question, presences
from training.pocket.sight.scene_words import features, rows, things_of

LEAST, MOST = 5, 0.7  # photographs of a kind, and share of all photographs
NO_NOUNS: Final = frozenset({"indoors", "outdoors", "night", ""})
REGULAR, JUDGE_REGULAR = 2e-4, 0.3  # inverse strength of regularisation of the heads, and of the line
FOLDS: Final = 15


def fit_heads(folder: Path) -> NounHeads:
    """Heads for all kinds that enough photographs show; those with the same photographs are one head."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    left_out = {name for name, *_ in rows("split.tsv")}
    shown = [row for row in rows("scenes.tsv") if row[0] not in left_out and "drawing" not in row[4]]
    values = features(folder, [row[0] for row in shown])
    kinds: dict[int, set[int]] = {}
    for at, (_, holds, _, things, *_) in enumerate(shown):
        for name in (things_of(things) | set(holds.split(", "))) - NO_NOUNS:
            for synset in frozenset().union(*ascending(name)):
                kinds.setdefault(synset, set()).add(at)
    scaler = StandardScaler().fit(values)
    scaled = scaler.transform(values)
    fitted: dict[frozenset[int], tuple[Any, float]] = {}
    synsets, weights, biases = [], [], []
    for synset, places in sorted(kinds.items()):
        if not LEAST <= len(places) <= MOST * len(shown):
            continue
        key = frozenset(places)
        if key not in fitted:
            truth = np.isin(np.arange(len(shown)), list(places))
            line = LogisticRegression(C=REGULAR, class_weight="balanced", max_iter=300).fit(scaled, truth)
            weight = line.coef_[0] / scaler.scale_
            fitted[key] = weight, line.intercept_[0] - weight @ scaler.mean_
        weight, bias = fitted[key]
        synsets.append(synset)
        weights.append(weight)
        biases.append(bias)
    print(f"{len(synsets)} kinds, {len(fitted)} heads, fitted on {len(shown)} photographs")
    usual = odds(values).mean(0)
    return NounHeads(np.array(synsets), np.stack(weights), np.array(biases), usual, np.zeros(0))


def odds(values: np.ndarray) -> np.ndarray:
    """The classifier's odds (N, 1000) of mean features (N, 1280)."""
    import torch

    from plugins.imagenet.classes import load_classifier

    with torch.inference_mode():
        found: np.ndarray = load_classifier().classifier(torch.from_numpy(values)).softmax(-1).numpy()
    return found


def fit_judge(folder: Path, wordnet: Path) -> np.ndarray:
    """The line that weighs all evidence of a noun, (features + 1,), and how right it is, printed."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shown, backend = photographs(folder, "development"), PocketBackend()
    assert backend.photographs is not None
    vocabulary = backend.photographs.vocabulary
    sights: list[Sight] = [image.data.sight for image in encode(backend, [one.picture for one in shown])]
    values, groups, truths, certain, there = [], [], [], [], []
    for place, name, truth in presences(shown, Names(wordnet)):
        sight, question = sights[place], presence_question(name).lower()
        subject = next(iter(vocabulary.named(question) or unknown_nouns(question)), None)
        if subject is None or subject.kind == "text":  # "no", or whether there are lines
            certain.append(float(subject is not None and bool(sight.lines or sight.blurred)))
            there.append(truth)
        elif any(one.sure and is_named(one, subject) for one in sight.things):
            certain.append(1.0)
            there.append(truth)
        else:
            assert sight.nouns is not None
            values.append(evidence(subject, sight, sight.nouns, vocabulary))
            groups.append(place)
            truths.append(truth)
    line = make_pipeline(StandardScaler(), LogisticRegression(C=JUDGE_REGULAR, max_iter=500))
    folds = GroupKFold(FOLDS)
    odds = cross_val_predict(line, np.array(values), np.array(truths), groups=groups, cv=folds, method="predict_proba")
    scores, every = np.concatenate([odds[:, 1], certain]), np.array([*truths, *there])
    right = (scores > 0.5) == every
    print(f"{len(every)} questions, {len(certain)} of them answered without the heads")
    print(f"area under the curve {roc_auc_score(every, scores):.3f}")
    print(f"right: {right.mean():.3f}, there {right[every].mean():.3f}, not there {right[~every].mean():.3f}")
    line.fit(np.array(values), np.array(truths))
    weight = line[1].coef_[0] / line[0].scale_
    return np.array([*weight, line[1].intercept_[0] - weight @ line[0].mean_])


def save(heads: NounHeads, file: Path = WEIGHTS) -> None:
    """Write the heads in half precision."""
    from safetensors.numpy import save_file

    half = {"weight": heads.weight.astype(np.float16), "bias": heads.bias.astype(np.float32)}
    usual, judge = heads.usual.astype(np.float32), heads.judge.astype(np.float32)
    save_file({"synsets": heads.synsets.astype(np.int32), **half, "usual": usual, "judge": judge}, file)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder filled by training.photographs.fetch")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    options = parser.parse_args(arguments)
    fitted = fit_heads(options.folder)
    save(fitted)  # for the backend, which looks at the photographs with them
    save(replace(fitted, judge=fit_judge(options.folder, options.wordnet)))
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
