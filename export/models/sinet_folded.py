"""SINet rewritten for inference: the same numbers from a sixth of the time (see `folding` for how).

What goes where: batch normalisation into the convolution before it, or into the PReLU after it;
channel shuffles into the order of the weights behind them; mean and scale of the pixels mostly into
the first convolution; the class difference into the last one, which becomes two matrix products
together with the enlargements before it. The softmax of the gate is a sigmoid, because there are
two classes: 1 - max softmax = sigmoid(-|difference|).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.models.folding import EnlargeConv, Slopes, affine, bilinear, columns, conv, rows
from export.models.layers import NormAct, upsample
from export.models.sinet import SINet, _S2Module, _SeparableDown, _SpatialSqueeze


def _conv_norm(weight: Tensor, norm: nn.BatchNorm2d, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    scale, shift = affine(norm)
    return conv(rows(weight, scale), shift, stride, groups)


def _slopes(source: NormAct, flip: Tensor) -> Slopes:
    """Batch normalisation and PReLU of a tensor that is stored as `flip` times its value."""
    scale, shift = affine(source.bn)
    return Slopes(source.act.weight, scale * flip, shift)


class _Down(nn.Module):
    """`_SeparableDown` on a flipped input."""

    def __init__(self, source: _SeparableDown, flip: Tensor) -> None:
        super().__init__()
        depthwise, self.excite, pointwise = source.conv
        assert isinstance(depthwise, nn.Conv2d)
        assert isinstance(pointwise, nn.Conv2d)
        self.depthwise = conv(rows(depthwise.weight, flip), stride=2, groups=depthwise.groups)
        self.pointwise = _conv_norm(pointwise.weight, source.bn)
        self.act = Slopes(source.act.weight)
        self.flip = self.act.flip

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.pointwise(self.excite(self.depthwise(x))))  # type: ignore[no-any-return]


class _Branch(nn.Module):
    """`_SpatialSqueeze` that reads its channels before the shuffle and writes them times `flip`."""

    def __init__(self, source: _SpatialSqueeze, order: Tensor, flip: Tensor) -> None:
        super().__init__()
        self.squeeze = source.squeeze
        depthwise, norm = source.conv
        act, pointwise = source.act_conv1x1
        assert isinstance(depthwise, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(act, nn.PReLU)
        assert isinstance(pointwise, nn.Conv2d)
        scale, shift = affine(norm)
        self.depthwise = conv(
            rows(depthwise.weight, scale)[order], shift[order], groups=depthwise.groups
        )
        self.act = Slopes(act.weight[order])
        scale, shift = (x * flip for x in affine(source.bn))
        self.pointwise = conv(
            columns(rows(pointwise.weight[:, order], scale), self.act.flip), shift
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.squeeze > 1:
            x = functional.avg_pool2d(x, self.squeeze)
        x = self.pointwise(self.act(self.depthwise(x)))
        return upsample(x, self.squeeze) if self.squeeze > 1 else x


class _Module(nn.Module):
    """`_S2Module` on a flipped input; the residual sum is stored flipped like the input."""

    def __init__(self, source: _S2Module, flip: Tensor) -> None:
        super().__init__()
        self.residual = source.residual
        weight = source.c1.conv.weight
        half, per_group = weight.shape[:2]
        by_group = (
            flip.view(2, 1, per_group).expand(2, half // 2, per_group).reshape(half, per_group)
        )
        self.reduce = conv(weight * by_group[:, :, None, None], groups=2)
        order = (
            torch.arange(half).view(-1, 2).T.flatten()
        )  # the place behind the shuffle of each channel before it
        inner = flip if self.residual else flip.new_ones(2 * half)
        self.first = _Branch(source.d1, order, inner[:half])
        self.second = _Branch(source.d2, order, inner[half:])
        self.act = _slopes(source.BR, inner)
        self.flip = self.act.flip

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.reduce(x)
        y = torch.cat([self.first(reduced), self.second(reduced)], dim=1)
        return self.act(x + y if self.residual else y)  # type: ignore[no-any-return]


class _Stage(nn.Module):
    """Modules one after the other, then their output beside the input, normalised and activated."""

    def __init__(self, source: nn.ModuleList, both: NormAct, flip: Tensor) -> None:
        super().__init__()
        steps: list[_Module] = []
        first = flip
        for module in source:
            assert isinstance(module, _S2Module)
            steps.append(_Module(module, flip))
            flip = steps[-1].flip
        self.steps = nn.ModuleList(steps)
        self.flip = flip
        self.act = _slopes(both, torch.cat([first, flip]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = x
        for step in self.steps:
            y = step(y)
        return y, self.act(torch.cat([x, y], dim=1))


class FoldedSINet(nn.Module):
    """SINet with everything around it that does not change between frames.

    Input: float32 [1, 3, H, W] RGB 0..255. Output: float32 [1, H, W], the logit of person minus
    that of room. `mean`, `std` are of RGB on 0..255; a network trained on BGR has the channels of
    its first convolution reversed.
    """

    def __init__(
        self, network: SINet, mean: Tensor, std: Tensor, bgr: bool, size: tuple[int, int]
    ) -> None:
        super().__init__()
        exact = copy.deepcopy(network).double().eval()
        encoder = exact.encoder
        weight = encoder.level1.conv.weight.flip(1) if bgr else encoder.level1.conv.weight
        self.mean = nn.Buffer(mean.double().view(1, 3, 1, 1))
        self.first = _conv_norm(columns(weight, 1 / std.double()), encoder.level1.bn, stride=2)
        self.first_act = Slopes(encoder.level1.act.weight)
        self.down2 = _Down(encoder.level2_0, self.first_act.flip)
        self.stage2 = _Stage(encoder.level2, encoder.BR2, self.down2.flip)
        self.down3 = _Down(encoder.level3_0, self.stage2.act.flip)
        self.stage3 = _Stage(encoder.level3, encoder.BR3, self.down3.flip)
        scale, shift = affine(exact.bn_3)
        self.coarse = conv(
            columns(rows(encoder.classifier.conv.weight, scale), self.stage3.act.flip), shift
        )
        self._decoder(exact, size)
        self.float()

    def _decoder(self, exact: SINet, size: tuple[int, int]) -> None:
        height, width = size
        self.rows_up = nn.Buffer(bilinear(height // 4, height // 8))
        self.columns_up = nn.Buffer(bilinear(width // 4, width // 8).T.contiguous())
        scale, shift = affine(exact.level2_C.bn)
        weight = columns(rows(exact.level2_C.conv.weight, scale), self.stage2.flip)
        self.detail = conv(torch.cat([weight, -weight]), torch.cat([shift, -shift]))
        slope = torch.diag(exact.level2_C.act.weight)
        self.detail_act = conv(torch.cat([torch.eye(2).double(), -slope], dim=1)[:, :, None, None])
        last = exact.classifier[1]
        assert isinstance(last, nn.Conv2d)
        scale, shift = affine(exact.bn_2)
        self.last = EnlargeConv(last.weight[1] - last.weight[0], scale, shift, size)

    def forward(self, image: Tensor) -> Tensor:
        fine, both = self.stage2(self.down2(self.first_act(self.first(image - self.mean))))
        _, both = self.stage3(self.down3(both))
        quarter = self.rows_up @ self.coarse(both) @ self.columns_up
        doubt = torch.sigmoid(-(quarter[:, 1:] - quarter[:, :1]).abs())
        detail = self.detail_act(functional.relu(self.detail(fine)))
        return self.last(detail * doubt + quarter)  # type: ignore[no-any-return]
