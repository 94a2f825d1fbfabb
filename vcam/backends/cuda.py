"""The few CUDA calls that running a plan needs, through cuda-python or pycuda.

cuda-python is NVIDIA's own, is distributed as wheels and has CUDA graphs; it is preferred. pycuda
is built from source and has no graphs. `make_cuda` takes whichever is installed.
"""

from __future__ import annotations

import ctypes
import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcam.errors import EngineError

INSTALL = "pip install '.[gpu]' in the folder of vcam's source"


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """One tensor, in host and device memory. Owned by the Cuda object that made it, and freed when
    that is closed.

    host: pinned memory as an array of the tensor's dtype and shape; address: of the device memory,
        of the same length.
    """

    host: NDArray[Any]
    address: int


class Cuda(Protocol):
    """The first GPU's primary context, one stream of it, and memory. Opened, used and closed by one
    thread.

    Attributes:
        name: the binding in use, with its version.
        graphs: whether `capture` works.
        stream: the handle of its stream, which is not the default stream; while open.
    """

    name: str
    graphs: bool
    stream: int

    def __enter__(self) -> Self:
        """Make the context current in this thread.

        Raises:
            EngineError: CUDA does not start.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Free all memory that was allocated here; may be called twice."""

    def buffer(self, shape: Sequence[int], dtype: DTypeLike) -> Buffer:
        """Allocate memory for one tensor.

        Raises:
            EngineError: there is not enough.
        """

    def upload(self, buffer: Buffer) -> None:
        """Queue the copy from host to device."""

    def download(self, buffer: Buffer) -> None:
        """Queue the copy from device to host."""

    def synchronize(self) -> None:
        """Wait until everything queued is done.

        Raises:
            EngineError: some of it failed.
        """

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` queues, without running it; return a function that queues it as one
        graph.

        Raises:
            EngineError: it cannot be recorded, or the binding has no graphs.
        """


class CudaPython:
    """CUDA by cuda-python: the runtime API, whose context is the primary one.

    Args:
        runtime: the module `cuda.bindings.runtime`; None: import it when opening.
    """

    graphs = True

    def __init__(self, runtime: Any = None) -> None:
        self._runtime = runtime
        self._frees: list[Callable[[], Any]] = []
        self.name = "cuda-python"
        self.stream = 0

    def __enter__(self) -> Self:
        if self._runtime is None:
            self._runtime = importlib.import_module("cuda.bindings.runtime")
        self.name = f"cuda-python {_version('cuda-bindings')}"
        self._call("cudaSetDevice", 0)
        handle = self._call("cudaStreamCreateWithFlags", self._runtime.cudaStreamNonBlocking)
        self._frees.append(lambda: self._runtime.cudaStreamDestroy(handle))
        self.stream = int(handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._frees:
            self._runtime.cudaStreamSynchronize(self.stream)
        while self._frees:
            self._frees.pop()()

    def buffer(self, shape: Sequence[int], dtype: DTypeLike) -> Buffer:
        nbytes = _nbytes(shape, dtype)
        address = self._call("cudaMalloc", nbytes)
        self._frees.append(lambda: self._runtime.cudaFree(address))
        pinned = self._call("cudaMallocHost", nbytes)
        self._frees.append(lambda: self._runtime.cudaFreeHost(pinned))
        block = (ctypes.c_uint8 * nbytes).from_address(int(pinned))
        return Buffer(np.ctypeslib.as_array(block).view(dtype).reshape(tuple(shape)), int(address))

    def upload(self, buffer: Buffer) -> None:
        self._copy(buffer.address, buffer.host.ctypes.data, buffer, "cudaMemcpyHostToDevice")

    def download(self, buffer: Buffer) -> None:
        self._copy(buffer.host.ctypes.data, buffer.address, buffer, "cudaMemcpyDeviceToHost")

    def _copy(self, to: int, of: int, buffer: Buffer, kind: str) -> None:
        direction = getattr(self._runtime.cudaMemcpyKind, kind)
        self._call("cudaMemcpyAsync", to, of, buffer.host.nbytes, direction, self.stream)

    def synchronize(self) -> None:
        self._call("cudaStreamSynchronize", self.stream)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        mode = self._runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self.stream, mode)
        try:
            work()
        except EngineError:
            self._runtime.cudaStreamEndCapture(
                self.stream
            )  # the stream must leave capture mode in any case
            raise
        graph = self._call("cudaStreamEndCapture", self.stream)
        try:
            executable = self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._runtime.cudaGraphDestroy(graph)
        self._frees.append(lambda: self._runtime.cudaGraphExecDestroy(executable))
        return lambda: self._call("cudaGraphLaunch", executable, self.stream)

    def _call(self, function: str, *arguments: Any) -> Any:
        """Call the runtime; every function returns (status, value ...)."""
        status, *values = getattr(self._runtime, function)(*arguments)
        if int(status) != 0:
            text = self._runtime.cudaGetErrorString(status)[1]
            said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
            raise EngineError(f"CUDA: {function} failed ({said}); try --backend onnxruntime")
        return values[0] if values else None


class PyCuda:
    """CUDA by pycuda: the driver API, with the primary context, which is retained and pushed here,
    and popped on closing.

    A separate context would hide the memory of TensorRT, which uses the primary one.

    Args:
        driver: the module `pycuda.driver`; None: import it when opening.
    """

    graphs = False

    def __init__(self, driver: Any = None) -> None:
        self._driver = driver
        self._context: Any = None
        self._queue: Any = None
        self._memory: list[Any] = []
        self.name = "pycuda"
        self.stream = 0

    def __enter__(self) -> Self:
        if self._driver is None:
            self._driver = importlib.import_module("pycuda.driver")
        self.name = f"pycuda {_version('pycuda')}"
        try:
            self._driver.init()
            context = self._driver.Device(0).retain_primary_context()
            context.push()
            self._context = context
            self._queue = self._driver.Stream(1)  # CU_STREAM_NON_BLOCKING
        except self._driver.Error as error:
            self.__exit__(None, None, None)
            raise _translated(error) from error
        self.stream = int(self._queue.handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        context, self._context = self._context, None
        if context is None:
            return
        if self._queue is not None:
            self._queue.synchronize()
        self._memory.clear()  # pycuda frees with the last reference, which needs the context
        self._queue = None
        context.pop()

    def buffer(self, shape: Sequence[int], dtype: DTypeLike) -> Buffer:
        try:
            device = self._driver.mem_alloc(_nbytes(shape, dtype))
            host = self._driver.pagelocked_empty(tuple(shape), dtype)
        except self._driver.Error as error:
            raise _translated(error) from error
        self._memory += [device, host]
        return Buffer(host, int(device))

    def upload(self, buffer: Buffer) -> None:
        self._queued(self._driver.memcpy_htod_async, buffer.address, buffer.host)

    def download(self, buffer: Buffer) -> None:
        self._queued(self._driver.memcpy_dtoh_async, buffer.host, buffer.address)

    def _queued(self, copy: Any, to: Any, of: Any) -> None:
        try:
            copy(to, of, self._queue)
        except self._driver.Error as error:
            raise _translated(error) from error

    def synchronize(self) -> None:
        try:
            self._queue.synchronize()
        except self._driver.Error as error:
            raise _translated(error) from error

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        raise EngineError("pycuda has no CUDA graphs; install cuda-python for them")


def make_cuda() -> Cuda:
    """Make CUDA with the installed binding, not opened yet; prefers cuda-python.

    Raises:
        EngineError: neither is installed.
    """
    bindings: tuple[tuple[str, Callable[[], Cuda]], ...] = (
        ("cuda.bindings.runtime", CudaPython),
        ("pycuda.driver", PyCuda),
    )
    for module, binding in bindings:
        try:
            importlib.import_module(module)
        except (
            ImportError,
            OSError,
            RuntimeError,
        ):  # not installed, or without the driver's library
            continue
        return binding()
    raise EngineError(f"neither cuda-python nor pycuda is installed; {INSTALL}")


def _nbytes(shape: Sequence[int], dtype: DTypeLike) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def _translated(error: Exception) -> EngineError:
    return EngineError(f"CUDA: {error}; try --backend onnxruntime")


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
