"""The time, and waits by it, in one object, so that a test can give another one."""

from __future__ import annotations

import threading
import time


class Clock:
    """The monotonic clock of this machine. Every method may be called from any thread."""

    def now_ns(self) -> int:
        """Nanoseconds since some moment, as `time.monotonic_ns`."""
        return time.monotonic_ns()

    def now_s(self) -> float:
        """Seconds since the same moment."""
        return self.now_ns() / 1e9

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set, at most so long; return whether it is set."""
        return event.wait(timeout_s)


CLOCK = Clock()
"""The one that is used if none is given."""
