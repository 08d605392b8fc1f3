"""The trainings and the measurements of the experiment, the most telling first."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.paper_effect.measure import Shows

STAGE1: Final = "smol-stage1"
STAGE2: Final = "smol-stage2"


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    pictures: int = 5000  # composed scenes with captions
    described: int = 320  # by stage 1, to be curated
    checked: int = 320  # of these, held against the truth: all, as in the paper
    measured: int = 200  # held-out scenes
    labelled: int = 60  # held-out photographs
    steps1: int = 220  # of 32 samples
    steps2: int = 60  # of 12 samples
    steps1_more: int = 1030  # of 32 samples, after steps1: 40,000 together
    steps2_more: int = 200  # of 12 samples


@dataclass(frozen=True, slots=True)
class Run:
    """One training and what it is for; `data` is a folder of OUT."""

    name: str
    title: str
    stage: int
    changes: dict[str, Any] = field(default_factory=dict)
    shows: Shows = "picture"


def runs(size: Size) -> list[Run]:
    """Every training in the order of the plan."""
    first = {"steps": size.steps1, "warmup": max(size.steps1 // 20, 1)}
    faster: dict[str, Any] = {"steps": size.steps2, "warmup": max(size.steps2 // 10, 1)}
    second = {**faster, "lr": 5e-4, "lr_min": 1e-4}
    fresh = {**first, "projection": "fresh"}
    after = {**second, "projection": "stage1"}
    faster["projection"] = "stage1"
    plan = [
        Run("stage1", "stage 1", 1, first),
        Run("stage2", "stages 1 and 2", 2, after),
        Run("stage2-true", "stages 1 and 2, on true descriptions", 2, {**faster, "data": "true"}),
        Run("stage2-faster", "stages 1 and 2, four times the learning rate", 2, faster),
        Run("soft-prompt", "stage 1, a soft prompt that sees nothing", 1, {**first, "features": "nothing"}, "nothing"),
        Run("stage2-alone", "stage 2 alone", 2, second),
        Run("shuffled", "stage 1, captions of other pictures", 1, {**first, "data": "shuffled"}),
        Run("stage1-fresh", "stage 1 from random numbers", 1, fresh),
        Run("stage2-fresh", "stages 1 and 2 from random numbers", 2, {**second, "projection": "stage1-fresh"}),
    ]
    more = {"steps": size.steps1_more, "warmup": max(size.steps1_more // 50, 1), "projection": "stage1"}
    plan.append(Run("stage1-long", "stage 1, longer", 1, more))
    spoken = {**faster, "data": "true", "projection": "stage1-long"}
    plan.append(Run("stage2-long", "stage 1, longer, and stage 2 on true descriptions", 2, spoken))
    longer = {**spoken, "steps": size.steps2_more, "warmup": max(size.steps2_more // 10, 1)}
    plan.append(Run("stage2-longer", "stages 1 and 2, both longer, on true descriptions", 2, longer))
    for seed in (43, 44):
        own = {"seed": seed, "projection": f"stage1-seed{seed}"}
        plan.append(Run(f"stage1-seed{seed}", f"stage 1, seed {seed}", 1, {**first, "seed": seed}))
        plan.append(Run(f"stage2-seed{seed}", f"stages 1 and 2, seed {seed}", 2, {**second, **own}))
    plan.append(Run("stage1-deep", "stage 1, three layers", 1, {**fresh, "projection_layers": 3}))
    plan.append(Run("stage1-lora", "stage 1, one layer and LoRA r = 8", 1, {**first, "lora_rank": 8}))
    return plan


def needs(run: Run) -> str | None:
    """The run that must be finished before this one."""
    before = run.changes.get("projection")
    return None if before in (None, "fresh") else str(before)


def options(run: Run, out: Path) -> list[str]:
    """The options of `inquisight train` for a run."""
    changes = dict(run.changes)
    named = changes.pop("data", "captions" if run.stage == 1 else "curated")
    data: list[dict[str, Any]] = [{"path": str(out / named)}]
    if run.stage == 1:
        data = [{"path": str(out / named / "captions.jsonl"), "weight": 9}]
        data.append({"path": str(out / "photographs" / "captions.jsonl"), "weight": 1})
    features = changes.pop("features", "features")
    if (before := needs(run)) is not None:
        changes["projection"] = str(out / "runs" / before)
    elif "projection" not in changes:
        changes["projection"] = "model"
    values = {
        "model": str(out / "model"),
        "features": str(out / features),
        "keep_features": False,
        "dtype": "bfloat16",
        **changes,
    }
    given = [f"{name}={json.dumps(value)}" for name, value in values.items()]
    tables = ", ".join(f"{{{', '.join(f'{key} = {json.dumps(value)}' for key, value in one.items())}}}" for one in data)
    return [part for text in (*given, f"data=[{tables}]") for part in ("--set", text)]
