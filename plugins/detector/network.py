"""NanoDet-g: where 80 kinds of things (COCO) are in a picture, as plain PyTorch.

    pixel_values (B, 3, 416, 416): BGR, normalised with MEAN and STD, letterboxed
      -> CSP backbone                      strides 8, 16, 32
      -> path aggregation network          (B, 128, 52, 52), (B, 128, 26, 26), (B, 128, 13, 13)
      -> one head per stride               scores (B, cells, 80), distances (B, cells, 4) in pixels of the input

RangiLyu/nanodet (https://github.com/RangiLyu/nanodet, Apache-2.0), configuration NanoDet-g, trained on COCO train2017,
published mAP 22.9. Batch normalisation is folded into the convolutions. Distances are the expectation of a distribution
over 11 bins (generalised focal loss, Li et al. 2020, https://arxiv.org/abs/2006.04388).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.detector.coco import NAMES as NAMES

SIZE = 416
STRIDES = (8, 16, 32)
BINS = 11
WIDTH = 128  # channels between backbone and heads
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # blue, green, red
STAGES = ((32, 1, 1), (64, 2, 2), (128, 2, 2), (256, 3, 2))  # channels in, residual blocks, stride of the first layer


class ConvAct(nn.Conv2d):
    """A 3x3 convolution and a leaky ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(channels_in, channels_out, 3, stride, 1)

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(input), 0.1)


class TinyBlock(nn.Module):
    """Two convolutions of half the width; both results side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvAct(channels, channels // 2)
        self.second = ConvAct(channels // 2, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return torch.cat([self.second(first), first], 1)


class Stage(nn.Module):
    """A cross-stage partial stage (Wang et al. 2019, https://arxiv.org/abs/1911.11929): (C, H, W) -> (2C, H/s, W/s)."""

    def __init__(self, channels: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.begin = ConvAct(channels, channels, stride)
        self.blocks = nn.Sequential(*(TinyBlock(channels) for _ in range(blocks)))
        self.end = ConvAct(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        begun = self.begin(x)
        return torch.cat([self.end(self.blocks(begun)), begun], 1)


class Head(nn.Module):
    """Scores and bins of every cell of one stride."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvAct(WIDTH, WIDTH)
        self.out = nn.Conv2d(WIDTH, len(NAMES) + 4 * BINS, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (B, 128, H, W) -> (B, H * W, 80), (B, H * W, 44)
        scores, bins = self.out(self.conv(x)).flatten(2).transpose(1, 2).split((len(NAMES), 4 * BINS), -1)
        return scores.sigmoid(), bins


class NanoDet(nn.Module):
    """`forward(pixel_values)` gives scores and boxes of all 3,549 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvAct(3, 32, 2)
        self.stages = nn.ModuleList(Stage(*stage) for stage in STAGES)
        self.lateral = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in (128, 256, 512))
        self.heads = nn.ModuleList(Head() for _ in STRIDES)

    @classmethod
    def load(cls, file: Path) -> NanoDet:
        """The network with the weights of a safetensors file, in float32."""
        from safetensors.torch import load_file

        with torch.device("meta"):
            network = cls()
        network.load_state_dict({name: value.float() for name, value in load_file(file).items()}, assign=True)
        return network.eval().requires_grad_(False)

    def features(self, pixel_values: Tensor) -> list[Tensor]:
        """What the heads read, per stride."""
        x = F.max_pool2d(self.stem(pixel_values), 3, 2, 1)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        fine, middle, coarse = (lateral(x) for lateral, x in zip(self.lateral, found[1:], strict=True))
        middle = middle + F.interpolate(coarse, scale_factor=2, mode="bilinear")
        fine = fine + F.interpolate(middle, scale_factor=2, mode="bilinear")
        middle = middle + F.interpolate(fine, scale_factor=0.5, mode="bilinear")
        coarse = coarse + F.interpolate(middle, scale_factor=0.5, mode="bilinear")
        return [fine, middle, coarse]

    def levels(self, pixel_values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Scores (B, cells, 80) and bins (B, cells, 44) of each stride, as the original graph gives them."""
        for head, features in zip(self.heads, self.features(pixel_values), strict=True):
            yield head(features)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> scores (B, cells, 80), boxes (B, cells, 4): left, top, right, bottom in input pixels.

        H and W are multiples of 32; 416 x 416 has 3,549 cells.
        """
        height, width = pixel_values.shape[2:]
        scores, boxes = [], []
        for stride, (score, bins) in zip(STRIDES, self.levels(pixel_values), strict=True):
            steps = (torch.arange(side // stride, device=bins.device) for side in (height, width))
            row, column = torch.meshgrid(*steps, indexing="ij")
            centre = (torch.stack([column, row], -1).flatten(0, 1) + 0.5) * stride - 0.5
            distance = (
                bins.unflatten(-1, (4, BINS)).softmax(-1)
                @ torch.arange(BINS, dtype=bins.dtype, device=bins.device)
                * stride
            )
            scores.append(score)
            boxes.append(torch.cat([centre - distance[..., :2], centre + distance[..., 2:]], -1))
        return torch.cat(scores, 1), torch.cat(boxes, 1)
