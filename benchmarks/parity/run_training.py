"""Compare a training step with the original: loss and gradient of both stages, same weights, same batch.

    python -m benchmarks.parity.run_training --upstream MiniGPT-4 --python old/bin/python

`--upstream` and `--python` as for `run_minigpt4.py`, whose small model this uses. The original's `forward` and
`backward` run in its own environment; ours puts each sample into a row of its own, packs them into one row, and does
that on kept features too. Largest difference allowed, relative to the largest number compared: 1e-4.

    --write FILE    keep the original's numbers, for the test that needs no original
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.parity import minigpt4_recipe as recipe
from benchmarks.parity import training_samples as data
from benchmarks.parity.run_minigpt4 import converted, prepare_llm
from core import InquisightError
from core.errors import UsageError, printable

TOLERANCE = 1e-4
COLUMNS = 64  # of the gradient that are stored
WAYS = {"one per row": (0, False), "packed": (512, False), "features, packed": (512, True)}
Outputs = dict[str, np.ndarray]


def ours(variant: recipe.Variant, model: Path) -> dict[str, Outputs]:
    """The original's outputs by our computation, for each way of laying out the batch."""
    import torch

    from core.images.picture import open_picture
    from plugins.minigpt4.runtime.pixels import pixels
    from training.packing import lay_out
    from training.recipes import StageRecipe, make_recipe
    from training.stages import open_task

    found: dict[str, Outputs] = {way: {} for way in WAYS}
    files = [io.BytesIO() for _ in range(2)]
    for file, picture in zip(files, recipe.pictures(), strict=True):
        picture.save(file, "PNG")
    pictures = [open_picture(file.getvalue()) for file in files]
    for stage in (1, 2):
        values = {
            "stage": stage,
            "model": str(model),
            "projection": "model",
            "qformer": variant.qformer,
            "plain_captions": stage == 1,
            "max_target_tokens": data.MAX_TOKENS[stage],
            "instructions": list(data.INSTRUCTIONS),
            "steps": 1,
            "warmup": 0,
        }
        chosen = make_recipe(values, "parity")
        assert isinstance(chosen, StageRecipe)
        task, wording, checked = open_task(chosen, "cpu", "float32")
        texts = data.CAPTIONS if stage == 1 else data.DESCRIPTIONS
        words = [wording.words(text, asked) for text, asked in zip(texts, data.INSTRUCTIONS, strict=True)]
        seen = pixels([pictures[number] for number in data.PICTURES], checked.image_size, checked.mean, checked.std)
        kept = task.encode(seen).half().float()
        for way, (size, features) in WAYS.items():
            rows = lay_out(words, task.pictures, size)
            inputs = kept[list(rows.order)] if features else task.encode(seen[list(rows.order)])
            task.zero_grad()
            loss = task(rows, inputs).mean()
            loss.backward()
            name = f"{variant.name}/stage{stage}"
            found[way][f"{name}/loss"] = np.asarray(loss.item())
            for part, parameter in task.language_projection.named_parameters():
                assert isinstance(parameter.grad, torch.Tensor)
                found[way][f"{name}/{part}"] = parameter.grad.numpy().copy()
    return found


def our_rates() -> np.ndarray:
    """The learning rates of the schedule that both sides are given."""
    from training.recipes import make_recipe
    from training.stages import learning_rate

    values = {"stage": 1, **data.SCHEDULE}
    chosen = make_recipe(values, "parity")
    steps = int(data.SCHEDULE["steps"])
    return np.asarray([learning_rate(chosen, step, steps) for step in range(steps)])


def kept(outputs: Outputs) -> Outputs:
    """The part that is stored: of the weight's gradient some columns and the norm of the whole."""
    small: Outputs = {}
    for name, values in outputs.items():
        if name.endswith("/weight"):
            small[name] = values[:, :: max(values.shape[1] // COLUMNS, 1)]
            small[f"{name}_norm"] = np.asarray(np.linalg.norm(values.astype(np.float64)))
        else:
            small[name] = values
    return small


def difference(expected: np.ndarray, mine: np.ndarray) -> float:
    """Largest difference relative to the largest number; infinite where the shapes differ."""
    if expected.shape != mine.shape:
        return float("inf")
    scale = max(float(np.abs(expected).max(initial=0)), 1e-12)
    return float(np.abs(mine.astype(np.float64) - expected).max(initial=0)) / scale


def original(options: argparse.Namespace, variant: recipe.Variant, directory: Path) -> Outputs:
    """What the original makes of it; its files lie in `directory` then. Raises InquisightError."""
    prepare_llm(variant, directory / "llm")
    script = Path(__file__).with_name("training_original.py")
    command = [str(options.python), str(script), str(options.upstream), variant.name, str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise InquisightError(f"the original ended with code {done.returncode}: {printable(said)}")
    with np.load(directory / "training.npz", allow_pickle=False) as file:
        return dict(file)


def measure(options: argparse.Namespace) -> list[tuple[str, int, float, float]]:
    """(what, numbers, largest, relative difference) of everything compared. Raises InquisightError."""
    rows: list[tuple[str, int, float, float]] = []
    stored: Outputs = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in recipe.VARIANTS:
            directory = Path(folder) / variant.name
            directory.mkdir()
            print(f"{variant.name}: the original ...", file=sys.stderr, flush=True)
            expected = original(options, variant, directory)
            print(f"{variant.name}: ours ...", file=sys.stderr, flush=True)
            rates = expected.pop("lr")
            for way, mine in ours(variant, converted(variant, directory)).items():
                for name, values in expected.items():
                    largest = float(np.abs(values).max())
                    rows.append((f"{name}, {way}", values.size, largest, difference(values, mine[name])))
            stored |= kept(expected) | {"lr": rates}
    rows.append(("learning rates", len(stored["lr"]), float(stored["lr"].max()), difference(stored["lr"], our_rates())))
    if options.write:
        np.savez_compressed(options.write, **stored)  # type: ignore[arg-type]
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 where all is equal, 1 where not, or one line on standard error and the error's own code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.parity.run_training", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--upstream", type=Path, required=True, help="a checkout of Vision-CAIR/MiniGPT-4")
    parser.add_argument("--python", type=Path, required=True, help="Python interpreter that runs its code")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the original's numbers (.npz)")
    options = parser.parse_args(argv)
    try:
        for name in ("upstream", "python"):
            if not getattr(options, name).exists():
                raise UsageError(f"--{name} {printable(getattr(options, name))} does not exist.")
        rows = measure(options)
    except InquisightError as error:
        print(f"parity: {error}", file=sys.stderr)
        return error.exit_code
    print("| | numbers | largest | relative difference |\n|---|---:|---:|---:|")
    for what, size, largest, apart in rows:
        print(f"| {what} | {size:,} | {largest:.3g} | {apart:.1e} |")
    # features are kept in 16 bit, which is what their difference is
    return int(any(apart > (1e-2 if "features" in what else TOLERANCE) for what, _, _, apart in rows))


if __name__ == "__main__":
    sys.exit(main())
