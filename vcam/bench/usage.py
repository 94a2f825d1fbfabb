"""Processor use of a run, independent of how long it takes."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Usage:
    """Counters of this process since it started.

    cpu_s: of all threads, user and system. wall_s: a clock with an arbitrary start. waits: how
    often a thread released its core to wait (voluntary context switches); preempted: how often it
    was interrupted (involuntary ones). Both are 0 if the system does not count them.
    """

    cpu_s: float
    wall_s: float
    waits: int
    preempted: int

    @classmethod
    def now(cls) -> Self:
        """The current counters."""
        waits = preempted = 0
        if sys.platform != "win32":
            import resource

            counters = resource.getrusage(resource.RUSAGE_SELF)
            waits, preempted = counters.ru_nvcsw, counters.ru_nivcsw
        return cls(time.process_time(), time.monotonic(), waits, preempted)

    def per_frame(self, since: Usage, frames: int) -> dict[str, float]:
        """The cost of `frames` frames between the two, as JSON values.

        share_of_a_core: 1.0 is one fully used core.
        """
        cpu_s = self.cpu_s - since.cpu_s
        return {
            "frames": frames,
            "cpu_ms_per_frame": cpu_s * 1e3 / max(frames, 1),
            "share_of_a_core": cpu_s / max(self.wall_s - since.wall_s, 1e-9),
            "waits_per_frame": (self.waits - since.waits) / max(frames, 1),
            "preempted_per_frame": (self.preempted - since.preempted) / max(frames, 1),
        }


class UsageMeter:
    """Measures from a run's first ticks to its last, so that loading the engine does not count."""

    def __init__(self) -> None:
        self._first: tuple[Usage, int] | None = None
        self._last: tuple[Usage, int] | None = None

    def tick(self, frames: int) -> None:
        """Read the counters; frames: number sent so far."""
        if frames:
            self._last = Usage.now(), frames
            self._first = self._first or self._last

    def report(self) -> dict[str, float]:
        """See `Usage.per_frame`; zeros if the run was too short."""
        if self._first is None or self._last is None:
            return Usage.now().per_frame(Usage.now(), 0)
        (first, first_frames), (last, last_frames) = self._first, self._last
        return last.per_frame(first, last_frames - first_frames)
