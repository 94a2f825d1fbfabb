"""TensorRT on an NVIDIA GPU: TensorRT 10, 11 and TensorRT-RTX by one path."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Tensors
from vcam.backends.cuda import Buffer, Cuda
from vcam.backends.gpu_stack import EnginePlans, GpuStack
from vcam.backends.plan_builder import OnProgress
from vcam.backends.tensorrt_api import Messages, TensorRt
from vcam.catalogue import EngineSpec
from vcam.errors import EngineError

_LOG = logging.getLogger(__name__)


class TensorRtBackend:
    """Runs the plan of an engine. Both copies and the network are one CUDA graph if the binding
    supports graphs.

    Args:
        spec: the engine; the plan is built from its ONNX file.
        threads: ignored; all backends have the same signature.
        stack: the GPU and its software.
        may_build: False: a missing plan, or one that does not load, is an error.
        on_progress: of building.
    """

    name = "tensorrt"

    def __init__(
        self,
        spec: EngineSpec,
        threads: int = 1,
        stack: GpuStack | None = None,
        may_build: bool = True,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._spec, self._stack = spec, stack or GpuStack()
        self._plans = EnginePlans(spec, self._stack)
        self._may_build, self._on_progress = may_build, on_progress
        self._open: _OpenPlan | None = None
        self._about: dict[str, object] = {"backend": self.name, "engine": spec.name}
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}

    @staticmethod
    def why_not(spec: EngineSpec, stack: GpuStack) -> str:
        return EnginePlans(spec, stack).why_not()

    def __enter__(self) -> Self:
        gpu, trt, _, _ = self._plans.look()
        self._about |= {"gpu": gpu.name, "runtime": f"{trt.flavour} {trt.version}"}
        plan = self._plans.load()
        if plan is not None and self._opens(trt, plan):
            self._about["plan"] = "from the cache"
        elif self._may_build:
            self._build(trt)
        else:
            raise EngineError(
                f"{self._spec.name}: no plan for this GPU yet; `vcam engines build` makes it"
            )
        return self

    def _opens(self, trt: TensorRt, plan: bytes) -> bool:
        """Whether a cached plan loads; one that does not is deleted, which is an error if building
        is not allowed.
        """
        try:
            self._start(trt, plan)
        except EngineError as error:
            self._plans.drop()
            if not self._may_build:
                raise
            _LOG.info("%s: the plan in the cache does not load (%s)", self._spec.name, error)
            return False
        return True

    def _build(self, trt: TensorRt) -> None:
        start_ns = time.monotonic_ns()
        _LOG.info("%s: building its TensorRT plan for this GPU", self._spec.name)
        plan = self._plans.build(self._on_progress)
        seconds = (time.monotonic_ns() - start_ns) / 1e9
        try:
            self._start(trt, plan.data)
        except EngineError as error:
            self._plans.refuse(str(error))
            raise
        self._about |= {"plan": f"built in {seconds:.1f} s", "half_share": plan.half_share}

    def _start(self, trt: TensorRt, plan: bytes) -> None:
        opened = _OpenPlan(trt, self._stack.cuda(), self._spec.name)
        try:
            opened.start(plan)
        except EngineError:
            opened.close()
            raise
        self._open = opened
        self._about |= {"cuda": opened.cuda.name, "cuda_graph": opened.graph}
        self.inputs = {name: buffer.host.shape for name, buffer in opened.inputs.items()}
        self.outputs = {name: buffer.host.shape for name, buffer in opened.outputs.items()}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close()

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        if self._open is None:
            raise EngineError(f"{self._spec.name}: not open; enter the backend first")
        return self._open.run(inputs)

    def about(self) -> dict[str, object]:
        return dict(self._about)


class _OpenPlan:
    """A loaded plan with its memory. Used only by the thread that made it.

    The order of closing matters: TensorRT's objects are freed before the logger and the CUDA
    context that they use.
    """

    def __init__(self, trt: TensorRt, cuda: Cuda, engine: str) -> None:
        self._trt, self.cuda, self._engine_name = trt, cuda, engine
        self._messages: Messages | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._launch: Callable[[], None] = self._queue
        self.graph = False
        self.inputs: dict[str, Buffer] = {}
        self.outputs: dict[str, Buffer] = {}

    def start(self, plan: bytes) -> None:
        """Load the plan, allocate memory, run once, and record the graph.

        Raises:
            EngineError: the plan is not for this GPU, or CUDA fails; `close` must still be called.
        """
        self.cuda.__enter__()
        self._messages = Messages(self._trt)
        self._runtime = self._trt.module.Runtime(self._messages.logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise self._error("TensorRT does not load its plan")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._error("TensorRT has no memory to run it")
        self._reserve()
        self._queue()  # the first run allocates, which a graph must not
        self.cuda.synchronize()
        self._record()

    def _reserve(self) -> None:
        module = self._trt.module
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            dtype = module.nptype(self._engine.get_tensor_dtype(name))
            buffer = self.cuda.buffer(tuple(self._engine.get_tensor_shape(name)), dtype)
            buffer.host.fill(0)
            is_input = self._engine.get_tensor_mode(name) == module.TensorIOMode.INPUT
            (self.inputs if is_input else self.outputs)[name] = buffer
            self._context.set_tensor_address(name, buffer.address)

    def _queue(self) -> None:
        """Queue one run: copies in, network, copies out."""
        for buffer in self.inputs.values():
            self.cuda.upload(buffer)
        if not self._context.execute_async_v3(self.cuda.stream):
            raise self._error("TensorRT does not run it")
        for buffer in self.outputs.values():
            self.cuda.download(buffer)

    def _record(self) -> None:
        if not self.cuda.graphs:
            return
        try:
            self._launch = self.cuda.capture(self._queue)
        except EngineError as error:  # slower, but no worse
            _LOG.info("%s: no CUDA graph (%s)", self._engine_name, error)
        else:
            self.graph = True

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        for name, buffer in self.inputs.items():
            array = inputs.get(name)
            if (
                array is None
                or array.shape != buffer.host.shape
                or array.dtype != buffer.host.dtype
            ):
                found = "nothing" if array is None else f"{array.dtype} {array.shape}"
                wanted = f"{buffer.host.dtype} {buffer.host.shape}"
                raise EngineError(
                    f"{self._engine_name}: the input {name} must be {wanted}, not {found}"
                )
            np.copyto(buffer.host, array)
        self._launch()
        self.cuda.synchronize()
        return {name: buffer.host.copy() for name, buffer in self.outputs.items()}

    def close(self) -> None:
        """Release all resources; may be called twice."""
        self._launch = self._queue
        self.inputs, self.outputs = {}, {}
        self._context = None
        self._engine = None
        self._runtime = None
        self._messages = None
        self.cuda.__exit__(None, None, None)

    def _error(self, what: str) -> EngineError:
        reason = self._messages.because("it does not say why") if self._messages else ""
        return EngineError(f"{self._engine_name}: {what} ({reason}); try --backend onnxruntime")


def build_plan_ahead(spec: EngineSpec, on_percent: Callable[[int], None]) -> dict[str, object]:
    """Build the TensorRT plan of an engine, if none loads; return the backend's
    description.

    Args:
        spec: the engine.
        on_percent: called with the percentage completed since its last call.

    Raises:
        EngineError: there is no GPU or no TensorRT, or building fails.
    """
    done = 0

    def tick(share: float) -> None:
        nonlocal done
        on_percent(round(share * 100) - done)
        done = round(share * 100)

    with TensorRtBackend(spec, on_progress=tick) as backend:
        return backend.about()
