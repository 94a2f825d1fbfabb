"""Soft labels for unlabelled pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from export.engine.convert import load_network
from export.errors import ExportError
from export.evaluation.engines import Matting, Parsing, open_engine


class Teacher:
    """A person network or engine that has been trained: its answer is a soft label."""

    def __init__(self, model: str, source: Path, device: torch.device | None = None) -> None:
        """source: a checkpoint of `model`, or an engine: a folder, an .onnx or a .tflite file.

        Raises:
            ExportError: it cannot be opened, or is no person network, or one that remembers.
        """
        self._engine: Matting | None = None
        if source.is_dir() or source.suffix == ".onnx":
            engine = open_engine(source)
            if isinstance(engine, Parsing):
                raise ExportError(f"{source}: a face engine cannot teach; give a person engine")
            self._engine = engine
            return
        self._spec, network = load_network(model, source)
        if self._spec.task != "person" or self._spec.memory:
            raise ExportError(
                f"{source}: {self._spec.name} cannot teach; give a person network without memory"
            )
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def alpha(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB to float32 [N, H, W], 0 room .. 1 person."""
        if self._engine is not None:
            mattes = np.stack([self._engine.alpha(picture) for picture in image.cpu().numpy()])
            return torch.from_numpy(mattes).to(image.device) / 255
        pixels = self._spec.normalise(image).contiguous(memory_format=torch.channels_last)
        score = self._spec.score(self._network(pixels))
        if score.shape[2:] != image.shape[1:3]:
            score = functional.interpolate(
                score, list(image.shape[1:3]), mode="bilinear", align_corners=False
            )
        return torch.sigmoid(score)[:, 0]
