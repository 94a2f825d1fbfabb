"""Fast-SCNN: learns to downsample, looks for meaning at 1/32, joins it with the detail at 1/8.

Poudel, Liwicki, Cipolla, "Fast-SCNN: Fast Semantic Segmentation Network", BMVC 2019, arXiv
1902.04502. Parameter names follow mmsegmentation 0.x, so that its checkpoints load strictly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.models.blocks import ConvNorm, InvertedResidual, Separable, resize, size_of
from export.models.easyportrait import V2_PIXELS, BackboneAndHead, family_of
from export.models.spec import V2_CLASSES, ModelSpec

_DOWN = (32, 48, 64)
_STAGES = ((64, 64, 2), (64, 96, 2), (96, 128, 1))
"""Of the global part: width before and after, stride; three blocks each (table 1 of the paper)."""
_BLOCKS = 3
_EXPANSION = 6
_BINS = (1, 2, 3, 6)
_WIDTH = 128


class _Downsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvNorm(3, _DOWN[0], 3, 2)
        self.dsconv1 = Separable(_DOWN[0], _DOWN[1], 2)
        self.dsconv2 = Separable(_DOWN[1], _DOWN[2], 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.dsconv2(self.dsconv1(self.conv(x)))  # type: ignore[no-any-return]


def _means(size: int, bins: int) -> Tensor:
    """float32 [bins, size]: a row per bin takes the mean of its places, as adaptive pooling
    does.
    """
    rows = torch.zeros(bins, size)
    for index in range(bins):
        start, end = index * size // bins, -(-(index + 1) * size // bins)
        rows[index, start:end] = 1 / (end - start)
    return rows


class _Pool(nn.Module):
    """Adaptive mean pooling as two matrix products, which every size and runtime can do."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self._bins = bins

    def forward(self, x: Tensor) -> Tensor:
        if self._bins == 1:
            return x.mean(dim=(2, 3), keepdim=True)
        height, width = (_means(size, self._bins).to(x) for size in size_of(x))
        return height @ x @ width.t()


class _Global(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for index, (before, after, stride) in enumerate(_STAGES, start=1):
            blocks = [InvertedResidual(before, after, stride, _EXPANSION, act=nn.ReLU)]
            blocks += [
                InvertedResidual(after, after, 1, _EXPANSION, act=nn.ReLU)
                for _ in range(_BLOCKS - 1)
            ]
            self.add_module(f"bottleneck{index}", nn.Sequential(*blocks))
        narrow = _WIDTH // len(_BINS)
        self.ppm = nn.ModuleList(
            nn.Sequential(_Pool(bins), ConvNorm(_WIDTH, narrow)) for bins in _BINS
        )
        self.out = ConvNorm(2 * _WIDTH, _WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        for index in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"bottleneck{index}")(x)
        pooled = [resize(branch(x), size_of(x)) for branch in self.ppm]
        return self.out(torch.cat([x, *pooled], dim=1))  # type: ignore[no-any-return]


class _Fusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dwconv = ConvNorm(_WIDTH, _WIDTH, 3, groups=_WIDTH)
        self.conv_lower_res = ConvNorm(_WIDTH, _WIDTH, act=None)
        self.conv_higher_res = ConvNorm(_DOWN[-1], _WIDTH, act=None)

    def forward(self, detail: Tensor, meaning: Tensor) -> Tensor:
        lower = self.conv_lower_res(self.dwconv(resize(meaning, size_of(detail))))
        return torch.relu(self.conv_higher_res(detail) + lower)


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.learning_to_downsample = _Downsample()
        self.global_feature_extractor = _Global()
        self.feature_fusion = _Fusion()

    def forward(self, x: Tensor) -> Tensor:
        detail = self.learning_to_downsample(x)
        return self.feature_fusion(detail, self.global_feature_extractor(detail))  # type: ignore[no-any-return]


class _Head(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(Separable(_WIDTH, _WIDTH), Separable(_WIDTH, _WIDTH))
        self.conv_seg = nn.Conv2d(_WIDTH, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_seg(self.convs(x))  # type: ignore[no-any-return]


class FastScnn(BackboneAndHead):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 32. Output: float32 logits
    [N, classes, H/8, W/8].
    """

    def __init__(self, classes: int) -> None:
        super().__init__(_Backbone(), _Head(classes))


_SPEC = ModelSpec(
    "fastscnn",
    FastScnn,
    (384, 384),
    V2_CLASSES,
    V2_PIXELS,
    about="Fast-SCNN (Poudel et al., BMVC 2019, arXiv 1902.04502).",
)
FAMILY = family_of(_SPEC, mark="backbone.feature_fusion.dwconv.conv.weight")
