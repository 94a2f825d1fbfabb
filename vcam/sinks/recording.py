"""A sink for tests: keeps its frames, and fails or hangs on request."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from threading import Condition
from types import TracebackType
from typing import Self

from vcam.errors import SinkError, SinkLost
from vcam.frame import Frame, Matrix, Size


class RecordingSink:
    """Keeps a copy of every frame. Any thread may read, wait and close.

    Args:
        live, size, matrix, alpha: see `Sink`.
        fail_at: the frame, counted from 0, whose `send` raises SinkLost; also all later ones.
        block_at: the frame whose `send` does not return before `close`.
        fail_on_open: `__enter__` raises SinkError.
        lose_at: the frames, counted from 0, whose first `send` raises SinkLost.
        refuse: the openings, counted from 0, that raise SinkError.

    Attributes:
        frames: uint8 planes as in `Frame`; copies, oldest first.
        opened, closed: how often each happened; only the first `close` after opening counts.
        error: the exception given to `__exit__`.
    """

    def __init__(
        self,
        *,
        live: bool = False,
        size: Size | None = None,
        matrix: Matrix | None = None,
        alpha: bool = False,
        fail_at: int | None = None,
        block_at: int | None = None,
        fail_on_open: bool = False,
        lose_at: Collection[int] = (),
        refuse: Collection[int] = (),
    ) -> None:
        self.name = "recording"
        self.live = live
        self.size = size
        self.matrix = matrix
        self.alpha = alpha
        self.frames: list[Frame] = []
        self.opened = 0
        self.closed = 0
        self.error: BaseException | None = None
        self._fail_at = fail_at
        self._block_at = block_at
        self._fail_on_open = fail_on_open
        self._lose_at = set(lose_at)
        self._refuse = refuse
        self._openings = 0
        self._open = False
        self._changed = Condition()

    def __enter__(self) -> Self:
        """Open.

        Raises:
            SinkError: `fail_on_open`, or an opening that is to be refused.
        """
        opening, self._openings = self._openings, self._openings + 1
        if self._fail_on_open or opening in self._refuse:
            raise SinkError("recording: told not to open")
        with self._changed:
            self.opened += 1
            self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.error = error
        self.close()

    def send(self, frame: Frame) -> None:
        """Keep a copy.

        Raises:
            SinkLost: it is not open, or should fail at this frame.
        """
        with self._changed:
            if self._block_at is not None and len(self.frames) >= self._block_at:
                self._changed.wait_for(lambda: not self._open)
            if not self._open:
                raise SinkLost("recording: not open")
            if self._fail_at is not None and len(self.frames) >= self._fail_at:
                raise SinkLost(f"recording: told to fail at frame {self._fail_at}")
            if len(self.frames) in self._lose_at:
                self._lose_at.remove(len(self.frames))
                raise SinkLost(f"recording: told to be lost at frame {len(self.frames)}")
            alpha = None if frame.alpha is None else frame.alpha.copy()
            self.frames.append(replace(frame, data=frame.data.copy(), alpha=alpha))
            self._changed.notify_all()

    def wait_for(self, frames: int, timeout_s: float) -> bool:
        """Wait until this many frames were sent; False if time runs out first."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.frames) >= frames, timeout_s)

    def close(self) -> None:
        """Close, and release a blocked `send`."""
        with self._changed:
            self.closed += self._open
            self._open = False
            self._changed.notify_all()
