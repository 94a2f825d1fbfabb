"""Parity checks of converted files on real pictures: torch against float32, float32 against
float16.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from export.errors import ExportError
from export.models import ModelSpec
from export.onnx.graph import ScoreNetwork
from export.onnx.passes import score_variant

FEWEST_IMAGES = 8
LOGIT_LIMIT = 1e-4
"""Limit for the network's logits, before `ModelSpec.gain`."""
RELATIVE_LIMIT = 2e-5
"""Relative to the largest logit, if that allows more: float32 rounding grows with the numbers."""
NOISE_LIMIT = 5
"""Multiple of the network's own rounding, float32 against float64 in torch, if that allows more: a
deep network may amplify the rounding of its first layers a thousand times.
"""
OUTPUT_LIMIT = 1
IOU_LIMIT = 0.985
AGREEMENT_LIMIT = 0.995
_SMALLEST_MASK = 0.01
"""Masks below this share of the picture are skipped: a handful of pixels would weigh too much."""


@dataclass(frozen=True, slots=True)
class Parity:
    """The largest differences over `images` pictures: of the logits, and of the output in steps of
    1/255.
    """

    reference: str
    images: int
    logit_max: float
    output_max: int


@dataclass(frozen=True, slots=True)
class HalfParity:
    """As `Parity`, with the agreement of the outputs.

    `metric`: "iou", of the person masks at alpha 128, over pictures where one covers at least a
    hundredth; or "agreement", the share of pixels with the same class. `mean`, `worst`: over
    pictures. `single`: number of first convolutions in float32 in the float16 file.
    """

    reference: str
    images: int
    logit_max: float
    output_max: int
    metric: str
    mean: float
    worst: float
    single: int = 0


@dataclass(frozen=True, slots=True)
class _Answer:
    """score: float32 [N, H, W] or [N, C, H, W]; output: uint8 of that shape; state: float32 [N, 1,
    H, W] or None.
    """

    score: NDArray[np.float32]
    output: NDArray[np.uint8]
    state: NDArray[np.float32] | None


def cpu_session(model: bytes) -> onnxruntime.InferenceSession:
    """One intra-op thread, no spinning: as in the runtime, and reproducible."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors of a file are reported in one line
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


_WHOLE_RUNS = 1


class Graph:
    """An engine with access to its logits.

    The first picture also goes through the engine as it will be used; later ones only through the
    form that returns both outputs, which halves the time. Results without a state are cached if
    `remember`: float16 is compared with earlier results of float32.
    """

    def __init__(self, model: onnx.ModelProto, remember: bool = False) -> None:
        self._both = cpu_session(score_variant(model).SerializeToString())
        self._whole: onnxruntime.InferenceSession | None = cpu_session(model.SerializeToString())
        self._runs = 0
        self._remember, self._answers = remember, dict[bytes, _Answer]()
        self.output_name = model.graph.output[0].name
        self.batch = int(self._both.get_inputs()[0].shape[0])
        self.stateful = len(self._both.get_inputs()) > 1

    def __call__(self, image: NDArray[np.uint8], state: NDArray[np.float32] | None) -> _Answer:
        key = hashlib.sha256(image.tobytes()).digest() if self._remember and state is None else b""
        if key in self._answers:
            return self._answers[key]
        feed = {"image": image} | ({} if state is None else {"state_in": state})
        score, output, *states = self._both.run(None, feed)
        if self._whole is not None:
            output, *states = self._whole.run(None, feed)
            self._runs += 1
            self._whole = self._whole if self._runs < _WHOLE_RUNS else None
        answer = _Answer(score, output, states[0] if states else None)
        if key:
            self._answers[key] = answer
        return answer


class _Torch:
    """The original network in torch, with the interface of an engine."""

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        self._network, self._spec = ScoreNetwork(network, spec), spec

    def __call__(self, image: NDArray[np.uint8], state: NDArray[np.float32] | None) -> _Answer:
        inputs = [torch.from_numpy(x) for x in (image, state) if x is not None]
        with _one_thread(), torch.no_grad():
            score = self._network(*inputs)
            share = (
                torch.softmax(score, 1)
                if self._spec.task == "face"
                else torch.sigmoid(score.double())
            )
        output = (share * 255).round().to(torch.uint8).numpy()
        return _Answer(
            score.numpy(), output, None if state is None else share.float().unsqueeze(1).numpy()
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: torch's threads wait for each other in busy loops, which is slower on busy
    machines.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def check_parity(
    network: nn.Module, spec: ModelSpec, model: onnx.ModelProto | Graph, images: NDArray[np.uint8]
) -> Parity:
    """Compare the original network in torch with the graph. images: uint8 [N, H, W, 3] RGB of the
    graph's size.

    Raises:
        ExportError: fewer than 8 pictures, a non-finite output, or a difference above the limits.
    """
    logit_max, output_max, largest = 0.0, 0, 0.0
    graph = model if isinstance(model, Graph) else Graph(model)
    for expected, actual in _pairs(_Torch(network, spec), graph, images):
        logit, output = _differences(expected, actual)
        logit_max, output_max = max(logit_max, logit / spec.gain), max(output_max, output)
        largest = max(largest, float(np.abs(expected.score).max()) / spec.gain)
    limit = max(LOGIT_LIMIT, RELATIVE_LIMIT * largest)
    if logit_max >= limit and not spec.memory:
        limit = max(limit, NOISE_LIMIT * _noise(network, spec, images[:1]) / spec.gain)
    if logit_max >= limit or output_max > OUTPUT_LIMIT:
        raise ExportError(
            f"parity: ONNX is off by {logit_max:.1e} in logits (limit {limit:.0e}) and "
            f"{output_max}/255 in the "
            f"output (limit {OUTPUT_LIMIT}) from torch"
        )
    return Parity("torch", len(images), _short(logit_max), output_max)


class HalfDiffersError(ExportError):
    """The outputs of an engine's float16 and float32 files differ."""


