"""Measure every engine on every backend, in turns, so that other load on the machine affects all
alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Backend, Tensors
from vcam.bench.machine import describe_machine
from vcam.bench.measure import Report
from vcam.errors import EngineError
from vcam.monitor import Percentiles

ROUNDS = 10
_WARM_UP_RUNS = 3
_ROUND_S = 1.0
"""Maximum time per cell and round: slow networks are run less often."""


@dataclass(slots=True)
class Cell:
    """One engine on one backend.

    backend: closed; None: it cannot run here, for the given reason. picture: uint8 [h, w, 3] RGB,
    of the engine's size.
    """

    engine: str
    name: str
    picture: NDArray[np.uint8]
    backend: Backend | None = None
    reason: str = ""
    threads: int = 1
    durations_ns: list[int] = field(default_factory=list)

    def row(self) -> Report:
        """The result as JSON values: `latency`, or `reason` instead."""
        head: Report = {"engine": self.engine, "backend": self.name, "threads": self.threads}
        if self.backend is None or not self.durations_ns:
            return head | {"reason": self.reason}
        latency = asdict(Percentiles.of_ns(self.durations_ns))
        return head | self.backend.about() | {"runs": len(self.durations_ns), "latency": latency}


def bench_table(
    cells: Sequence[Cell], runs: int, on_round: Callable[[int], None] | None = None
) -> Report:
    """Run every cell that can run, in ROUNDS turns.

    Args:
        cells: the cells to measure; durations and reasons are filled in.
        runs: single images per cell; fewer for slow ones.
        on_round: called with 1 after each turn.

    Returns:
        `rows`, one per cell, and the machine.
    """
    with ExitStack() as stack:
        ready = [
            (cell, cell.backend, inputs)
            for cell in cells
            if (inputs := _open(cell, stack)) and cell.backend
        ]
        for turn in range(ROUNDS):
            share = (turn + 1) * runs // ROUNDS - turn * runs // ROUNDS
            for cell, backend, inputs in ready:
                cell.durations_ns += _run(backend, inputs, share)
            if on_round is not None:
                on_round(1)
    return {"rows": [cell.row() for cell in cells], "machine": describe_machine()}


def _open(cell: Cell, stack: ExitStack) -> Tensors | None:
    """Open and warm up; return the input to run with. A failure becomes the cell's reason."""
    if cell.backend is None:
        return None
    try:
        backend = stack.enter_context(cell.backend)
        tensors: dict[str, NDArray[Any]] = {
            name: np.zeros(shape, np.float32)
            for name, shape in backend.inputs.items()
            if name != "image"
        }
        tensors["image"] = cell.picture[None]
        for _ in range(_WARM_UP_RUNS):
            backend.run(tensors)
    except EngineError as error:
        cell.reason = str(error)
        return None
    return tensors


def _run(backend: Backend, inputs: Tensors, runs: int) -> list[int]:
    durations: list[int] = []
    end_ns = time.monotonic_ns() + _ROUND_S * 1e9
    while len(durations) < runs and (not durations or time.monotonic_ns() < end_ns):
        start_ns = time.monotonic_ns()
        backend.run(inputs)
        durations.append(time.monotonic_ns() - start_ns)
    return durations


def table_lines(report: Report) -> list[str]:
    """Format a report of `bench_table` as text, one line per cell."""
    rows = report["rows"]
    if not isinstance(rows, list):
        raise TypeError("a report of bench_table has rows")
    return [f"{row['engine']:<24}{row['backend']:<18}{_found(row)}" for row in rows]


def _found(row: Report) -> str:
    latency = row.get("latency")
    if not isinstance(latency, dict):
        return str(row["reason"])
    return "  ".join(
        f"{name.removesuffix('_ms')} {latency[name]:8.3f} ms" for name in ("p50_ms", "p95_ms")
    )
