"""From a network to an ONNX graph that keeps the engine contract: uint8 pixels in, uint8 alpha out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn

from export.errors import ExportError
from export.graph_passes import rewrite_prelu, strip
from export.models import ModelSpec

OPSET = 18
"""LayerNormalization is native from 17, the exporter writes 18 without a conversion, and every runtime reads it."""
_SIZE_STEP = 32


class ScoreNetwork(nn.Module):
    """A two-class network as one number per pixel: uint8 [N, H, W, 3] RGB to float32 [N, H, W], person minus room."""

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self._network, self._spec = network.eval(), spec

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self._network(self._spec.normalise(image))
        return logits[:, 1] - logits[:, 0]


class _FoldedScore(nn.Module):
    """The same from the folded form of a network."""

    def __init__(self, folded: nn.Module) -> None:
        super().__init__()
        self._folded = folded.eval()

    def forward(self, image: Tensor) -> Tensor:
        score: Tensor = self._folded(image.permute(0, 3, 1, 2).float())
        return score


class _Alpha(nn.Module):
    """uint8 [N, H, W, 3] RGB to alpha uint8 [N, H, W], 0 room .. 255 person, rounded half to even.

    The sigmoid stands for the softmax of two classes, and cannot leave 0..255, so nothing needs clipping.
    """

    def __init__(self, score: nn.Module) -> None:
        super().__init__()
        self._score = score

    def forward(self, image: Tensor) -> Tensor:
        return (torch.sigmoid(self._score(image)) * 255).round().to(torch.uint8)


def check_size(size: tuple[int, int]) -> None:
    """Refuse an input size (height, width) that the networks cannot halve often enough.

    Raises:
        ExportError: a side is not a positive multiple of 32.
    """
    if any(side <= 0 or side % _SIZE_STEP for side in size):
        raise ExportError(f"input size {size[0]}x{size[1]}: height and width must be multiples of {_SIZE_STEP}")


def engine_graph(network: nn.Module, spec: ModelSpec, size: tuple[int, int], fold: bool = True) -> onnx.ModelProto:
    """The engine of a person network: input `image` uint8 [1, H, W, 3] RGB, output `alpha` uint8 [1, H, W].

    The same weights give the same bytes. `fold` picks the form that is fastest on a CPU; without it the graph has the
    network's own operators.

    Raises:
        ExportError: the size is not a multiple of 32, or the network cannot be traced.
    """
    check_size(size)
    folded = spec.fold(network.eval(), size) if fold else None
    score = _FoldedScore(folded) if folded is not None else ScoreNetwork(network, spec)
    image = torch.zeros((1, *size, 3), dtype=torch.uint8)
    model = _trace(_Alpha(score).eval(), image)
    if fold:
        rewrite_prelu(model)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _trace(network: nn.Module, image: Tensor) -> onnx.ModelProto:
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                network,
                (image,),
                input_names=["image"],
                output_names=["alpha"],
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).strip().splitlines()[0]
            raise ExportError(f"the network cannot be written as ONNX: {reason}") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns about its own internals and about torchvision, which it does not need here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
