"""The two CUDA modules as vcam's bindings see them, with memory of the host in the place of a
card's.

Addresses are real, copies really happen, and what is called in what order is kept. Copies and
kernels wait until the stream is synchronized, as on a card.
"""

# ruff: noqa: N802, N815 - the names are those of the modules

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Status(enum.IntEnum):
    SUCCESS = 0
    OUT_OF_MEMORY = 2


class FakeCudaRuntime:
    """The module `cuda.bindings.runtime`: every function returns a tuple whose first item is the
    status.
    """

    cudaStreamNonBlocking = 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, memory_bytes: int = 1 << 20) -> None:
        self.calls: list[str] = []
        self.blocks: dict[int, Any] = {}
        self._left = memory_bytes
        self._queue: list[Callable[[], object]] = []
        self._graph: list[Callable[[], object]] | None = None

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not name.startswith("cuda"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.calls.append(name)
            value = getattr(self, f"_{name}", lambda *_: None)(*arguments)
            if isinstance(value, Status):
                return (value, None)
            return (Status.SUCCESS,) if value is None else (Status.SUCCESS, value)

        return call

    def _cudaStreamCreateWithFlags(self, flags: int) -> int:
        assert flags == self.cudaStreamNonBlocking
        return 42

    def _cudaMalloc(self, size: int) -> int | Status:
        self._left -= size
        if self._left < 0:
            return Status.OUT_OF_MEMORY
        block = ctypes.create_string_buffer(size)
        self.blocks[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    _cudaMallocHost = _cudaMalloc

    def _cudaFree(self, address: int) -> None:
        del self.blocks[address]

    _cudaFreeHost = _cudaFree

    def _cudaMemcpyAsync(self, to: int, of: int, size: int, kind: int, stream: int) -> None:
        assert stream == 42
        assert kind in (1, 2)
        queue = self._queue if self._graph is None else self._graph
        queue.append(lambda: ctypes.memmove(to, of, size))

    def _cudaStreamSynchronize(self, stream: int) -> None:
        assert self._graph is None, "a stream that is captured must not be waited for"
        queue, self._queue = self._queue, []
        for work in queue:
            work()

    def _cudaStreamBeginCapture(self, stream: int, mode: int) -> None:
        self._graph = []

    def _cudaStreamEndCapture(self, stream: int) -> list[Callable[[], object]] | None:
        graph, self._graph = self._graph, None
        return graph

    def _cudaGraphInstantiate(self, graph: Any, flags: int) -> Any:
        return graph

    def _cudaGraphLaunch(self, executable: list[Callable[[], object]], stream: int) -> None:
        self._queue += executable

    def _cudaGetErrorString(self, status: Status) -> bytes:
        return status.name.lower().encode()


class FakePycudaDriver:
    """The module `pycuda.driver`."""

    class Error(Exception):
        """Base of pycuda's errors."""

    def __init__(self, memory_bytes: int = 1 << 20) -> None:
        self.calls: list[str] = []
        self.contexts = 0
        self._left = memory_bytes
        self._queue: list[Callable[[], object]] = []

    def init(self) -> None:
        self.calls.append("init")

    def Device(self, index: int) -> Any:
        assert index == 0
        return SimpleNamespace(retain_primary_context=self._retain)

    def _retain(self) -> Any:
        self.calls.append("retain_primary_context")
        return SimpleNamespace(push=self._push, pop=self._pop)

    def _push(self) -> None:
        self.calls.append("push")
        self.contexts += 1

    def _pop(self) -> None:
        self.calls.append("pop")
        self.contexts -= 1

    def Stream(self, flags: int) -> Any:
        assert self.contexts
        return SimpleNamespace(handle=43, synchronize=self._synchronize)

    def _synchronize(self) -> None:
        self.calls.append("synchronize")
        queue, self._queue = self._queue, []
        for work in queue:
            work()

    def mem_alloc(self, size: int) -> Any:
        assert self.contexts
        self._left -= size
        if self._left < 0:
            raise self.Error("cuMemAlloc failed: out of memory")
        block = ctypes.create_string_buffer(size)
        return _Allocation(block)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def memcpy_htod_async(self, to: int, of: NDArray[Any], stream: Any) -> None:
        self.calls.append("htod")
        self._queue.append(lambda: ctypes.memmove(to, of.ctypes.data, of.nbytes))

    def memcpy_dtoh_async(self, to: NDArray[Any], of: int, stream: Any) -> None:
        self.calls.append("dtoh")
        self._queue.append(lambda: ctypes.memmove(to.ctypes.data, of, to.nbytes))


class _Allocation:
    def __init__(self, block: Any) -> None:
        self._block = block

    def __int__(self) -> int:
        return ctypes.addressof(self._block)
