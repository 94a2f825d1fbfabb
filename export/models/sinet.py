"""SINet: a portrait segmentation network of 87 thousand parameters.

Park, Sjösund, Yoo, Bang, Kwak, "SINet: Extreme Lightweight Portrait Segmentation Networks with
Spatial Squeeze Modules and Information Blocking Decoder", WACV 2020, arXiv 1911.09099. Parameter
names follow the layout of the checkpoint published with the paper (p=2, q=8, chnn=1), so that it
loads strictly.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from export import processes
from export.models.layers import CLOVAAI_PIXELS, Conv, ConvNormAct, NormAct, norm, upsample
from export.models.spec import PERSON, Family, ModelSpec, Pixels, Preset

_STAGE_2 = (((3, 1), (5, 1)), ((3, 1), (3, 1)))
_STAGE_3 = (
    ((3, 1), (5, 1)),
    ((3, 1), (3, 1)),
    ((5, 1), (3, 2)),
    ((5, 2), (3, 4)),
    ((3, 1), (3, 1)),
    ((5, 1), (5, 1)),
    ((3, 2), (3, 4)),
    ((3, 1), (5, 2)),
)
"""Table 2 of the paper: (kernel size, spatial squeeze) of the two branches of each S2 module."""


class _SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from its mean (the gates end in PReLU, not in a
    sigmoid).
    """

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        widths = [channels] if squeeze == 1 else [channels // squeeze, channels]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise([channels, *widths]):
            layers += [nn.Linear(width_in, width_out), nn.PReLU(width_out)]
        self.dense = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.dense(x.mean(dim=(2, 3)))
        return x * gate[:, :, None, None]


class _SeparableDown(NormAct):
    """Depthwise 3x3 with stride 2, squeeze-and-excite, 1x1, batch normalisation, PReLU."""

    def __init__(self, in_channels: int, out_channels: int, squeeze: int) -> None:
        super().__init__(out_channels)
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, 2, 1, groups=in_channels, bias=False),
            _SqueezeExcite(in_channels, squeeze),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.conv(x))


class _SpatialSqueeze(nn.Module):
    """S2 block: shrink by average pooling, depthwise convolution, 1x1, enlarge again."""

    def __init__(self, channels: int, kernel: int, squeeze: int) -> None:
        super().__init__()
        self.squeeze = squeeze
        depthwise = nn.Conv2d(
            channels, channels, kernel, 1, kernel // 2, groups=channels, bias=False
        )
        self.conv = nn.Sequential(depthwise, norm(channels))
        self.act_conv1x1 = nn.Sequential(
            nn.PReLU(channels), nn.Conv2d(channels, channels, 1, bias=False)
        )
        self.bn = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.squeeze > 1:
            x = functional.avg_pool2d(x, self.squeeze)
        x = self.act_conv1x1(self.conv(x))
        if self.squeeze > 1:
            x = upsample(x, self.squeeze)
        return self.bn(x)  # type: ignore[no-any-return]


class _S2Module(nn.Module):
    """Grouped 1x1 with channel shuffle, two S2 blocks side by side, a residual where the width
    allows.
    """

    def __init__(
        self, in_channels: int, out_channels: int, branches: tuple[tuple[int, int], ...]
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.c1 = Conv(in_channels, half, groups=2)
        self.d1 = _SpatialSqueeze(half, *branches[0])
        self.d2 = _SpatialSqueeze(half, *branches[1])
        self.BR = NormAct(out_channels)
        self.residual = in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.c1(x)
        shuffled = reduced.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)
        y = torch.cat([self.d1(shuffled), self.d2(shuffled)], dim=1)
        return self.BR(x + y if self.residual else y)  # type: ignore[no-any-return]


def _stage(
    in_channels: int, out_channels: int, config: tuple[tuple[tuple[int, int], ...], ...]
) -> nn.ModuleList:
    widths = [in_channels] + [out_channels] * len(config)
    return nn.ModuleList(
        _S2Module(a, b, branches) for (a, b), branches in zip(pairwise(widths), config, strict=True)
    )


