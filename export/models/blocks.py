"""Small parts that several published networks share; their parameters have mmsegmentation's
names.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

Activation = Callable[[], nn.Module]


class ConvNorm(nn.Module):
    """A convolution, batch normalisation and an activation; the latter two may be left out.

    Padding keeps the size at stride 1. A convolution has a bias only without a normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: bool = True,
        act: Activation | None = nn.ReLU,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            kernel // 2 * dilation,
            dilation,
            groups,
            bias=not norm,
        )
        self.bn = nn.BatchNorm2d(out_channels) if norm else None
        self.activate = act() if act is not None else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        if self.bn is not None:
            y = self.bn(y)
        return y if self.activate is None else self.activate(y)


class Separable(nn.Module):
    """A 3x3 convolution of each channel, normalised, then a 1x1 convolution of all of them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        norm: bool = True,
        act: Activation | None = nn.ReLU,
    ) -> None:
        super().__init__()
        self.depthwise_conv = ConvNorm(
            in_channels, in_channels, 3, stride, groups=in_channels, act=None
        )
        self.pointwise_conv = ConvNorm(in_channels, out_channels, norm=norm, act=act)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv(self.depthwise_conv(x))  # type: ignore[no-any-return]


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, filter each channel, narrow; a residual if size and width stay.

    Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
    arXiv 1801.04381.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        expansion: int,
        dilation: int = 1,
        act: Activation = nn.ReLU6,
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        widen = [ConvNorm(in_channels, wide, act=act)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            ConvNorm(wide, wide, 3, stride, dilation, groups=wide, act=act),
            ConvNorm(wide, out_channels, act=None),
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.residual else y


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch float [N, C, H, W] to `size` (height, width) bilinearly, corners not aligned."""
    if (x.shape[2], x.shape[3]) == tuple(size):
        return x
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


def size_of(x: Tensor) -> tuple[int, int]:
    """(height, width) of float [N, C, H, W]."""
    return x.shape[2], x.shape[3]
