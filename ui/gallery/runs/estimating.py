"""What a run will take: calls, tokens, cost, time. Loads no model."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agents.batch.estimate import Estimate, estimate
from agents.batch.plan import make_plan
from ui.gallery.runs.request import RunRequest, write_list
from ui.gallery.runs.run import Run


def estimated(request: RunRequest, pictures: Sequence[Path], earlier: Sequence[Run]) -> Estimate:
    """The figures for these pictures, by what earlier runs with the same models took. Raises InquisightError."""
    with tempfile.TemporaryDirectory(prefix="inquisight-") as name:
        folder = Path(name)
        write_list(folder, pictures)
        plan = make_plan(request.batch(folder))
        return estimate(
            listed=len(pictures),
            repeated_names=0,
            captioned=0,
            failed=0,
            to_do=len(pictures),
            config=plan.config,
            rate=plan.rate,
            price_in=request.price_in,
            price_out=request.price_out,
            runs=[note for run in earlier if _alike(run.request, request) for note in run.notes],
        )


def _alike(one: RunRequest, other: RunRequest) -> bool:
    """Whether their pictures take the same time."""
    same = {"seed": None, "language": "", "price_in": None, "price_out": None, "replace": False}
    return replace(one, **same) == replace(other, **same)  # type: ignore[arg-type]
