"""Checks for all systems: GPU, runtimes, folders, and OBS's camera if vcam needs
it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from vcam.doctor.machine import Machine
from vcam.doctor.verdict import Fix, Verdict, ok, problem, skipped, unknown, warning
from vcam.files import entries

_NVIDIA = "0x10de"
_DISPLAY = "0x03"
"""Vendor and class of a graphics card in PCI's configuration space."""


def check_obs_camera(machine: Machine) -> Verdict:
    """Windows and macOS: is OBS's virtual camera installed, to which vcam writes?"""
    if machine.system == "linux":
        return skipped("Linux needs no OBS")
    if machine.obs_camera is None:
        return unknown("OBS's virtual camera cannot be looked for on this system")
    if not machine.obs_camera:
        return problem(
            "OBS's virtual camera is not installed: install OBS 30 or later and start its camera"
            " once"
        )
    return ok("OBS is installed; its virtual camera must have been started once")


def check_gpu(machine: Machine) -> Verdict:
    """Is there an NVIDIA GPU, and a driver for it?"""
    gpu = machine.gpu.gpu
    if gpu is not None:
        return ok(f"{gpu.name} ({gpu.architecture}), driver for CUDA {gpu.driver_cuda}")
    if _has_nvidia_card(machine):
        return warning(
            f"an NVIDIA card is there, but {machine.gpu.reason}; install NVIDIA's driver to use it"
        )
    return skipped(f"{machine.gpu.reason}; using the CPU")


def check_onnxruntime(machine: Machine) -> Verdict:
    """Can ONNX Runtime run the engine on the CPU?"""
    install = Fix(f"{machine.python} -m pip install onnxruntime", by_hand=True)
    if not machine.providers:
        return problem("ONNX Runtime cannot be imported", install)
    refused = machine.refusals.get("onnxruntime", "")
    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in machine.providers)
    return (
        problem(refused, install)
        if refused
        else ok(f"ONNX Runtime, with its providers {providers}")
    )


def check_telemetry(machine: Machine) -> Verdict:
    """Do the libraries that vcam uses send telemetry?"""
    if machine.leaks:
        return problem(
            f"not switched off: {', '.join(machine.leaks)}; start vcam as a program of its own"
        )
    return ok("switched off in ONNX Runtime and OpenVINO; vcam sends nothing anywhere")


def check_backend(name: str) -> Callable[[Machine], Verdict]:
    """Make the check of an optional backend."""

    def check(machine: Machine) -> Verdict:
        reason = machine.refusals.get(name, "not asked")
        if not reason:
            return ok("can run here")
        if machine.gpu.gpu is None or name == "openvino":
            return skipped(reason)
        return warning(f"{reason} (docs/gpu.md)")

    return check


def check_cache(machine: Machine) -> Verdict:
    """Can TensorRT plans be saved?"""
    return _check_folder(machine.cache)


def check_config(machine: Machine) -> Verdict:
    """Can settings be saved? The command line has already validated the settings file."""
    return _check_folder(machine.config)


def _check_folder(folder: Path) -> Verdict:
    try:
        return _look_at_folder(folder)
    except PermissionError as error:
        return problem(f"{folder} cannot be reached: permission denied at {error.filename}")


def _look_at_folder(folder: Path) -> Verdict:
    if folder.is_dir():
        if os.access(folder, os.W_OK | os.X_OK):
            return ok(str(folder))
        return problem(
            f"{folder} may not be written to", Fix(f"chmod u+rwx {shlex.quote(str(folder))}")
        )
    nearest = next((parent for parent in folder.parents if parent.exists()), folder)
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK) and not folder.exists():
        return ok(f"{folder}, made when it is needed")
    blocker = folder if folder.exists() else nearest
    what = "may not be written to" if blocker.is_dir() else "is a file where a folder is wanted"
    return problem(f"{folder} cannot be made: {blocker} {what}")


def _has_nvidia_card(machine: Machine) -> bool:
    for card in entries(machine.root / "sys/bus/pci/devices"):
        where = str(card.relative_to(machine.root))
        if machine.read(f"{where}/vendor") == _NVIDIA and machine.read(f"{where}/class").startswith(
            _DISPLAY
        ):
            return True
    return False
