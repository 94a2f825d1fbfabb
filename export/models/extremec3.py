"""ExtremeC3Net: a portrait segmentation network of 38 thousand parameters.

Park, Sjösund, Yoo, Kwak, "ExtremeC3Net: Extreme Lightweight Portrait Segmentation Networks using
Advanced C3-modules", arXiv 1908.03093. Parameter names follow the layout of the checkpoint
published with the paper (p=1, q=5, one class), so that it loads strictly.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.layers import CLOVAAI_PIXELS, Conv, ConvNormAct, NormAct, norm, upsample
from export.models.spec import PERSON, Family, ModelSpec, Preset

_Rates = tuple[int, int, int]
_DOWN_2: _Rates = (1, 2, 3)
_STAGE_2: _Rates = (1, 3, 4)
_DOWN_3: _Rates = (1, 3, 5)
_STAGE_3: _Rates = (2, 4, 8)
_FINE: _Rates = (2, 4, 8)
"""Dilation rates of the three branches of each advanced C3-module; a kernel of 2d - 1 precedes
dilation d > 1.
"""


class _C3Block(nn.Module):
    """Concentrated-comprehensive convolution: where it is dilated, two asymmetric depthwise
    convolutions go before.
    """

    def __init__(self, in_channels: int, out_channels: int, rate: int) -> None:
        super().__init__()

        def depthwise(height: int, width: int, dilation: int = 1) -> nn.Conv2d:
            padding = (height // 2 * dilation, width // 2 * dilation)
            return nn.Conv2d(
                in_channels,
                in_channels,
                (height, width),
                padding=padding,
                dilation=dilation,
                groups=in_channels,
                bias=False,
            )

        layers: list[nn.Module] = []
        if rate > 1:
            reach = 2 * rate - 1
            layers = [depthwise(reach, 1), nn.BatchNorm2d(in_channels), nn.PReLU(in_channels)]
            layers += [depthwise(1, reach), nn.BatchNorm2d(in_channels)]
        layers += [depthwise(3, 3, rate), nn.Conv2d(in_channels, out_channels, 1, bias=False)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class _Branches(nn.Module):
    """Reduce to a third of the width, then three C3-blocks side by side; the first one fills up the
    width.
    """

    def __init__(
        self, in_channels: int, out_channels: int, rates: _Rates, kernel: int = 1, stride: int = 1
    ) -> None:
        super().__init__()
        third = out_channels // 3
        self.c1 = Conv(in_channels, third, kernel, stride)
        self.d1 = _C3Block(third, out_channels - 2 * third, rates[0])
        self.d2 = _C3Block(third, third, rates[1])
        self.d3 = _C3Block(third, third, rates[2])

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.c1(x)
        return torch.cat([self.d1(reduced), self.d2(reduced), self.d3(reduced)], dim=1)


class _Down(_Branches):
    """An advanced C3-module with stride 2."""

    def __init__(self, in_channels: int, out_channels: int, rates: _Rates) -> None:
        super().__init__(in_channels, out_channels, rates, kernel=3, stride=2)
        self.bn = norm(out_channels)
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(super().forward(x)))  # type: ignore[no-any-return]


class _C3Module(_Branches):
    """An advanced C3-module; with a residual where the width stays."""

    def __init__(self, in_channels: int, out_channels: int, rates: _Rates) -> None:
        super().__init__(in_channels, out_channels, rates)
        self.bn = NormAct(out_channels)
        self.residual = in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return self.bn(x + y if self.residual else y)  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    def __init__(self, p: int, q: int) -> None:
        super().__init__()
        self.level1 = ConvNormAct(3, 24, kernel=3, stride=2)
        self.b1 = NormAct(27)
        self.level2_0 = _Down(27, 48, _DOWN_2)
        self.level2 = nn.ModuleList(_C3Module(48, 48, _STAGE_2) for _ in range(p))
        self.b2 = NormAct(99)
        self.level3_0 = _C3Module(99, 56, _DOWN_3)
        self.level3 = nn.ModuleList(_C3Module(56, 56, _STAGE_3) for _ in range(q))
        self.b3 = NormAct(112)

    def forward(self, x: Tensor) -> Tensor:
        half = functional.avg_pool2d(x, 2)
        quarter = functional.avg_pool2d(half, 2)
        first = self.level2_0(self.b1(torch.cat([self.level1(x), half], dim=1)))
        y = first
        for module in self.level2:
            y = module(y)
        second = self.level3_0(self.b2(torch.cat([y, first, quarter], dim=1)))
        y = second
        for module in self.level3:
            y = module(y)
        return self.b3(torch.cat([second, y], dim=1))  # type: ignore[no-any-return]


class ExtremeC3Net(nn.Module):
    """Portrait segmentation: a coarse answer at a quarter of the size, and a fine branch at half of
    it, added.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 4. Output: float32 logits [N,
    classes, H, W]; with one class a logit above 0 is person.
    """

    def __init__(self, classes: int = 1, p: int = 1, q: int = 5) -> None:
        super().__init__()
        self.encoder = _Encoder(p, q)
        self.upsample = nn.Sequential(nn.Conv2d(112, 24, 1, bias=False), nn.BatchNorm2d(24))
        self.Fine = nn.Sequential(Conv(3, 24, kernel=3, stride=2), _C3Module(24, 24, _FINE))
        self.classifier = nn.Sequential(
            NormAct(24), nn.Identity(), nn.Conv2d(24, classes, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        coarse = upsample(self.upsample(self.encoder(x)), 2)
        act, _, pointwise = self.classifier
        logits: Tensor = pointwise(upsample(act(coarse + self.Fine(x)), 2))
        return logits


_ABOUT = "ExtremeC3Net (Park et al., arXiv 1908.03093)."
_SPEC = ModelSpec(
    "extremec3",
    ExtremeC3Net,
    (224, 224),
    PERSON,
    CLOVAAI_PIXELS,
    options={"classes": 1},
    # Trained with a Lovász hinge loss, which asks of a logit no more than 1 or less than -1. A
    # plain sigmoid of that is 0.73 or 0.27: a ghost of the room everywhere. Times 6, the margins
    # are 0.9975 and 0.0025.
    gain=6.0,
    card="extremec3",
)
FAMILY = Family(
    mark="Fine.0.conv.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, gain=1.0, card="", about=_ABOUT),),
    training_only=("auxiliary_head.",),
    presets=(
        Preset(
            "clovaai_extremec3",
            CLOVAAI_PIXELS,
            source="clovaai/ext_portrait_segmentation@9bc1bad, result/ExtremeC3/",
            licence="MIT",
            sha256="52ff1681c7f65899f203106a64562c3a709172f3a65aa1ad5bef7bb9a22a39db",
        ),
    ),
)
