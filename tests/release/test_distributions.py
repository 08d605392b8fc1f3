"""What `make dist` builds: every file of the packages and nothing else, licences, one version everywhere.

Built distributions are looked for in $INQUISIGHT_TEST_DIST, which `make dist` sets.
"""

from __future__ import annotations

import os
import re
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("agents", "core", "evaluation", "inquisight", "plugins", "serving", "training", "ui")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]
DIST = os.environ.get("INQUISIGHT_TEST_DIST", "")
built = pytest.mark.skipif(not DIST, reason="make dist builds what this looks at")


def in_tree() -> set[str]:
    """The files of our packages, without what Python compiles."""
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file())
    return {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}


@built
def test_the_wheel_holds_the_packages_and_nothing_else() -> None:
    [wheel] = Path(DIST).glob("*.whl")
    assert wheel.name == f"inquisight-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if not name.endswith("/")}
        info = f"inquisight-{VERSION}.dist-info"
        inside = {name for name in names if not name.startswith(f"{info}/")}
        assert sorted(in_tree() - inside) == [] and sorted(inside - in_tree()) == []
        licences = {name.removeprefix(f"{info}/licenses/") for name in names if "/licenses/" in name}
        assert licences == set(PROJECT["license-files"])
        metadata = message_from_string(opened.read(f"{info}/METADATA").decode())
        points = opened.read(f"{info}/entry_points.txt").decode()
    assert metadata["Name"] == "inquisight" and metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra") or ()) == set(PROJECT["optional-dependencies"])
    assert "inquisight = inquisight.__main__:main" in points and "pocket = plugins.pocket" in points


@built
def test_the_source_distribution_holds_what_a_packager_needs() -> None:
    [sdist] = Path(DIST).glob("*.tar.gz")
    assert sdist.name == f"inquisight-{VERSION}.tar.gz"
    with tarfile.open(sdist) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    needed = {"pyproject.toml", "constraints.txt", "CHANGELOG.md", "README.md", "Makefile", "examples/photos/cat.jpg"}
    assert in_tree() | needed | set(PROJECT["license-files"]) <= names
    assert {"docs/install.md", "tests/release/test_distributions.py", "benchmarks/install_size.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "build", "dist"))]


def test_one_version_everywhere() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})$", changes, re.MULTILINE)
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert newest and newest[1] == VERSION
    assert f"\nversion: {VERSION}\n" in citation and f"\ndate-released: {newest[2]}\n" in citation


def test_the_versions_of_python_are_those_that_are_tested() -> None:
    named = {one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)}
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    assert named == set(re.findall(r"3\.\d+", page.partition("\n## ")[0]))
    assert PROJECT["requires-python"] == f">={min(named, key=lambda one: int(one[2:]))}"
