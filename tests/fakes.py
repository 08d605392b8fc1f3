"""The frame of a vision model that needs no weights; what it sees and says is a subclass's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from core.images.picture import Picture
from core.vision import EncodedImage, VisionBackend


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
