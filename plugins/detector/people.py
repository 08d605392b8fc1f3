"""MoveNet MultiPose Lightning: where people are in a picture, as plain PyTorch.

    pixels (B, 3, H, W): RGB in 0..255, sides multiples of 32, the picture at the top left, zero beside it
      -> MobileNetV2 of width 1.5          strides 4, 8, 16, 32
      -> feature pyramid                   (B, 24, H/4, W/4)
      -> heads                             centres, sizes and offsets of boxes; where 17 joints are likely

Google's model (Apache-2.0, https://tfhub.dev/google/movenet/multipose/lightning/1), a CenterNet (Zhou et al. 2019,
https://arxiv.org/abs/1904.07850) for people. A person counts by the centre's score and by the joints that are visible,
as in the released graph. Of the joints, shoulders and hips say where a person's clothes can be seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from plugins.imagenet.tower import Block, SameConv

SIDE: Final = 256  # pixels of the longer side
STRIDE, COARSEST = 4, 32
JOINTS: Final = 17
SHOULDERS, HIPS = [5, 6], [11, 12]  # places among the joints
MOST: Final = 20  # people per picture
LEAST: Final = 0.02  # score of a box
VISIBLE: Final = 0.127  # score from which a joint counts
NEAR: Final = 0.3  # of the shorter side of the map: variance of how far a joint is from where its centre expects it
BLOCKS: Final = (  # expansion, stride, channels in, channels out
    (1, 1, 48, 24), (6, 2, 24, 40), (6, 1, 40, 40), (6, 2, 40, 48), (6, 1, 48, 48), (6, 1, 48, 48), (6, 2, 48, 96),
    (6, 1, 96, 96), (6, 1, 96, 96), (6, 1, 96, 96), (6, 1, 96, 144), (6, 1, 144, 144), (6, 1, 144, 144),
    (6, 2, 144, 240), (6, 1, 240, 240), (6, 1, 240, 240), (6, 1, 240, 480),
)  # fmt: skip
TAKEN: Final = (2, 5, 9)  # blocks whose results the pyramid reads, beside the last one
LATERAL: Final = ((1280, 64), (96, 64), (48, 32), (40, 24))
SMOOTH: Final = ((64, 32), (32, 24), (24, 24))
HEADS: Final = {"centre": 1, "size": 2, "offset": 2, "joints": JOINTS, "towards": 2 * JOINTS}


class Separable(nn.Module):
    """A 3x3 convolution of each channel, a 1x1 convolution of all, a ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels_in, channels_in, 3, 1, 1, groups=channels_in, bias=False)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.depthwise(x)))


