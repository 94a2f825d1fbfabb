"""ResNet-50, the encoder of several published networks.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385,
with the stride in the 3x3 convolution of a block; its variants in He et al., "Bag of Tricks", CVPR
2019, arXiv 1812.01187 (three 3x3 convolutions as the stem) and Chen et al., DeepLabV3, arXiv
1706.05587 (dilation in place of the last two strides). Parameter names are those of mmsegmentation
(deep stem) and of torchvision (one 7x7 convolution), which agree but for the stem.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_BLOCKS = (3, 4, 6, 3)
_WIDTHS = (64, 128, 256, 512)
_EXPANSION = 4
CHANNELS = tuple(width * _EXPANSION for width in _WIDTHS)
"""Of the four planes that `ResNet50` returns."""


def _conv(
    in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    padding = kernel // 2 * dilation
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=False)


class _Bottleneck(nn.Module):
    def __init__(
        self, in_channels: int, width: int, stride: int, dilation: int, project: bool
    ) -> None:
        super().__init__()
        out_channels = width * _EXPANSION
        self.conv1, self.bn1 = _conv(in_channels, width), nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, out_channels), nn.BatchNorm2d(out_channels)
        self.downsample = (
            nn.Sequential(
                _conv(in_channels, out_channels, stride=stride), nn.BatchNorm2d(out_channels)
            )
            if project
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def _stage(in_channels: int, index: int, stride: int, first: int, rest: int) -> nn.Sequential:
    width = _WIDTHS[index]
    blocks = [_Bottleneck(in_channels, width, stride, first, project=True)]
    blocks += [
        _Bottleneck(width * _EXPANSION, width, 1, rest, project=False)
        for _ in range(_BLOCKS[index] - 1)
    ]
    return nn.Sequential(*blocks)


class ResNet50(nn.Module):
    """Input: float32 [N, 3, H, W]. Output: the planes of its four stages, `CHANNELS` wide.

    Args:
        deep_stem: three 3x3 convolutions in place of the one of 7x7.
        dilated: the planes are 1/4, 1/8, 1/8, 1/8 of the input's size in place of 1/4 .. 1/32. The
            first block of a dilated stage keeps the dilation of the stage before.
    """

    def __init__(self, deep_stem: bool, dilated: bool) -> None:
        super().__init__()
        if deep_stem:
            self.stem = nn.Sequential(
                *(_conv(3, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU()),
                *(_conv(32, 32, 3), nn.BatchNorm2d(32), nn.ReLU()),
                *(_conv(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU()),
            )
        else:
            self.conv1, self.bn1 = _conv(3, 64, 7, 2), nn.BatchNorm2d(64)
        self._deep_stem = deep_stem
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = _stage(64, 0, 1, 1, 1)
        self.layer2 = _stage(CHANNELS[0], 1, 2, 1, 1)
        self.layer3 = _stage(CHANNELS[1], 2, *((1, 1, 2) if dilated else (2, 1, 1)))
        self.layer4 = _stage(CHANNELS[2], 3, *((1, 2, 4) if dilated else (2, 1, 1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x) if self._deep_stem else torch.relu(self.bn1(self.conv1(x)))
        y = self.maxpool(x)
        planes = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            y = stage(y)
            planes.append(y)
        return planes
