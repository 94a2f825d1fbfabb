"""Live parts that are opened again when they fail, so that a virtual camera goes on: the source and
the effects.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Self

from vcam.errors import SourceError, VcamError
from vcam.frame import Frame
from vcam.monitor import EFFECT_FAILED, IDLE, NO_CAMERA, STARTING, StateBoard
from vcam.pipeline.backoff import Backoff
from vcam.sources.base import Source

_LOOK_S = 0.2


class SupervisedSource:
    """Delivers the frames of a live source for as long as the run lasts, see
    `vcam.sources.base.Source`.

    Opening it never fails, and `read` waits out every `SourceError`. Any other exception is a
    mistake in the program and goes on to the caller.

    Args:
        source: entered and closed as often as needed, in the thread that reads.
        board: is told how the stage "capture" is.
        backoff: how long to wait before the source is opened again.
        wanted: set while the source is wanted; None: always.
    """

    def __init__(
        self,
        source: Source,
        board: StateBoard,
        backoff: Backoff,
        wanted: threading.Event | None = None,
    ) -> None:
        self.live = True
        self.damage = ""
        self.starts_s = 0.0
        self.frames: int | None = None
        self._source, self._board, self._wanted = source, board, wanted
        self._stop = threading.Event()
        self._backoff = backoff
        self._is_open = False
        self._copy_attributes()

    def _copy_attributes(self) -> None:
        source = self._source
        self.name, self.fps, self.size, self.mode = (
            source.name,
            source.fps,
            source.size,
            source.mode,
        )

    def __enter__(self) -> Self:
        self._board.say("capture", STARTING)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self) -> Frame | None:
        """The next frame, however long it takes; None after `interrupt`."""
        while not self._stop.is_set():
            if not self._is_wanted():
                continue
            try:
                frame = self._read()
            except SourceError as error:
                self._lost(str(error))
                continue
            if frame is not None:
                self._backoff.worked()
                return frame
            if not self._stop.is_set():
                self._lost(f"{self.name}: it has ended")
        return None

    def _is_wanted(self) -> bool:
        """Whether to go on; else the source is closed, and a moment has passed."""
        if self._wanted is None or self._wanted.is_set():
            return True
        self.close()
        self._board.say("capture", IDLE)
        if self._wanted.wait(_LOOK_S):
            self._board.say("capture", STARTING)
        return False

    def _read(self) -> Frame | None:
        if not self._is_open:
            self._source.__enter__()
            self._is_open = True
            self._copy_attributes()
        return self._source.read()

    def _lost(self, reason: str) -> None:
        self.close()
        self._board.say("capture", NO_CAMERA, reason)
        self._stop.wait(self._backoff.failed())

    def interrupt(self) -> None:
        """Make a blocked or later `read` return None soon."""
        self._stop.set()
        self._source.interrupt()

    def close(self) -> None:
        """Release the source."""
        if self._is_open:
            self._is_open = False
            with suppress(SourceError):  # it is as closed as it can be
                self._source.__exit__(None, None, None)


class SupervisedEffects:
    """Keeps a composer at work: after a failure its effects are closed, and opened again some time
    later.

    Belongs to the thread that composes. Exceptions other than VcamError are mistakes in the program
    and go on to the caller.

    Args:
        composer: open.
        board: is told how the stage "compose" is.
        backoff: how long to wait before the effects are opened again.
    """

    def __init__(
        self, composer: AbstractContextManager[object], board: StateBoard, backoff: Backoff
    ) -> None:
        self._composer, self._board, self._backoff = composer, board, backoff
        self._failed = False
        self._retry_s = 0.0

    def attempt(self, compose: Callable[[], Frame]) -> Frame | None:
        """What `compose` returns; None where it failed, or failed a moment ago."""
        if self._failed and time.monotonic() < self._retry_s:
            return None
        try:
            if self._failed:
                self._composer.__exit__(None, None, None)
                self._composer.__enter__()
                self._failed = False
            composed = compose()
        except VcamError as error:
            self._failed = True
            self._retry_s = time.monotonic() + self._backoff.failed()
            self._board.say("compose", EFFECT_FAILED, str(error))
            return None
        self._backoff.worked()
        return composed
