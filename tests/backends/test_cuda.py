"""Both bindings keep one contract: the same steps, on either module's stand-in."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.backends.fake_bindings import FakeCudaRuntime, FakePycudaDriver
from vcam.backends.cuda import Cuda, CudaPython, PyCuda
from vcam.errors import EngineError

MAKERS: dict[str, Callable[[int], Cuda]] = {
    "cuda-python": lambda memory: CudaPython(FakeCudaRuntime(memory)),
    "pycuda": lambda memory: PyCuda(FakePycudaDriver(memory)),
}


@pytest.mark.parametrize("binding", MAKERS)
def test_what_goes_up_comes_down(binding: str) -> None:
    with MAKERS[binding](1 << 20) as cuda:
        assert cuda.name.startswith(binding)
        assert cuda.stream in (42, 43)
        for dtype in (np.uint8, np.float32):
            buffer = cuda.buffer((2, 3), dtype)
            assert buffer.host.shape == (2, 3)
            assert buffer.host.dtype == dtype
            buffer.host[:] = 5
            cuda.upload(buffer)
            cuda.synchronize()
            buffer.host[:] = 0
            cuda.download(buffer)
            assert (buffer.host == 0).all(), "a copy is only queued"
            cuda.synchronize()
            assert (buffer.host == 5).all()


@pytest.mark.parametrize("binding", MAKERS)
def test_too_little_memory_is_one_line(binding: str) -> None:
    with (
        MAKERS[binding](100) as cuda,
        pytest.raises(EngineError, match=r"CUDA: .*memory.*--backend onnxruntime"),
    ):
        cuda.buffer((1000,), np.uint8)


def test_cuda_python_frees_everything_once() -> None:
    runtime = FakeCudaRuntime()
    cuda = CudaPython(runtime)
    with cuda:
        buffer = cuda.buffer((4,), np.uint8)
        cuda.capture(lambda: cuda.upload(buffer))
    cuda.__exit__(None, None, None)
    assert runtime.blocks == {}
    freed = [name for name in runtime.calls if "Free" in name or "Destroy" in name]
    assert freed == [
        "cudaGraphDestroy",
        "cudaGraphExecDestroy",
        "cudaFreeHost",
        "cudaFree",
        "cudaStreamDestroy",
    ]


def test_a_graph_repeats_what_was_recorded() -> None:
    runtime = FakeCudaRuntime()
    with CudaPython(runtime) as cuda:
        buffer = cuda.buffer((4,), np.uint8)
        launch = cuda.capture(lambda: cuda.upload(buffer))
        for value in (3, 4):
            buffer.host[:] = value
            launch()
            cuda.synchronize()
            assert bytes(runtime.blocks[buffer.address].raw) == bytes([value] * 4)
    assert runtime.calls.count("cudaGraphLaunch") == 2
    assert runtime.calls.count("cudaMemcpyAsync") == 1


def test_a_failure_while_recording_leaves_the_stream_usable() -> None:
    runtime = FakeCudaRuntime()

    def fail() -> None:
        raise EngineError("no")

    with CudaPython(runtime) as cuda:
        with pytest.raises(EngineError, match="no"):
            cuda.capture(fail)
        cuda.synchronize()
    assert "cudaStreamEndCapture" in runtime.calls


def test_pycuda_pushes_the_primary_context_and_pops_it_once() -> None:
    driver = FakePycudaDriver()
    cuda = PyCuda(driver)
    with cuda:
        assert driver.contexts == 1
        with pytest.raises(EngineError, match="no CUDA graphs"):
            cuda.capture(lambda: None)
    cuda.__exit__(None, None, None)
    assert driver.contexts == 0
    assert driver.calls == ["init", "retain_primary_context", "push", "synchronize", "pop"]


def test_cuda_python_has_every_name_that_is_used() -> None:
    try:
        runtime: Any = importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        pytest.skip("cuda-python is not installed")
    fake = FakeCudaRuntime()
    with CudaPython(fake) as cuda:
        buffer = cuda.buffer((4,), np.uint8)
        cuda.capture(lambda: cuda.upload(buffer))()
    for name in {*fake.calls, "cudaGetErrorString"}:
        assert callable(getattr(runtime, name)), name
    for holder, names in (
        ("cudaMemcpyKind", ("cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost")),
        ("cudaStreamCaptureMode", ("cudaStreamCaptureModeThreadLocal",)),
    ):
        for name in names:
            assert hasattr(getattr(runtime, holder), name), name
    assert runtime.cudaStreamNonBlocking == fake.cudaStreamNonBlocking
