"""SegNeXt: convolutional attention in the encoder, matrix factorisation as the decoder's view.

Guo, Lu, Hou, Liu, Cheng, Hu, "SegNeXt: Rethinking Convolutional Attention Design for Semantic
Segmentation", NeurIPS 2022, arXiv 2209.08575; the decoder: Geng, Guo, Chen, Li, Wei, Lin, "Is
Attention Better Than Matrix Decomposition?", ICLR 2021, arXiv 2109.04553. Parameter names follow
the authors' files on mmsegmentation 0.x, so that they load strictly.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.blocks import resize, size_of
from export.models.easyportrait import CLASS_NAMES, CLASSIFIER, PRESETS, V2_PIXELS
from export.models.spec import V1_CLASSES, V2_CLASSES, Family, ModelSpec

_WIDTHS = (32, 64, 160, 256)
_DEPTHS = (3, 3, 5, 2)
_EXPANSIONS = (8, 8, 4, 4)
"""MSCAN-T in table 2 of the paper."""
_STRIPS = (7, 11, 21)
_LAYER_SCALE = 1e-2
_HEAD = 256
_GROUPS = 32
_BASES = 16
_STEPS_TRAINING, _STEPS = 6, 7
_TINY = 1e-6
_SEED = 2109_04553


class _Gate(nn.Module):
    """Multi-scale attention: three pairs of strips, long in one direction each."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def depthwise(height: int, width: int) -> nn.Conv2d:
            padding = (height // 2, width // 2)
            return nn.Conv2d(channels, channels, (height, width), padding=padding, groups=channels)

        self.conv0 = depthwise(5, 5)
        for index, reach in enumerate(_STRIPS):
            self.add_module(f"conv{index}_1", depthwise(1, reach))
            self.add_module(f"conv{index}_2", depthwise(reach, 1))
        self.conv3 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = self.conv0(x)
        total = near
        for index in range(len(_STRIPS)):
            across = self.get_submodule(f"conv{index}_1")(near)
            total = total + self.get_submodule(f"conv{index}_2")(across)
        return x * self.conv3(total)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj_1 = nn.Conv2d(channels, channels, 1)
        self.spatial_gating_unit = _Gate(channels)
        self.proj_2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.spatial_gating_unit(functional.gelu(self.proj_1(x)))
        return x + self.proj_2(y)  # type: ignore[no-any-return]


class _Mlp(nn.Module):
    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, wide, 1)
        self.dwconv = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.fc2 = nn.Conv2d(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.dwconv(self.fc1(x))))  # type: ignore[no-any-return]


class _Block(nn.Module):
    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.attn = _Attention(channels)
        self.mlp = _Mlp(channels, channels * expansion)
        self.layer_scale_1 = nn.Parameter(torch.full((channels,), _LAYER_SCALE))
        self.layer_scale_2 = nn.Parameter(torch.full((channels,), _LAYER_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layer_scale_1.view(-1, 1, 1) * self.attn(self.norm1(x))
        y: Tensor = x + self.layer_scale_2.view(-1, 1, 1) * self.mlp(self.norm2(x))
        return y


class _Stem(nn.Module):
    """A quarter of the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.proj = nn.Sequential(
            nn.Conv2d(3, half, 3, 2, 1),
            nn.BatchNorm2d(half),
            nn.GELU(),
            nn.Conv2d(half, channels, 3, 2, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)  # type: ignore[no-any-return]


class _Embed(nn.Module):
    """Half the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x))  # type: ignore[no-any-return]


class _Mscan(nn.Module):
    """Input: float32 [N, 3, H, W]. Output: planes at 1/8, 1/16 and 1/32 of the size."""

    def __init__(self) -> None:
        super().__init__()
        stages = zip(_WIDTHS, _DEPTHS, _EXPANSIONS, strict=True)
        for index, (width, depth, expansion) in enumerate(stages, start=1):
            before = _Embed(_WIDTHS[index - 2], width) if index > 1 else _Stem(width)
            self.add_module(f"patch_embed{index}", before)
            blocks = nn.ModuleList(_Block(width, expansion) for _ in range(depth))
            self.add_module(f"block{index}", blocks)
            self.add_module(f"norm{index}", nn.LayerNorm(width))

    def forward(self, x: Tensor) -> list[Tensor]:
        planes = []
        for index in range(1, len(_WIDTHS) + 1):
            x = self.get_submodule(f"patch_embed{index}")(x)
            blocks = self.get_submodule(f"block{index}")
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                x = block(x)
            norm = self.get_submodule(f"norm{index}")
            x = norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            planes.append(x)
        return planes[1:]


