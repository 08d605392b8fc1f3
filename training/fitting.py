"""Choose once, when a run begins, what a recipe leaves open: packing, and the fields that `fit` lists.

    chosen = choose(recipe, samples=60, hidden=256, world=1)
    recipe = chosen.applied(recipe)     # every field has a value
    chosen.why                          # a reason for each choice

The choice depends only on the data, the recipe and the model. A run stores it in chosen.json and resumes with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from core.datasets.samples.kinds import open_source
from core.datasets.samples.sample import BrokenLog, BrokenSample, DataError
from core.errors import UsageError, printable
from core.files.journal import write_json
from training.checkpoints import read_json
from training.data.stream import count, open_stream
from training.packing import PackingCost
from training.recipes import Blip2Recipe, Recipe
from training.tasks import SampleWording, words_of

CHOSEN: Final = "chosen.json"
PROBED: Final = 256  # samples whose lengths decide about packing; more if a batch is larger
PAYS: Final = 0.95  # packed rows must take at most this share of the work
PASSES: Final = {"stage1": 10, "stage2": 5, "blip2": 5}  # over the data, by trainer
LEAST_STEPS, MOST_STEPS = 100, 20_000
BATCHES: Final = (4, 8, 16, 32, 64)
BATCHES_PER_PASS: Final = 16
# The published rates of a 7B model (width 4096) lie near 1 / width: LLaVA's stage 1 has 1e-3, MiniGPT-4's 1e-4.
RATE: Final = {"stage1": 1.0, "stage2": 0.3, "blip2": 0.3}  # times 1 / width, by trainer
# What was trained before, and LoRA, whose rate hardly depends on the width: LAVIS's `caption_coco_ft.yaml` has 1e-5 for
# the Q-Former; peft's and QLoRA's examples have 1e-4 to 5e-4.
RATE_OF_PART: Final = {"qformer": 1e-5, "lora": 1e-4}


@dataclass(frozen=True, slots=True)
class FittedValues:
    """Values for the recipe, and the reason for each."""

    values: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    def applied(self, recipe: Recipe) -> Recipe:
        """Return the recipe with these values."""
        return recipe.model_copy(update=self.values)

    def and_also(self, other: FittedValues) -> FittedValues:
        """Return both."""
        return FittedValues({**self.values, **other.values}, {**self.why, **other.why})


def chosen_for(out: Path) -> FittedValues | None:
    """Return what the run in `out` was begun with."""
    found = read_json(out / CHOSEN)
    return FittedValues(found["values"], found["why"]) if found else None


def keep(chosen: FittedValues, out: Path) -> None:
    """Write the choice to the run's folder."""
    write_json(out / CHOSEN, asdict(chosen))


