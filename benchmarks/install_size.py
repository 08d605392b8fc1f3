"""Measure the installed size of Inquisight, and what each extra adds to it.

    python -m benchmarks.install_size

Run it with the Python of an environment into which the wheel was installed: an editable install has no files. The
packages of this environment are followed from Inquisight's own requirements; an extra adds those that the base install
does not have. Sizes are those of the installed files, in units of 10**6 bytes; the bytecode that pip compiles is
counted separately. An extra that is not installed is named with the packages that are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from agents.doctor.packages import EXTRAS, OURS

LARGEST = 3  # packages that are named
SITES = [folder for folder in sys.path if folder.endswith("-packages")]  # not the checkout


class Closure:
    """The packages that a package needs, with theirs."""

    def __init__(self) -> None:
        self.found: dict[str, Distribution] = {}
        self.missing: set[str] = set()
        self._done: set[tuple[str, str]] = set()

    def add(self, name: str, extras: Iterable[str] = ()) -> Closure:
        """Add a package with these extras, and all that they require; returns itself."""
        name = canonicalize_name(name)
        here = next(iter(Distribution.discover(name=name, path=SITES)), None)
        if here is None:
            self.missing.add(name)
            return self
        self.found[name] = here
        for extra in ("", *extras):
            if (name, extra) in self._done:
                continue
            self._done.add((name, extra))
            for one in map(Requirement, here.requires or ()):
                if one.marker is None or one.marker.evaluate({"extra": extra}):
                    self.add(one.name, one.extras)
        return self


def sizes(here: Distribution) -> tuple[int, int]:
    """Bytes of the installed files, and of compiled bytecode."""
    files, bytecode = 0, 0
    for file in here.files or ():
        path = Path(str(here.locate_file(file)))
        nbytes = path.stat().st_size if path.is_file() else 0
        if path.suffix == ".pyc":
            bytecode += nbytes
        else:
            files += nbytes
    return files, bytecode


def row(title: str, packages: dict[str, Distribution], missing: Iterable[str]) -> str:
    """A line of the table."""
    if missing:
        return f"| {title} | | | | not installed here: {', '.join(sorted(missing))} |"
    measured = {name: sizes(here) for name, here in packages.items()}
    files, bytecode = (sum(one[column] for one in measured.values()) for column in (0, 1))
    largest = sorted(measured, key=lambda name: -measured[name][0])[:LARGEST]
    named = ", ".join(f"{name} {measured[name][0] / 1e6:.0f}" for name in largest)
    return f"| {title} | {len(packages)} | {files / 1e6:.0f} | {bytecode / 1e6:.0f} | {named} |"


def main() -> int:
    """Print the table."""
    base = Closure().add(OURS)
    torch = Closure().add("torch")
    print(f"Inquisight {version(OURS)}, Python {sys.version.split()[0]}, PyTorch {version('torch')}\n")
    print("| install | packages | MB | bytecode, MB | largest, MB |", "|---|---:|---:|---:|---|", sep="\n")
    print(row("base", base.found, base.missing))
    print(row("of which PyTorch and what it needs", torch.found, torch.missing))
    for extra in EXTRAS:
        whole = Closure().add(OURS, (extra,))
        added = {name: here for name, here in whole.found.items() if name not in base.found}
        print(row(f"`{extra}` adds", added, whole.missing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
