"""EHANet: channels gated by what the next stage sees, stages joined after their gap is narrowed.

Luo, Xue, Feng, "EHANet: An Effective Hierarchical Aggregation Network for Face Parsing", Applied
Sciences 10(9), 3135, 2020. Written after the paper and NOT COMPARED WITH THE AUTHORS' CODE: the
widths of its small parts are this project's choice, and files trained elsewhere do not load.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
from torch import Tensor, nn

from export.models.blocks import ConvNorm, Separable, resize, size_of
from export.models.easyportrait import CLASS_NAMES, V2_PIXELS
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec

_WIDTHS = (64, 128, 256, 512)
_WIDTH = 128
_SQUEEZE = 4


class _Block(nn.Module):
    """ResNet-18's (He et al., CVPR 2016, arXiv 1512.03385)."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, width, 3, stride)
        self.conv2 = ConvNorm(width, width, 3, act=None)
        project = stride > 1 or in_channels != width
        self.shortcut = ConvNorm(in_channels, width, 1, stride, act=None) if project else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class _ResNet18(nn.Module):
    """Input: float32 [N, 3, H, W]. Output: planes at 1/4 .. 1/32 of the size, `_WIDTHS` wide."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, _WIDTHS[0], 7, 2), nn.MaxPool2d(3, 2, 1))
        befores = (_WIDTHS[0], *_WIDTHS[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(_Block(before, width, 2 if index else 1), _Block(width, width, 1))
            for index, (before, width) in enumerate(zip(befores, _WIDTHS, strict=True))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.stem(x)
        planes = []
        for stage in self.stages:
            y = stage(y)
            planes.append(y)
        return planes


class _StageAttention(nn.Module):
    """Stage contextual attention: a stage's channels weighted by its own and the next one's
    means.
    """

    def __init__(self, lower: int, higher: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(lower + higher, lower // _SQUEEZE, 1),
            nn.ReLU(),
            nn.Conv2d(lower // _SQUEEZE, lower, 1),
            nn.Sigmoid(),
        )

    def forward(self, lower: Tensor, higher: Tensor) -> Tensor:
        means = [x.mean(dim=(2, 3), keepdim=True) for x in (lower, higher)]
        return lower + lower * self.gate(torch.cat(means, dim=1))  # type: ignore[no-any-return]


class _GapCompensation(nn.Module):
    """Semantic gap compensation: both stages are brought to one width and filtered, then added."""

    def __init__(self, lower: int, higher: int) -> None:
        super().__init__()
        self.lower = nn.Sequential(ConvNorm(lower, _WIDTH), Separable(_WIDTH, _WIDTH, act=None))
        self.higher = nn.Sequential(ConvNorm(higher, _WIDTH), Separable(_WIDTH, _WIDTH, act=None))

    def forward(self, lower: Tensor, higher: Tensor) -> Tensor:
        return torch.relu(self.lower(lower) + resize(self.higher(higher), size_of(lower)))


class EhaNet(nn.Module):
    """Face parsing, on ResNet-18.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 32. Output: float32 logits
    [N, classes, H/4, W/4]. With `edge`, training mode gives (logits, boundary logits
    [N, 2, H/4, W/4]); inference does not compute the boundary.
    """

    def __init__(self, classes: int, edge: bool = False) -> None:
        super().__init__()
        self.encoder = _ResNet18()
        pairs = list(itertools.pairwise(_WIDTHS))
        self.attentions = nn.ModuleList(_StageAttention(*pair) for pair in pairs)
        highers = (_WIDTH, _WIDTH, _WIDTHS[-1])
        self.joins = nn.ModuleList(
            _GapCompensation(lower, higher)
            for lower, higher in zip(_WIDTHS[:-1], highers, strict=True)
        )
        self.classifier = nn.Sequential(Separable(_WIDTH, _WIDTH), nn.Conv2d(_WIDTH, classes, 1))
        self.edge = nn.Conv2d(_WIDTHS[0], 2, 1) if edge else None

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        planes = self.encoder(x)
        pairs = zip(self.attentions, planes[:-1], planes[1:], strict=True)
        lowers = [attend(lower, higher) for attend, lower, higher in pairs]
        y = planes[-1]
        for join, lower in reversed(list(zip(self.joins, lowers, strict=True))):
            y = join(lower, y)
        logits: Tensor = self.classifier(y)
        if self.training and self.edge is not None:
            return logits, self.edge(lowers[0])
        return logits


_SPEC = ModelSpec(
    "ehanet",
    EhaNet,
    (384, 384),
    V2_CLASSES,
    V2_PIXELS,
    about="EHANet (Luo et al., Applied Sciences 10(9), 2020), not compared with the authors' code.",
)
FAMILY = Family(
    mark="attentions.0.gate.0.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, classes=V1_CLASSES),),
    classifier="classifier.1.weight",
    class_names=CLASS_NAMES,
)
