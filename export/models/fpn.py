"""Semantic FPN on ResNet-50: a pyramid of planes of one width, enlarged step by step and added.

Kirillov, Girshick, He, Dollár, "Panoptic Feature Pyramid Networks", CVPR 2019, arXiv 1901.02446.
Parameter names follow mmsegmentation 0.x, so that its checkpoints load strictly.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional

from export.models import resnet
from export.models.blocks import ConvNorm, resize, size_of
from export.models.easyportrait import CLASS_NAMES, CLASSIFIER, PRESETS, V2_PIXELS
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec

_PYRAMID = 256
_WIDTH = 128


class _Neck(nn.Module):
    """From the encoder's planes to planes of one width, each with what the smaller ones know."""

    def __init__(self) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(
            ConvNorm(channels, _PYRAMID, norm=False, act=None) for channels in resnet.CHANNELS
        )
        self.fpn_convs = nn.ModuleList(
            ConvNorm(_PYRAMID, _PYRAMID, 3, norm=False, act=None) for _ in resnet.CHANNELS
        )

    def forward(self, planes: list[Tensor]) -> list[Tensor]:
        sides = [conv(plane) for conv, plane in zip(self.lateral_convs, planes, strict=True)]
        for index in range(len(sides) - 1, 0, -1):
            size = size_of(sides[index - 1])
            larger = functional.interpolate(sides[index], size=size, mode="nearest")
            sides[index - 1] = sides[index - 1] + larger
        return [conv(side) for conv, side in zip(self.fpn_convs, sides, strict=True)]


class _Double(nn.Module):
    """Twice the size."""

    def forward(self, x: Tensor) -> Tensor:
        return resize(x, (2 * x.shape[2], 2 * x.shape[3]))


def _scale_head(steps: int) -> nn.Sequential:
    """As many convolutions as a plane has to be doubled, one for the largest plane."""
    layers: list[nn.Module] = []
    for index in range(max(1, steps)):
        layers.append(ConvNorm(_WIDTH if index else _PYRAMID, _WIDTH, 3))
        layers += [_Double()] if steps else []
    return nn.Sequential(*layers)


class _Head(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scale_heads = nn.ModuleList(_scale_head(steps) for steps in range(4))
        self.conv_seg = nn.Conv2d(_WIDTH, classes, 1)

    def forward(self, planes: list[Tensor]) -> Tensor:
        first, *others = (head(x) for head, x in zip(self.scale_heads, planes, strict=True))
        for other in others:
            first = first + resize(other, size_of(first))
        return self.conv_seg(first)  # type: ignore[no-any-return]


class FpnResNet50(nn.Module):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 32. Output: float32 logits
    [N, classes, H/4, W/4].
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = resnet.ResNet50(deep_stem=True, dilated=False)
        self.neck = _Neck()
        self.decode_head = _Head(classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.neck(self.backbone(x)))  # type: ignore[no-any-return]


_SPEC = ModelSpec(
    "fpn_r50",
    FpnResNet50,
    (512, 512),
    V2_CLASSES,
    V2_PIXELS,
    about="Semantic FPN (Kirillov et al., CVPR 2019, arXiv 1901.02446) on ResNet-50.",
)
FAMILY = Family(
    mark="neck.fpn_convs.0.conv.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, classes=V1_CLASSES),),
    classifier=CLASSIFIER,
    class_names=CLASS_NAMES,
    presets=PRESETS,
)
