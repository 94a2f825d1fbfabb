"""A machine with an NVIDIA GPU, made of memory: for tests of everything that surrounds a real one.

`FakeGpuMachine().stack(folder)` is a GpuStack in which a plan is built, kept, loaded, run and
captured as on a card. The network that runs calls the green channel alpha. The machine keeps what
was called, and misbehaves on request.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vcam.backends.cuda import Buffer
from vcam.backends.gpu_stack import GpuStack
from vcam.backends.plans import PlanStore
from vcam.backends.probe import Gpu, Probe
from vcam.backends.tensorrt_api import TensorRt
from vcam.errors import EngineError

_MAGIC = b"fake plan of "


class FakeDriver:
    """NVIDIA's driver library, as ctypes shows it.

    Args:
        devices: how many GPUs.
        status: what cuInit answers.
    """

    def __init__(self, devices: int = 1, status: int = 0) -> None:
        self._devices, self._status = devices, status

    def __getattr__(self, name: str) -> Callable[..., int]:
        values: dict[str, int] = {
            "cuDeviceGetCount": self._devices,
            "cuDeviceGet": 0,
            "cuDriverGetVersion": 13000,
        }
        if name == "cuInit":
            return lambda _: self._status
        if name == "cuDeviceGetName":
            return self._name
        if name == "cuDeviceGetAttribute":
            return lambda out, attribute, _: self._put(out, {75: 8, 76: 9}[attribute])
        if name == "cuGetErrorString":
            return lambda _, out: self._put(out, b"system not yet initialized")
        return lambda out, *_: self._put(out, values[name])

    def _name(self, out: ctypes.Array[ctypes.c_char], _length: int, _device: object) -> int:
        out.value = b"Fake GPU"
        return 0

    def _put(self, out: Any, value: int | bytes) -> int:
        out._obj.value = value
        return 0


class FakeCuda:
    """CUDA on a fake card. calls: what was asked of it, in order.

    Args:
        machine: the card.
        graphs: whether it has graphs.
    """

    name = "fake cuda"
    stream = 7

    def __init__(self, machine: FakeGpuMachine, graphs: bool = True) -> None:
        self._machine, self.graphs = machine, graphs
        self.calls: list[str] = []
        self._own: list[int] = []
        self.is_open = False

    def __enter__(self) -> Self:
        self.is_open = True
        self.calls.append("open")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_open:
            self.calls.append("close")
        self.is_open = False
        for address in self._own:
            self._machine.memory.pop(address, None)

    def buffer(self, shape: Sequence[int], dtype: DTypeLike) -> Buffer:
        address = next(self._machine.addresses)
        self._machine.memory[address] = np.zeros(tuple(shape), dtype)
        self._own.append(address)
        return Buffer(np.zeros(tuple(shape), dtype), address)

    def upload(self, buffer: Buffer) -> None:
        self._queue("upload", lambda: np.copyto(self._machine.memory[buffer.address], buffer.host))

    def download(self, buffer: Buffer) -> None:
        self._queue(
            "download", lambda: np.copyto(buffer.host, self._machine.memory[buffer.address])
        )

    def _queue(self, name: str, work: Callable[[], None]) -> None:
        self.calls.append(name)
        self._machine.queue(work)

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        if not self.graphs or self._machine.capture_fails:
            raise EngineError("fake CUDA captures nothing")
        record: list[Callable[[], None]] = []
        self._machine.record = record
        work()
        self._machine.record = None

        def launch() -> None:
            self.calls.append("launch")
            for step in record:
                step()

        return launch


class FakeGpuMachine:
    """One card with its memory, and a TensorRT.

    Args:
        size: (height, width) of its network's input.
        half_share: of the network that its parser makes.
        graphs: whether its CUDA has graphs.
        has_gpu: False: the probe finds none, and touching TensorRT is an error.

    Set `refuses` and no plan loads; `capture_fails`; `architecture` (major, minor); `version` of
    TensorRT.
    """

    def __init__(
        self,
        size: tuple[int, int] = (32, 32),
        half_share: float = 0.9,
        graphs: bool = True,
        has_gpu: bool = True,
    ) -> None:
        self.size, self.half_share, self.has_gpu = size, half_share, has_gpu
        self.capability, self.version = (8, 9), "11.4.0"
        self.refuses = self.capture_fails = False
        self.builds = 0
        self.memory: dict[int, NDArray[Any]] = {}
        self.addresses = itertools.count(0x1000, 0x1000)
        self.record: list[Callable[[], None]] | None = None
        self.cuda = FakeCuda(self, graphs)

    def stack(self, folder: Path) -> GpuStack:
        """A GpuStack of this machine that keeps its plans in a folder."""
        return GpuStack(self._probe, self._tensorrt, lambda: self.cuda, lambda: PlanStore(folder))

    def _probe(self) -> Probe:
        return (
            Probe(Gpu("Fake GPU", self.capability, "13.0"))
            if self.has_gpu
            else Probe(None, "fake: no GPU here")
        )

    def _tensorrt(self) -> TensorRt:
        if not self.has_gpu:
            raise AssertionError("TensorRT was touched without a GPU")
        return TensorRt("tensorrt", self.version, make_fake_tensorrt(self))

    def queue(self, work: Callable[[], None]) -> None:
        """Do it, or record it while a graph is captured."""
        if self.record is None:
            work()
        else:
            self.record.append(work)


class _DataType(enum.Enum):
    HALF = 1
    FLOAT = 0
    UINT8 = 5


class _Io(enum.Enum):
    INPUT = 1
    OUTPUT = 2


def make_fake_tensorrt(machine: FakeGpuMachine) -> Any:
    """What `import tensorrt` gives on that machine, as far as vcam uses it."""
    return SimpleNamespace(
        __version__=machine.version,
        ILogger=_Interface,
        IProgressMonitor=_Interface,
        Builder=lambda logger: _Builder(machine, logger),
        OnnxParser=_Parser,
        Runtime=lambda logger: _Runtime(machine, logger),
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        MemoryPoolType=SimpleNamespace(WORKSPACE=0),
        ProfilingVerbosity=SimpleNamespace(DETAILED=2),
        ComputeCapability=SimpleNamespace(SM75=75),
        TensorIOMode=_Io,
        nptype=lambda _: np.uint8,
    )


class _Interface:
    """ILogger or IProgressMonitor: to be derived from."""


class _Network:
    def __init__(self, half_share: float) -> None:
        halves = round(half_share * 20)
        self._types = (
            [_DataType.HALF] * halves + [_DataType.FLOAT] * (20 - halves) + [_DataType.UINT8]
        )
        self.num_layers = len(self._types)
        self.content = b""

    def get_layer(self, index: int) -> Any:
        return SimpleNamespace(
            num_outputs=1, get_output=lambda _: SimpleNamespace(dtype=self._types[index])
        )


class _Parser:
    def __init__(self, network: _Network, logger: Any) -> None:
        self._network = network
        self.num_errors = 0

    def parse(self, content: bytes) -> bool:
        self._network.content = content
        self.num_errors = int(b"not a" in content)
        return not self.num_errors

    def get_error(self, _: int) -> Any:
        return SimpleNamespace(desc=lambda: "Invalid Node - fake\nat line 1")


class _Builder:
    def __init__(self, machine: FakeGpuMachine, logger: Any) -> None:
        self._machine, self._logger = machine, logger

    def create_network(self, flags: int) -> _Network:
        if not flags & 1 << 1:
            raise AssertionError("not strongly typed")
        return _Network(self._machine.half_share)

    def create_builder_config(self) -> Any:
        return SimpleNamespace(set_memory_pool_limit=lambda *_: None)

    def build_serialized_network(self, network: _Network, config: Any) -> bytes | None:
        self._machine.builds += 1
        monitor = config.progress_monitor
        monitor.phase_start("Building engine", None, 2)
        for step in range(2):
            if not monitor.step_complete("Building engine", step):
                return None
        monitor.phase_finish("Building engine")
        return _MAGIC + network.content[:8]


class _Runtime:
    def __init__(self, machine: FakeGpuMachine, logger: Any) -> None:
        self._machine, self._logger = machine, logger

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        if self._machine.refuses or not plan.startswith(_MAGIC):
            self._logger.log(SimpleNamespace(name="ERROR"), "The engine cannot run on this GPU")
            return None
        return _Engine(self._machine)


class _Engine:
    num_io_tensors = 2

    def __init__(self, machine: FakeGpuMachine) -> None:
        self._machine = machine
        height, width = machine.size
        self._shapes = {"image": (1, height, width, 3), "alpha": (1, height, width)}

    def get_tensor_name(self, index: int) -> str:
        return list(self._shapes)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def get_tensor_dtype(self, _: str) -> _DataType:
        return _DataType.UINT8

    def get_tensor_mode(self, name: str) -> _Io:
        return _Io.INPUT if name == "image" else _Io.OUTPUT

    def create_execution_context(self) -> Any:
        return _Context(self._machine)


class _Context:
    def __init__(self, machine: FakeGpuMachine) -> None:
        self._machine = machine
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if stream != self._machine.cuda.stream or not self._machine.cuda.is_open:
            return False
        memory, at = self._machine.memory, self._addresses
        self._machine.cuda.calls.append("execute")
        self._machine.queue(lambda: np.copyto(memory[at["alpha"]], memory[at["image"]][..., 1]))
        return True
