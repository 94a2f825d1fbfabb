"""Export a network as an ONNX engine: uint8 pixels in, uint8 alpha or class probabilities out."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.errors import ExportError
from export.models import ModelSpec
from export.models.spec import Foldable
from export.onnx.passes import fold_scale, pool_means, rewrite_prelu, strip, widen_gates

OPSET = 18
"""LayerNormalization is native from 17, the exporter writes 18 without a conversion, and every
runtime reads it.
"""
_SIZE_STEP = 32


class ScoreNetwork(nn.Module):
    """A network up to the input of its last sigmoid or softmax, at the size of the image.

    Input: uint8 [N, H, W, 3] RGB; of a network with a memory also float32 [N, 1, H, W], the
    previous share of person, 0..1.
    Output: float32 [N, H, W], person minus room, or of a face network [N, C, H, W], its logits.
    """

    def __init__(
        self, network: nn.Module, spec: ModelSpec, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self._network, self._spec, self._dtype = network.eval(), spec, dtype

    def forward(self, image: Tensor, *state: Tensor) -> Tensor:
        pixels = self._spec.normalise(image, *state)
        if pixels.dtype != self._dtype:
            pixels = pixels.to(self._dtype)
        score = self._spec.score(self._network(pixels))
        if score.shape[2:] != pixels.shape[2:]:
            score = functional.interpolate(
                score, size=pixels.shape[2:], mode="bilinear", align_corners=False
            )
        return score if self._spec.task == "face" else score.squeeze(1)


class _FoldedScore(nn.Module):
    """The same with the folded form of a person network."""

    def __init__(self, folded: nn.Module) -> None:
        super().__init__()
        self._folded = folded.eval()

    def forward(self, image: Tensor) -> Tensor:
        score: Tensor = self._folded(
            image.float().permute(0, 3, 1, 2)
        )  # in this order: TensorRT does not transpose uint8
        return score


class _Engine(nn.Module):
    """uint8 [N, H, W, 3] RGB to uint8, rounded half to even; a sum of rounded shares may miss 255
    by a few.

    Person: alpha [N, H, W], 0 room .. 255 person. Face: probs [N, C, H, W], one plane per class.
    A network with a memory also gives float32 [N, 1, H, W], the unrounded share of person, for the
    next frame. The sigmoid stands for the softmax of two classes; neither can leave 0..255, so
    nothing needs clipping.
    """

    def __init__(self, score: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self._score, self._spec = score, spec

    def forward(self, image: Tensor, *state: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        score = self._score(image, *state)
        share = torch.softmax(score, dim=1) if self._spec.task == "face" else torch.sigmoid(score)
        answer = (share * 255).round().to(torch.uint8)
        return (answer, share.unsqueeze(1)) if state else answer


def torch_engine(network: nn.Module, spec: ModelSpec) -> nn.Module:
    """The engine of a network in torch: the same as `engine_graph`, before any rewriting."""
    return _Engine(ScoreNetwork(network, spec), spec).eval()


def check_size(size: tuple[int, int], spec: ModelSpec | None = None) -> None:
    """Refuse an input size (height, width) that the networks cannot halve often enough.

    Raises:
        ExportError: a side is not a positive multiple of 32, or is too small for the network.
    """
    if any(side <= 0 or side % _SIZE_STEP for side in size):
        raise ExportError(
            f"input size {size[0]}x{size[1]}: height and width must be multiples of {_SIZE_STEP}"
        )
    if spec is not None and min(size) < spec.smallest:
        raise ExportError(
            f"input size {size[0]}x{size[1]}: {spec.name} needs at least {spec.smallest} on both "
            "sides"
        )


def engine_graph(
    network: nn.Module, spec: ModelSpec, size: tuple[int, int], fold: bool = True, batch: int = 1
) -> onnx.ModelProto:
    """Export the engine of a network: input `image` uint8 [batch, H, W, 3] RGB, outputs as in
    `_Engine`.

    Outputs are called `alpha` or `probs`; a network with a memory also has `state_in` and
    `state_out`. The same weights give the same bytes. `fold` chooses the form that is fastest on a
    CPU; without it the graph has the network's own operators.

    Raises:
        ExportError: the size is not a multiple of 32, or the network cannot be traced.
    """
    check_size(size)
    network.eval()
    folds = _foldable(network) if fold and batch == 1 else None
    score = _FoldedScore(folds.folded(spec.pixels, size)) if folds else ScoreNetwork(network, spec)
    model = _graph(score, spec, size, batch)
    return fast_graph(model) if fold else model


def _foldable(network: object) -> Foldable | None:
    return network if isinstance(network, Foldable) else None


def engine_graphs(
    network: nn.Module, spec: ModelSpec, size: tuple[int, int], batch: int = 1
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Export the forms of `engine_graph` with and without `fold`, tracing only as often as
    necessary.

    Raises:
        ExportError: as `engine_graph`.
    """
    plain = engine_graph(network, spec, size, fold=False, batch=batch)
    folds = _foldable(network) is not None and batch == 1
    return (engine_graph(network, spec, size) if folds else fast_graph(plain)), plain


def fast_graph(traced: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a graph, rewritten for ONNX Runtime on a CPU."""
    model = onnx.ModelProto()
    model.CopyFrom(traced)
    rewrite_prelu(model)
    pool_means(model)
    widen_gates(model)
    fold_scale(model)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _graph(score: nn.Module, spec: ModelSpec, size: tuple[int, int], batch: int) -> onnx.ModelProto:
    inputs = [torch.zeros((batch, *size, 3), dtype=torch.uint8)]
    if spec.memory:
        inputs.append(torch.zeros((batch, 1, *size)))
    model = _trace(_Engine(score, spec).eval(), spec, inputs)
    strip(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _trace(network: nn.Module, spec: ModelSpec, inputs: list[Tensor]) -> onnx.ModelProto:
    answer = "alpha" if spec.task == "person" else "probs"
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                network,
                tuple(inputs),
                input_names=["image", "state_in"][: len(inputs)],
                output_names=[answer, "state_out"][: len(inputs)],
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
    """Hide the exporter's warnings about its own internals and about torchvision, which is not
    needed here.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
