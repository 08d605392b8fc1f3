"""A curation and two trainings for pictures and browser tests of the dashboard, made by the shipped commands and model.

    python -m docs.dashboard_world FOLDER

The pictures are parts of the two example photographs; pocket describes them, and pocket's projection learns from them.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any, Final

from PIL import Image

ROOT: Final = Path(__file__).resolve().parents[1]
PHOTOS: Final = ROOT / "examples" / "photos"
# Shares of the width and height: left, upper, right, lower.
PARTS: Final[dict[str, dict[str, tuple[tuple[float, float, float, float], str]]]] = {
    "cat": {
        "cat": ((0, 0, 1, 1), "A cat looks out of the picture with yellow eyes."),
        "cat-left": ((0, 0, 0.5, 1), "The left half of a cat's face."),
        "cat-right": ((0.5, 0, 1, 1), "The right half of a cat's face."),
        "cat-eyes": ((0.2, 0.1, 0.8, 0.6), "The eyes and ears of a cat."),
        "cat-nose": ((0.25, 0.4, 0.85, 1), "The nose and the whiskers of a cat."),
    },
    "coffee": {
        "coffee": ((0, 0, 1, 1), "A red cup of coffee stands on a wooden table."),
        "coffee-left": ((0, 0, 0.6, 1), "A cup of coffee, cut off on its right."),
        "coffee-right": ((0.4, 0, 1, 1), "A cup of coffee, cut off on its left."),
        "coffee-cup": ((0.2, 0.1, 0.8, 0.8), "A red cup with foamy coffee in it."),
        "coffee-spoon": ((0.3, 0.4, 1, 1), "A spoon lies beside a cup of coffee."),
    },
}


def make_pictures(folder: Path) -> list[Path]:
    """Ten pictures with a text beside each."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for photo, parts in PARTS.items():
        with Image.open(PHOTOS / f"{photo}.jpg") as whole:
            for name, (box, text) in parts.items():
                width, height = whole.size
                left, upper, right, lower = box
                place = (int(left * width), int(upper * height), int(right * width), int(lower * height))
                whole.crop(place).save(folder / f"{name}.jpg", quality=92)
                (folder / f"{name}.txt").write_text(f"{text}\n", "utf-8")
                made.append(folder / f"{name}.jpg")
    return made


def make_curation(folder: Path, pictures: Path) -> Path:
    """What pocket says of them, repaired by rules."""
    import typer

    from training.curation.commands import curate

    run: Any = typer.main.get_command(curate)
    for command in (
        ["generate", str(folder), str(pictures), "--vision", "pocket", "--min-tokens", "12", "--anyway"],
        ["repair", str(folder), "--repairer", "rules"],
    ):
        run.main(args=command, standalone_mode=False)
    return folder


def make_model(root: Path, pictures: list[Path]) -> dict[str, Any]:
    """ROOT/model and ROOT/features: pocket as a training takes it. The recipe's changes that name them."""
    from benchmarks.pocket_small.world import Reader, keep_features, write_model

    folder = root / "looked-at"
    (folder / "image").mkdir(parents=True, exist_ok=True)
    rows = []
    for picture in pictures:
        data = picture.read_bytes()
        (folder / "image" / picture.name).write_bytes(data)
        rows.append({"sha256": hashlib.sha256(data).hexdigest(), "file": picture.name})
    write_model(ROOT / "plugins" / "pocket" / "model", root / "model")
    keep_features(Reader(root / "model"), root / "features", [(folder, rows)], None, lambda _: None)
    return {"model": str(root / "model"), "features": str(root / "features"), "data": str(pictures[0].parent)}


def make_trainings(root: Path, changes: dict[str, Any]) -> None:
    """Two of them, which begin differently."""
    from training.recipes import load_recipe
    from training.run import train

    common = {**changes, "max_target_tokens": 40, "steps": 120, "batch": 8, "warmup": 10, "lr": 2e-3, "explosion": 0}
    common |= {"checkpoint_every": 40, "log_every": 40, "samples": 2}
    for name, more in {
        "from-nothing": {"title": "Random at first", "projection": "fresh"},
        "from-pocket": {"title": "As pocket ships it", "projection": "model"},
    }.items():
        train(load_recipe("pocket-test", {**common, **more}), root / "trainings" / name)


def make(root: Path) -> Path:
    """All of it in `root`."""
    pictures = make_pictures(root / "pictures")
    make_curation(root / "curation", root / "pictures")
    make_trainings(root, make_model(root, pictures))
    return root


if __name__ == "__main__":
    make(Path(sys.argv[1]))
