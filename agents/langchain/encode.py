"""Encode the pictures of conversations: opened one by one, encoded in groups, kept for the next call."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agents.langchain.messages import MessageTurn, Sources
from core.images.picture import Picture, open_picture
from core.settings import get_settings
from core.vision import EncodedImage, VisionBackend

KNOWN_PICTURES: Final = 64  # encoded pictures that are kept
TOGETHER: Final = 16  # decoded pictures in memory, and in one call of the vision model


class KnownImages:
    """The encoded images that were used last, by the vision model's revision and the sha256; safe for threads."""

    def __init__(self, most: int = KNOWN_PICTURES) -> None:
        self.most = most
        self._images: OrderedDict[tuple[str, str], EncodedImage] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, revision: str, sha256: str) -> EncodedImage | None:
        """The image, or None if it is not kept."""
        with self._lock:
            return self._images.get((revision, sha256))

    def add(self, revision: str, sha256: str, image: EncodedImage) -> None:
        """Keep the image, as the one that was used last."""
        with self._lock:
            self._images[revision, sha256] = image
            self._images.move_to_end((revision, sha256))
            while len(self._images) > self.most:
                self._images.popitem(last=False)


@dataclass(slots=True)
class PictureEncoder:
    """Give turns their encoded pictures; each different one is encoded once, and not again if it is `known`."""

    vision: VisionBackend
    sources: Sources
    known: KnownImages
    _encoded: dict[str, EncodedImage] = field(default_factory=dict)
    _waiting: dict[str, Picture] = field(default_factory=dict)
    _turns: list[tuple[MessageTurn, list[str]]] = field(default_factory=list)

    def open(self, turns: Sequence[MessageTurn]) -> None:
        """Open the pictures of a conversation. Raises InquisightError; its turns then get none."""
        self._turns += [(turn, [self._open(*block) for block in turn.blocks]) for turn in turns]

    def finish(self) -> None:
        """Fill in `images` of all turns that were opened. Raises BackendError."""
        self._encode()
        for turn, names in self._turns:
            turn.images = [self._encoded[name] for name in names]
        for name, image in self._encoded.items():
            self.known.add(self.vision.revision, name, image)

    def _open(self, block: Mapping[str, Any], label: str) -> str:
        """The sha256 of a block's picture, which is encoded or waits for it."""
        source = self.sources.get(block, label)
        if isinstance(source, bytes) and self._has(name := hashlib.sha256(source).hexdigest()):
            return name  # not even decoded again
        picture = open_picture(
            source, name=None if isinstance(source, Path) else label, max_pixels=get_settings().max_pixels
        )
        if not self._has(picture.sha256):
            self._waiting[picture.sha256] = picture
            if len(self._waiting) == TOGETHER:
                self._encode()
        return picture.sha256

    def _has(self, name: str) -> bool:
        if (known := self.known.get(self.vision.revision, name)) is not None:
            self._encoded[name] = known
        return name in self._encoded or name in self._waiting

    def _encode(self) -> None:
        waiting, self._waiting = self._waiting, {}
        if waiting:
            self._encoded.update(zip(waiting, self.vision.encode(list(waiting.values())), strict=True))
