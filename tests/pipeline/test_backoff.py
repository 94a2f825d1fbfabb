"""Waits grow until something works for a while."""

from __future__ import annotations

import pytest

from vcam.pipeline.backoff import Backoff


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now_s = [100.0]
    monkeypatch.setattr("vcam.pipeline.backoff.time.monotonic", lambda: now_s[0])
    return now_s


def test_waits_double_however_long_an_attempt_takes(clock: list[float]) -> None:
    wait = Backoff(0.25, 2.0)
    waits = []
    for _ in range(5):
        clock[0] += 10.0  # a camera that opens and then brings nothing
        waits.append(wait.failed())
    assert waits == [0.25, 0.5, 1.0, 2.0, 2.0]


def test_waits_start_small_again_after_good_work_only(clock: list[float]) -> None:
    wait = Backoff(0.25, 2.0)
    assert [wait.failed(), wait.failed()] == [0.25, 0.5]
    wait.worked()
    clock[0] += 1.0
    wait.worked()
    assert wait.failed() == 1.0
    wait.worked()
    clock[0] += 5.0
    wait.worked()
    assert wait.failed() == 0.25