class PersonNet(nn.Module):
    """`forward(pixels)` gives the map of each head, (B, channels, H/4, W/4), by its name in `HEADS`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 48, 3, 2)
        self.blocks = nn.ModuleList(Block(expansion, 3, stride, *channels) for expansion, stride, *channels in BLOCKS)
        self.last = SameConv(480, 1280)
        self.lateral = nn.ModuleList(nn.Conv2d(*channels, 1) for channels in LATERAL)
        self.smooth = nn.ModuleList(Separable(*channels) for channels in SMOOTH)
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(Separable(24, 96), nn.Conv2d(96, channels, 1)) for name, channels in HEADS.items()}
        )

    @classmethod
    def load(cls, file: Path) -> PersonNet:
        """The network with the weights of a safetensors file, in float32."""
        from safetensors.torch import load_file

        with torch.device("meta"):
            network = cls()
        network.load_state_dict({name: value.float() for name, value in load_file(file).items()}, assign=True)
        return network.eval().requires_grad_(False)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        x = F.relu6(self.stem(pixels * (2 / 255) - 1))
        taken = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in TAKEN:
                taken.append(x)
        x = self.lateral[0](F.relu6(self.last(x)))
        for lateral, smooth, finer in zip(self.lateral[1:], self.smooth, reversed(taken), strict=True):
            x = smooth(F.interpolate(x, scale_factor=2, mode="bilinear") + lateral(finer))
        return {name: head(x) for name, head in self.heads.items()}

    def people(self, image: Image.Image) -> tuple[Any, Any, Any]:
        """Boxes (N, 4) of people, in pixels of the picture, scores (N,), the surest first, and bodies (N, 4).

        A body is the rectangle from shoulders to hips; NaN where no shoulder can be seen.
        """
        scale = min(SIDE / image.width, SIDE / image.height)
        width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        filter = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
        pixels = np.zeros((*(-(-side // COARSEST) * COARSEST for side in (height, width)), 3), np.float32)
        pixels[:height, :width] = np.asarray(image.resize((width, height), filter, reducing_gap=3.0))
        maps = self(torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous(memory_format=torch.channels_last))
        boxes, scores, bodies = decoded({name: found[0] for name, found in maps.items()})
        limit = torch.tensor([image.width, image.height] * 2)
        edges = (boxes * (STRIDE / scale)).clamp(torch.zeros(4), limit)
        return edges.double().numpy(), scores.numpy(), (bodies * (STRIDE / scale)).double().numpy()


def decoded(maps: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (N, 4), left, top, right, bottom in cells, scores (N,) and bodies (N, 4) from the maps of a picture."""
    centres = maps["centre"].sigmoid()
    peaks = torch.where(F.max_pool2d(centres[None], 5, 1, 2)[0] == centres, centres, 0.0)[0]
    height, width = peaks.shape
    likely, places = peaks.flatten().topk(min(MOST, peaks.numel()))
    places, likely = places[likely > LEAST], likely[likely > LEAST]
    row, column = places // width, places % width
    middle = torch.stack([row, column], 1) + maps["offset"][:, row, column].T
    half = maps["size"][:, row, column].T.clamp(min=0) / 2
    limit = torch.tensor([height, width], dtype=torch.float32)
    first, last = (middle - half).clamp(torch.zeros(2), limit), (middle + half).clamp(torch.zeros(2), limit)
    expected = torch.stack([row, column], 1)[:, None] + maps["towards"][:, row, column].T.unflatten(1, (JOINTS, 2))
    down, across = torch.arange(height)[:, None], torch.arange(width)[None]
    away = (down - expected[..., 0, None, None]) ** 2 + (across - expected[..., 1, None, None]) ** 2
    inside = (  # (N, H, W)
        (down >= first[:, 0, None, None]) & (down < last[:, 0, None, None])
        & (across >= first[:, 1, None, None]) & (across < last[:, 1, None, None])
    )  # fmt: skip
    near = torch.exp(-away / (NEAR * min(height, width)))
    joints, spots = (maps["joints"].sigmoid() * near * inside[:, None]).flatten(2).max(2)
    visible = joints > VISIBLE
    scores = likely * (joints * visible).sum(1) / visible.sum(1).clamp(min=1)
    boxes = torch.stack([first[:, 1], first[:, 0], last[:, 1], last[:, 0]], 1)
    points = torch.stack([spots % width, spots // width], 2) + 0.5
    bodies = torch.stack([body(*person) for person in zip(boxes, points, visible, strict=True)] or [boxes[0:0]])
    order = scores.argsort(descending=True, stable=True)
    order = order[scores[order] > LEAST]
    return boxes[order], scores[order], bodies.reshape(-1, 4)[order]


def body(box: Tensor, points: Tensor, visible: Tensor) -> Tensor:
    """The rectangle from shoulders to hips, (4,), inside a box (4,); NaN where no shoulder of `points` (17, 2) is seen.

    A shoulder alone tells the height; the body of someone who is seen from the side is narrower than high.
    """
    shoulders, hips = (points[joints][visible[joints]] for joints in (SHOULDERS, HIPS))
    if not len(shoulders):
        return box.new_full((4,), torch.nan)
    wide = float(box[2] - box[0])
    top = float(shoulders[:, 1].mean())
    across = float(shoulders[:, 0].max() - shoulders[:, 0].min()) if len(shoulders) == 2 else wide / 2
    bottom = float(hips[:, 1].mean()) if len(hips) else top + max(across, 0.3 * wide)
    bottom = min(bottom, float(box[3]))
    middle = float(shoulders[:, 0].mean())
    if len(shoulders) == 1:
        middle, across = (middle + float(box[0] + box[2]) / 2) / 2, across / 2
    half = max(across, 0.4 * (bottom - top)) / 2
    return box.new_tensor([middle - half, top, middle + half, max(bottom, top)])
