"""SegFormer: a hierarchical transformer encoder (MiT) and a decoder of four 1x1 convolutions.

Xie, Wang, Yu, Anandkumar, Alvarez, Luo, "SegFormer: Simple and Efficient Design for Semantic
Segmentation with Transformers", NeurIPS 2021, arXiv 2105.15203. Parameter names follow
mmsegmentation 0.x, so that its checkpoints load strictly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.easyportrait import CLASS_NAMES, PRESETS, V2_PIXELS
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec, State

_LAYER_NORM_EPS = 1e-6
_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_KERNELS_AND_STRIDES = ((7, 4), (3, 2), (3, 2), (3, 2))
_EXPANSION = 4
"""Table 6 of the paper; the same for all encoders."""


@dataclass(frozen=True, slots=True)
class Mit:
    """One encoder of table 6: the width and the number of blocks of each of its four stages."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


MITS = {
    "b0": Mit((32, 64, 160, 256), (2, 2, 2, 2)),
    "b2": Mit((64, 128, 320, 512), (3, 4, 6, 3)),
    "b5": Mit((64, 128, 320, 512), (3, 6, 40, 3)),
}


def _norm(channels: int) -> nn.LayerNorm:
    return nn.LayerNorm(channels, eps=_LAYER_NORM_EPS)


def _tokens(x: Tensor) -> Tensor:
    """[N, C, H, W] to [N, H * W, C]."""
    return x.flatten(2).transpose(1, 2)


def _plane(x: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, H * W, C] to [N, C, H, W]."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *size)


class _PatchEmbed(nn.Module):
    """Overlapping patches: a convolution with stride, then layer normalisation of each token."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2)
        self.norm = _norm(out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        y = self.projection(x)
        return self.norm(_tokens(y)), (y.shape[2], y.shape[3])


class _Projections(nn.Module):
    """The four linear maps of multi-head attention, named and packed as in
    `nn.MultiheadAttention`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query: Tensor, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        channels = query.shape[-1]
        ends = (
            slice(0, channels),
            slice(channels, 2 * channels),
            slice(2 * channels, 3 * channels),
        )
        maps = [(self.in_proj_weight[end], self.in_proj_bias[end]) for end in ends]
        q, k, v = (functional.linear(x, *maps[i]) for i, x in enumerate((query, source, source)))
        return q, k, v


class _Attention(nn.Module):
    """Efficient self-attention: keys and values come from a plane shrunk by a convolution. The
    residual is inside.
    """

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.attn = _Projections(channels)
        self.heads, self.reduction = heads, reduction
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = _norm(channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        source = self.norm(_tokens(self.sr(_plane(x, size)))) if self.reduction > 1 else x
        query, key, value = (
            y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in self.attn(x, source)
        )
        scaled = query * (
            query.shape[-1] ** -0.5
        )  # before the product: smaller numbers in half precision
        weights = torch.softmax(scaled @ key.transpose(2, 3), dim=-1)
        y: Tensor = self.attn.out_proj((weights @ value).transpose(1, 2).flatten(2))
        return y


class _MixFfn(nn.Module):
    """Widen, mix neighbours by a depthwise 3x3 convolution, GELU, narrow."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = channels * _EXPANSION
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide),
            nn.GELU(),
            nn.Identity(),  # dropout in training; it keeps the place of the next parameters' name
            nn.Conv2d(wide, channels, 1),
        )

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return _tokens(self.layers(_plane(x, size)))


class _Block(nn.Module):
    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1 = _norm(channels)
        self.attn = _Attention(channels, heads, reduction)
        self.norm2 = _norm(channels)
        self.ffn = _MixFfn(channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = x + self.attn(self.norm1(x), size)
        y: Tensor = x + self.ffn(self.norm2(x), size)
        return y


class _Backbone(nn.Module):
    def __init__(self, mit: Mit) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        width_in = 3
        settings = zip(
            mit.widths, mit.depths, _HEADS, _REDUCTIONS, _KERNELS_AND_STRIDES, strict=True
        )
        for width, depth, heads, reduction, (kernel, stride) in settings:
            blocks = nn.ModuleList(_Block(width, heads, reduction) for _ in range(depth))
            stages.append(
                nn.ModuleList([_PatchEmbed(width_in, width, kernel, stride), blocks, _norm(width)])
            )
            width_in = width
        self.layers = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        planes = []
        for stage in self.layers:
            assert isinstance(stage, nn.ModuleList)
            embed, blocks, norm = stage
            assert isinstance(blocks, nn.ModuleList)
            y, size = embed(x)
            for block in blocks:
                y = block(y, size)
            x = _plane(norm(y), size)
            planes.append(x)
        return planes


class _ConvNormRelu(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class _Head(nn.Module):
    def __init__(self, widths: tuple[int, ...], channels: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_ConvNormRelu(width, channels) for width in widths)
        self.fusion_conv = _ConvNormRelu(channels * len(widths), channels)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, planes: list[Tensor]) -> Tensor:
        size = planes[0].shape[2:]
        narrowed = [conv(plane) for conv, plane in zip(self.convs, planes, strict=True)]
        enlarged = [
            functional.interpolate(y, size=size, mode="bilinear", align_corners=False)
            if y.shape[2:] != size
            else y
            for y in narrowed
        ]
        return self.conv_seg(self.fusion_conv(torch.cat(enlarged, dim=1)))  # type: ignore[no-any-return]


class SegFormer(nn.Module):
    """Semantic segmentation.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 32. Output: float32 logits [N,
    classes, H/4, W/4]; the authors enlarge them bilinearly (corners not aligned) before the
    softmax. `head`: the decoder's width.
    """

    def __init__(self, classes: int, encoder: str = "b0", head: int = 256) -> None:
        super().__init__()
        mit = MITS[encoder]
        self.backbone = _Backbone(mit)
        self.decode_head = _Head(mit.widths, head, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x))  # type: ignore[no-any-return]


_CLASSIFIER = "decode_head.conv_seg.weight"
_EMBED = "backbone.layers.0.0.projection.weight"
_DEEP = "backbone.layers.2.1.39.norm1.weight"  # block 40 of stage 3: only the largest has it


def _identify(state: State) -> str:
    if _EMBED in state and state[_EMBED].shape[:1] == (32,):
        return "segformer_b0"
    return "segformer_b5" if _DEEP in state else "segformer_b2"


def _variant(spec: ModelSpec, state: State) -> ModelSpec:
    """With the decoder's width that the weights have."""
    shape = state[_CLASSIFIER].shape if _CLASSIFIER in state else ()
    head = shape[1] if len(shape) > 1 else 256
    return replace(spec, options={**spec.options, "head": head})


_B0 = ModelSpec(
    "segformer_b0",
    SegFormer,
    (384, 384),
    V2_CLASSES,
    V2_PIXELS,
    options={"encoder": "b0"},
    card="segformer",
)
FAMILY = Family(
    mark="decode_head.fusion_conv.conv.weight",
    specs=(
        _B0,
        replace(_B0, name="segformer_b2", options={"encoder": "b2"}),
        replace(_B0, name="segformer_b5", options={"encoder": "b5"}),
    ),
    trained=tuple(
        replace(
            _B0,
            name=f"segformer_{encoder}",
            size=(256, 256),
            classes=V1_CLASSES,
            options={"encoder": encoder},
            card="segformer_face",
        )
        for encoder in MITS
    ),
    classifier=_CLASSIFIER,
    class_names=CLASS_NAMES,
    identify=_identify,
    variant=_variant,
    presets=PRESETS,
)
