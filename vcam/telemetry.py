"""Switch off telemetry in the libraries that vcam imports.

ONNX Runtime's wheels store a permanent device number and a queue of events, and send them, as soon
as a session is created (https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md).
OpenVINO's package sends an event during import. Both can be switched off only before they are
imported, so `import vcam` does that first.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime 1.29 and later, except on Windows
    "ORT_TELEMETRY_DISABLED": "1",  # its name in earlier builds
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",  # https://consoledonottrack.com
}
"""Environment variables that switch telemetry off, and the values that do so."""

PACKAGES = ("openvino_telemetry",)
"""Packages whose only purpose is to send events. Their import is blocked; the libraries that try it
work without them.
"""


def switch_off() -> None:
    """Switch telemetry off in this process and its children. Has no effect on libraries that are
    already imported.
    """
    os.environ.update(VARIABLES)
    for name in PACKAGES:
        if name not in sys.modules:
            sys.modules[name] = None  # type: ignore[assignment]  # "import" then raises ModuleNotFoundError


def leaks() -> list[str]:
    """List what is still switched on: variables and packages; empty if all is off."""
    variables = [name for name, value in VARIABLES.items() if os.environ.get(name) != value]
    return [*variables, *(name for name in PACKAGES if sys.modules.get(name) is not None)]


def import_onnxruntime() -> Any:
    """Import ONNX Runtime, with its events off on Windows too, where it ignores the variable.

    Raises:
        ImportError: it is not installed.
    """
    switch_off()
    runtime = importlib.import_module("onnxruntime")
    if hasattr(runtime, "disable_telemetry_events"):
        runtime.disable_telemetry_events()
    return runtime
