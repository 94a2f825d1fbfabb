"""The hand-over between two pipeline threads: a slot that holds one item."""

from __future__ import annotations

import threading
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")


class Policy(Enum):
    """What `put` does while the slot is full."""

    NEWEST_WINS = "newest wins"
    """Replace the item; the old one is dropped and counted. For live pictures."""
    WAIT = "wait"
    """Block until the item was taken. For files, where every frame counts."""


class SlotClosed(Exception):  # noqa: N818  - a signal, not a failure
    """The slot was closed and holds nothing more."""


class SlotTimeout(Exception):  # noqa: N818
    """Nothing came in time."""


class Slot(Generic[T]):
    """Holds at most one item; one thread puts, another takes. No wait is endless once the slot is
    closed.

    Attributes:
        dropped: how many items were replaced before anybody took them.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._changed = threading.Condition()
        self._item: T | None = None
        self._full = False
        self._closed = False
        self.dropped = 0

    def put(self, item: T) -> None:
        """Hand over an item, by the slot's policy.

        Raises:
            SlotClosed: nobody will take it any more.
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
        """Wait for an item; an item that was put before the slot was closed is still delivered.

        Raises:
            SlotTimeout: nothing came within `timeout_s`.
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
        """Wake everybody. The last item can still be taken unless it is discarded. May be called
        twice.
        """
        with self._changed:
            self._closed = True
            if discard:
                self._item, self._full = None, False
            self._changed.notify_all()
