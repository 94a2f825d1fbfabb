"""ONNX Runtime: on the CPU, or on an NVIDIA GPU by its CUDA provider."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Tensors
from vcam.backends.gpu_stack import GpuStack
from vcam.catalogue import EngineSpec
from vcam.errors import EngineError
from vcam.telemetry import import_onnxruntime
from vcam.text import one_line

_CUDA = "CUDAExecutionProvider"


class OnnxRuntimeBackend:
    """Runs an ONNX file on CPU cores.

    One intra-op thread and no spinning by default: other threads of the pipeline need the cores,
    and spinning workers cost more than they gain as soon as anything else runs.

    Args:
        spec: the engine.
        threads: CPU threads per image.
    """

    name = "onnxruntime"
    provider = "CPUExecutionProvider"

    def __init__(self, spec: EngineSpec, threads: int = 1) -> None:
        self._spec = spec
        self._threads = threads
        self._session: Any = None
        self._names: list[str] = []
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}

    @staticmethod
    def why_not(spec: EngineSpec, stack: GpuStack) -> str:
        return ""

    def __enter__(self) -> Self:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = self._spec.path
        content = self._spec.read()
        try:
            session = onnxruntime.InferenceSession(content, options, providers=[self.provider])
        except Exception as error:  # its own classes derive from nothing narrower
            raise EngineError(
                f"{path}: ONNX Runtime cannot load it ({_reason(error)}); reinstall vcam"
            ) from error
        if session.get_providers()[0] != self.provider:  # it falls back to the CPU silently
            raise EngineError(
                f"{path}: ONNX Runtime does not start its {self.provider}; try --backend"
                " onnxruntime"
            )
        self.inputs = {x.name: tuple(x.shape) for x in session.get_inputs()}
        self.outputs = {x.name: tuple(x.shape) for x in session.get_outputs()}
        self._names = list(self.outputs)
        self._session = session
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session = None

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        try:
            values = self._session.run(self._names, dict(inputs))
        except Exception as error:
            raise EngineError(
                f"{self._spec.path.name}: the run failed ({_reason(error)}); try another --engine"
            ) from error
        return dict(zip(self._names, (np.asarray(v) for v in values), strict=True))

    def about(self) -> dict[str, object]:
        return {"backend": self.name, "engine": self._spec.name, "threads": self._threads}


class OnnxRuntimeCudaBackend(OnnxRuntimeBackend):
    """Runs an ONNX file on an NVIDIA GPU. Needs the package onnxruntime-gpu instead of
    onnxruntime.
    """

    name = "onnxruntime-cuda"
    provider = _CUDA

    @staticmethod
    def why_not(spec: EngineSpec, stack: GpuStack) -> str:
        onnxruntime = import_onnxruntime()
        found = stack.probe()
        if found.gpu is None:
            return found.reason
        if _CUDA not in onnxruntime.get_available_providers():
            return (
                "this ONNX Runtime has no CUDA provider; install onnxruntime-gpu in place of"
                " onnxruntime"
            )
        return ""

    def __enter__(self) -> Self:
        onnxruntime = import_onnxruntime()
        if hasattr(
            onnxruntime, "preload_dlls"
        ):  # from 1.21 on: finds CUDA libraries that pip installed
            onnxruntime.preload_dlls()
        return super().__enter__()


def _reason(error: Exception) -> str:
    """The first line of an error message."""
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0], 300)
