"""The vision half of smol: pocket's tower and detection head, with five tokens per picture.

    pixel_values (B, 3, 260, 260) -> (B, 5, WIDTH)

The first token describes the whole picture: odds of the ImageNet classes by group, of scene words and of colours. The
other four describe the detected things, surest first: odds of the names, colours and places, and the size; zeros where
nothing is detected. No part was trained with a language model, and nothing bypasses the projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from plugins.imagenet.classes import classes
from plugins.pocket.colours import COLOURS
from plugins.pocket.modeling import DETECTIONS, CertaintyLimits, PocketVision, cell_colours, flipped

TOKENS: Final = 1 + DETECTIONS
PLACES: Final = (
    "top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right",
)  # fmt: skip
NUMBERS: Final = ("nothing", "one", "two", "three", "four")
_SIZE: Final = 3  # width, height, and that something is detected
_LEAST: Final = 0.05  # of an ImageNet class; the others are noise


def buckets() -> tuple[list[str], list[int]]:
    """The groups of ImageNet's classes, each class without one for itself; and the number of each class's bucket."""
    named = [group or name for name, group in classes()]
    known = list(dict.fromkeys(named))
    place = {name: number for number, name in enumerate(known)}
    return known, [place[name] for name in named]


def words(names: Sequence[str], scene: Sequence[str]) -> list[str]:
    """The word of each number of a token, empty where it has none; its length is the width of a token."""
    thing = [*names, "thing", "", *COLOURS, *PLACES, *[""] * _SIZE]
    return [*thing, *buckets()[0], *scene, *COLOURS, *COLOURS, *NUMBERS, "", ""]


class CellVision(PocketVision):
    """Encode pictures to tokens that a linear layer projects; `config` is `vision_config.cells` of the directory."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(len(config["names"]), CertaintyLimits(**config["limits"]), len(config["scene"]))
        self.width = len(words(config["names"], config["scene"]))
        known, numbers = buckets()
        self.buckets = len(known)
        self.register_buffer("bucket_of", torch.tensor(numbers))

    def forward(self, pixel_values: Tensor, **_: Any) -> Tensor:
        """Encode (B, 3, 260, 260), normalised for pocket's tower, to (B, 5, width), float32."""
        cells, colours = self.cells(pixel_values), cell_colours(pixel_values)
        seen = self.neck.detect(cells, colours)
        if self.limits.mirror:
            other = pixel_values.flip(-1)
            cells_there = self.cells(other)
            seen = seen.with_mean(self.neck.detect(cells_there, cell_colours(other)).mirrored())
            cells = (cells + flipped(cells_there)) / 2
        shares = self.colour_shares(pixel_values)
        _, seen = self.judge(cells, colours, seen, *shares, self.plain(pixel_values))
        things, number = [], torch.zeros(len(cells), dtype=torch.long, device=cells.device)
        for found in self.things(seen):
            place = F.one_hot(found.place, len(PLACES))
            there = (found.score > 0)[:, None]
            thing = torch.cat([found.names, found.colours, place, found.size, torch.ones_like(found.size[:, :1])], -1)
            things.append(thing * there)
            number += there[:, 0]
        features = cells[..., : self.tower.classifier.in_features].float().mean(1)
        odds = self.tower.classifier(features).softmax(-1)
        odds = torch.where(odds >= _LEAST, odds, 0.0)
        kinds = odds.new_zeros(len(odds), self.buckets).index_add_(1, self.bucket_of.long(), odds)
        scene = self.scene(features).sigmoid() if self.scene is not None else features[:, :0]
        composed = self.composed_odds(cells)[:, None]
        counted = F.one_hot(number, len(NUMBERS))
        whole = torch.cat([kinds, scene, *shares, counted, composed, torch.ones_like(composed)], -1)
        tokens = [F.pad(whole, (self.width - whole.shape[1], 0))]
        tokens += [F.pad(thing, (0, self.width - thing.shape[1])) for thing in things]
        encoded: Tensor = torch.stack(tokens, 1)
        return encoded
