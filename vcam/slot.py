"""A slot that passes one item at a time between two pipeline threads."""

from __future__ import annotations

import threading
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Policy(Enum):
    """Behaviour of `put` while the slot is full."""

    NEWEST_WINS = "newest wins"
    """Replace the item; the old one is dropped and counted. For live pictures."""
    WAIT = "wait"
    """Block until the item is taken. For files, in which every frame counts."""


class SlotClosed(Exception):  # noqa: N818  - a signal, not a failure
    """The slot is closed and empty."""


class SlotTimeout(Exception):  # noqa: N818
    """No item came in time."""


class Slot(Generic[T]):
    """Holds at most one item; one thread puts, another takes. Closing the slot ends every wait.

    Attributes:
        dropped: number of items that were replaced before they were taken.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._changed = threading.Condition()
        self._item: T | None = None
        self._full = False
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> None:
        """Pass an item on, by the slot's policy.

        Raises:
            SlotClosed: the slot is closed.
        """
        with self._changed:
            if self._policy is Policy.WAIT:
                self._changed.wait_for(lambda: self._closed or not self._full)
            if self._closed:
                raise SlotClosed
            self.dropped += self._full
            self._item, self._full = item, True
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> T:
        """Wait for an item; one that was put before the slot was closed is still delivered.

        Raises:
            SlotTimeout: no item came within `timeout_s`.
            SlotClosed: the slot is closed and empty.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._full, timeout_s):
                raise SlotTimeout
            if not self._full:
                raise SlotClosed
            item, self._item, self._full = self._item, None, False
            self._changed.notify_all()
        return item  # type: ignore[return-value]

    def close(self, discard: bool = False) -> None:
        """End all waits. The last item can still be taken unless it is discarded. May be called
        twice.
        """
        with self._changed:
            self._closed = True
            if discard:
                self._item, self._full = None, False
            self._changed.notify_all()
