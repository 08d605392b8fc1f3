"""The frame of a vision model that needs no weights; what it sees and says is a subclass's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from core.entries import Entry
from core.images.picture import Picture
from core.registry import get_registry
from core.vision import EncodedImage, VisionBackend
from core.witness import Witness


class FakeVision(VisionBackend):
    """A fake. A subclass answers, from what `keep` gives of each picture."""

    label: ClassVar[str] = "fake"

    @property
    def name(self) -> str:
        return self.label

    @property
    def revision(self) -> str:
        return "1"

    def encode(self, pictures: Sequence[Picture]) -> list[EncodedImage]:
        return [EncodedImage(one.sha256, self.revision, self.keep(one)) for one in pictures]

    def keep(self, picture: Picture) -> Any:
        """What stays of a picture."""
        return None


def register_witness(monkeypatch: pytest.MonkeyPatch, witness: Witness) -> None:
    """Make this witness the only one of the registry: `--witness auto` and its name give it."""
    registry = get_registry()
    entry = Entry("witness", witness.name, lambda argument: witness, "for tests", {}, "tests", "tests")
    monkeypatch.setattr(registry, "witnesses", {witness.name: entry})
    monkeypatch.setitem(registry._tables, "witness", registry.witnesses)
    monkeypatch.setattr(registry, "_loaded", {})