def _step(x: Tensor, mine: Tensor, other: Tensor) -> Tensor:
    """One multiplicative update of one factor: x is nearly `mine` times `other` transposed."""
    return mine * (x @ other) / (mine @ (other.transpose(1, 2) @ other) + _TINY)


class _Factorise(nn.Module):
    """The nearest product of two thin matrices without negative numbers, by a few update steps.

    The authors draw the first bases at random in each run of the network; here training does. An
    answer should not depend on chance: inference starts from `bases`, one draw that never changes.
    """

    bases: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(_SEED)
        drawn = torch.rand(1, _HEAD, _BASES, generator=generator)
        self.register_buffer("bases", drawn, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        if self.training:
            bases = torch.rand(len(x), _HEAD, _BASES, device=x.device, dtype=flat.dtype)
        else:
            bases = self.bases.to(flat.dtype).expand(len(x), -1, -1)
        bases = functional.normalize(bases, dim=1)
        shares = torch.softmax(flat.transpose(1, 2) @ bases, dim=-1)
        for _ in range(_STEPS_TRAINING if self.training else _STEPS):
            shares = _step(flat.transpose(1, 2), shares, bases)
            bases = _step(flat, bases, shares)
        shares = _step(flat.transpose(1, 2), shares, bases)
        return (bases @ shares.transpose(1, 2)).reshape(x.shape)


class _GroupConv(nn.Module):
    """A 1x1 convolution with group normalisation, or with a bias and none."""

    def __init__(self, in_channels: int, out_channels: int, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=not norm)
        self.gn = nn.GroupNorm(_GROUPS, out_channels) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y if self.gn is None else self.gn(y)


class _Hamburger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ham_in = _GroupConv(_HEAD, _HEAD, norm=False)
        self.ham = _Factorise()
        self.ham_out = _GroupConv(_HEAD, _HEAD)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.ham_out(self.ham(torch.relu(self.ham_in(x)))))


class _Head(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.squeeze = _GroupConv(sum(_WIDTHS[1:]), _HEAD)
        self.hamburger = _Hamburger()
        self.align = _GroupConv(_HEAD, _HEAD)
        self.conv_seg = nn.Conv2d(_HEAD, classes, 1)

    def forward(self, planes: list[Tensor]) -> Tensor:
        size = size_of(planes[0])
        joined = torch.cat([resize(plane, size) for plane in planes], dim=1)
        y = self.hamburger(torch.relu(self.squeeze(joined)))
        return self.conv_seg(torch.relu(self.align(y)))  # type: ignore[no-any-return]


class SegNeXt(nn.Module):
    """Semantic segmentation, on MSCAN-T.

    Input: float32 [N, 3, H, W], normalised, H and W multiples of 32. Output: float32 logits
    [N, classes, H/8, W/8].
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = _Mscan()
        self.decode_head = _Head(classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode_head(self.backbone(x))  # type: ignore[no-any-return]


_SPEC = ModelSpec(
    "segnext_t",
    SegNeXt,
    (384, 384),
    V2_CLASSES,
    V2_PIXELS,
    products=True,
    about="SegNeXt on MSCAN-T (Guo et al., NeurIPS 2022, arXiv 2209.08575).",
)
FAMILY = Family(
    mark="decode_head.hamburger.ham_in.conv.weight",
    specs=(_SPEC,),
    trained=(replace(_SPEC, classes=V1_CLASSES),),
    classifier=CLASSIFIER,
    class_names=CLASS_NAMES,
    presets=PRESETS,
)
