"""The newest pictures of a run, for previews and snapshots; kept only while needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vcam.frame import Frame
from vcam.matting.refine import Mask


@dataclass(frozen=True, slots=True)
class Shot:
    """One moment of a run.

    number: a counter. sent: the picture given to the sink. before: the frame it was made from; None
    for a card and for a repeated picture. mask: of that frame, if an effect used the mask.
    """

    number: int
    sent: Frame
    before: Frame | None = None
    mask: Mask | None = None


class Tap:
    """Keeps the newest shot while it is needed. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lookers = 0
        self._count = 0
        self._shot: Shot | None = None

    @property
    def wanted(self) -> bool:
        """Whether shots are needed."""
        return self._lookers > 0

    def offer(self, sent: Frame, before: Frame | None = None, mask: Mask | None = None) -> None:
        """Report a sent picture; costs nothing if shots are not needed."""
        if not self._lookers:
            return
        with self._changed:
            if self._lookers:
                self._count += 1
                self._shot = Shot(self._count, sent, before, mask)
                self._changed.notify_all()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Keep shots while the block runs."""
        with self._changed:
            self._lookers += 1
        try:
            yield
        finally:
            with self._changed:
                self._lookers -= 1
                if not self._lookers:
                    self._shot = None

    def after(
        self, number: int, timeout_s: float, fits: Callable[[Shot], bool] = lambda _: True
    ) -> Shot | None:
        """The newest shot later than `number`, once it fits; None if none does in time."""

        def has_come() -> bool:
            return self._shot is not None and self._shot.number > number and fits(self._shot)

        with self._changed:
            return self._shot if self._changed.wait_for(has_come, timeout_s) else None

    def newest(self) -> int:
        """The number of the newest shot; 0 before the first."""
        with self._changed:
            return self._count
