"""Describe the machine for benchmark reports."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from vcam import __version__
from vcam.process import usable_cores

_PACKAGES = ("av", "numpy", "onnxruntime", "opencv-python-headless")


def describe_machine() -> dict[str, object]:
    """Processor, cores, system and versions, as JSON values; no host or user names."""
    return {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {"vcam": __version__} | {name: _version(name) for name in _PACKAGES},
    }


def resident_bytes(pid: int | None = None) -> int:
    """Resident set of this process now, or its peak if only that is known; 0 if neither is.

    pid: of another process instead; Linux only.
    """
    statm = Path(f"/proc/{pid or 'self'}/statm")
    if pid is not None or statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
