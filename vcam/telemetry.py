"""No library that vcam loads reports to its maker.

ONNX Runtime's wheels write a permanent device number and a queue of events, and send them, from the
moment a session is made (https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md).
OpenVINO's package sends an event while it is imported. Both can be switched off only before they
are imported, so `import vcam` does that first of all.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.29 and later, except on Windows
    "ORT_TELEMETRY_DISABLED": "1",  # the name it had in builds before that
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",  # https://consoledonottrack.com
}
"""Environment variables that switch telemetry off, and the values that do so."""

PACKAGES = ("openvino_telemetry",)
"""Packages that exist to send events. They may not be imported; the libraries that want them do
without.
"""


def switch_off() -> None:
    """Switch telemetry off in this process and in those it starts. Has no effect on a library
    imported before.
    """
    os.environ.update(VARIABLES)
    for name in PACKAGES:
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment]  # "import" then raises ModuleNotFoundError


def leaks() -> list[str]:
    """What is not switched off, each a variable or the name of a package; empty if
    everything is.
    """
    variables = [name for name, value in VARIABLES.items() if os.environ.get(name) != value]
    return [*variables, *(name for name in PACKAGES if sys.modules.get(name) is not None)]


def import_onnxruntime() -> Any:
    """ONNX Runtime, with its events off also on Windows, where it ignores the variable.

    Raises:
        ImportError: it is not installed.
    """
    switch_off()
    runtime = importlib.import_module("onnxruntime")
    if hasattr(runtime, "disable_telemetry_events"):
        runtime.disable_telemetry_events()
    return runtime
