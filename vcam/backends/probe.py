"""Detect an NVIDIA GPU by asking the driver alone.

TensorRT segfaults on a machine without a GPU, so this check comes before TensorRT is loaded. It
needs only the driver's own library, no package.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_NO_DEVICE = 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
"""CUresult and CUdevice_attribute values of cuda.h."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first NVIDIA GPU.

    capability: (major, minor), as (8, 9). driver_cuda: the newest CUDA that its driver supports, as
        "13.0".
    """

    name: str
    capability: tuple[int, int]
    driver_cuda: str

    @property
    def architecture(self) -> str:
        """The name that NVIDIA's compilers use: "sm_89"."""
        return f"sm_{self.capability[0]}{self.capability[1]}"


@dataclass(frozen=True, slots=True)
class Probe:
    """The GPU, or None and the reason for the user."""

    gpu: Gpu | None
    reason: str = ""


def _load_driver() -> Any:
    return ctypes.CDLL(_LIBRARY)


def probe_gpu(load: Callable[[], Any] = _load_driver) -> Probe:
    """Ask the driver for the first GPU.

    Args:
        load: returns the driver's library, as ctypes does; raises OSError if there is none.
    """
    try:
        driver = load()
    except OSError:
        return Probe(None, f"no NVIDIA driver ({_LIBRARY} is not installed)")
    status = driver.cuInit(0)
    if status == _NO_DEVICE:
        return Probe(None, "the NVIDIA driver finds no GPU")
    if status != 0:
        return Probe(None, f"the NVIDIA driver does not start ({_error_text(driver, status)})")
    count = ctypes.c_int()
    status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value < 1:
        return Probe(None, "the NVIDIA driver finds no GPU")
    return _describe(driver)


def _describe(driver: Any) -> Probe:
    device, major, minor, version = (ctypes.c_int() for _ in range(4))
    name = ctypes.create_string_buffer(256)
    calls = (
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetName(name, len(name), device),
        driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device),
        driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device),
        driver.cuDriverGetVersion(ctypes.byref(version)),
    )
    failed = next((status for status in calls if status != 0), 0)
    if failed:
        return Probe(
            None, f"the NVIDIA driver does not describe its GPU ({_error_text(driver, failed)})"
        )
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Probe(Gpu(name.value.decode(errors="replace"), (major.value, minor.value), cuda))


def _error_text(driver: Any, status: int) -> str:
    text = ctypes.c_char_p()
    if driver.cuGetErrorString(status, ctypes.byref(text)) == 0 and text.value:
        return f"error {status}: {text.value.decode(errors='replace')}"
    return f"error {status}"
