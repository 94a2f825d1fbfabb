"""MobileNetV3-small, dilated, as an encoder.

Howard et al., "Searching for MobileNetV3", ICCV 2019, arXiv 1905.02244, table 2. Parameter names
follow mmsegmentation 0.x. Convolutions with a stride, and those that had one before dilation took
its place, pad as TensorFlow does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-3
CHANNELS = (16, 16, 576)
"""Of the planes that `MobileNetV3Small` returns, at 1/2, 1/4 and 1/8 of the input's size."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One block. `wide`, `out`: channels inside and after; `gate`: those of
    squeeze-and-excitation.
    """

    kernel: int
    wide: int
    out: int
    gate: int = 0
    hard: bool = True
    stride: int = 1
    dilation: int = 1
    same: bool = False


_ROWS = (
    _Row(3, 16, 16, gate=8, hard=False, stride=2, same=True),
    _Row(3, 72, 24, hard=False, stride=2, same=True),
    _Row(3, 88, 24, hard=False),
    _Row(5, 96, 40, gate=24, dilation=2, same=True),
    _Row(5, 240, 40, gate=64, dilation=2),
    _Row(5, 240, 40, gate=64, dilation=2),
    _Row(5, 120, 48, gate=32, dilation=2),
    _Row(5, 144, 48, gate=40, dilation=2),
    _Row(5, 288, 96, gate=72, dilation=4, same=True),
    _Row(5, 576, 96, gate=144, dilation=4),
    _Row(5, 576, 96, gate=144, dilation=4),
)
"""The paper's table; strides of the fourth and ninth row have become dilations."""


class _SameConv(nn.Conv2d):
    """Pads as TensorFlow's "SAME": so that the output is ceil(input / stride), less at the top and
    left.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (torch's name)
        pads: list[int] = []
        for axis in (1, 0):  # pad takes the last axis first
            size, stride = input.shape[2 + axis], self.stride[axis]
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(functional.pad(input, pads) if any(pads) else input)


class _Conv(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        same: bool = False,
        act: type[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        padding = 0 if same else kernel // 2 * dilation
        kind = _SameConv if same else nn.Conv2d
        self.conv = kind(
            in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=_EPS)
        self.activate = act() if act is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class _Named(nn.Module):
    """A 1x1 convolution under the name that the published files give it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class _Gate(nn.Module):
    """Squeeze and excitation with a hard sigmoid."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _Named(channels, narrow), _Named(narrow, channels)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(2, 3), keepdim=True)
        return x * functional.hardsigmoid(self.conv2(torch.relu(self.conv1(mean))))


class _Block(nn.Module):
    def __init__(self, in_channels: int, row: _Row) -> None:
        super().__init__()
        act: type[nn.Module] = nn.Hardswish if row.hard else nn.ReLU
        wider = row.wide != in_channels
        self.expand_conv = _Conv(in_channels, row.wide, act=act) if wider else None
        self.depthwise_conv = _Conv(
            row.wide, row.wide, row.kernel, row.stride, row.dilation, row.wide, row.same, act
        )
        self.se = _Gate(row.wide, row.gate) if row.gate else None
        self.linear_conv = _Conv(row.wide, row.out)
        self.residual = row.stride == 1 and in_channels == row.out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand_conv is None else self.expand_conv(x)
        y = self.depthwise_conv(y)
        y = self.linear_conv(y if self.se is None else self.se(y))
        return x + y if self.residual else y


class MobileNetV3Small(nn.Module):
    """Input: float32 [N, 3, H, W]. Output: planes at 1/2, 1/4 and 1/8 of the size, `CHANNELS`
    wide.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer0 = _Conv(3, 16, 3, 2, same=True, act=nn.Hardswish)
        in_channels = 16
        for index, row in enumerate(_ROWS, start=1):
            self.add_module(f"layer{index}", _Block(in_channels, row))
            in_channels = row.out
        self.layer12 = _Conv(in_channels, CHANNELS[-1], act=nn.Hardswish)

    def forward(self, x: Tensor) -> list[Tensor]:
        half: Tensor = self.layer0(x)
        quarter: Tensor = self.get_submodule("layer1")(half)
        y = quarter
        for index in range(2, len(_ROWS) + 2):
            y = self.get_submodule(f"layer{index}")(y)
        return [half, quarter, y]
