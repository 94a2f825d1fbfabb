"""Decide when the camera is needed: while a program reads the virtual camera, and a bit longer."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from vcam.clock import CLOCK, Clock
from vcam.linux.viewers import Readers

_LOOK_S = 0.2
_JOIN_S = 1.0


class Demand:
    """Watches the readers in its own thread.

    Args:
        readers: reports whether a program reads the virtual camera.
        linger_s: how long the camera stays on after the last reader, because programs close and
            reopen a camera while they configure it.
        clock: the time source.

    Attributes:
        wanted: set while the camera is needed.
    """

    def __init__(self, readers: Readers, linger_s: float = 5.0, clock: Clock = CLOCK) -> None:
        self.wanted = threading.Event()
        self._readers, self._linger_s, self._clock = readers, linger_s, clock
        self._stop = threading.Event()
        self._last_s = 0.0
        self._thread = threading.Thread(target=self._watch, name="vcam-demand", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(_JOIN_S)

    def _watch(self) -> None:
        while not self._stop.is_set():
            with (
                suppress(OSError),
                self._readers as readers,
            ):  # a device that is gone has no readers
                while not self._stop.is_set():
                    self.heard(readers.wait(_LOOK_S))
            self.heard(False)
            self._stop.wait(_LOOK_S)

    def heard(self, somebody_reads: bool) -> None:
        """Record whether a program reads now."""
        now_s = self._clock.now_s()
        if somebody_reads:
            self._last_s = now_s
            self.wanted.set()
        elif now_s - self._last_s > self._linger_s:
            self.wanted.clear()
