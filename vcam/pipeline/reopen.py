"""Parts of a run that are opened again after a failure, all in the same way.

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
    """How long to wait before another try: each failure doubles the wait, good work resets it.

    Args:
        first_s: the shortest wait.
        longest_s: the longest; after good work for twice as long, the next wait is `first_s` again.
        clock: measures good work.
    """

    def __init__(self, first_s: float = 0.25, longest_s: float = 2.0, clock: Clock = CLOCK) -> None:
        self._first_s, self._longest_s, self._clock = first_s, longest_s, clock
        self._wait_s = 0.0
        self._working_since_s: float | None = None

    def worked(self) -> None:
        """It works; may be called as often as one likes."""
        if self._working_since_s is None:
            self._working_since_s = self._clock.now_s()

    def failed(self) -> float:
        """It has just failed; return how many seconds to wait now."""
        since_s, self._working_since_s = self._working_since_s, None
        is_well = since_s is not None and self._clock.now_s() - since_s > 2 * self._longest_s
        if is_well or not self._wait_s:
            self._wait_s = self._first_s
        else:
            self._wait_s = min(2 * self._wait_s, self._longest_s)
        return self._wait_s


class Reopening:
    """Keeps one part at work. Belongs to the thread that uses the part.

    Only a `VcamError` is outlived, and what the machine refuses. Any other exception is a bug and
    goes on to the caller.

    Args:
        stage: the stage of the board that says how the part is.
        state: what the board says while the part is away, with the failure as the reason.
        board: where the state is said.
        backoff: how long the part stays closed after a failure.
        outlives: whether the part is opened again after this failure.
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
        """The part works; may be called as often as one likes."""
        self._backoff.worked()

    def run(
        self,
        part: AbstractContextManager[T],
        work: Callable[[T], object],
        pause: Callable[[float], bool],
    ) -> None:
        """Open the part and work with it; after a failure do so again.

        Args:
            part: closed; it may be opened many times.
            work: called with the open part; the part is done when this returns.
            pause: waits so many seconds; True ends this, too.

        Raises:
            VcamError, OSError, MemoryError: a failure that is not outlived.
        """
        while True:
            done = False
            try:
                with part as opened:
                    work(opened)
                    done = True
            except (VcamError, OSError, MemoryError) as error:
                if done and self._outlives(error):
                    return  # it is as closed as it can be
                if pause(self._failed(error)):
                    return
            else:
                return

    def attempt(self, part: AbstractContextManager[object], work: Callable[[], R]) -> R | None:
        """Work once with a part that is open, without a wait; reopen it first if it failed before.

        Returns:
            What `work` returns; None if it failed, or failed a moment ago.

        Raises:
            VcamError, OSError, MemoryError: a failure that is not outlived.
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
        """Say it on the board and return how long to wait, or raise it."""
        if not self._outlives(error):
            raise error
        reason = error.__cause__ if isinstance(error, StageError) else error
        self._board.say(self._stage, self._state, explained(reason) if reason is not None else "")
        return self._backoff.failed()
