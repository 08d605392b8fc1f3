"""The heads for nouns: fitted on labels, kept in a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.english.wordnet import ascending
from plugins.imagenet.tower import FEATURES
from plugins.pocket.presence.evidence import WEIGHTS, NounHeads
from training.pocket.sight import nouns

ROWS = [
    *[[f"oak{n}", "outdoors, sky", "", "oak 1", ""] for n in range(6)],
    *[[f"pine{n}", "outdoors", "", "pine 2+, dog 1", ""] for n in range(6)],
    *[[f"room{n}", "indoors", "", "chair 1", ""] for n in range(12)],
    ["drawing", "", "", "oak 1", "drawing"],
    ["split", "outdoors", "", "oak 1", ""],
]


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> NounHeads:
    """Heads for photographs whose first feature tells trees, and whose second one tells oaks."""

    def rows(file: str) -> Iterator[list[str]]:
        yield from ROWS if file == "scenes.tsv" else [["split", "development", "", "", ""]]

    def features(folder: Path, names: list[str]) -> np.ndarray:
        assert names == [row[0] for row in ROWS[:-2]], "without drawings and without photographs of the split"
        values = np.random.default_rng(0).normal(0, 0.1, (len(names), FEATURES)).astype(np.float32)
        values[:12, 0] += 1
        values[:6, 1] += 1
        return values

    monkeypatch.setattr(nouns, "rows", rows)
    monkeypatch.setattr(nouns, "features", features)
    return nouns.fit_heads(Path())


def test_there_is_a_head_for_each_kind_that_enough_photographs_show(fitted: NounHeads) -> None:
    tree, oak, dog = (min(ascending(name)[0]) for name in ("tree", "oak", "dog"))
    assert {tree, oak, dog} <= fitted.rows.keys()
    assert min(ascending("entity")[0]) not in fitted.rows, "most photographs show it"
    gain = [fitted.weight[fitted.rows[kind], :2] for kind in (tree, oak)]
    assert gain[0][0] > gain[1][0] > 0, "the first feature tells trees"
    assert gain[1][1] > gain[0][1], "the second one tells oaks"


def test_heads_are_kept_in_half_precision(fitted: NounHeads, tmp_path: Path) -> None:
    file = tmp_path / "heads.safetensors"
    nouns.save(replace(fitted, judge=np.arange(9.0)), file)
    again = NounHeads.load(file)
    assert again.rows == fitted.rows and again.judge.tolist() == list(range(9))
    assert np.allclose(again.weight, fitted.weight, atol=1e-3) and np.allclose(again.usual, fitted.usual)


def test_the_heads_that_ship_know_common_things() -> None:
    heads = NounHeads.load(WEIGHTS)
    assert heads.weight.shape == (len(heads.synsets), FEATURES) and heads.usual.shape == (1000,)
    assert heads.judge.any()
    for noun in ("tree", "person", "building", "shirt", "bagpipes"):
        assert heads.above(noun), noun
