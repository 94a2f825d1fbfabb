"""Parts that fail are opened again, after waits that grow until they work for a while."""

from __future__ import annotations

import pytest

from tests.helpers import SetClock
from vcam.errors import SourceLost
from vcam.monitor import NO_CAMERA, State, StateBoard
from vcam.pipeline.reopen import Backoff, Reopening


def test_waits_double_however_long_an_attempt_takes() -> None:
    clock = SetClock()
    wait = Backoff(0.25, 2.0, clock)
    waits = []
    for _ in range(5):
        clock.s += 10.0  # a camera that opens and then brings nothing
        waits.append(wait.failed())
    assert waits == [0.25, 0.5, 1.0, 2.0, 2.0]


def test_waits_start_small_again_after_good_work_only() -> None:
    clock = SetClock()
    wait = Backoff(0.25, 2.0, clock)
    assert [wait.failed(), wait.failed()] == [0.25, 0.5]
    wait.worked()
    clock.s += 1.0
    wait.worked()
    assert wait.failed() == 1.0
    wait.worked()
    clock.s += 5.0
    wait.worked()
    assert wait.failed() == 0.25


class Part:
    """Fails as it is told to; counts."""

    def __init__(self, *failures: Exception | None) -> None:
        self._failures = list(failures)
        self.opened = self.closed = 0

    def __enter__(self) -> Part:
        self.opened += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1

    def work(self, _: object = None) -> str:
        if self._failures and (failure := self._failures.pop(0)) is not None:
            raise failure
        return "done"


def _reopening(clock: SetClock, board: StateBoard, outlives: bool = True) -> Reopening:
    backoff = Backoff(0.25, 2.0, clock)
    return Reopening("capture", NO_CAMERA, board, backoff, lambda _: outlives, clock)


def test_a_part_is_opened_again_after_growing_waits_until_it_works() -> None:
    clock, board, waits = SetClock(), StateBoard(), list[float]()

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        return False

    part = Part(SourceLost("gone"), SourceLost("still gone"), SourceLost("still gone"))
    done: list[str] = []
    _reopening(clock, board).run(part, lambda open_part: done.append(open_part.work()), pause)
    assert (waits, done) == ([0.25, 0.5, 1.0], ["done"])
    assert (part.opened, part.closed) == (4, 4)
    assert board.now == State("no camera", "still gone")


def test_a_part_is_given_up_when_the_run_ends_while_it_is_away() -> None:
    part = Part(SourceLost("gone"))
    _reopening(SetClock(), StateBoard()).run(part, part.work, lambda _: True)
    assert (part.opened, part.closed) == (1, 1)


@pytest.mark.parametrize("error", [SourceLost("gone"), IndexError("a bug")])
def test_what_is_not_outlived_is_raised(error: Exception) -> None:
    part = Part(error)
    outlives = not isinstance(error, SourceLost)
    with pytest.raises(type(error)):
        _reopening(SetClock(), StateBoard(), outlives).run(part, part.work, lambda _: False)
    with pytest.raises(type(error)):
        _reopening(SetClock(), StateBoard(), outlives).attempt(part, Part(error).work)
    assert (part.opened, part.closed) == (1, 1)


def test_an_attempt_never_waits_and_opens_again_when_the_time_has_come() -> None:
    clock, board = SetClock(), StateBoard()
    again, part = _reopening(clock, board), Part(None, SourceLost("gone"))
    with part:
        assert again.attempt(part, part.work) == "done"
        assert again.attempt(part, part.work) is None
        assert again.attempt(part, part.work) is None
        assert (part.opened, clock.waits) == (1, [])
        clock.s += 0.3
        assert again.attempt(part, part.work) == "done"
    assert (part.opened, part.closed) == (2, 2)
