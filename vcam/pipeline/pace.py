"""Play a file's frames in real time for viewers."""

from __future__ import annotations

import threading
from dataclasses import replace

from vcam.clock import CLOCK, Clock
from vcam.frame import Frame

_LATE_NS = 1_000_000_000


class Pace:
    """Delays the frames of a file until they are due.

    Args:
        stop: ends a wait early.
        clock: the time source, also for waits.
    """

    def __init__(self, stop: threading.Event, clock: Clock = CLOCK) -> None:
        self._stop, self._clock = stop, clock
        self._start_ns = 0

    def wait_until_due(self, frame: Frame) -> Frame:
        """Wait, then return the frame with its due time as its capture time."""
        now_ns = self._clock.now_ns()
        if not self._start_ns or now_ns - self._start_ns - frame.pts_ns > _LATE_NS:
            # the first frame, or after a long sleep: do not rush to catch up
            self._start_ns = now_ns - frame.pts_ns
        due_ns = self._start_ns + frame.pts_ns
        self._clock.wait(self._stop, max(0, due_ns - now_ns) / 1e9)
        return replace(frame, t_capture_ns=self._clock.now_ns())
