"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import time


class Backoff:
    """Each failure soon after the last one doubles the wait; after a quiet time it starts small again.

    Args:
        first_s: the shortest wait.
        longest_s: the longest; without a failure for twice as long, the next wait is `first_s` again.
    """

    def __init__(self, first_s: float = 0.25, longest_s: float = 2.0) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._wait_s = 0.0
        self._last_s = 0.0

    def failed(self) -> float:
        """It has just failed; how many seconds to wait now."""
        now_s = time.monotonic()
        quiet = now_s - self._last_s > 2 * self._longest_s
        self._wait_s = self._first_s if quiet or not self._wait_s else min(2 * self._wait_s, self._longest_s)
        self._last_s = now_s
        return self._wait_s
