"""The tempo of frames that come from a file and go to somebody who watches."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from vcam.frame import Frame

_LATE_NS = 1_000_000_000


class Pace:
    """Lets frames of a file pass in real time.

    Args:
        stop: ends a wait early.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._start_ns = 0

    def wait_until_due(self, frame: Frame) -> Frame:
        """Wait; return the frame with the time at which it became due as its capture time."""
        now_ns = time.monotonic_ns()
        if not self._start_ns or now_ns - self._start_ns - frame.pts_ns > _LATE_NS:
            self._start_ns = (
                now_ns - frame.pts_ns
            )  # the first frame, or after a long sleep: no rush to catch up
        due_ns = self._start_ns + frame.pts_ns
        self._stop.wait(max(0, due_ns - now_ns) / 1e9)
        return replace(frame, t_capture_ns=time.monotonic_ns())
