"""The current time and waits, in one object that tests can replace."""

from __future__ import annotations

import threading
import time


class Clock:
    """The machine's monotonic clock. Every method may be called from any thread."""

    def now_ns(self) -> int:
        """Nanoseconds since an arbitrary moment, as `time.monotonic_ns`."""
        return time.monotonic_ns()

    def now_s(self) -> float:
        """Seconds since that moment."""
        return self.now_ns() / 1e9

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or the time is over; return whether it is set."""
        return event.wait(timeout_s)


CLOCK = Clock()
"""The default clock."""
