"""The twelve pictures: two of this repository, ten that packages of the extra `train` bring with them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from core import InquisightError

ROOT: Final = Path(__file__).resolve().parents[2]
OWN: Final = ("cat.jpg", "coffee.jpg")  # in examples/photos
PACKAGED: Final = {
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
    "skimage": tuple(
        f"data/{name}"
        for name in ("astronaut.png", "camera.png", "clock_motion.png", "coins.png", "motorcycle_left.png")
    )
    + ("data/page.png", "data/rocket.jpg"),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}


def twelve() -> list[Path]:
    """Their files. Raises InquisightError where a package is missing."""
    found = [ROOT / "examples" / "photos" / name for name in OWN]
    for package, names in PACKAGED.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise InquisightError(f"the package {package} with pictures is missing: pip install -e '.[train]'")
        found += [Path(spec.origin).parent / name for name in names]
    return found
