"""Combine tower, detection head and trained weights into one Hugging Face directory in half precision.

python -m training.pocket.export FEATURES RUN --to plugins/pocket/model
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from training.pocket.features import released_tower
from training.pocket.foundation import HEAD, known_names
from training.pocket.train import build


def export(folder: Path, run: Path, to: Path, stage: int = 2) -> None:
    """Write `to`; an existing model card is kept."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(run / "tokenizer")
    model = build(tokenizer, known_names())
    trained = torch.load(run / f"stage{stage}.pt", weights_only=True)
    missing, unexpected = model.load_state_dict(trained, strict=False)
    foreign = [key for key in missing if not key.startswith("vision_model.") and "lm_head" not in key]
    if unexpected or foreign:
        raise SystemExit(f"{run}/stage{stage}.pt does not fit: missing {foreign[:3]}, unexpected {unexpected[:3]}")
    model.vision_model.tower.load_state_dict(released_tower().state_dict())
    model.vision_model.neck.load_state_dict(load_file(folder / HEAD))
    partial = to.with_name(f"{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.half().save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    to.mkdir(parents=True, exist_ok=True)
    for path in partial.iterdir():
        path.replace(to / path.name)
    partial.rmdir()
    size = sum(path.stat().st_size for path in to.iterdir()) / 1e6
    print(f"{to}: {size:.1f} MB, {sum(p.numel() for p in model.parameters()) / 1e6:.1f} million parameters")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=Path("plugins/pocket/model"))
    parser.add_argument("--stage", type=int, choices=(1, 2), default=2)
    options = parser.parse_args()
    export(options.folder, options.run, options.to, options.stage)
