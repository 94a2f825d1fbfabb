"""A scripted source for tests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vcam.frame import Frame
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase


@dataclass(frozen=True, slots=True)
class Wait:
    """Make a read wait for `seconds` before the next step."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Block:
    """Make a read wait until `interrupt`."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """Make a read hang for `seconds` regardless of `interrupt`, as some drivers
    do.
    """

    seconds: float


Step = Frame | Exception | Wait | Block | Deaf


class FakeSource(SourceBase):
    """Follows a script, and ends after its last step.

    Args:
        steps: one per read: a Frame is delivered (with its own matrix; times and index are set), an
            exception is raised, the other types wait.
        open_error: raised when the source is opened.
        refusals: raised one by one by the first attempts to open the source.
        close_error: raised when it is closed.
        live: value of the attribute.
        fps: value of the attribute.

    Attributes:
        opened, closed: how often that happened.
        interrupted: whether it was interrupted.
    """

    on_demand = True

    def __init__(
        self,
        steps: Sequence[Step],
        open_error: Exception | None = None,
        live: bool = False,
        fps: float = 30.0,
        refusals: Sequence[Exception] = (),
        close_error: Exception | None = None,
    ) -> None:
        frames = [step for step in steps if isinstance(step, Frame)]
        size = frames[0].size if frames else (2, 2)
        super().__init__(
            "fake", SourceRequest(size=size, fps=fps), live, None if live else len(frames)
        )
        self._steps = list(steps)
        self._open_error = open_error
        self._refusals = list(refusals)
        self._close_error = close_error
        self.opened = 0
        self.closed = 0

    @property
    def interrupted(self) -> bool:
        return self._stop.is_set()

    def _open(self) -> None:
        self.opened += 1
        if self._open_error is not None:
            raise self._open_error
        if self._refusals:
            raise self._refusals.pop(0)

    def read(self) -> Frame | None:
        """Do the next step, or several if they only wait; None at the end, and after
        `interrupt`.
        """
        while self._steps and not self._stop.is_set():
            step = self._steps.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Frame):
                index = self._next_index()
                pts_ns = self._period_ns(index)
                return replace(step, t_capture_ns=time.monotonic_ns(), index=index, pts_ns=pts_ns)
            if isinstance(step, Deaf):
                time.sleep(step.seconds)
            else:
                self._stop.wait(step.seconds if isinstance(step, Wait) else None)
        return None

    def close(self) -> None:
        """Count the call."""
        self.closed += 1
        if self._close_error is not None:
            raise self._close_error
