"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import time


class Backoff:
    """Each failure doubles the wait; after a time of good work it starts small again.

    Args:
        first_s: the shortest wait.
        longest_s: the longest; after good work for twice as long, the next wait is `first_s` again.
    """

    def __init__(self, first_s: float = 0.25, longest_s: float = 2.0) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._wait_s = 0.0
        self._working_since_s: float | None = None

    def worked(self) -> None:
        """It works; to be said as often as one likes."""
        if self._working_since_s is None:
            self._working_since_s = time.monotonic()

    def failed(self) -> float:
        """It has just failed; how many seconds to wait now."""
        since_s, self._working_since_s = self._working_since_s, None
        is_well = since_s is not None and time.monotonic() - since_s > 2 * self._longest_s
        self._wait_s = (
            self._first_s if is_well or not self._wait_s else min(2 * self._wait_s, self._longest_s)
        )
        return self._wait_s
