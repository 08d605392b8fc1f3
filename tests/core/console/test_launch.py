"""The start of every command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
from core.launch import launch
launch(lambda arguments: print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules) or 0)
"""


@pytest.mark.parametrize(
    ("given", "count"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_idle_threads_sleep_soon_unless_the_environment_says_otherwise(given: dict[str, str], count: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    done = subprocess.run([sys.executable, "-c", CODE], env=kept | given, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, [count, "False"]), done.stderr