def _noise(network: nn.Module, spec: ModelSpec, images: NDArray[np.uint8]) -> float:
    """The largest difference between float32 and float64 scores of a network. images: one
    picture.
    """
    image = torch.from_numpy(images)
    with _one_thread(), torch.no_grad():
        single = ScoreNetwork(network, spec)(image)
        double = ScoreNetwork(copy.deepcopy(network).double(), spec, torch.float64)(image)
    return float((single - double).abs().max())


def check_half(
    single: onnx.ModelProto | Graph, half: onnx.ModelProto, images: NDArray[np.uint8]
) -> HalfParity:
    """Compare the float16 file with the float32 file of an engine. images: uint8 [N, H, W, 3] RGB
    of their size.

    Raises:
        HalfDiffersError: outputs agree less than required, or are not finite.
        ExportError: fewer than 8 pictures, no person in any of them, or a non-finite output of the
            float32 file.
    """
    reference = single if isinstance(single, Graph) else Graph(single)
    logit_max, output_max, agreed = 0.0, 0, []
    for expected, actual in _pairs(reference, Graph(half), images):
        logit, output = _half_differences(expected, actual)
        logit_max, output_max = max(logit_max, logit), max(output_max, output)
        agreed += _agreement(expected.output, actual.output)
    offs = logit_max, output_max
    return _half_parity("float16", reference, agreed, offs, len(images))


def _half_parity(
    what: str, reference: Graph, agreed: list[float], offs: tuple[float, int], images: int
) -> HalfParity:
    """The result of `check_half` for `what`; raises below the limit."""
    metric, limit = _half_gate(reference)
    if not agreed:
        raise ExportError(
            "parity: the network finds a person in none of the pictures; name a folder with people"
        )
    mean, worst = float(np.mean(agreed)), float(np.min(agreed))
    if mean < limit:
        raise HalfDiffersError(
            f"parity: {what} and float32 differ: mean {metric} {mean:.4f} (limit {limit})"
        )
    return HalfParity(
        "fp32", images, _short(offs[0]), offs[1], metric, round(mean, 4), round(worst, 4)
    )


