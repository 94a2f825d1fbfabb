"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Tensors
from vcam.errors import EngineError


class OnnxRuntimeBackend:
    """Runs an ONNX file on CPU cores.

    One intra-op thread and no spinning by default: the other threads of the pipeline need the cores, and spinning
    workers cost more than they give as soon as anything else runs.
    """

    name = "onnxruntime"

    def __init__(self, path: Path, threads: int = 1) -> None:
        self._path = path
        self._threads = threads
        self._session: Any = None
        self._names: list[str] = []
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}

    def __enter__(self) -> Self:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own classes derive from nothing narrower
            reason = str(error).strip().splitlines()[0]
            raise EngineError(f"{self._path}: ONNX Runtime cannot load it ({reason}); reinstall vcam") from error
        self.inputs = {x.name: tuple(x.shape) for x in session.get_inputs()}
        self.outputs = {x.name: tuple(x.shape) for x in session.get_outputs()}
        self._names = list(self.outputs)
        self._session = session
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        try:
            values = self._session.run(self._names, dict(inputs))
        except Exception as error:
            raise EngineError(f"{self._path.name}: the run failed ({error}); try another --engine") from error
        return dict(zip(self._names, (np.asarray(v) for v in values), strict=True))
