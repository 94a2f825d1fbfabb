"""LR-ASPP on MobileNetV3-small: a light decoder whose gate looks at large parts of the picture.

Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv 1905.02244, section 6.4. Parameter
names follow mmsegmentation 0.x, so that its checkpoints load strictly.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from export.models.blocks import resize, size_of
from export.models.easyportrait import CLASS_NAMES, CLASSIFIER, PRESETS, V2_PIXELS
from export.models.mobilenetv3 import CHANNELS, MobileNetV3Small
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec

_WIDTH = 128
_SIDES = (32, 64)
_EPS = 1e-3
_POOL = 49
_POOL_STRIDE = (16, 20)
SMALLEST = 416
"""The gate's pooling needs 49 places at 1/8 of the size: the next multiple of 32."""


class _Conv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class _GateConv(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.conv(x))


class _Head(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        sides = list(zip(CHANNELS, _SIDES, strict=False))
        self.convs = nn.ModuleDict(
            {f"conv{i}": nn.Conv2d(c, side, 1, bias=False) for i, (c, side) in enumerate(sides)}
        )
        self.conv_ups = nn.ModuleDict(
            {f"conv_up{i}": _Conv(_WIDTH + side, _WIDTH) for i, (_, side) in enumerate(sides)}
        )
        self.conv_up_input = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.aspp_conv = _Conv(CHANNELS[-1], _WIDTH)
        self.image_pool = nn.Sequential(
            nn.AvgPool2d(_POOL, _POOL_STRIDE), _GateConv(CHANNELS[-1], _WIDTH)
        )
        self.conv_seg = nn.Conv2d(_WIDTH, classes, 1)

    def forward(self, planes: list[Tensor]) -> Tensor:
        x = planes[-1]
        x = self.conv_up_input(self.aspp_conv(x) * resize(self.image_pool(x), size_of(x)))
        for index in reversed(range(len(_SIDES))):
            plane = planes[index]
            side = self.convs[f"conv{index}"](plane)
            x = torch.cat([resize(x, size_of(plane)), side], dim=1)
            x = self.conv_ups[f"conv_up{index}"](x)
        return self.conv_seg(x)  # type: ignore[no-any-return]


class LrasppMobileNetV3(nn.Module):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, H and W even and at least 392 (in multiples of 32:
    `SMALLEST`). Output: float32 logits [N, classes, H/2, W/2].
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = MobileNetV3Small()
        self.decode_head = _Head(classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x))  # type: ignore[no-any-return]


_SPEC = ModelSpec(
    "lraspp",
    LrasppMobileNetV3,
    (1024, 1024),
    V2_CLASSES,
    V2_PIXELS,
    smallest=SMALLEST,
    about="LR-ASPP on MobileNetV3-small (Howard et al., ICCV 2019, arXiv 1905.02244).",
)
FAMILY = Family(
    mark="decode_head.conv_ups.conv_up0.conv.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, size=(SMALLEST, SMALLEST), classes=V1_CLASSES),),
    classifier=CLASSIFIER,
    class_names=CLASS_NAMES,
    presets=PRESETS,
)
