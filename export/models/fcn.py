"""FCN on a dilated MobileNetV2: two 3x3 convolutions and one over their input and output.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015, arXiv
1411.4038; the encoder: Sandler et al., "MobileNetV2", CVPR 2018, arXiv 1801.04381. Parameter names
follow mmsegmentation 0.x, so that its checkpoints load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.models.blocks import ConvNorm, InvertedResidual
from export.models.easyportrait import V2_PIXELS, BackboneAndHead, family_of
from export.models.spec import V2_CLASSES, ModelSpec

_STAGES = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 1),
    (6, 32, 3, 2, 1),
    (6, 64, 4, 1, 2),
    (6, 96, 3, 1, 2),
    (6, 160, 3, 1, 4),
    (6, 320, 1, 1, 4),
)
"""Table 2 of MobileNetV2 with the last two strides left out: expansion, width, blocks, stride, and
the dilation of the first block; the others of a stage have none."""


class _MobileNetV2(nn.Module):
    """Input: float32 [N, 3, H, W]. Output: float32 [N, 320, H/8, W/8]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvNorm(3, 32, 3, 2, act=nn.ReLU6)
        in_channels = 32
        for index, (expansion, width, blocks, stride, dilation) in enumerate(_STAGES, start=1):
            layers = [InvertedResidual(in_channels, width, stride, expansion, dilation)]
            layers += [InvertedResidual(width, width, 1, expansion) for _ in range(blocks - 1)]
            self.add_module(f"layer{index}", nn.Sequential(*layers))
            in_channels = width

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for index in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{index}")(x)
        return x


class _Head(nn.Module):
    def __init__(self, in_channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(ConvNorm(in_channels, width, 3), ConvNorm(width, width, 3))
        self.conv_cat = ConvNorm(in_channels + width, width, 3)
        self.conv_seg = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([x, self.convs(x)], dim=1)
        return self.conv_seg(self.conv_cat(joined))  # type: ignore[no-any-return]


class FcnMobileNetV2(BackboneAndHead):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 8. Output: float32 logits
    [N, classes, H/8, W/8].
    """

    def __init__(self, classes: int) -> None:
        super().__init__(_MobileNetV2(), _Head(_STAGES[-1][1], 512, classes))


_SPEC = ModelSpec(
    "fcn_mobilenetv2",
    FcnMobileNetV2,
    (384, 384),
    V2_CLASSES,
    V2_PIXELS,
    about="FCN (Long et al., CVPR 2015, arXiv 1411.4038) on a dilated MobileNetV2.",
)
FAMILY = family_of(_SPEC, mark="backbone.layer7.0.conv.2.conv.weight")
