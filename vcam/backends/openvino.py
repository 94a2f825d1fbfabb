"""OpenVINO on the CPU."""

from __future__ import annotations

import importlib.util
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Tensors
from vcam.backends.gpu_stack import GpuStack
from vcam.catalogue import EngineSpec
from vcam.errors import EngineError

_INSTALL = "pip install '.[openvino]' in the folder of vcam's source"


class OpenVinoBackend:
    """Runs an ONNX file on CPU cores, in single precision, for the shortest time per image.

    Args:
        spec: the engine.
        threads: CPU threads per image.
    """

    name = "openvino"

    def __init__(self, spec: EngineSpec, threads: int = 1) -> None:
        self._spec = spec
        self._threads = threads
        self._request: Any = None
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}

    @staticmethod
    def why_not(spec: EngineSpec, stack: GpuStack) -> str:
        return (
            "" if importlib.util.find_spec("openvino") else f"OpenVINO is not installed; {_INSTALL}"
        )

    def __enter__(self) -> Self:
        try:
            openvino: Any = importlib.import_module("openvino")
        except ImportError as error:
            raise EngineError(f"OpenVINO is not installed; {_INSTALL}") from error
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self._threads,
            "INFERENCE_PRECISION_HINT": "f32",  # else it uses bf16 if the processor supports it
            "ENABLE_CPU_PINNING": False,  # the pipeline's other threads share these cores
        }
        content = self._spec.read()
        try:
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(content), "CPU", settings)
            self._request = compiled.create_infer_request()
        except RuntimeError as error:
            raise EngineError(
                f"{self._spec.path}: OpenVINO cannot load it ({_reason(error)}); try --backend"
                " onnxruntime"
            ) from error
        self.inputs = {x.get_any_name(): tuple(x.shape) for x in compiled.inputs}
        self.outputs = {x.get_any_name(): tuple(x.shape) for x in compiled.outputs}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._request = None

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        try:
            values = self._request.infer(dict(inputs), share_inputs=True)
        except (RuntimeError, AttributeError) as error:
            raise EngineError(
                f"{self._spec.path.name}: the run failed ({_reason(error)}); try --backend"
                " onnxruntime"
            ) from error
        return {name: np.asarray(values[name]) for name in self.outputs}

    def about(self) -> dict[str, object]:
        return {"backend": self.name, "engine": self._spec.name, "threads": self._threads}


def _reason(error: Exception) -> str:
    """The last line of an error message: earlier lines name places in OpenVINO's source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
