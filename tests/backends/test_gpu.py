"""On a real NVIDIA GPU: right, fast, without growth, and beside itself. Skipped with the probe's
reason elsewhere.
"""

from __future__ import annotations

import importlib
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vcam.sources
from tests.backends.conftest import missing
from vcam.backends import make_backend, why_not
from vcam.backends.base import Backend
from vcam.backends.gpu_stack import GpuStack
from vcam.bench.machine import resident_bytes
from vcam.catalogue import EngineSpec, read_catalogue, shipped_engines
from vcam.monitor import Percentiles
from vcam.sources.image import read_image

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(600)]

HALF = [
    spec
    for spec in read_catalogue(shipped_engines())
    if (spec.precision, spec.task) == ("fp16", "person")
]
ON_GPU = ("tensorrt", "onnxruntime-cuda")
MIN_IOU = 0.985
"""The gate of half precision against single precision; the export stage uses the same."""
RUNS = 1000
MAX_GROWTH_BYTES = 16 << 20


def pictures(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Eight real views of a person, uint8 [1, h, w, 3] RGB: crops of the demo portrait, also
    mirrored.
    """
    import cv2

    whole = read_image(Path(vcam.sources.__file__).parent / "astronaut.jpg")
    height, width = whole.shape[:2]
    views = []
    for cut, mirrored in itertools.product((0.0, 0.1, 0.2, 0.3), (False, True)):
        view = whole[
            : height - round(cut * height), round(cut * width / 2) : width - round(cut * width / 2)
        ]
        view = np.asarray(
            cv2.resize(view, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.uint8
        )
        views.append(np.ascontiguousarray(view[:, ::-1] if mirrored else view)[None])
    return views


def inputs_of(backend: Backend, picture: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    states = {
        name: np.zeros(shape, np.float32)
        for name, shape in backend.inputs.items()
        if name != "image"
    }
    return {**states, "image": picture}


def open_or_skip(name: str, spec: EngineSpec, stack: GpuStack) -> Backend:
    reason = why_not(name, spec, stack)
    if reason:
        missing("gpu" if name == "tensorrt" else name, f"{name}: {reason}")
    return make_backend(name, spec, stack=stack)


def iou(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    person_a, person_b = a > 127, b > 127
    union = (person_a | person_b).sum()
    return float((person_a & person_b).sum() / union) if union else 1.0


@pytest.mark.parametrize("name", ON_GPU)
@pytest.mark.parametrize("spec", HALF, ids=lambda spec: spec.name)
def test_it_agrees_with_the_cpu(gpu_stack: GpuStack, name: str, spec: EngineSpec) -> None:
    with open_or_skip(name, spec, gpu_stack) as fast, make_backend("onnxruntime", spec) as exact:
        for picture in pictures(spec.size):
            found = fast.run(inputs_of(fast, picture))["alpha"]
            wanted = exact.run(inputs_of(exact, picture))["alpha"]
            assert iou(found, wanted) >= MIN_IOU


@pytest.mark.parametrize("name", ON_GPU)
@pytest.mark.parametrize("spec", HALF, ids=lambda spec: spec.name)
def test_it_is_fast_and_does_not_grow(
    gpu_stack: GpuStack, name: str, spec: EngineSpec, record_property: Callable[[str, object], None]
) -> None:
    durations: list[int] = []
    with open_or_skip(name, spec, gpu_stack) as backend:
        inputs = inputs_of(backend, pictures(spec.size)[0])
        for _ in range(100):
            backend.run(inputs)
        before, free_before = resident_bytes(), free_device_bytes()
        for _ in range(RUNS):
            start_ns = time.monotonic_ns()
            backend.run(inputs)
            durations.append(time.monotonic_ns() - start_ns)
        assert resident_bytes() - before < MAX_GROWTH_BYTES
        assert free_before - free_device_bytes() < MAX_GROWTH_BYTES
        about = backend.about()
    times = Percentiles.of_ns(durations)
    record_property("about", about)
    record_property("p50_ms", times.p50_ms)
    record_property("p95_ms", times.p95_ms)
    assert times.p50_ms < 10, "a GPU that is slower than a CPU does not do the work"


def free_device_bytes() -> int:
    """Free memory of the card; 0 where cuda-python is not installed."""
    try:
        runtime = importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        return 0
    _, free, _ = runtime.cudaMemGetInfo()
    return int(free)


def test_two_engines_run_in_two_threads(gpu_stack: GpuStack) -> None:
    if not HALF:
        pytest.skip("the catalogue has no half precision engine")
    spec = HALF[0]
    views = pictures(spec.size)
    with open_or_skip("tensorrt", spec, gpu_stack) as backend:
        wanted = [backend.run(inputs_of(backend, view))["alpha"] for view in views]
    failures: list[str] = []

    def work() -> None:
        with make_backend("tensorrt", spec, stack=gpu_stack) as own:
            for index in range(200):
                view = index % len(views)
                if (own.run(inputs_of(own, views[view]))["alpha"] != wanted[view]).any():
                    failures.append(f"run {index} differs")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


def test_a_live_run_swaps_to_tensorrt(gpu_stack: GpuStack, tmp_path: Path) -> None:
    from vcam.backends.plans import PlanStore

    if not HALF:
        pytest.skip("the catalogue has no half precision engine")
    spec, stack = HALF[0], GpuStack(plans=lambda: PlanStore(tmp_path))
    if reason := why_not("tensorrt", spec, stack):
        missing("gpu", reason)
    picture = pictures(spec.size)[0]
    with make_backend("auto", spec, stack=stack, patient=False) as backend:
        before = backend.run(inputs_of(backend, picture))["alpha"]
        assert backend.name != "tensorrt"
        deadline = time.monotonic() + 500
        while backend.name != "tensorrt" and time.monotonic() < deadline:
            after = backend.run(inputs_of(backend, picture))["alpha"]
        assert backend.name == "tensorrt", backend.about()
        assert iou(before, after) >= MIN_IOU