def check_rounded(
    network: nn.Module, spec: ModelSpec, single: onnx.ModelProto, images: NDArray[np.uint8]
) -> HalfParity:
    """Compare a float32 file with the network in torch whose weights were rounded to half precision
    after the file was made, with the limits of a float16 file. images: as in `check_half`.

    Raises:
        ExportError: as `check_half`.
    """
    logit_max, output_max, agreed = 0.0, 0, []
    graph = Graph(single)
    for expected, actual in _pairs(_Torch(network, spec), graph, images):
        logit, output = _half_differences(expected, actual)
        logit_max, output_max = max(logit_max, logit), max(output_max, output)
        agreed += _agreement(expected.output, actual.output)
    return _half_parity("torch", graph, agreed, (logit_max, output_max), len(images))


def half_agrees(single: Graph, half: onnx.ModelProto, images: NDArray[np.uint8]) -> bool:
    """Whether a few pictures suggest that a float16 file will pass `check_half`."""
    agreed = []
    for expected, actual in _answers(single, Graph(half), images):
        if not np.isfinite(actual.score).all():
            return False
        agreed += _agreement(expected.output, actual.output)
    return not agreed or float(np.mean(agreed)) >= _half_gate(single)[1]


def _half_gate(reference: Graph) -> tuple[str, float]:
    """The metric for two precisions, and its limit."""
    parses = reference.output_name == "probs"
    return ("agreement", AGREEMENT_LIMIT) if parses else ("iou", IOU_LIMIT)


def _half_differences(expected: _Answer, actual: _Answer) -> tuple[float, int]:
    if np.isfinite(expected.score).all() and not np.isfinite(actual.score).all():
        raise HalfDiffersError("parity: float16 answers with numbers that are not finite")
    return _differences(expected, actual)


def _pairs(
    reference: _Torch | Graph, graph: Graph, images: NDArray[np.uint8]
) -> Iterator[tuple[_Answer, _Answer]]:
    """As `_answers`, for a sufficient number of pictures."""
    if len(images) < FEWEST_IMAGES:
        raise ExportError(
            f"parity needs at least {FEWEST_IMAGES} pictures, got {len(images)}; name a folder "
            "with more"
        )
    yield from _answers(reference, graph, images)


def _answers(
    reference: _Torch | Graph, graph: Graph, images: NDArray[np.uint8]
) -> Iterator[tuple[_Answer, _Answer]]:
    """Outputs of both, batch by batch, in parallel on two cores; a stateful network also runs on
    the same pictures a second time.
    """
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(images), graph.batch):
            image = images.take(range(start, start + graph.batch), axis=0, mode="wrap")
            state = (
                np.zeros((graph.batch, 1, *image.shape[1:3]), np.float32)
                if graph.stateful
                else None
            )
            for _ in range(2 if graph.stateful else 1):
                expected, actual = pool.map(lambda x: x(image, state), (reference, graph))  # noqa: B023
                yield expected, actual
                state = expected.state


def _differences(expected: _Answer, actual: _Answer) -> tuple[float, int]:
    """The largest difference of the logits (and of the state), and of the output."""
    pairs = [(expected.score, actual.score)]
    if expected.state is not None and actual.state is not None:
        pairs.append((expected.state, actual.state))
    if not all(np.isfinite(x).all() for pair in pairs for x in pair):
        raise ExportError(
            "parity: the network answers with numbers that are not finite; check the normalisation"
        )
    steps = actual.output.astype(int) - expected.output.astype(int)
    return max(float(np.abs(a - b).max()) for a, b in pairs), int(np.abs(steps).max())


def _agreement(expected: NDArray[np.uint8], actual: NDArray[np.uint8]) -> list[float]:
    """One number per picture, except for pictures almost without a mask. expected, actual: alpha or
    probs.
    """
    if expected.ndim == 4:
        return [
            float(np.mean(a.argmax(0) == b.argmax(0)))
            for a, b in zip(expected, actual, strict=True)
        ]
    shares: list[float] = []
    for a, b in zip(expected >= 128, actual >= 128, strict=True):
        union = np.count_nonzero(a | b)
        if union >= _SMALLEST_MASK * a.size:
            shares.append(np.count_nonzero(a & b) / union)
    return shares


def _short(number: float) -> float:
    return float(f"{number:.2g}")
