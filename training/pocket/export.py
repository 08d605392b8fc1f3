"""Combine tower, detection head and trained weights into one Hugging Face directory in half precision.

    python -m training.pocket.export FEATURES RUN --to plugins/pocket/model
    python -m training.pocket.export MODEL RUN --scene SCENE --to plugins/pocket/model

The second form gives an exported model the language model of `training.pocket.sight.train` and the scene words of
`training.pocket.sight.scene_words` and, where `training.pocket.sight.composed` wrote one there, the head that tells
composed scenes from photographs.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from plugins.pocket.modeling import COMPOSED
from training.pocket.features import released_tower
from training.pocket.foundation import HEAD, known_names
from training.pocket.sight.copied import copied_tokens
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


def with_sight(model: Path, run: Path, scene: Path, to: Path) -> None:
    """Write `to`: the model with another language model, the larger vocabulary and the heads of scene words."""
    weights = load_file(model / "model.safetensors")
    config = json.loads((model / "config.json").read_text("utf-8"))
    language = torch.load(run / "stage3.pt", weights_only=True)
    language.pop("lm_head.weight", None)  # the output layer shares the embeddings
    heads = np.load(scene / "scene.npz")
    weights |= {f"language_model.{name}": value for name, value in language.items()}
    weights |= {f"vision_model.scene.{name}": torch.from_numpy(heads[name]) for name in ("weight", "bias")}
    if (scene / "composed.npz").exists():
        head = np.load(scene / "composed.npz")
        weights |= {f"vision_model.composed.{name}": torch.from_numpy(head[name]) for name in ("weight", "bias")}
        config["pocket_limits"]["composed"] = COMPOSED
    config["pocket_scene"] = json.loads((scene / "scene.json").read_text("utf-8"))
    config["pocket_copied"] = copied_tokens(PreTrainedTokenizerFast.from_pretrained(run / "tokenizer"))
    config["text_config"]["vocab_size"] = len(language["model.embed_tokens.weight"])
    half = {name: one.half().contiguous() if one.is_floating_point() else one for name, one in weights.items()}
    to.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(run / "tokenizer" / name, to / name)
    for path in model.iterdir():
        if not (to / path.name).exists():
            shutil.copy(path, to / path.name)
    save_file(half, to / "model.safetensors", metadata={"format": "pt"})
    (to / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    print(f"{to}: {(to / 'model.safetensors').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="features, or with --scene an exported model")
    parser.add_argument("run", type=Path)
    parser.add_argument("--to", type=Path, default=Path("plugins/pocket/model"))
    parser.add_argument("--scene", type=Path, help="folder written by training.pocket.sight.scene_words")
    parser.add_argument("--stage", type=int, choices=(1, 2), default=2)
    options = parser.parse_args()
    if options.scene:
        with_sight(options.folder, options.run, options.scene, options.to)
    else:
        export(options.folder, options.run, options.to, options.stage)