class _Encoder(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.level1 = ConvNormAct(3, 12, kernel=3, stride=2)
        self.level2_0 = _SeparableDown(12, 16, squeeze=1)
        self.level2 = _stage(16, 48, _STAGE_2)
        self.BR2 = NormAct(64)
        self.level3_0 = _SeparableDown(64, 48, squeeze=2)
        self.level3 = _stage(48, 96, _STAGE_3)
        self.BR3 = NormAct(144)
        self.classifier = Conv(144, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        down2 = self.level2_0(self.level1(x))
        fine = down2
        for module in self.level2:
            fine = module(fine)
        down3 = self.level3_0(self.BR2(torch.cat([down2, fine], dim=1)))
        coarse = down3
        for module in self.level3:
            coarse = module(coarse)
        return fine, self.classifier(self.BR3(torch.cat([down3, coarse], dim=1)))


class SINet(nn.Module):
    """Two-class portrait segmentation; the decoder adds detail only where the coarse answer is
    unsure.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 32. Output: float32 logits [N,
    classes, H, W]. In training mode the output is (logits, coarse logits [N, classes, H/8, W/8]).
    """

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.encoder = _Encoder(classes)
        self.bn_3 = norm(classes)
        self.level2_C = ConvNormAct(48, classes, kernel=1)
        self.bn_2 = norm(classes)
        self.classifier = nn.Sequential(
            nn.UpsamplingBilinear2d(scale_factor=2),
            nn.Conv2d(classes, classes, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        fine, coarse = self.encoder(x)
        quarter = self.bn_3(upsample(coarse, 2))
        doubt = 1 - torch.softmax(quarter, dim=1).amax(dim=1, keepdim=True)
        half = self.bn_2(upsample(self.level2_C(fine) * doubt + quarter, 2))
        logits: Tensor = self.classifier(half)
        return (logits, coarse) if self.training else logits

    def folded(self, pixels: Pixels, size: tuple[int, int]) -> nn.Module:
        """See `Foldable`."""
        from export.models.sinet_folded import FoldedSINet

        return FoldedSINet(
            self, torch.tensor(pixels.mean), torch.tensor(pixels.std), pixels.bgr, size
        )


def coarse_loss(coarse: Tensor, alpha: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of the coarse answer, each pixel as heavy as the share of it that is valid.

    coarse float [N, 2, h, w], alpha float [N, H, W] 0..1, valid float [N, H, W] 0 or 1.
    """
    person, weight = (
        functional.interpolate(x[:, None], coarse.shape[2:], mode="area")[:, 0]
        for x in (alpha * valid, valid)
    )
    wanted = person / weight.clamp(min=1e-6)
    entropy = functional.binary_cross_entropy_with_logits(
        coarse[:, 1] - coarse[:, 0], wanted, reduction="none"
    )
    total = processes.summed(weight.sum()).clamp(min=1)
    return processes.summed((entropy * weight).sum()) / total


_SINET = ModelSpec(
    "sinet",
    SINet,
    (256, 352),  # 1.8 times the authors' pixels, nearer to the shape of a webcam's frame
    PERSON,
    Pixels(mean=(127.5, 127.5, 127.5), std=(63.75, 63.75, 63.75)),
    extra_loss=coarse_loss,
    card="sinet",
)
FAMILY = Family(
    mark="level2_C.conv.weight",
    specs=(_SINET,),
    trained=(_SINET,),
    presets=(
        Preset(
            "clovaai",
            CLOVAAI_PIXELS,
            source="clovaai/ext_portrait_segmentation@9bc1bad, result/SINet/",
            licence="MIT",
            sha256="d164a9643c6e6765fc6dd4ec73f6018ad2526c21336911b4484715f33e6981a4",
            size=(224, 224),
        ),
    ),
)
