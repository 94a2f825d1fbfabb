"""Waits grow until something works for a while."""

from __future__ import annotations

from tests.helpers import SetClock
from vcam.pipeline.reopen import Backoff


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
