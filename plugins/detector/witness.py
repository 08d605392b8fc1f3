"""`detector` as a witness: NanoDet-g finds things, an ImageNet classifier on each box vetoes and refines the names.

The detector alone names about one thing in six wrongly, such as a pig as a cow. A box is dropped if the classifier, on
the crop, is confident of something that is not the detector's name; persons are exempt, because ImageNet has no class
for them. Where it is sure of a more exact name, `Thing.finer` has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.images.picture import Picture
from core.witness import Box, Findings, Thing, Witness
from plugins.detector.network import MEAN, NAMES, SIZE, STD, NanoDet

if TYPE_CHECKING:
    from plugins.pocket.tower import EfficientNetLite2

WEIGHTS = Path(__file__).with_name("model") / "nanodet_g.safetensors"
BATCH = 8  # pictures at a time
MOST = 100  # boxes per picture, as in COCO's evaluation
MOST_WEAK = 6  # names below the score limit per picture


@dataclass(frozen=True, slots=True)
class Limits:
    """How sure detector and classifier must be."""

    score: float = 0.5  # least score of a box
    weak: float = 0.15  # least score of a box that is no evidence alone, but answers "is there a dog?" with "perhaps"
    same: float = 0.6  # overlap (intersection over union) from which two boxes of one name are one thing
    any_name: float = 0.65  # the same for boxes of different names
    veto: float = 0.4  # confidence at which the classifier rejects a name
    finer: float = 0.6  # confidence at which the classifier refines a name


class NanoDetWitness(Witness):
    """`detector`: names, scores and boxes of things. Thread-safe. Raises UsageError for an argument."""

    def __init__(self, argument: str | None = None, *, limits: Limits = Limits()) -> None:
        if argument:
            from core.errors import UsageError, printable

            raise UsageError(f"the witness 'detector' takes no argument, but got {printable(argument)!r}.")
        self.limits = limits
        self.network = NanoDet.load(WEIGHTS).to(memory_format=torch.channels_last)

    @property
    def name(self) -> str:
        return "detector"

    @cached_property
    def revision(self) -> str:
        digest = hashlib.sha256(WEIGHTS.read_bytes() + repr(self.limits).encode()).hexdigest()
        return f"nanodet-g-{digest[:12]}"

    @cached_property
    def classifier(self) -> EfficientNetLite2:
        """The ImageNet classifier that ships with pocket."""
        from safetensors import safe_open

        from plugins.pocket.backend import MODEL
        from plugins.pocket.tower import EfficientNetLite2

        prefix = "vision_model.tower."
        with safe_open(MODEL / "model.safetensors", "pt") as file:
            weights = {
                name.removeprefix(prefix): file.get_tensor(name).float()
                for name in file.keys()  # noqa: SIM118 - not a mapping
                if name.startswith(prefix)
            }
        with torch.device("meta"):
            tower = EfficientNetLite2()
        tower.load_state_dict(weights, assign=True)
        return tower.eval().requires_grad_(False)

    @torch.inference_mode()
    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        found = []
        for start in range(0, len(pictures), BATCH):
            group = pictures[start : start + BATCH]
            prepared = [letterboxed(picture.image) for picture in group]
            pixels = torch.from_numpy(np.stack([pixels for pixels, *_ in prepared]))
            scores, boxes = self.network(pixels.contiguous(memory_format=torch.channels_last))
            for row, (picture, (_, scale, left, top)) in enumerate(zip(group, prepared, strict=True)):
                things = self.things(scores[row], boxes[row], picture.image.size, scale, left, top)
                judged = self.judged(picture.image, things)
                findings = Findings(
                    witness=self.name,
                    revision=self.revision,
                    width=picture.width,
                    height=picture.height,
                    looked_for=("things",),
                    things=tuple(thing for thing in judged if thing.score > self.limits.score),
                    maybe=tuple(thing for thing in judged if thing.score <= self.limits.score),
                )
                found.append(findings)
        return found

    def things(
        self, scores: Tensor, boxes: Tensor, size: tuple[int, int], scale: float, left: int, top: int
    ) -> list[Thing]:
        """Cells as things of the picture, overlapping ones merged: (3549, 80), (3549, 4). The surest come first.

        Below the score limit, each name has one thing at most, and none if the picture has a sure one of this name.
        """
        best, place = scores.max(0)
        weak = (best > self.limits.weak) & (best <= self.limits.score)
        cells, kinds = (scores > self.limits.score).nonzero(as_tuple=True)
        cells, kinds = torch.cat([cells, place[weak]]), torch.cat([kinds, weak.nonzero()[:, 0]])
        score, order = scores[cells, kinds].sort(descending=True)
        cells, kinds = cells[order][: 10 * MOST], kinds[order][: 10 * MOST]
        kept: list[Thing] = []
        shift = torch.tensor([left, top, left, top])
        limit = torch.tensor([*size, *size], dtype=torch.float32)
        placed = ((boxes[cells] - shift) / scale).clamp(min=torch.zeros(4), max=limit)
        for value, number, edges in zip(score.tolist(), kinds.tolist(), placed.tolist(), strict=False):
            box = Box(**dict(zip(("left", "top", "right", "bottom"), edges, strict=True)))
            thing = Thing(name=NAMES[number], score=value, box=box)
            if not any(self._one_thing(thing, other) for other in kept):
                kept.append(thing)
        sure = [thing for thing in kept if thing.score > self.limits.score]
        return sure[:MOST] + kept[len(sure) : len(sure) + MOST_WEAK]

    def _one_thing(self, one: Thing, other: Thing) -> bool:
        limit = self.limits.same if one.name == other.name else self.limits.any_name
        return one.box.overlap(other.box) > limit

    def judged(self, image: Image.Image, things: list[Thing]) -> list[Thing]:
        """The things whose names the classifier does not reject, with finer names."""
        asked = [thing for thing in things if classes_of().get(thing.name) and thing.name != "person"]
        if not asked:
            return things
        odds = self._odds([image.crop(_whole(thing.box)) for thing in asked])
        verdicts = dict(zip(map(id, asked), odds, strict=True))
        kept = []
        for thing in things:
            if id(thing) not in verdicts:
                kept.append(thing)
                continue
            best, number = verdicts[id(thing)]
            if number in classes_of()[thing.name]:
                phrase = phrases()[number]
                finer = phrase if best >= self.limits.finer and phrase != thing.name else None
                kept.append(thing.model_copy(update={"finer": finer}))
            elif best < self.limits.veto:
                kept.append(thing)
        return kept

    def _odds(self, crops: list[Image.Image]) -> list[tuple[float, int]]:
        """Confidence and number of the likeliest ImageNet class of each crop."""
        from plugins.pocket.modeling import normalise
        from plugins.pocket.tower import IMAGE_SIZE

        arrays = [np.asarray(crop.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)) for crop in crops]
        features = self.classifier(normalise(torch.from_numpy(np.stack(arrays))))
        odds, numbers = self.classifier.classifier(features.mean((2, 3))).softmax(-1).max(-1)
        return list(zip(odds.tolist(), numbers.tolist(), strict=True))


def letterboxed(image: Image.Image) -> tuple[Any, float, int, int]:
    """Pixels (3, 416, 416) as the network takes them; scale, left and top of the picture in them."""
    scale = min(SIZE / image.width, SIZE / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    left, top = (SIZE - width) // 2, (SIZE - height) // 2
    filter = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    resized = np.asarray(image.resize((width, height), filter, reducing_gap=3.0), dtype=np.float32)
    pixels = np.zeros((SIZE, SIZE, 3), np.float32)  # zero after normalisation: the border has the mean colour
    pixels[top : top + height, left : left + width] = (resized[..., ::-1] - np.array(MEAN, np.float32)) / np.array(
        STD, np.float32
    )
    return pixels.transpose(2, 0, 1), scale, left, top


def _whole(box: Box) -> tuple[int, int, int, int]:
    """The box in whole pixels, at least one wide and high."""
    left, top = int(box.left), int(box.top)
    return left, top, max(left + 1, round(box.right)), max(top + 1, round(box.bottom))


@cache
def classes_of() -> dict[str, set[int]]:
    """For each COCO name the ImageNet classes that it may be; empty where ImageNet has none."""
    found: dict[str, set[int]] = {name: set() for name in NAMES}
    for line in files("plugins.detector").joinpath("names.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            index, _, names = line.split("\t")
            for name in filter(None, names.split(", ")):
                found[name].add(int(index))
    return found


@cache
def phrases() -> dict[int, str]:
    """The name of each ImageNet class, without its article."""
    lines = files("plugins.pocket").joinpath("imagenet.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {int(row[0]): row[2].partition(" ")[2] for row in rows}
