"""The gate that a converted file has to pass: the same answers as the network in torch, on real pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from export.errors import ExportError
from export.graph_passes import score_variant
from export.models import ModelSpec
from export.onnx_graph import ScoreNetwork

FEWEST_IMAGES = 8
LOGIT_LIMIT = 1e-4
ALPHA_LIMIT = 1


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest differences over `images` pictures: of the logit, and of alpha in steps of 1/255."""

    reference: str
    images: int
    logit_max: float
    alpha_max: int


def cpu_session(model: bytes) -> onnxruntime.InferenceSession:
    """One intra-op thread, no spinning: as the runtime does it, and repeatable."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def check_parity(network: nn.Module, spec: ModelSpec, model: onnx.ModelProto, images: NDArray[np.uint8]) -> Parity:
    """Compare the untouched network in torch with the graph. images: uint8 [N, H, W, 3] RGB of the graph's size.

    Raises:
        ExportError: fewer than 8 pictures, an answer that is not finite, or a difference beyond the limits.
    """
    if len(images) < FEWEST_IMAGES:
        raise ExportError(f"parity needs at least {FEWEST_IMAGES} pictures, got {len(images)}; name a folder with more")
    reference = ScoreNetwork(network, spec)
    score = cpu_session(score_variant(model).SerializeToString())
    alpha = cpu_session(model.SerializeToString())
    logit_max, alpha_max = 0.0, 0
    for image in images:
        with torch.no_grad():
            expected = reference(torch.from_numpy(image[None])).numpy()
        actual = score.run(None, {"image": image[None]})[0]
        if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
            raise ExportError("parity: the network answers with numbers that are not finite; check the normalisation")
        logit_max = max(logit_max, float(np.abs(actual - expected).max()))
        steps = alpha.run(None, {"image": image[None]})[0].astype(int) - _quantise(expected)
        alpha_max = max(alpha_max, int(np.abs(steps).max()))
    if logit_max >= LOGIT_LIMIT or alpha_max > ALPHA_LIMIT:
        raise ExportError(
            f"parity: ONNX is off by {logit_max:.1e} in logits (limit {LOGIT_LIMIT:.0e}) and {alpha_max} in alpha "
            f"(limit {ALPHA_LIMIT}); nothing was written"
        )
    return Parity("torch", len(images), float(f"{logit_max:.2g}"), alpha_max)


def _quantise(score: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.rint(255 / (1 + np.exp(-score.astype(np.float64)))).astype(np.int64)
