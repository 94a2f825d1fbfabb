"""Reports of a run in separate threads, which cannot delay, break or end the run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from vcam.monitor import Snapshot
from vcam.slot import Policy, Slot, SlotClosed
from vcam.sources.base import Source

_log = logging.getLogger(__name__)
_JOIN_S = 0.5

Tick = Callable[[Source, Snapshot], None]


class Reporter:
    """Calls a reporter with the newest statistics, in a thread that no other thread waits for.

    Args:
        name: of the thread.
        opened: the reporter; entered, called and left in that thread.
    """

    def __init__(self, name: str, opened: AbstractContextManager[Tick]) -> None:
        self._opened = opened
        self._slot: Slot[tuple[Source, Snapshot]] = Slot(Policy.NEWEST_WINS)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._slot.close()
        self._thread.join(_JOIN_S)

    def tick(self, source: Source, now: Snapshot) -> None:
        """Request a report; replaces a pending one."""
        try:
            self._slot.put((source, now))
        except SlotClosed:  # the reporter could not be opened
            return

    def _work(self) -> None:
        try:
            with self._opened as tell:
                while True:
                    source, now = self._slot.take()
                    try:
                        tell(source, now)
                    except Exception as error:  # noqa: BLE001 - must not end the run
                        _log.info("a report failed: %s: %s", type(error).__name__, error)
        except SlotClosed:
            return
        except Exception as error:  # noqa: BLE001 - the same
            _log.info("no reports: %s: %s", type(error).__name__, error)
        finally:
            self._slot.close(discard=True)
