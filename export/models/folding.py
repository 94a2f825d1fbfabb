"""Exact rewrites that make a trained network cheap to run on a CPU.

ONNX Runtime is fast while a tensor stays in its blocked layout, which convolutions, additions and
ReLU keep and PReLU, batch normalisation and channel shuffles leave. So everything per channel
becomes a 1x1 depthwise convolution, and what can be folded into a neighbour is. Nothing here
approximates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(scale, shift), float [C] each, of a batch normalisation in inference mode."""
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None
    assert var is not None
    scale = norm.weight / torch.sqrt(var + norm.eps)
    return scale, norm.bias - mean * scale


def rows(weight: Tensor, factor: Tensor) -> Tensor:
    """Scale the output channels of a convolution weight [O, I/groups, kh, kw] by `factor` [O]."""
    return weight * factor[:, None, None, None]


def columns(weight: Tensor, factor: Tensor) -> Tensor:
    """Scale the input channels of an ungrouped convolution weight [O, I, kh, kw] by `factor`
    [I].
    """
    return weight * factor[None, :, None, None]


def conv(weight: Tensor, bias: Tensor | None = None, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution with these numbers, padded to keep the size: weight [O, I/groups, k, k], bias
    [O].
    """
    out_channels, in_channels, kernel = weight.shape[:3]
    module = nn.Conv2d(
        in_channels * groups,
        out_channels,
        kernel,
        stride,
        kernel // 2,
        groups=groups,
        bias=bias is not None,
    )
    module.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        module.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return module


class Slopes(nn.Module):
    """PReLU after a per-channel affine map, as the sum of two 1x1 depthwise convolutions, one with
    ReLU.

    With z = scale * x + shift, PReLU(z) = a z + (1 - a) ReLU(z). ReLU is only free inside the
    convolution that feeds it, so 1 - a has to go through it and must not be negative. Where a > 1
    the whole channel is computed with the opposite sign, -PReLU(z) = -a z + ReLU((a - 1) z), and
    whoever reads it multiplies by `flip`.

    Input and output: float [N, C, H, W]. `flip`: float [C], +1 or -1; the output is flip *
    PReLU(z).
    """

    def __init__(
        self, slope: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> None:
        super().__init__()
        scale = torch.ones_like(slope) if scale is None else scale
        shift = torch.zeros_like(slope) if shift is None else shift
        self.flip = torch.where(slope > 1, -1.0, 1.0).to(slope.dtype)
        straight, bent, channels = self.flip * slope, (1 - slope).abs(), slope.numel()
        self.straight = conv(
            (straight * scale).view(-1, 1, 1, 1), straight * shift, groups=channels
        )
        self.bent = conv((bent * scale).view(-1, 1, 1, 1), bent * shift, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.straight(x) + functional.relu(self.bent(x))
        return y


def bilinear(size_out: int, size_in: int) -> Tensor:
    """The matrix, float64 [out, in], of one axis of a bilinear enlargement with aligned corners."""
    eye = torch.eye(size_in, dtype=torch.float64)
    return functional.interpolate(eye[None], size_out, mode="linear", align_corners=True)[
        0
    ].T.contiguous()


class EnlargeConv(nn.Module):
    """Enlarge 4-fold (twice bilinearly by two) and apply a 3x3 convolution to one channel, as
    matrix products.

    The map is linear and separable per tap: out = sum over c, dy, dx of kernel[c, dy, dx] * A_dy
    x_c B_dx^T, where A_dy is the enlargement of the rows moved by one tap (zeros beyond the edge).
    The sum over c and dx is one product with the columns, the sum over dy another with the rows.
    Rows see few neighbours, so the second goes in blocks.

    kernel: float [C, 3, 3]; scale, shift: float [C], applied to the channels first (before the zero
    padding). Input float [1, C, H/4, W/4], output float [1, H, W].
    """

    _BLOCK_ROWS = 32  # blocks of 28 to 56 rows measure alike; one block for all rows is slower

    def __init__(self, kernel: Tensor, scale: Tensor, shift: Tensor, size: tuple[int, int]) -> None:
        super().__init__()
        self._size = size
        height, width = size
        kernel, scale, shift = kernel.double(), scale.double(), shift.double()
        down, across = _taps(height), _taps(width)
        self.affine = conv(
            scale.view(-1, 1, 1, 1), shift, groups=len(scale)
        )  # enlarging keeps it, the rows sum to 1
        right = torch.einsum("cyt,tXx->cxyX", kernel, across)
        self.columns = nn.Buffer(right.reshape(-1, 3 * width).contiguous())
        left = down.permute(1, 2, 0).reshape(height, -1)
        self.blocks, self.picks = _row_blocks(left, self._BLOCK_ROWS)

    def forward(self, x: Tensor) -> Tensor:
        side_by_side = self.affine(x).permute(0, 2, 1, 3).flatten(2)[0]
        wide = (side_by_side @ self.columns).view(-1, self._size[1])
        blocks: Tensor = self.blocks @ wide.index_select(0, self.picks.flatten()).view(
            *self.picks.shape, -1
        )
        return blocks.view(1, *self._size)


def _taps(size: int) -> Tensor:
    """float64 [3, size, size / 4]: both enlargements of one axis, moved by -1, 0, 1 with zeros
    beyond the edge.
    """
    matrix = bilinear(size, size // 2) @ bilinear(size // 2, size // 4)
    padded = functional.pad(matrix, (0, 0, 1, 1))
    return torch.stack([padded[tap : tap + size] for tap in range(3)])


def _row_blocks(matrix: Tensor, block: int) -> tuple[nn.Buffer, nn.Buffer]:
    """A banded matrix [rows, columns] as dense blocks [n, block, k] and the columns that each
    reads, int64 [n, k].
    """
    parts = matrix.view(-1, block, matrix.shape[1])
    used = [part.abs().sum(0).nonzero().flatten() for part in parts]
    wide = max(int(index[-1] - index[0]) + 1 for index in used)
    starts = [min(int(index[0]), matrix.shape[1] - wide) for index in used]
    dense = torch.stack(
        [part[:, start : start + wide] for part, start in zip(parts, starts, strict=True)]
    )
    picks = torch.stack([torch.arange(start, start + wide) for start in starts])
    return nn.Buffer(dense.contiguous()), nn.Buffer(picks)
