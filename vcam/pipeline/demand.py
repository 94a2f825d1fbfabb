"""Whether the camera is wanted: while somebody reads the virtual camera, and a little longer."""

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
    """Watches the readers in a thread of its own.

    Args:
        readers: who reads.
        linger_s: how long after the last reader the camera is still wanted, because programs close
            a camera and open it again while they set it up.
        clock: tells the time.

    Attributes:
        wanted: set while the camera is wanted.
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
        """Take note of whether somebody reads now."""
        now_s = self._clock.now_s()
        if somebody_reads:
            self._last_s = now_s
            self.wanted.set()
        elif now_s - self._last_s > self._linger_s:
            self.wanted.clear()
