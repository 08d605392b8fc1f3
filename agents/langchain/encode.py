"""The pictures of a conversation's turns: opened one by one, looked at in groups, remembered for the next call."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agents.langchain.messages import MessageTurn, Sources
from core.images.picture import Picture, open_picture
from core.settings import get_settings
from core.vision import EncodedImage, VisionBackend

KNOWN_PICTURES: Final = 64  # encoded pictures that are remembered
TOGETHER: Final = 16  # decoded pictures in memory, and in one call of the eye

Known = OrderedDict[tuple[str, str], EncodedImage]  # by (the eye's revision, sha256), the last used one last


@dataclass(slots=True)
class Looking:
    """Gives turns their encoded pictures, each different one looked at once, and not again where it is `known`."""

    eye: VisionBackend
    sources: Sources
    known: Known
    _seen: dict[str, EncodedImage] = field(default_factory=dict)
    _waiting: dict[str, Picture] = field(default_factory=dict)
    _turns: list[tuple[MessageTurn, list[str]]] = field(default_factory=list)

    def open(self, turns: Sequence[MessageTurn]) -> None:
        """Open the pictures of a conversation. Raises InquisightError; its turns then get none."""
        self._turns += [(turn, [self._one(*block) for block in turn.blocks]) for turn in turns]

    def finish(self) -> None:
        """Fill in `images` of all turns that were opened. Raises BackendError."""
        self._look()
        for turn, names in self._turns:
            turn.images = [self._seen[name] for name in names]
        revision = self.eye.revision
        for name, image in self._seen.items():
            self.known[revision, name] = image
            self.known.move_to_end((revision, name))
        while len(self.known) > KNOWN_PICTURES:
            self.known.popitem(last=False)

    def _one(self, block: Mapping[str, Any], label: str) -> str:
        """The sha256 of a block's picture, which is seen or waits to be."""
        source = self.sources.get(block, label)
        if isinstance(source, bytes) and self._is_seen(name := hashlib.sha256(source).hexdigest()):
            return name  # not even decoded again
        picture = open_picture(
            source, name=None if isinstance(source, Path) else label, max_pixels=get_settings().max_pixels
        )
        if not self._is_seen(picture.sha256):
            self._waiting[picture.sha256] = picture
            if len(self._waiting) == TOGETHER:
                self._look()
        return picture.sha256

    def _is_seen(self, name: str) -> bool:
        if name in self._seen or name in self._waiting:
            return True
        known = self.known.get((self.eye.revision, name))
        if known is not None:
            self._seen[name] = known
        return known is not None

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, {}
        if waiting:
            self._seen.update(zip(waiting, self.eye.encode(list(waiting.values())), strict=True))
