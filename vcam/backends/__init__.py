"""Backends by name, and the choice of one."""

from __future__ import annotations

import importlib
from typing import Any

from vcam.backends.base import Backend
from vcam.backends.composed import FirstOf, SwappingBackend
from vcam.backends.gpu_stack import EnginePlans, GpuStack
from vcam.catalogue import EngineSpec, with_precision
from vcam.errors import UsageError

BACKENDS = {
    "onnxruntime": "vcam.backends.onnxruntime:OnnxRuntimeBackend",
    "onnxruntime-cuda": "vcam.backends.onnxruntime:OnnxRuntimeCudaBackend",
    "tensorrt": "vcam.backends.tensorrt:TensorRtBackend",
    "openvino": "vcam.backends.openvino:OpenVinoBackend",
}
AUTO = "auto"
OPENVINO = "openvino"
_ORDER = ("tensorrt", "onnxruntime-cuda", "onnxruntime")
_ON_CPU = ("onnxruntime", OPENVINO)
_SINGLE, _HALF = "fp32", "fp16"


def runs_as(name: str, spec: EngineSpec) -> EngineSpec:
    """The engine that a backend runs in place of this one: on a CPU, half precision costs time and
    gains nothing.
    """
    return (with_precision(spec, "fp32") or spec) if name in _ON_CPU else spec


def why_not(name: str, spec: EngineSpec, stack: GpuStack | None = None) -> str:
    """The reason why a backend cannot run this engine here, for the user; empty if it can.

    Raises:
        UsageError: there is no such backend.
    """
    return str(_class(name).why_not(spec, stack or GpuStack()))


def best_precision(name: str, stack: GpuStack | None = None) -> str:
    """The precision at which a backend is fastest here: half on a GPU."""
    if name in _ON_CPU:
        return _SINGLE
    return _HALF if (stack or GpuStack()).probe().gpu else _SINGLE


def make_backend(
    name: str,
    spec: EngineSpec,
    threads: int = 1,
    stack: GpuStack | None = None,
    patient: bool = True,
) -> Backend:
    """Make the backend of that name for one engine, verified but not opened.

    Args:
        name: one of BACKENDS, or "auto": TensorRT for half precision, else ONNX Runtime on the GPU,
            else on the CPU.
        spec: the engine; a CPU may run its single precision version instead.
        threads: CPU threads per image.
        stack: the GPU and its software.
        patient: with "auto", wait for a plan that must be built first; else another backend runs
            meanwhile.

    Raises:
        UsageError: the backend does not exist or cannot run here.
        EngineError: a file is damaged.
    """
    stack = stack or GpuStack()
    if name == AUTO:
        return _choose(spec, threads, stack, patient)
    reason = why_not(name, spec, stack)
    if reason:
        raise UsageError(f"--backend {name} cannot run {spec.name} here: {reason}")
    return _make(name, spec, threads, stack)


def _choose(spec: EngineSpec, threads: int, stack: GpuStack, patient: bool) -> Backend:
    refused: dict[str, str] = {}
    if spec.precision != _HALF:  # without importing it
        no_gpu = stack.probe().reason
        refused["tensorrt"] = (
            no_gpu or f"it is chosen for half precision; try --engine {spec.model}_{_HALF}"
        )
    for name in _ORDER:
        if name not in refused and (reason := why_not(name, spec, stack)):
            refused[name] = reason
    names = [name for name in _ORDER if name not in refused]
    if patient or "tensorrt" in refused:
        return FirstOf([_make(name, spec, threads, stack) for name in names], refused)
    others = FirstOf(
        [_make(name, spec, threads, stack) for name in names if name != "tensorrt"], refused
    )
    plans = EnginePlans(spec, stack)
    better = _make("tensorrt", spec, threads, stack, may_build=False)
    return SwappingBackend(others, better, lambda cancel: plans.build(cancel=cancel), plans.refuse)


def _make(name: str, spec: EngineSpec, threads: int, stack: GpuStack, **options: object) -> Backend:
    chosen = runs_as(name, spec)
    chosen.verify()
    if name == "tensorrt":
        options["stack"] = stack
    backend: Backend = _class(name)(chosen, threads, **options)
    return backend


def _class(name: str) -> Any:
    if name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}; known: {', '.join([*BACKENDS, AUTO])}")
    module, _, attribute = BACKENDS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
