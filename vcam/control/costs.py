"""Measured costs of engines on this machine, measured on request and cached until vcam or the
processor changes.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vcam.catalogue import EngineSpec
from vcam.errors import EngineError
from vcam.files import write_whole

_RUNS = 30
_PATIENCE_S = 120.0


class Costs:
    """Milliseconds per picture, by engine. Callable from any thread.

    Args:
        program: the command that starts vcam.
        file: the cache.
        version: of vcam.
    """

    def __init__(self, program: Sequence[str], file: Path, version: str) -> None:
        self._program, self._file, self._version = list(program), file, version
        self._lock = threading.Lock()

    def known(self) -> dict[str, float]:
        """The measured costs."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return (
            kept.get("ms", {})
            if isinstance(kept, dict) and kept.get("of") == _machine(self._version)
            else {}
        )

    def measure(self, engine: str, options: Sequence[str]) -> float:
        """Measure the engine in a separate low-priority process; takes a few seconds.

        Args:
            engine: its name.
            options: for `vcam bench`.

        Raises:
            EngineError: it cannot be measured here.
        """
        words = [
            *self._program,
            "bench",
            "--engine",
            engine,
            "--runs",
            str(_RUNS),
            "--json",
            *options,
        ]
        with self._lock:  # simultaneous measurements would disturb each other
            try:
                done = subprocess.run(  # noqa: S603 - this program itself
                    words,
                    capture_output=True,
                    timeout=_PATIENCE_S,
                    check=False,
                    preexec_fn=_politely,
                )
                report = json.loads(done.stdout) if done.returncode == 0 else {}
                ms = float(report["latency"]["p50_ms"])
            except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
                raise EngineError(
                    f"{engine} cannot be measured; try `vcam bench --engine {engine}`"
                ) from error
            with suppress(OSError):
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                kept = {"of": _machine(self._version), "ms": {**self.known(), engine: ms}}
                write_whole(self._file, json.dumps(kept, indent=1) + "\n", 0o600)
        return ms


def describe(spec: EngineSpec, ms: float | None) -> dict[str, Any]:
    """Describe an engine for a page."""
    return {
        "name": spec.name,
        "model": spec.model,
        "precision": spec.precision,
        "size": f"{spec.size[1]}x{spec.size[0]}",
        "megabytes": round(spec.path.stat().st_size / 1e6, 1) if spec.path.exists() else 0,
        "ms": ms,
    }


def _politely() -> None:
    with suppress(OSError):
        os.nice(10)


def _machine(version: str) -> str:
    return f"vcam {version}, {platform.machine()}, {os.cpu_count()} cores, {platform.node()}"
