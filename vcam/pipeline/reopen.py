"""Reopen parts of a run after a failure, all in the same way.

A part is a context manager: the source, the engine, the face engine, the effects, the sink.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from vcam.clock import CLOCK, Clock
from vcam.errors import MachineError, StageError, VcamError, explained
from vcam.monitor import StateBoard

T = TypeVar("T")
R = TypeVar("R")


class Backoff:
    """Waiting times before retries: each failure doubles the wait, success resets it.

    Args:
        first_s: the shortest wait.
        longest_s: the longest wait; after success for twice as long, the next wait is `first_s`
            again.
        clock: measures the time since a success.
    """

    def __init__(self, first_s: float = 0.25, longest_s: float = 2.0, clock: Clock = CLOCK) -> None:
        self._first_s, self._longest_s, self._clock = first_s, longest_s, clock
        self._wait_s = 0.0
        self._working_since_s: float | None = None

    def worked(self) -> None:
        """Record success; may be called any number of times."""
        if self._working_since_s is None:
            self._working_since_s = self._clock.now_s()

    def failed(self) -> float:
        """Record a failure; return how many seconds to wait."""
        since_s, self._working_since_s = self._working_since_s, None
        is_well = since_s is not None and self._clock.now_s() - since_s > 2 * self._longest_s
        if is_well or not self._wait_s:
            self._wait_s = self._first_s
        else:
            self._wait_s = min(2 * self._wait_s, self._longest_s)
        return self._wait_s


class Reopening:
    """Reopens one part after failures. Used by the thread that uses the part.

    Only a `VcamError` and errors of the machine are recoverable. Any other exception is a bug and
    is passed to the caller.

    Args:
        stage: the stage on the board that reports the part's state.
        state: the reported state while the part is unavailable; the failure is the reason.
        board: receives the state.
        backoff: how long the part stays closed after a failure.
        outlives: whether a failure is recoverable.
        clock: for waits.
    """

    def __init__(
        self,
        stage: str,
        state: str,
        board: StateBoard,
        backoff: Backoff,
        outlives: Callable[[VcamError | MachineError], bool],
        clock: Clock = CLOCK,
    ) -> None:
        self._stage, self._state, self._board = stage, state, board
        self._backoff, self._outlives, self._clock = backoff, outlives, clock
        self._due_s: float | None = None

    def worked(self) -> None:
        """Record that the part works; may be called any number of times."""
        self._backoff.worked()

    def run(
        self,
        part: AbstractContextManager[T],
        work: Callable[[T], object],
        pause: Callable[[float], bool],
    ) -> None:
        """Open the part and work with it; after a failure, repeat.

        Args:
            part: closed; it may be opened many times.
            work: called with the open part; the part is done when it returns.
            pause: waits this many seconds; returns True to give up.

        Raises:
            VcamError, OSError, MemoryError: a failure that is not recoverable.
        """
        while True:
            done = False
            try:
                with part as opened:
                    work(opened)
                    done = True
            except (VcamError, OSError, MemoryError) as error:
                if done and self._outlives(error):
                    return  # closing it again is not possible
                if pause(self._failed(error)):
                    return
            else:
                return

    def attempt(self, part: AbstractContextManager[object], work: Callable[[], R]) -> R | None:
        """Work once with an open part, without waiting; reopen it first if it failed before.

        Returns:
            The result of `work`; None if it failed, or failed a moment ago.

        Raises:
            VcamError, OSError, MemoryError: a failure that is not recoverable.
        """
        if self._due_s is not None and self._clock.now_s() < self._due_s:
            return None
        try:
            if self._due_s is not None:
                part.__exit__(None, None, None)
                part.__enter__()
                self._due_s = None
            done = work()
        except (VcamError, OSError, MemoryError) as error:
            self._due_s = self._clock.now_s() + self._failed(error)
            return None
        self.worked()
        return done

    def _failed(self, error: VcamError | MachineError) -> float:
        """Report it on the board and return how long to wait, or raise it."""
        if not self._outlives(error):
            raise error
        reason = error.__cause__ if isinstance(error, StageError) else error
        self._board.say(self._stage, self._state, explained(reason) if reason is not None else "")
        return self._backoff.failed()
