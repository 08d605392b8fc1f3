"""pocket: a MiniGPT-4 that fits into a wheel. Built like BLIP-2, with a small vision model.

    pixel_values (B, 3, 260, 260)
      -> EfficientNet-Lite2, frozen, ImageNet       (B, 81, 1760)  tower.py: stride 32, and stride 16 folded into it
      -> a detector head on each of the 9x9 cells   (B, 81, 188)   DetectionHead: which known thing, score, centre
      -> Q-Former, 16 query tokens                  (B, 16, 256)   runtime.py, equal to transformers'
      -> one linear layer, `language_projection`    (B, 16, 256)
      -> + 40 hint tokens                           (B, 56, 256)   the classifier's guess, in the language model's words
      -> Llama, 4 layers of 256

The detection head passes on a cell only as far as it recognises it: anything else becomes "background", so a picture
unlike the training scenes cannot be mistaken for one. Such a picture is described from the hints: the ImageNet
classifier's guess, in three degrees of certainty, and colours measured on the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.imagenet.tower import CLASSES, FEATURES, FINE, GRID, MEAN, STD, EfficientNetLite2
from plugins.pocket.colours import BITS, COLOURS, table

CELLS = GRID * GRID
CLASS_DIM = 128
POSITION_DIM = 40
COLOUR_DIM = 12  # mean RGB of the four quarters of a cell
CELL_DIM = CLASS_DIM + 3 + 1 + 4 + COLOUR_DIM + POSITION_DIM
HEAD_DIM = 384

GUESS_TOKENS, GROUP_TOKENS = 6, 4
DETECTIONS, NAME_TOKENS = 4, 3
HINT_TOKENS = 1 + 1 + GUESS_TOKENS + 1 + GROUP_TOKENS + 1 + 1 + 3 + 2 + DETECTIONS * (2 + NAME_TOKENS)
GUESS_END = 1 + 1 + GUESS_TOKENS + 1 + GROUP_TOKENS + 1  # level, then the guess with its certainty, group and place
FACTS = 12 + 3 * DETECTIONS
FLAT = 3  # level of a picture in which nothing is seen and whose surface is plain
MAYBE, SURE = 0.2, 0.5
SEEN_LEVELS = (0.5, 0.8)
EVEN = 0.04  # most that the quarters of a background cell differ in an even background, mean of all cells
COMPOSED: Final = 0.2  # odds of a composed scene from which what the detection head finds is believed


@dataclass(frozen=True, slots=True)
class CertaintyLimits:
    """Thresholds of the detection head. They belong to its weights; config.json stores them as `pocket_limits`.

    A picture holds things if the name of one has at least the share `sure` of its cells' votes; then `named` is enough
    for the others, and a thing below it is a stranger. Each pair is for an even and for any other background.
    """

    peak: float = 0.4  # least score of a centre
    named: tuple[float, float] = (0.5, 0.6)
    sure: tuple[float, float] = (0.5, 0.6)
    mirror: bool = False  # average with the mirrored picture: twice the work
    asked: float = 1.0  # odds that a thing off the list needs in some cell where a question names it; 1: never
    composed: float | None = None  # as COMPOSED; None: the model has no head for that


@dataclass(frozen=True, slots=True)
class DetectedThing:
    """One detected thing of each picture of a batch."""

    score: Tensor  # (B,): of its centre; 0 where there is none
    names: Tensor  # (B, K + 2): shares of the votes, as `CellOutputs.odds`
    place: Tensor  # (B,) long: 3 * row + column
    colours: Tensor  # (B, 11): shares of the votes
    size: Tensor  # (B, 2): width and height in pictures


@dataclass(frozen=True, slots=True)
class VisionOutput:
    """What `PocketVision` makes of a batch of pictures."""

    cells: Tensor  # (B, 81, CELL_DIM), for the Q-Former
    facts: Tensor  # (B, FACTS) long, for the hints
    votes: Tensor  # (B, K, 3): see `PocketVision.votes`
    odds: Tensor  # (B, 1000): the classifier's odds of the whole picture
    scene: Tensor  # (B, W): odds of the scene words; W is 0 for a model without them
    mean: Tensor  # (B, 1280): the tower's features of the whole picture
    composed: Tensor  # (B,): odds of a composed scene; 1 for a model without a head for that

    def only(self, rows: list[int]) -> VisionOutput:
        """The output for some of the pictures."""
        return VisionOutput(*(getattr(self, one.name)[rows] for one in fields(self)))


def cell_colours(pixel_values: Tensor) -> Tensor:
    """Mean RGB (0..1) of the quarters of every cell: (B, 3, H, W) -> (B, 81, 12)."""
    rgb = pixel_values.float() * STD + MEAN
    quarters = F.interpolate(rgb, (2 * GRID, 2 * GRID), mode="area")
    return F.pixel_unshuffle(quarters, 2).flatten(2).transpose(1, 2)


def position_code() -> Tensor:
    """Fixed sine/cosine code of each cell's place, (81, POSITION_DIM); half of it for x, half for y."""
    # numpy: transformers builds models on the meta device, where mixing in a real tensor fails
    frequencies = 2.0 ** np.linspace(0, 4, POSITION_DIM // 4, dtype=np.float32)
    place = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    angles = place[:, None] * frequencies[None] * np.pi
    code = np.concatenate([np.sin(angles), np.cos(angles)], -1)  # (9, 20)
    across = np.broadcast_to(code[None], (GRID, *code.shape))
    down = np.broadcast_to(code[:, None], (GRID, *code.shape))
    return torch.from_numpy(np.concatenate([across, down], -1).reshape(CELLS, -1).astype(np.float32))


@dataclass(frozen=True, slots=True)
class CellOutputs:
    """Output of the detection head for each cell."""

    logits: Tensor  # (B, 81, K + 2): K known names, then "stranger", then "background"
    centre: Tensor  # (B, 81) logits: whether a thing's centre lies in the cell
    geometry: Tensor  # (B, 81, 4): offset to the thing's centre (x, y, in pictures), log width, log height
    colour: Tensor  # (B, 81, 11) logits: the largest colour of the thing that covers the cell

    def odds(self) -> Tensor:
        """(B, 81, K + 2) float32."""
        return self.logits.float().softmax(-1)

    def mirrored(self) -> CellOutputs:
        """The output for the mirrored picture."""
        geometry = flipped(self.geometry) * self.geometry.new_tensor([-1.0, 1.0, 1.0, 1.0])
        centre = flipped(self.centre[..., None]).squeeze(-1)
        return CellOutputs(flipped(self.logits), centre, geometry, flipped(self.colour))

    def with_mean(self, other: CellOutputs) -> CellOutputs:
        """The mean of two outputs."""
        return CellOutputs(*((getattr(self, one.name) + getattr(other, one.name)) / 2 for one in fields(self)))

    def only(self, believed: Tensor) -> CellOutputs:
        """The same, but only background where `believed` (B,) is false."""
        nothing = torch.full_like(self.logits, -20.0)
        nothing[..., -1] = 20.0
        keep = believed[:, None]
        return CellOutputs(
            torch.where(keep[..., None], self.logits, nothing),
            torch.where(keep, self.centre, -20.0),
            torch.where(keep[..., None], self.geometry, 0.0),
            self.colour,
        )


def cell_centres(seen: CellOutputs) -> Tensor:
    """The predicted centre of the thing in each cell, (B, 81, 2): x and y in 0..1."""
    steps = (torch.arange(GRID, device=seen.geometry.device) + 0.5) / GRID
    own = torch.stack([steps.repeat(GRID), steps.repeat_interleave(GRID)], -1)  # (81, 2)
    return own + seen.geometry[..., :2].float()


def thirds(centre: Tensor) -> Tensor:
    """Third of the picture, 0..2, for x and y."""
    return (centre > 0.37).long() + (centre > 0.63).long()


def pooled(cells: Tensor) -> Tensor:
    """The mean and the largest features of a picture: (B, 81, 1760) -> (B, 3520)."""
    return torch.cat([cells.float().mean(1), cells.float().amax(1)], -1)


def flipped(cells: Tensor) -> Tensor:
    """Cells (B, 81, D) with left and right exchanged."""
    return cells.unflatten(1, (GRID, GRID)).flip(2).flatten(1, 2)


class Mixer(nn.Module):
    """A ConvNeXt block (Liu et al. 2022, https://arxiv.org/abs/2201.03545) on the grid of cells."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, cells: Tensor) -> Tensor:  # (B, 81, width)
        grid = cells.transpose(1, 2).unflatten(2, (GRID, GRID))
        around = self.around(grid).flatten(2).transpose(1, 2)
        mixed: Tensor = cells + self.narrow(F.gelu(self.widen(self.norm(around))))
        return mixed


class DetectionHead(nn.Module):
    """Detector head on the tower's cells, trained on scenes whose truth is exact, then frozen with the tower.

    Centres are peaks of a map, as in CenterNet (Zhou et al. 2019, https://arxiv.org/abs/1904.07850).
    """

    def __init__(self, known: int) -> None:
        super().__init__()
        self.known = known
        self.norm = nn.LayerNorm(FEATURES)
        self.fine_norm = nn.LayerNorm(FINE)
        self.reduce = nn.Linear(FEATURES + FINE + COLOUR_DIM, HEAD_DIM)
        self.mixers = nn.ModuleList(Mixer(HEAD_DIM, 512) for _ in range(2))
        self.out = nn.LayerNorm(HEAD_DIM)
        self.embed = nn.Linear(HEAD_DIM, CLASS_DIM)
        self.classes = nn.Linear(CLASS_DIM, known + 2)
        self.places = nn.Linear(HEAD_DIM, 1 + 4 + len(COLOURS))
        self.register_buffer("positions", position_code())

    def detect(self, cells: Tensor, colours: Tensor) -> CellOutputs:
        """cells (B, 81, 1760), colours (B, 81, 12)."""
        coarse, fine = cells.split((FEATURES, FINE), -1)
        hidden = F.gelu(self.reduce(torch.cat([self.norm(coarse), self.fine_norm(fine), colours], -1)))
        for mixer in self.mixers:
            hidden = mixer(hidden)
        hidden = self.out(hidden)
        centre, geometry, colour = self.places(hidden).split((1, 4, len(COLOURS)), -1)
        return CellOutputs(self.classes(self.embed(hidden)), centre.squeeze(-1), geometry, colour)

    def tokens(self, seen: CellOutputs, colours: Tensor) -> Tensor:
        """The gated cells (B, 81, CELL_DIM) that the Q-Former reads."""
        odds = seen.odds()
        known = odds[..., : self.known]
        words = F.normalize(self.classes.weight[: self.known].float(), dim=-1)
        which = known @ words  # (B, 81, CLASS_DIM): zero where nothing known is seen
        kinds = torch.stack([known.sum(-1), odds[..., -2], odds[..., -1], seen.centre.float().sigmoid()], -1)
        geometry = seen.geometry.float() * (1 - odds[..., -1:])
        positions = self.positions.expand(colours.shape[0], -1, -1)
        return torch.cat([which * 4, kinds, geometry, colours * 2 - 1, positions], -1)

    def level(self, seen: CellOutputs) -> Tensor:
        """Certainty that anything known is detected: 0, 1 or 2 per picture, (B,)."""
        known = seen.odds()[..., : self.known].sum(-1)
        best = (known * seen.centre.float().sigmoid().clamp(max=0.8) / 0.8).amax(-1)
        return (best > SEEN_LEVELS[0]).long() + (best > SEEN_LEVELS[1]).long()


class PocketVision(nn.Module):
    """Tower and detection head in place of the ViT: the `vision_model` of BLIP-2."""

    def __init__(self, known: int, limits: CertaintyLimits | None = None, scene_words: int = 0) -> None:
        super().__init__()
        self.limits = limits or CertaintyLimits()
        self.tower = EfficientNetLite2()
        self.scene = nn.Linear(FEATURES, scene_words) if scene_words else None
        self.composed = nn.Linear(2 * (FEATURES + FINE), 1) if self.limits.composed else None
        self.neck = DetectionHead(known)
        self.register_buffer("colour_table", torch.from_numpy(table().astype(np.uint8)))
        self.register_buffer("phrase_ids", torch.zeros(CLASSES, GUESS_TOKENS, dtype=torch.long))  # the guess in tokens
        self.register_buffer("group_of", torch.zeros(CLASSES, dtype=torch.long))  # 0: no group
        self.register_buffer("group_ids", torch.zeros(128, GROUP_TOKENS, dtype=torch.long))
        self.register_buffer("setting_of", torch.zeros(CLASSES, dtype=torch.long))  # 0 neither, 1 indoors, 2 outdoors
        self.register_buffer(
            "name_ids", torch.zeros(known + 2, NAME_TOKENS, dtype=torch.long)
        )  # 0: none; last: stranger

    def cells(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, 260, 260) -> (B, 81, 1760)."""
        maps = self.tower.feature_maps(pixel_values.contiguous(memory_format=torch.channels_last))
        return torch.cat(maps, 1).flatten(2).transpose(1, 2)

    def colour_shares(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of the colour words in the whole picture and in its middle third, both (B, 11)."""
        rgb = F.interpolate(pixel_values.float() * STD + MEAN, (90, 90), mode="area")
        steps = (rgb * ((1 << BITS) - 0.001)).long().clamp(0, (1 << BITS) - 1)
        named = F.one_hot(self.colour_table[steps[:, 0], steps[:, 1], steps[:, 2]].long(), len(COLOURS)).float()
        return named.mean((1, 2)), named[:, 30:60, 30:60].mean((1, 2))

    def forward(self, pixel_values: Tensor, **_: Any) -> VisionOutput:
        """Encode pictures (B, 3, 260, 260)."""
        cells, colours = self.cells(pixel_values), cell_colours(pixel_values)
        seen = self.neck.detect(cells, colours)
        if self.limits.mirror:
            other = pixel_values.flip(-1)
            there = self.cells(other)
            seen = seen.with_mean(self.neck.detect(there, cell_colours(other)).mirrored())
            cells = (cells + flipped(there)) / 2
        votes = self.votes(seen)
        facts, seen = self.judge(cells, colours, seen, *self.colour_shares(pixel_values), self.plain(pixel_values))
        mean = cells[..., :FEATURES].float().mean(1)
        scene = self.scene(mean).sigmoid() if self.scene is not None else mean[:, :0]
        odds = self.tower.classifier(mean).softmax(-1)
        composed = self.composed_odds(cells)
        return VisionOutput(self.neck.tokens(seen, colours), facts, votes, odds, scene, mean, composed)

    def composed_odds(self, cells: Tensor) -> Tensor:
        """Odds that a picture is a composed scene, (B,), by the mean and the largest features of its cells."""
        if self.composed is None:
            return cells.new_ones(len(cells))
        return torch.sigmoid(self.composed(pooled(cells))).squeeze(-1)

    def votes(self, seen: CellOutputs) -> Tensor:
        """Evidence for each known thing, (B, K, 3): the odds in its best cell, and the place and colour there.

        Place and colour as in `detections`. It is used only if a question names that thing.
        """
        odds, cell = seen.odds()[..., : self.neck.known].max(1)  # (B, K)
        third = thirds(cell_centres(seen))
        place = third[..., 1] * 3 + third[..., 0]  # (B, 81)
        colour = seen.colour.argmax(-1) + 1
        return torch.stack([odds, place.gather(1, cell).float(), colour.gather(1, cell).float()], -1)

    def judge(
        self, cells: Tensor, colours: Tensor, seen: CellOutputs, whole: Tensor, middle: Tensor, flat: Tensor
    ) -> tuple[Tensor, CellOutputs]:
        """All facts (B, FACTS), and `seen` without rejected detections.

        A picture holds things if at least one of them is named; strangers alone count only before an even background,
        and not against a sure classifier. Any other picture counts as a photograph without detections, and so does one
        that the head for composed scenes takes for a photograph.
        """
        even = self.even(colours, seen)
        listed, sure = self.detections(seen, torch.where(even, *self.limits.named))
        first = self.facts(cells, self.neck.level(seen), whole, middle)
        named = (sure >= torch.where(even, *self.limits.sure)[:, None]).any(1)
        believed = named | (listed[:, ::3].any(1) & even & (first[:, 1] < 2))
        if self.limits.composed is not None:
            believed = believed & (self.composed_odds(cells) >= self.limits.composed)
        level = torch.where(believed, first[:, 0].clamp(min=even.long()), 0)
        level = torch.where((level == 0) & flat, FLAT, level)
        facts = torch.cat([level[:, None], first[:, 1:], listed * believed[:, None]], -1)
        return facts, seen.only(believed)

    @staticmethod
    def even(colours: Tensor, seen: CellOutputs) -> Tensor:
        """Whether the background shows no texture, (B,) bool; colours (B, 81, 12)."""
        background = seen.odds()[..., -1]
        quarters = colours.unflatten(2, (3, 4))
        uneven = (quarters.amax(-1) - quarters.amin(-1)).amax(-1)
        return (uneven * background).sum(1) / background.sum(1).clamp(min=1e-6) < EVEN

    @staticmethod
    def plain(pixel_values: Tensor) -> Tensor:
        """Whether hardly any neighbouring points of the picture differ, (B,) bool."""
        rgb = F.interpolate(pixel_values.float() * STD + MEAN, (90, 90), mode="area")
        across = (rgb[..., 1:] - rgb[..., :-1]).abs().amax(1) > 0.06
        down = (rgb[..., 1:, :] - rgb[..., :-1, :]).abs().amax(1) > 0.06
        return (across.float().mean((1, 2)) + down.float().mean((1, 2))) < 0.02

    def detections(self, seen: CellOutputs, least: Tensor) -> tuple[Tensor, Tensor]:
        """The detected things, surest first: DETECTIONS x (name, place, colour), (B, 12) long.

        Also the share of votes for each name, (B, DETECTIONS); 0 for strangers. `least` (B,): the share a name needs.

        name: 0 none, 1..K known, K + 1 a stranger; place: 3 * row + column; colour: index + 1 into COLOURS.
        """
        found, shares = [], []
        for thing in self.things(seen):
            sure, name = thing.names[..., :-1].max(-1)
            name = torch.where(sure < least, self.neck.known, name) + 1
            there = (thing.score > 0).long()
            found += [name * there, thing.place * there, (thing.colours.argmax(-1) + 1) * there]
            shares.append(sure * there * (name <= self.neck.known))
        return torch.stack(found, -1), torch.stack(shares, -1)

    def things(self, seen: CellOutputs) -> Iterator[DetectedThing]:
        """Yield DETECTIONS things per picture, surest first.

        Each peak of the centre map is a thing; the cells that point at its centre vote for its name.
        """
        odds, colours = seen.odds(), seen.colour.float().softmax(-1)
        centre = cell_centres(seen)
        size = seen.geometry[..., 2:].float().exp().clamp(0.05, 1.2)
        thing = 1 - odds[..., -1]
        score = seen.centre.float().sigmoid()
        highest = F.max_pool2d(score.unflatten(1, (1, GRID, GRID)), 3, 1, 1).flatten(1)
        peaks = torch.where((score >= highest) & (score > self.limits.peak), score, 0.0)
        batch = torch.arange(len(odds), device=odds.device)
        for _ in range(DETECTIONS):
            best, peak = peaks.max(-1)
            middle = centre[batch, peak]  # (B, 2)
            reach = (0.4 * size[batch, peak]).clamp(0.08, 0.25)[:, None]  # (B, 1, 2)
            near = ((centre - middle[:, None]).abs() < reach).all(-1).float()
            mass = (thing * near + score * F.one_hot(peak, CELLS))[..., None]  # (B, 81, 1)
            third = thirds(middle)
            votes = mass.sum(1)
            names, named_colours = (odds * mass).sum(1) / votes, (colours * mass).sum(1) / votes
            yield DetectedThing(best, names, third[:, 1] * 3 + third[:, 0], named_colours, size[batch, peak])
            peaks = peaks.scatter(1, peak[:, None], 0.0)

    def facts(self, cells: Tensor, level: Tensor, whole: Tensor, middle: Tensor) -> Tensor:
        """The first twelve facts, (B, 12) long; `detections` gives the others.

        Columns: 0 level 0..3, 1 confidence 0..2, 2 class, 3 group 0..1, 4 column 0..2, 5 row 0..2, 6 setting 0..2,
        7-9 colours of the whole picture, 10-11 of its middle (index + 1 into COLOURS, 0 where there is none).
        """
        cells = cells[..., :FEATURES].float()
        odds = self.tower.classifier(cells.mean(1)).softmax(-1)  # (B, 1000)
        best, index = odds.max(-1)
        confidence = (best >= MAYBE).long() + (best >= SURE).long()
        same = (self.group_of[None] == self.group_of[index][:, None]) & (self.group_of[index] > 0)[:, None]
        group = ((odds * same).sum(-1) >= SURE).long()
        column, row = self.place(cells, index)
        mass = torch.stack([(odds * (self.setting_of == k)).sum(-1) for k in (1, 2)], -1)
        setting = torch.where(mass.amax(-1) >= SURE, mass.argmax(-1) + 1, 0)
        palette = top_colours(whole, 3, 0.12)
        centre = top_colours(middle, 2, 0.25)
        return torch.cat(
            [torch.stack([level, confidence, index, group, column, row, setting], -1), palette, centre], -1
        )

    def place(self, cells: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Third of the picture, across and down (0..2), whose cells (B, 81, 1280) speak most for class `index`.

        It is the centre of the class's activation map.
        """
        evidence = torch.einsum("bnd,bd->bn", cells, self.tower.classifier.weight[index].float())
        weight = (evidence - evidence.mean(1, keepdim=True)).clamp(min=0)
        weight = (weight / weight.sum(1, keepdim=True).clamp(min=1e-6)).unflatten(1, (GRID, GRID))
        steps = (torch.arange(GRID, device=cells.device) + 0.5) / GRID
        across, down = (weight.sum(1) * steps).sum(-1), (weight.sum(2) * steps).sum(-1)

        def third(centre: Tensor) -> Tensor:
            # the map is blurred, so its centre leans to the middle: borders fitted on scenes with one thing
            return (centre > 0.43).long() + (centre > 0.60).long()

        return third(across), third(down)


def top_colours(shares: Tensor, most: int, least: float) -> Tensor:
    """Indices + 1 of the largest shares in falling order, (B, most).

    Shares under `least` become 0, except the first, which always stays.
    """
    values, order = shares.topk(most, -1)
    keep = values >= least
    keep[:, 0] = True
    return (order + 1) * keep


class ImageTokens:
    """How a picture's facts and queries become image tokens: the part that both classes of the model share.

    One of them is transformers' (`transformers_model.py`, for training), the other plain PyTorch (`runtime.py`).
    """

    vision_model: PocketVision
    query_tokens: Tensor  # (1, 16, hidden)
    hint_words: Tensor  # token ids: level 3, confidence 3, group 2, place 9, setting 3, colour 12, and level 3's
    language_projection: Any
    language_model: Any

    def query(self, queries: Tensor, cells: Tensor) -> Tensor:
        """The Q-Former: (B, 16, hidden) and (B, 81, CELL_DIM) -> (B, 16, hidden)."""
        raise NotImplementedError

    def hint_ids(self, facts: Tensor) -> Tensor:
        """Facts (B, FACTS) -> the hint's tokens (B, HINT_TOKENS)."""
        level, confidence, index, group, column, row, setting = facts[:, :7].unbind(-1)
        words, vision = self.hint_words, self.vision_model
        guess = vision.phrase_ids[index] * (confidence > 0)[:, None]
        named = vision.group_ids[vision.group_of[index]] * (group > 0)[:, None]
        single = (
            words[torch.where(level == FLAT, 32, level)],
            words[3 + confidence],
            words[6 + group],
            words[8 + row * 3 + column],
            words[17 + setting],
        )
        a, b, c, d, e = (token[:, None] for token in single)
        hints = [a, b, guess, c, named, d, e, words[20 + facts[:, 7:12]]]
        for detection in facts[:, 12:].unflatten(1, (DETECTIONS, 3)).unbind(1):
            name, place, colour = detection.unbind(-1)
            spot = words[8 + place] * (name > 0)
            hints += [vision.name_ids[name], spot[:, None], words[20 + colour][:, None]]
        return torch.cat(hints, -1)

    def hint_embeddings(self, ids: Tensor) -> Tensor:
        """Word embeddings of the hints, (B, HINT_TOKENS, hidden); what belongs to one thing is mixed into all of it.

        So a question's word finds its thing by likeness, and finds its place and colour in the same token.
        """
        words: Tensor = self.language_model.get_input_embeddings()(ids)
        said = ((ids != self.hint_words[20]) & (ids != 0))[..., None].to(words.dtype)  # neither <none> nor padding

        def gathered(begin: int, end: int) -> Tensor:
            own, weight = words[:, begin:end], said[:, begin:end]
            return own + (own * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)

        first = HINT_TOKENS - DETECTIONS * (2 + NAME_TOKENS)
        parts = [words[:, :1], gathered(1, GUESS_END), words[:, GUESS_END:first]]
        parts += [gathered(start, start + 2 + NAME_TOKENS) for start in range(first, HINT_TOKENS, 2 + NAME_TOKENS)]
        return torch.cat(parts, 1)

    def image_tokens(self, cells: Tensor, facts: Tensor) -> Tensor:
        """What the language model is shown of a picture: (B, 81, CELL_DIM), (B, FACTS) -> (B, 56, hidden)."""
        read, hints = self.unprojected(cells, facts)
        return torch.cat([self.language_projection(read), hints], 1)

    def unprojected(self, cells: Tensor, facts: Tensor) -> tuple[Tensor, Tensor]:
        """What `language_projection` takes, (B, 16, hidden), and the hints that bypass it, (B, 40, hidden)."""
        queries = self.query_tokens.expand(cells.shape[0], -1, -1)
        read = self.query(queries, cells.to(queries.dtype))
        return read, self.hint_embeddings(self.hint_ids(facts)).to(read.dtype)

    def with_hints(self, tokens: Tensor, facts: Tensor) -> Tensor:
        """The tokens (56, hidden) of one picture with other hints, those of `facts` (FACTS,)."""
        hints = self.hint_embeddings(self.hint_ids(facts[None].to(tokens.device)))[0]
        return torch.cat([tokens[:-HINT_TOKENS], hints.to(tokens.dtype)])

    def asked_for(self, facts: Tensor, votes: Tensor, names: Sequence[int]) -> Tensor | None:
        """The facts (FACTS,) of one picture, with `names` (1..K) added to the list if their votes (K, 3) suffice.

        A thing replaces a stranger at its place, else an empty entry, else the least sure thing that is not named.
        None if nothing changes.
        """
        least, stranger = self.vision_model.limits.asked, len(votes) + 1
        listed = facts[FACTS - 3 * DETECTIONS :].view(DETECTIONS, 3).tolist()
        there = [name for name in names if name in (row[0] for row in listed)]
        wanted = [name for name in names if votes[name - 1, 0] > least and name not in there]
        for name in wanted:
            place, colour = (int(value) for value in votes[name - 1, 1:])
            same = [i for i, row in enumerate(listed) if row[0] == stranger and row[1] == place]
            empty = [i for i, row in enumerate(listed) if row[0] == 0]
            others = [i for i, row in enumerate(listed) if row[0] not in names]
            if spot := same[:1] or empty[:1] or others[-1:]:
                listed[spot[0]] = [name, place, colour]
        level = torch.where((facts[:1] == 0) | (facts[:1] == FLAT), 1, facts[:1])  # 0 and FLAT: nothing is seen
        if not wanted and (level == facts[:1] or not there):
            return None
        return torch.cat([level, facts[1 : FACTS - 3 * DETECTIONS], facts.new_tensor(listed).flatten()])
