"""`detector` as a witness: NanoDet-g finds things, an ImageNet classifier on each box checks and refines the names.

NanoDet-g often takes one person for two, or two for one, so people count where MoveNet, a network for people, agrees.
The detector alone names about one thing in six wrongly, such as a pig as a cow. A box is dropped if the classifier, on
the crop, gives less than a twentieth to all classes that the name may mean. Where it is sure of a more exact name,
`Thing.finer` has it. ImageNet has no class for persons: an unsure one is dropped only if the crop is an animal.

A large picture that shows something small is also examined in four overlapping tiles. The limits were chosen by
`training.detector.measure` on photographs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.images.picture import Picture
from core.witness import Box, Findings, Thing, Witness
from plugins.detector.merging import MOST, areas, merged, people, unsure
from plugins.detector.network import NAMES, NanoDet
from plugins.detector.people import PersonNet
from plugins.detector.views import Edges, letterboxed, tiles, whole
from plugins.imagenet.classes import load_classifier, phrases

if TYPE_CHECKING:
    from plugins.imagenet.tower import EfficientNetLite2

WEIGHTS: Final = Path(__file__).with_name("model") / "nanodet_g.safetensors"
PEOPLE_WEIGHTS: Final = WEIGHTS.with_name("movenet.safetensors")
MOST_CROPS: Final = 8  # boxes per picture that the classifier checks, the surest first
CANDIDATES: Final = 1000  # boxes of one view that are compared with each other
ANIMALS: Final = 398  # the first classes of ImageNet
PERSON: Final = NAMES.index("person")


@dataclass(frozen=True, slots=True)
class Limits:
    """How sure detector and classifier must be."""

    score: float = 0.45  # least score of a box
    person: float = 0.4  # the same for persons
    unchecked: float = 0.5  # the same for names that ImageNet has no class for
    confirmed: float = 0.3  # the same where the classifier is at least `confident`
    confident: float = 0.5
    weak: float = 0.15  # least score of a box that is no evidence alone, but answers "is there a dog?" with "perhaps"
    veto: float = 0.05  # confidence in all classes of a name under which the classifier rejects it
    finer: float = 0.6  # confidence at which the classifier refines a name
    animal: float = 0.6  # confidence at which a person is an animal
    sure_person: float = 0.6  # score from which a person is not checked
    large: float = 0.02  # share of the picture from which an unsure person is checked
    small: float = 0.05  # share of the picture up to which a box calls for tiles


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes before they are judged; arrays of the same length N."""

    edges: Any  # (N, 4) float: left, top, right, bottom in pixels of the picture
    kinds: Any  # (N,) int: places in NAMES
    scores: Any  # (N,) float
    tiled: Any  # (N,) bool: seen in a tile
    bodies: Any  # (N, 4) float: of people from shoulders to hips, as `edges`; else NaN

    def __getitem__(self, chosen: Any) -> Candidates:
        return Candidates(*(getattr(self, name)[chosen] for name in self.__slots__))

    @property
    def areas(self) -> Any:
        """Square pixels (N,)."""
        return areas(self.edges)

    @classmethod
    def joined(cls, parts: Sequence[Candidates]) -> Candidates:
        """All of them, the surest first."""
        arrays = [[getattr(part, name) for part in parts] for name in cls.__slots__]
        every = cls(*map(np.concatenate, arrays))
        return every[np.argsort(-every.scores, kind="stable")]


