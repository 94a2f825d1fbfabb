"""TensorBoard pages of a training: loss, rate, and pictures with what the network saw in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.data.sheet import COLOURS

_SHOWN = 6


class Board:
    """Writes to a folder that `tensorboard --logdir` reads."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))

    def write(self, seen: int, loss: float, rate: float, image: Tensor, logits: Tensor) -> None:
        """One point of the curves, after `seen` samples, with the pictures of one batch.

        image: uint8 [N, H, W, 3] RGB; logits: float [N, K, h, w], the network's answer to it.
        """
        self._writer.add_scalar("loss", loss, seen)
        self._writer.add_scalar("rate", rate, seen)
        self._writer.add_images("answers", overlays(image, logits), seen, dataformats="NHWC")
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def overlays(image: Tensor, logits: Tensor) -> Tensor:
    """The first pictures, half covered with the colours of their classes: uint8 [n, H, W, 3] RGB, new."""
    image, logits = image[:_SHOWN], logits[:_SHOWN].detach().cpu()
    large = torch.nn.functional.interpolate(
        logits, image.shape[1:3], mode="bilinear", align_corners=False
    )
    classes = large.argmax(1)
    colours = torch.tensor(COLOURS, dtype=torch.float32)[classes]
    mixed = torch.where((classes > 0)[..., None], (image.float() + colours) / 2, image.float())
    return mixed.to(torch.uint8)