def choose(recipe: Recipe, *, samples: int, hidden: int, world: int) -> FittedValues:
    """Return values for the fields in the recipe's `fit`; `hidden` is the width of the language model."""
    values: dict[str, Any] = {}
    why: dict[str, str] = {}
    fit = set(recipe.fit)
    batch, steps = recipe.batch, recipe.steps
    if "batch" in fit:
        batch = values["batch"] = _batch(samples)
        why["batch"] = f"{batch}, for {samples:,} samples"
    if "steps" in fit:
        passes = PASSES[recipe.name]
        steps = min(max(-(-passes * samples // batch), LEAST_STEPS), MOST_STEPS)
        values |= {"steps": steps, "epochs": None}
        why["steps"] = f"{steps:,}, {steps * batch / samples:.3g} passes over {samples:,} samples"
    if "lr" in fit:
        rate, why["lr"] = _rate(recipe, hidden)
        values |= {"lr": rate, "lr_min": rate / 10, "lr_warmup_start": rate / 100}
    steps = steps or max(1, round(samples * (recipe.epochs or 1) / batch))
    if "warmup" in fit:
        values["warmup"] = max(1, steps // 10)
        why["warmup"] = f"{values['warmup']}, a tenth of all steps"
    if samples < recipe.streams:  # or a reader would find nothing
        values["streams"] = max((one for one in range(1, samples + 1) if one % world == 0), default=recipe.streams)
    return FittedValues(values, why)


def _rate(recipe: Recipe, hidden: int) -> tuple[float, str]:
    """Return the learning rate and why."""
    part = recipe.train if isinstance(recipe, Blip2Recipe) else "projection"
    if part in RATE_OF_PART:
        return RATE_OF_PART[part], f"{RATE_OF_PART[part]:g}, for {part}"
    rate = float(f"{RATE[recipe.name] / hidden:.2g}")
    return rate, f"{rate:g}, for a language model of width {hidden}"


def _batch(samples: int) -> int:
    """Return the power of two next to a sixteenth of the data, between 4 and 64: a pass has about 16 steps."""
    ideal = samples / BATCHES_PER_PASS
    return min(BATCHES, key=lambda power: (max(power / ideal, ideal / power), power))


# --- packing ----------------------------------------------------------------------------------------------------------


def choose_packing(recipe: Recipe, measure: Callable[[], PackingCost], *, why_not: str | None = None) -> FittedValues:
    """Choose whether samples share rows: as the recipe says, or if `measure` finds that it is less work.

    `why_not`: the reason, if they never can.
    """
    packed = recipe.packing
    if why_not is not None:
        packed, reason = False, why_not
    elif not recipe.pack_tokens:
        packed, reason = False, "pack_tokens=0"
    elif packed == "auto":
        work = measure()
        packed, reason = work.ratio <= PAYS, work.words()
    else:
        reason = "as the recipe says"
    return FittedValues({} if packed else {"pack_tokens": 0}, {"packing": f"{'yes' if packed else 'no'}, {reason}"})


def lengths_of(recipe: Recipe, wording: SampleWording, pictures: int) -> list[int]:
    """Return the lengths of the first samples in the order of the seed, with `pictures` tokens for each picture."""
    most = max(PROBED, 2 * recipe.batch)
    with open_stream(
        recipe.data, seed=recipe.seed, epochs=1, shuffle_buffer=0, broken=BrokenLog(max_share=1.0), decode=False
    ) as stream:
        return [
            words_of(wording, sample, f"{number} {sample.key}").length(pictures)
            for number, sample in enumerate(islice(stream, most))
        ]


# --- the data ---------------------------------------------------------------------------------------------------------


def count_samples(recipe: Recipe) -> int:
    """Return the samples of all data sets in a pass, broken ones included; shards without statistics are read."""
    total = 0.0
    for spec, known in zip(recipe.data, count(recipe.data), strict=True):
        if known is None:
            source = open_source(spec)
            known = round(sum(1 for part in range(source.parts) for _ in source.read(part)) * spec.share)
        total += known
    return max(1, int(total))


def check_data(recipe: Recipe) -> None:
    """Raise DataError, one line, if a data set cannot be read or holds no usable sample among the first."""
    for spec in recipe.data:
        source = open_source(spec)
        shown = printable(source.name)
        places = (place for part in range(source.parts) for place in source.read(part))
        broken: list[BrokenSample] = []
        for place in islice(places, PROBED):
            found = place.load()
            if not isinstance(found, BrokenSample):
                break
            broken.append(found)
        else:
            if not broken:
                raise DataError(
                    f"{shown} holds no samples: name a folder of pictures with captions, a table or shards."
                )
            first, count = broken[0], len(broken)
            which = f"the first {count}" if count == PROBED else f"its {count}" if count > 1 else "its only"
            raise DataError(
                f"{shown} cannot be trained on: {which} sample{'s' * (count > 1)} cannot be used, as "
                f"{printable(first.key, 80)}: {printable(first.reason, 160)}; see `inquisight data check {shown}`."
            )


def steps_of(recipe: Recipe) -> int:
    """Return the number of steps of a recipe. Raises UsageError if `epochs` cannot be counted."""
    if recipe.steps is not None:
        return recipe.steps
    numbers = count(recipe.data)
    if any(number is None for number in numbers):
        raise UsageError(
            "epochs cannot be counted: the number of samples is unknown until all shards are read; --set steps=N."
        )
    total = sum(number or 0 for number in numbers)
    return max(1, round(total * (recipe.epochs or 1) / recipe.batch))