class NanoDetWitness(Witness):
    """`detector`: names, scores and boxes of things. Thread-safe."""

    def __init__(self, *, limits: Limits = Limits(), tiled: bool = True) -> None:
        self.limits, self.tiled = limits, tiled
        self.network = NanoDet.load(WEIGHTS).to(memory_format=torch.channels_last)
        self.person_network = PersonNet.load(PEOPLE_WEIGHTS).to(memory_format=torch.channels_last)

    @property
    def name(self) -> str:
        return "detector"

    @cached_property
    def revision(self) -> str:
        weights = WEIGHTS.read_bytes() + PEOPLE_WEIGHTS.read_bytes()
        digest = hashlib.sha256(weights + repr((self.limits, self.tiled)).encode()).hexdigest()
        return f"nanodet-g-{digest[:12]}"

    @cached_property
    def classifier(self) -> EfficientNetLite2:
        """The ImageNet classifier that ships with pocket."""
        return load_classifier()

    @torch.inference_mode()
    def examine(self, pictures: Sequence[Picture]) -> list[Findings]:
        return [self._examined(picture) for picture in pictures]

    def _examined(self, picture: Picture) -> Findings:
        things, maybe = self.judged(picture.image, self.candidates(picture.image))
        return Findings(
            witness=self.name,
            revision=self.revision,
            width=picture.width,
            height=picture.height,
            looked_for=("things",),
            things=tuple(things),
            maybe=tuple(maybe),
        )

    def candidates(self, image: Image.Image) -> Candidates:
        """What the picture and its tiles show, overlapping boxes merged, the surest first."""
        [found] = self._seen([image])
        small = found.areas < self.limits.small * image.width * image.height
        parts = [found]
        if self.tiled and (small & (found.scores > self.limits.confirmed)).any():
            views = tiles(*image.size)
            for view, seen in zip(views, self._seen([image.crop(view) for view in views]), strict=True):
                edges = seen.edges + np.array([*view[:2], *view[:2]])
                moved = replace(seen, edges=edges, tiled=np.ones(len(edges), bool))
                parts.append(moved[whole(edges, view, *image.size)])
        joined = Candidates.joined(parts)
        return self.with_people(joined[merged(joined.edges, joined.kinds, joined.tiled)], image)

    def with_people(self, found: Candidates, image: Image.Image) -> Candidates:
        """The candidates, with people as both networks see them."""
        person = found.kinds == PERSON
        seen = found[person]
        others, other_scores, bodies = self.person_network.people(image)
        edges, scores, which = people(
            seen.edges, seen.scores, others, other_scores, max(image.size), self.limits.person
        )
        bodies = np.concatenate([bodies, np.full((1, 4), np.nan)])[which]  # the last one: of nobody
        both = Candidates(edges, np.full(len(edges), PERSON), scores, np.zeros(len(edges), bool), bodies)
        return Candidates.joined([found[~person], both])

    def _seen(self, images: Sequence[Image.Image]) -> list[Candidates]:
        """The candidates of images of one size; their boxes may overlap."""
        if not images:
            return []
        prepared = [letterboxed(image) for image in images]
        pixels = torch.from_numpy(np.stack([pixels for pixels, *_ in prepared]))
        scores, boxes = self.network(pixels.contiguous(memory_format=torch.channels_last))
        return [
            self.above_limits(scores[row], boxes[row], image.size, scale, left, top)
            for row, (image, (_, scale, left, top)) in enumerate(zip(images, prepared, strict=True))
        ]

    def above_limits(
        self, scores: Tensor, boxes: Tensor, size: tuple[int, int], scale: float, left: int, top: int
    ) -> Candidates:
        """Cells (N, 80), (N, 4) as candidates: those that may become things, and the best unsure one of each name."""
        best, place = scores.max(0)
        weak = (best > self.limits.weak) & (best <= self.limits.confirmed)
        least = torch.full((len(NAMES),), self.limits.confirmed)
        least[PERSON], weak[PERSON] = self.limits.weak, False  # people need less, since another network looks too
        cells, kinds = (scores > least).nonzero(as_tuple=True)
        cells, kinds = torch.cat([cells, place[weak]]), torch.cat([kinds, weak.nonzero()[:, 0]])
        order = scores[cells, kinds].argsort(descending=True, stable=True)[:CANDIDATES]
        cells, kinds = cells[order], kinds[order]
        limit = torch.tensor([*size, *size], dtype=torch.float32)
        edges = ((boxes[cells] - torch.tensor([left, top, left, top])) / scale).clamp(torch.zeros(4), limit)
        found = Candidates(
            edges.double().numpy(),
            kinds.numpy(),
            scores[cells, kinds].numpy(),
            np.zeros(len(cells), bool),
            np.full((len(cells), 4), np.nan),
        )
        return found[merged(found.edges, found.kinds, found.tiled)]

    def judged(self, image: Image.Image, found: Candidates) -> tuple[list[Thing], Sequence[Thing]]:
        """Things, and unsure things, whose names the classifier does not reject, with finer names."""
        asked = self._asked(found, image.width * image.height)
        odds = self._odds([image.crop(_whole(found.edges[place])) for place in asked]) if asked else ()
        verdicts = dict(zip(asked, odds, strict=True))
        sure: list[Thing] = []
        weak: list[Thing] = []
        rows = zip(found.edges, found.kinds, found.scores, found.bodies, strict=True)
        for place, (edges, kind, score, body) in enumerate(rows):
            name, finer, limit = NAMES[kind], None, self.limits.person if kind == PERSON else self.limits.unchecked
            if place in verdicts:
                classes, shares = classes_of()[name], verdicts[place]
                if kind == PERSON:
                    rejected = float(shares[:ANIMALS].sum()) >= self.limits.animal
                else:
                    own, best = float(shares[list(classes)].sum()), int(shares.argmax())
                    rejected = own < self.limits.veto
                    limit = self.limits.confirmed if own >= self.limits.confident else self.limits.score
                    if best in classes and shares[best] >= self.limits.finer and phrases()[best] != name:
                        finer = phrases()[best]
                if rejected:
                    continue
            thing = Thing(
                name=name,
                score=min(float(score), 1.0),
                box=_box(edges),
                finer=finer,
                body=None if np.isnan(body).any() else _box(body),
            )
            (sure if score > limit else weak).append(thing)
        return sure[:MOST], unsure(weak, sure)

    def _asked(self, found: Candidates, area: float) -> list[int]:
        """The places of the candidates that the classifier checks, the surest first."""
        person = found.kinds == PERSON
        unsure_person = person & (found.scores <= self.limits.sure_person) & (found.scores > self.limits.person)
        known = np.array([bool(classes_of()[name]) for name in NAMES])[found.kinds]
        asked = (known & ~person) | (unsure_person & (found.areas > self.limits.large * area))
        return [int(place) for place in np.flatnonzero(asked)[:MOST_CROPS]]

    def _odds(self, crops: list[Image.Image]) -> Any:
        """Confidence of each ImageNet class for each crop (N, 1000)."""
        from plugins.imagenet.tower import IMAGE_SIZE, normalise

        arrays = [np.asarray(crop.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)) for crop in crops]
        features = self.classifier(normalise(torch.from_numpy(np.stack(arrays))))
        return self.classifier.classifier(features.mean((2, 3))).softmax(-1).numpy()


def _box(edges: Any) -> Box:
    return Box(**dict(zip(("left", "top", "right", "bottom"), edges.tolist(), strict=True)))


def _whole(edges: Any) -> Edges:
    """A box in whole pixels, at least one wide and high."""
    left, top = int(edges[0]), int(edges[1])
    return left, top, max(left + 1, round(float(edges[2]))), max(top + 1, round(float(edges[3])))


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
