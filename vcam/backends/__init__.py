"""Backends by name."""

from __future__ import annotations

import importlib
from pathlib import Path

from vcam.backends.base import Backend
from vcam.errors import UsageError

BACKENDS = {
    "onnxruntime": "vcam.backends.onnxruntime:OnnxRuntimeBackend",
}


def make_backend(name: str, path: Path, threads: int = 1) -> Backend:
    """The backend of that name for one engine file, not opened yet.

    Raises:
        UsageError: there is no such backend; the message lists the known ones.
    """
    if name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}; known: {', '.join(BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    backend: Backend = getattr(importlib.import_module(module), attribute)(path, threads)
    return backend
