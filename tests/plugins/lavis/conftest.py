"""Where the real salesforce-lavis is, for the tests marked `lavis`.

They run where `inquisight lavis install` was run before, or with INQUISIGHT_TEST_LAVIS: 1 installs it first, a folder
installs it there. Nothing else of the suite needs it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from core.errors import InquisightError
from plugins.lavis.environment import Environment, chosen
from plugins.lavis.install import install

ROOT = Path(__file__).resolve().parents[3]
ORIGINAL = ROOT / "benchmarks" / "parity" / "lavis_original.py"
_INSTALLED = chosen()  # before any test points INQUISIGHT_HOME elsewhere


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "lavis: needs salesforce-lavis in an environment of its own")


@pytest.fixture(scope="session")
def lavis_environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The real one."""
    wanted = os.environ.get("INQUISIGHT_TEST_LAVIS", "")
    environment = _INSTALLED if wanted in {"", "0", "1"} else Environment(Path(wanted).expanduser().resolve())
    if environment.state == "ready":
        return environment
    if wanted in {"", "0"}:
        pytest.skip("salesforce-lavis is not installed; INQUISIGHT_TEST_LAVIS=1 installs it")
    from core.settings import get_settings

    with pytest.MonkeyPatch.context() as patch:  # the user's own choice of an environment stays as it is
        patch.setenv("INQUISIGHT_HOME", str(tmp_path_factory.mktemp("home")))
        get_settings.cache_clear()
        try:
            install(environment)
        except InquisightError as error:
            pytest.fail(f"salesforce-lavis could not be installed: {error}")
    get_settings.cache_clear()
    return environment


@pytest.fixture(scope="session")
def small_models(lavis_environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """opt/, opt.pth, t5/, t5.pth, outputs.npz: small models of LAVIS's own classes, and what LAVIS says with them."""
    folder = tmp_path_factory.mktemp("lavis")
    done = subprocess.run(
        [str(lavis_environment.python), "-I", str(ORIGINAL), "measure", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder
