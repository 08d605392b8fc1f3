"""pocket: a MiniGPT-4 that fits into a wheel. `Blip2ForConditionalGeneration` with a small eye of its own.

    pixel_values (B, 3, 260, 260)
      -> EfficientNet-Lite2, frozen, ImageNet       (B, 81, 1280)  tower.py
      -> a detector head on each of the 9x9 cells   (B, 81, 187)   Neck: which known thing, how surely, its centre
      -> Q-Former, 16 query tokens                  (B, 16, 256)   transformers, unchanged
      -> one linear layer, `language_projection`    (B, 16, 256)
      -> + 20 hint tokens                           (B, 56, 256)   the classifier's guess, in the language model's words
      -> Llama, 4 layers of 256

The neck passes on what a cell shows only as far as it recognises it: for anything else the cell says "nothing I know",
so a picture from outside the small world of the training scenes cannot look like something inside it. Such a picture is
then described from the hints: the ImageNet classifier's guess, in three degrees of certainty, and colours measured on
the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Blip2Config, Blip2ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from plugins.pocket.colours import BITS, COLOURS, table
from plugins.pocket.tower import CLASSES, FEATURES, GRID, MEAN, STD, EfficientNetLite2

CELLS = GRID * GRID
CLASS_DIM = 128
POSITION_DIM = 40
COLOUR_DIM = 12  # mean RGB of the four quarters of a cell
EYE_DIM = CLASS_DIM + 3 + 4 + COLOUR_DIM + POSITION_DIM
NECK_DIM = 384

GUESS_TOKENS, GROUP_TOKENS = 6, 4
DETECTIONS, NAME_TOKENS = 4, 3
HINT_TOKENS = 1 + 1 + GUESS_TOKENS + 1 + GROUP_TOKENS + 1 + 1 + 3 + 2 + DETECTIONS * (2 + NAME_TOKENS)
GUESS_END = 1 + 1 + GUESS_TOKENS + 1 + GROUP_TOKENS + 1  # level, then the guess with its certainty, group and place
FACTS = 12 + 3 * DETECTIONS
FLAT = 3  # level of a picture in which nothing is seen and whose surface is plain
MAYBE, SURE = 0.2, 0.5
SEEN_LEVELS = (0.5, 0.9)


def normalise(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) as the tower was trained."""
    return ((pixels.permute(0, 3, 1, 2).float() / 255) - MEAN) / STD


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
class Seen:
    """What the neck makes of each cell. Shapes: logits (B, 81, K + 2), geometry (B, 81, 4)."""

    logits: Tensor  # K known names, then "stranger", then "background"
    geometry: Tensor  # offset to the thing's centre (x, y, in pictures), log width, log height


class Neck(nn.Module):
    """Detector head on the tower's cells, trained on scenes whose truth is exact, then frozen with the tower."""

    def __init__(self, known: int) -> None:
        super().__init__()
        self.known = known
        self.norm = nn.LayerNorm(FEATURES)
        self.reduce = nn.Linear(FEATURES + COLOUR_DIM, NECK_DIM)
        self.context = nn.Conv2d(NECK_DIM, NECK_DIM, 3, padding=1, groups=NECK_DIM)
        self.mix = nn.Linear(NECK_DIM, NECK_DIM)
        self.embed = nn.Linear(NECK_DIM, CLASS_DIM)
        self.classes = nn.Linear(CLASS_DIM, known + 2)
        self.geometry = nn.Linear(NECK_DIM, 4)
        self.register_buffer("positions", position_code())

    def look(self, cells: Tensor, colours: Tensor) -> Seen:
        """cells (B, 81, 1280), colours (B, 81, 12)."""
        hidden = F.gelu(self.reduce(torch.cat([self.norm(cells), colours], -1)))
        grid = hidden.transpose(1, 2).unflatten(2, (GRID, GRID))
        hidden = hidden + F.gelu(self.context(grid)).flatten(2).transpose(1, 2)
        hidden = hidden + F.gelu(self.mix(hidden))
        return Seen(self.classes(self.embed(hidden)), self.geometry(hidden))

    def tokens(self, seen: Seen, colours: Tensor) -> Tensor:
        """The gated cells (B, 81, EYE_DIM) that the Q-Former reads."""
        odds = seen.logits.float().softmax(-1)
        known = odds[..., : self.known]
        words = F.normalize(self.classes.weight[: self.known].float(), dim=-1)
        which = known @ words  # (B, 81, CLASS_DIM): zero where nothing known is seen
        kinds = torch.stack([known.sum(-1), odds[..., -2], odds[..., -1]], -1)
        geometry = seen.geometry.float() * (1 - odds[..., -1:])
        positions = self.positions.expand(colours.shape[0], -1, -1)
        return torch.cat([which * 4, kinds, geometry, colours * 2 - 1, positions], -1)

    def level(self, seen: Seen) -> Tensor:
        """How surely anything known is seen at all: 0, 1 or 2 per picture, (B,)."""
        best = seen.logits.float().softmax(-1)[..., : self.known].sum(-1).amax(-1)
        return (best > SEEN_LEVELS[0]).long() + (best > SEEN_LEVELS[1]).long()


class Eye(nn.Module):
    """Tower and neck, in place of the ViT: the `vision_model` of the BLIP-2 around it."""

    def __init__(self, known: int) -> None:
        super().__init__()
        self.tower = EfficientNetLite2()
        self.neck = Neck(known)
        self.register_buffer("colour_table", torch.from_numpy(table().astype(np.uint8)))
        self.register_buffer("phrase_ids", torch.zeros(CLASSES, GUESS_TOKENS, dtype=torch.long))  # the guess in tokens
        self.register_buffer("group_of", torch.zeros(CLASSES, dtype=torch.long))  # 0: no group
        self.register_buffer("group_ids", torch.zeros(128, GROUP_TOKENS, dtype=torch.long))
        self.register_buffer("setting_of", torch.zeros(CLASSES, dtype=torch.long))  # 0 neither, 1 indoors, 2 outdoors
        self.register_buffer(
            "name_ids", torch.zeros(known + 2, NAME_TOKENS, dtype=torch.long)
        )  # 0: none; last: stranger

    def cells(self, pixel_values: Tensor) -> Tensor:
        """(B, 3, 260, 260) -> (B, 81, 1280)."""
        features: Tensor = self.tower(pixel_values.contiguous(memory_format=torch.channels_last))
        return features.flatten(2).transpose(1, 2)

    def colour_shares(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of the colour words in the whole picture and in its middle third, both (B, 11)."""
        rgb = F.interpolate(pixel_values.float() * STD + MEAN, (90, 90), mode="area")
        steps = (rgb * ((1 << BITS) - 0.001)).long().clamp(0, (1 << BITS) - 1)
        named = F.one_hot(self.colour_table[steps[:, 0], steps[:, 1], steps[:, 2]].long(), len(COLOURS)).float()
        return named.mean((1, 2)), named[:, 30:60, 30:60].mean((1, 2))

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """`last_hidden_state` (B, 81, EYE_DIM) for the Q-Former, `pooler_output` (B, FACTS) long: the hints' facts."""
        cells, colours = self.cells(pixel_values), cell_colours(pixel_values)
        seen = self.neck.look(cells, colours)
        level = self.neck.level(seen)
        level = torch.where((level == 0) & self.plain(pixel_values), FLAT, level)
        facts = self.facts(cells, level, *self.colour_shares(pixel_values))
        facts = torch.cat([facts, self.detections(seen, colours)], -1)
        return BaseModelOutputWithPooling(last_hidden_state=self.neck.tokens(seen, colours), pooler_output=facts)

    @staticmethod
    def plain(pixel_values: Tensor) -> Tensor:
        """Whether hardly any neighbouring points of the picture differ, (B,) bool."""
        rgb = F.interpolate(pixel_values.float() * STD + MEAN, (90, 90), mode="area")
        across = (rgb[..., 1:] - rgb[..., :-1]).abs().amax(1) > 0.06
        down = (rgb[..., 1:, :] - rgb[..., :-1, :]).abs().amax(1) > 0.06
        return (across.float().mean((1, 2)) + down.float().mean((1, 2))) < 0.02

    def detections(self, seen: Seen, colours: Tensor) -> Tensor:
        """The things the neck makes out, surest first: DETECTIONS x (name, place, colour), (B, 12) long.

        Cells vote for the centre of their thing; votes that agree are one thing. name: 0 none, 1..K known, K + 1
        a stranger; place: 3 * row + column; colour: index + 1 into COLOURS of what its cells show and
        the background's do not.
        """
        odds = seen.logits.float().softmax(-1)
        thing = 1 - odds[..., -1]
        weight = torch.where(thing > 0.5, thing, 0.0)  # (B, 81)
        steps = (torch.arange(GRID, device=colours.device) + 0.5) / GRID
        own = torch.stack([steps.repeat(GRID), steps.repeat_interleave(GRID)], -1)  # (81, 2)
        centre = own + seen.geometry[..., :2].float()
        size = seen.geometry[..., 2:].float().exp().clamp(0.05, 1.2)
        named = self.cell_words(colours)  # (B, 81, 11)
        ground = (named * odds[..., -1:]).sum(1)
        ground = ground / ground.sum(-1, keepdim=True).clamp(min=1e-6)
        found = []
        batch = torch.arange(len(odds), device=odds.device)
        for _ in range(DETECTIONS):
            best, seed = weight.max(-1)
            reach = (0.6 * size[batch, seed]).clamp(0.1, 0.3)[:, None]  # (B, 1, 2)
            near = ((centre - centre[batch, seed][:, None]).abs() < reach).all(-1)
            mass = (weight * near)[..., None]  # (B, 81, 1)
            total = mass.sum(1).clamp(min=1e-6)
            name = (odds[..., :-1] * mass).sum(1).argmax(-1) + 1
            middle = (centre * mass).sum(1) / total
            third = (middle > 0.37).long() + (middle > 0.63).long()
            shown = (named * mass).sum(1) / total
            colour = (shown - 0.8 * ground).argmax(-1) + 1
            there = (best > 0).long()
            found += [name * there, (third[:, 1] * 3 + third[:, 0]) * there, colour * there]
            weight = weight.masked_fill(near, 0.0)
        return torch.stack(found, -1)

    def cell_words(self, colours: Tensor) -> Tensor:
        """Shares of the colour words among the quarters of each cell: (B, 81, 12) -> (B, 81, 11)."""
        steps = (colours.unflatten(2, (3, 4)) * ((1 << BITS) - 0.001)).long().clamp(0, (1 << BITS) - 1)
        words = self.colour_table[steps[:, :, 0], steps[:, :, 1], steps[:, :, 2]].long()  # (B, 81, 4)
        return F.one_hot(words, len(COLOURS)).float().mean(2)

    def facts(self, cells: Tensor, level: Tensor, whole: Tensor, middle: Tensor) -> Tensor:
        """The first twelve facts, (B, 12) long; `detections` gives the others.

        Columns: 0 level 0..3, 1 confidence 0..2, 2 class, 3 group 0..1, 4 column 0..2, 5 row 0..2, 6 setting 0..2,
        7-9 colours of the whole picture, 10-11 of its middle (index + 1 into COLOURS, 0 where there is none).
        """
        odds = self.tower.classifier(cells.float().mean(1)).softmax(-1)  # (B, 1000)
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
        """Third of the picture, across and down (0..2), that speaks most for class `index`.

        It is the centre of the class's activation map.
        """
        evidence = torch.einsum("bnd,bd->bn", cells.float(), self.tower.classifier.weight[index].float())
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


class PocketForConditionalGeneration(Blip2ForConditionalGeneration):
    """BLIP-2's class with pocket's eye; one directory of `save_pretrained`, opened by `from_pretrained`."""

    def __init__(self, config: Blip2Config) -> None:
        super().__init__(config)
        self.vision_model = Eye(config.pocket_known)
        # token ids of the hint words: level 3, confidence 3, group 2, place 9, setting 3, colour 12, and level 3's
        self.register_buffer("hint_words", torch.zeros(33, dtype=torch.long))
        self.post_init()

    def hint_ids(self, facts: Tensor) -> Tensor:
        """Facts (B, FACTS) -> the hint's tokens (B, HINT_TOKENS)."""
        level, confidence, index, group, column, row, setting = facts[:, :7].unbind(-1)
        words, eye = self.hint_words, self.vision_model
        guess = eye.phrase_ids[index] * (confidence > 0)[:, None]
        named = eye.group_ids[eye.group_of[index]] * (group > 0)[:, None]
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
            hints += [eye.name_ids[name], spot[:, None], words[20 + colour][:, None]]
        return torch.cat(hints, -1)

    def hint_embeddings(self, ids: Tensor) -> Tensor:
        """Word embeddings of the hints, (B, HINT_TOKENS, hidden); what belongs to one thing is mixed into all of it.

        So a question's word finds its thing by likeness, and finds its place and colour in the same token.
        """
        words = self.language_model.get_input_embeddings()(ids)
        said = ((ids != self.hint_words[20]) & (ids != 0))[..., None].to(words.dtype)  # neither <none> nor padding

        def gathered(begin: int, end: int) -> Tensor:
            own, weight = words[:, begin:end], said[:, begin:end]
            return own + (own * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)

        first = HINT_TOKENS - DETECTIONS * (2 + NAME_TOKENS)
        parts = [words[:, :1], gathered(1, GUESS_END), words[:, GUESS_END:first]]
        parts += [gathered(start, start + 2 + NAME_TOKENS) for start in range(first, HINT_TOKENS, 2 + NAME_TOKENS)]
        return torch.cat(parts, 1)

    def image_tokens(self, eye_tokens: Tensor, facts: Tensor) -> Tensor:
        """What the language model is shown of a picture: (B, 81, EYE_DIM), (B, FACTS) -> (B, 56, hidden)."""
        queries = self.query_tokens.expand(eye_tokens.shape[0], -1, -1)
        read = self.qformer(query_embeds=queries, encoder_hidden_states=eye_tokens.to(queries.dtype)).last_hidden_state
        hints = self.hint_embeddings(self.hint_ids(facts))
        return torch.cat([self.language_projection(read), hints.to(read.dtype)], 1)

    def get_image_features(self, pixel_values: Tensor, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        """`pooler_output` (B, 56, hidden), as the class around expects it."""
        seen = self.vision_model(pixel_values)
        tokens = self.image_tokens(seen.last_hidden_state, seen.pooler_output)
        return BaseModelOutputWithPooling(last_hidden_state=seen.last_hidden_state, pooler_output=tokens)
