"""Tests for trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from core.errors import InquisightError
from core.registry import get_registry


class TrainerTests:
    """Tests for every trainer. Set `spec` and override `make_recipe`."""

    spec: ClassVar[str] = ""

    def make_recipe(self, folder: Path) -> Any:
        """A recipe that trains in seconds; its data may be written into `folder`."""
        raise NotImplementedError

    def test_is_registered_with_a_description(self) -> None:
        assert get_registry().find("trainer", self.spec).description

    def test_trains_into_the_folder_that_it_is_given(self, tmp_path: Path) -> None:
        out = tmp_path / "out"
        made = get_registry().trainer(self.spec)(self.make_recipe(tmp_path), out)
        assert isinstance(made, Path) and made.exists() and made.is_relative_to(out)

    def test_a_recipe_that_is_missing_is_refused_in_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(InquisightError) as refused:
            get_registry().trainer(self.spec)(str(tmp_path / "missing.toml"), tmp_path / "out")
        assert "missing" in str(refused.value) and "\n" not in str(refused.value)
