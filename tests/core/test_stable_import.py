"""`core` is the one import of plugin authors, for isolated eyes too, and what is not used of it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import core
from core.vision import VisionBackend

ROOT = Path(__file__).parents[2]


def test_an_isolated_eye_can_be_written_with_this_import_alone() -> None:
    class OwlBackend(core.IsolatedVision):
        def __init__(self) -> None:
            super().__init__("owl", python=sys.executable, vision="owl_model.py:Owl", limits=core.Limits(start=5))

    assert issubclass(OwlBackend, VisionBackend) and OwlBackend().name == "owl", "nothing is started before it is used"


def test_asking_for_one_name_imports_no_other_module() -> None:
    code = (
        "import sys, core; core.hookimpl; "
        "print(sorted(name for name in sys.modules if name.startswith('core.') or name in ('PIL', 'pydantic')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['core.hookspecs']"
