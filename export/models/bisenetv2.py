"""BiSeNetV2: a wide shallow branch for detail, a narrow deep one for meaning, each gating the
other.

Yu, Gao, Wang, Yu, Shen, Sang, "BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time
Semantic Segmentation", IJCV 2021, arXiv 2004.02147. Parameter names follow mmsegmentation 0.x, so
that its checkpoints load strictly.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from export.models.blocks import ConvNorm, Separable, resize, size_of
from export.models.easyportrait import CLASS_NAMES, CLASSIFIER, PRESETS, V2_PIXELS
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec, State

_DETAIL = ((64, 64), (64, 64, 64), (128, 128, 128))
_STEM = 16
_STAGES = ((16, 32, 2), (32, 64, 2), (64, 128, 4))
"""Of the semantic branch: width before and after, blocks; each halves the size."""
_EXPANSION = 6
_WIDTH = 128
_HEAD = 1024


class _Detail(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        stages, in_channels = [], 3
        for widths in _DETAIL:
            convs = []
            for index, width in enumerate(widths):
                convs.append(ConvNorm(in_channels, width, 3, stride=1 if index else 2))
                in_channels = width
            stages.append(nn.Sequential(*convs))
        self.detail_branch = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        return self.detail_branch(x)  # type: ignore[no-any-return]


class _Stem(nn.Module):
    """A quarter of the size, by a convolution beside a maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_first = ConvNorm(3, _STEM, 3, 2)
        self.convs = nn.Sequential(ConvNorm(_STEM, _STEM // 2), ConvNorm(_STEM // 2, _STEM, 3, 2))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.fuse_last = ConvNorm(2 * _STEM, _STEM, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_first(x)
        return self.fuse_last(torch.cat([self.convs(x), self.pool(x)], dim=1))  # type: ignore[no-any-return]


class _GatherExpand(nn.Module):
    """Gather 3x3, widen by a convolution of each channel, narrow; with a residual."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        wide = in_channels * _EXPANSION
        self.conv1 = ConvNorm(in_channels, in_channels, 3)
        first = ConvNorm(
            in_channels,
            wide,
            3,
            stride,
            groups=in_channels,
            act=nn.ReLU if stride == 1 else None,
        )
        again = [] if stride == 1 else [ConvNorm(wide, wide, 3, groups=wide)]
        self.dwconv = nn.Sequential(first, *again)
        self.shortcut = (
            None
            if stride == 1
            else nn.Sequential(Separable(in_channels, out_channels, stride, act=None))
        )
        self.conv2 = nn.Sequential(ConvNorm(wide, out_channels, act=None))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.dwconv(self.conv1(x)))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class _Context(nn.Module):
    """Adds the picture's mean to each place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gap = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(channels))
        self.conv_gap = ConvNorm(channels, channels)
        self.conv_last = ConvNorm(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_last(x + self.conv_gap(self.gap(x)))  # type: ignore[no-any-return]


class _Semantic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stage1 = _Stem()
        for index, (before, after, blocks) in enumerate(_STAGES, start=2):
            layers = [_GatherExpand(before, after, 2)]
            layers += [_GatherExpand(after, after, 1) for _ in range(blocks - 1)]
            self.add_module(f"stage{index}", nn.Sequential(*layers))
        self.stage4_CEBlock = _Context(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(x)
        for index in range(2, len(_STAGES) + 2):
            x = self.get_submodule(f"stage{index}")(x)
        return self.stage4_CEBlock(x)  # type: ignore[no-any-return]


class _Aggregate(nn.Module):
    """Joins both branches: at each one's size, it is gated by the other."""

    def __init__(self) -> None:
        super().__init__()
        self.detail_dwconv = nn.Sequential(Separable(_WIDTH, _WIDTH, norm=False, act=None))
        self.detail_down = nn.Sequential(
            ConvNorm(_WIDTH, _WIDTH, 3, 2, act=None), nn.AvgPool2d(3, 2, 1)
        )
        self.semantic_conv = nn.Sequential(ConvNorm(_WIDTH, _WIDTH, 3, act=None))
        self.semantic_dwconv = nn.Sequential(Separable(_WIDTH, _WIDTH, norm=False, act=None))
        self.conv = ConvNorm(_WIDTH, _WIDTH, 3)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        size = size_of(detail)
        large_gate = torch.sigmoid(resize(self.semantic_conv(semantic), size))
        small = self.detail_down(detail) * torch.sigmoid(self.semantic_dwconv(semantic))
        joined = self.detail_dwconv(detail) * large_gate + resize(small, size)
        return self.conv(joined)  # type: ignore[no-any-return]


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.detail, self.semantic, self.bga = _Detail(), _Semantic(), _Aggregate()

    def forward(self, x: Tensor) -> Tensor:
        return self.bga(self.detail(x), self.semantic(x))  # type: ignore[no-any-return]


class _Head(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(ConvNorm(_WIDTH, _HEAD, 3))
        self.conv_seg = nn.Conv2d(_HEAD, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_seg(self.convs(x))  # type: ignore[no-any-return]


class BiSeNetV2(nn.Module):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 32. Output: float32 logits
    [N, classes, H/8, W/8]. `outputs`: of the classifier, if it has more than classes;
    EasyPortrait's files have Cityscapes' 19, of which the first ones were trained.
    """

    def __init__(self, classes: int, outputs: int = 0) -> None:
        super().__init__()
        self.backbone = _Backbone()
        self.decode_head = _Head(outputs or classes)
        self._classes = classes

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.decode_head(self.backbone(x))
        return logits[:, : self._classes]


def _variant(spec: ModelSpec, state: State) -> ModelSpec:
    """With as many outputs as the weights have."""
    outputs = state[CLASSIFIER].shape[:1] if CLASSIFIER in state else ()
    return replace(spec, options={"outputs": outputs[0]}) if outputs else spec


_SPEC = ModelSpec(
    "bisenetv2",
    BiSeNetV2,
    (512, 512),
    V2_CLASSES,
    V2_PIXELS,
    about="BiSeNetV2 (Yu et al., IJCV 2021, arXiv 2004.02147).",
)
FAMILY = Family(
    mark="backbone.bga.conv.conv.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, classes=V1_CLASSES),),
    classifier=CLASSIFIER,
    class_names=CLASS_NAMES,
    presets=PRESETS,
    variant=_variant,
    training_only=("auxiliary_head.",),
    counted="auxiliary_head.0.conv_seg.weight",
)
