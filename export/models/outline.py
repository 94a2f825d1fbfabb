"""Where the outline of a person is."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def outline(alpha: Tensor, width_px: int) -> Tensor:
    """How much alpha changes within `width_px` (odd): float [N, H, W] 0..1, from float [N, H, W]
    0..1.
    """
    pad = width_px // 2
    thick = functional.max_pool2d(alpha[:, None], width_px, 1, pad)
    thin = -functional.max_pool2d(-alpha[:, None], width_px, 1, pad)
    return (thick - thin)[:, 0]
