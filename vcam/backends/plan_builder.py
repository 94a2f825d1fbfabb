"""Build a TensorRT plan from an ONNX file of the same precision."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vcam.backends.tensorrt_api import UNIMPORTANT, Messages, TensorRt
from vcam.errors import EngineError

MIN_HALF_SHARE = 0.05
"""Minimum share of half precision in a 16-bit network; less means that it was converted back. It is
low because networks whose weights need float32 keep up to nine tenths of their convolutions in it.
"""
_WORKSPACE_BYTES = 1 << 30
_TURING = (7, 5)

OnProgress = Callable[[float], None]
"""Called with the completed share, 0..1, from any thread."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan. half_share: how much of the network's floating-point layer outputs are half
    precision, 0..1.
    """

    data: bytes
    half_share: float


def build_plan(
    trt: TensorRt,
    name: str,
    content: bytes,
    capability: tuple[int, int] | None = None,
    on_progress: OnProgress | None = None,
    cancel: threading.Event | None = None,
) -> Plan:
    """Parse an ONNX file into a strongly typed network and build its plan.

    Args:
        trt: the TensorRT to use; plain TensorRT needs a GPU, TensorRT-RTX does not.
        name: of the ONNX file. A name that ends in `_fp16.onnx` promises half precision, which is
            checked.
        content: of the file; all shapes are fixed.
        capability: of the GPU; None: TensorRT's default.
        on_progress: see there.
        cancel: set it to stop early.

    Raises:
        EngineError: it does not parse or build, is not of the promised precision, or was cancelled.
    """
    messages = Messages(trt)
    try:
        builder = trt.module.Builder(messages.logger)
    except TypeError as error:  # raised by its bindings for a null pointer
        raise EngineError(f"TensorRT does not start ({messages.because(str(error))})") from error
    # The network borrows the parser's weights.
    network, parser = _parse(trt, builder, name, content, messages)
    half_share = _half_share(network)
    if name.endswith("_fp16.onnx") and half_share < MIN_HALF_SHARE:
        raise EngineError(
            f"{name}: only {half_share:.0%} of it is half precision; export the engine again"
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.module.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    config.profiling_verbosity = trt.module.ProfilingVerbosity.DETAILED
    config.progress_monitor = _make_monitor(trt.module, on_progress, cancel)
    if (
        trt.flavour == "tensorrt_rtx" and capability == _TURING
    ):  # without this its plans require 8.0 or newer
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.module.ComputeCapability.SM75, 0)
    data = builder.build_serialized_network(network, config)
    del parser
    if data is None:
        if cancel is not None and cancel.is_set():
            raise EngineError(f"{name}: building its plan was stopped")
        raise EngineError(
            f"{name}: TensorRT builds no plan ({messages.because('it does not say why')})"
        )
    return Plan(bytes(memoryview(data)), half_share)


def _parse(
    trt: TensorRt, builder: Any, name: str, content: bytes, messages: Messages
) -> tuple[Any, Any]:
    """The network and its parser."""
    typed = 1 << int(
        trt.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    )  # needed by 10, the only mode of 11
    network = builder.create_network(typed)
    parser = trt.module.OnnxParser(network, messages.logger)
    if not parser.parse(content):
        said = str(parser.get_error(0).desc()) if parser.num_errors else "it does not say why"
        reason = " ".join(said.split()).partition(f" [{UNIMPORTANT}")[0]
        raise EngineError(f"{name}: TensorRT does not parse it ({reason}); export the engine again")
    if not network.num_layers:  # it accepts some files without a graph as empty networks
        raise EngineError(f"{name}: TensorRT finds no network in it; export the engine again")
    return network, parser


def _half_share(network: Any) -> float:
    half = single = 0
    for layer in map(network.get_layer, range(network.num_layers)):
        for tensor in map(layer.get_output, range(layer.num_outputs)):
            half += tensor.dtype.name == "HALF"
            single += tensor.dtype.name == "FLOAT"
    return half / max(1, half + single)


def _make_monitor(
    module: Any, on_progress: OnProgress | None, cancel: threading.Event | None
) -> Any:
    """Make an object of TensorRT's own class that reports progress and requests a stop."""
    phases = _Phases()

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            if on_progress is not None:
                on_progress(phases.share())
            return cancel is None or not cancel.is_set()

    return Monitor()


class _Phases:
    """TensorRT's nested phases as one share, counted down to the second level; never
    decreasing.
    """

    def __init__(self) -> None:
        self._open: dict[str, tuple[str | None, int, int]] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        self._open[name] = (parent, max(1, steps), 0)

    def finish(self, name: str) -> None:
        self._open.pop(name, None)

    def step(self, name: str, index: int) -> None:
        if name in self._open:
            parent, steps, _ = self._open[name]
            self._open[name] = (parent, steps, index + 1)

    def share(self) -> float:
        for root, (parent, steps, done) in self._open.items():
            if not parent:
                inner = [d / n for p, n, d in self._open.values() if p == root]
                self._share = max(self._share, min(1.0, (done + max(inner, default=0.0)) / steps))
                break
        return self._share
