"""What SINet and ExtremeC3Net have in common; the names of parameters are those of their published
checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from export.models.spec import Pixels

_BATCH_NORM_EPS = 1e-3  # of the published checkpoints
CLOVAAI_PIXELS = Pixels(
    mean=(132.35703, 115.69884, 107.304565),
    std=(255 * 68.29726, 255 * 65.1337, 255 * 63.97182),
    bgr=True,
)
"""etc/Visualize_video.py of clovaai/ext_portrait_segmentation: blue, green, red; (x - mean) / std,
after that / 255.
"""


def upsample(x: Tensor, scale: int) -> Tensor:
    """Enlarge float [N, C, H, W] bilinearly, the corners of both pictures on each other."""
    return functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=True)


def norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation as the authors set it."""
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPS)


class NormAct(nn.Module):
    """Batch normalisation, then PReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = norm(channels)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(x))  # type: ignore[no-any-return]


class Conv(nn.Module):
    """A convolution without bias; a module of its own only for the parameter's name."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class ConvNormAct(NormAct):
    """A convolution without bias, batch normalisation, PReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(out_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.conv(x))
