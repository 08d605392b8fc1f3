"""Packages and extras in `inquisight doctor`: what is declared, what is installed, what fits."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from agents.doctor import packages
from agents.doctor.packages import EXTRAS, extras, torch_build, unmet

ROOT = Path(__file__).resolve().parents[3]
DECLARED = [
    "torch>=2.6",
    "numpy<3,>=2",
    'old; python_version < "3"',
    'onnxruntime>=1.20; extra == "ocr"',
    'rapidocr>=3.10; extra == "ocr"',
    'inquisight[ocr]; extra == "dev"',
    'pytest>=9; extra == "dev"',
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The versions of an imaginary environment."""
    found = {"torch": "2.13.0+cpu", "numpy": "2.4.6", "onnxruntime": "1.32.0", "rapidocr": "3.10.0"}

    def version(name: str) -> str:
        if name not in found:
            raise PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(packages, "requires", lambda name: DECLARED)
    monkeypatch.setattr(packages, "version", version)
    return found


def test_each_extra_says_what_it_adds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"])
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(EXTRAS)


def test_extras(installed: dict[str, str]) -> None:
    found = {one.name: one for one in extras()}
    assert set(found) == {"ocr", "dev"}
    assert not found["ocr"].missing and not found["ocr"].command
    assert found["dev"].missing == ("pytest",) and found["dev"].command == "pip install 'inquisight[dev]'"

    installed["rapidocr"] = "3.9"
    found = {one.name: one for one in extras()}
    assert found["ocr"].missing == ("rapidocr 3.9",) and found["dev"].missing == ("rapidocr 3.9", "pytest")


def test_required_packages(installed: dict[str, str]) -> None:
    assert unmet() == []
    installed["numpy"] = "1.26.4"
    del installed["torch"]
    missing, wrong = unmet()
    assert missing == "the package torch is missing: pip install 'torch>=2.6'"
    assert wrong == "the version numpy 1.26.4 does not fit: pip install 'numpy<3,>=2'"


def test_what_is_installed_here() -> None:
    assert unmet() == []
    assert torch_build() is not None
