"""Counters and percentiles."""

from __future__ import annotations

import time

import pytest

from vcam.stats import Percentiles, Stats


def test_percentiles_of_known_durations() -> None:
    times = Percentiles.of_ns([n * 1_000_000 for n in range(1, 101)])
    assert times.p50_ms == pytest.approx(50.5)
    assert times.p95_ms == pytest.approx(95.05)
    assert Percentiles.of_ns([]) == Percentiles(0, 0, 0)


def test_snapshot_counts_frames_repeats_and_drops() -> None:
    stats = Stats()
    captured = time.monotonic_ns() - 20_000_000
    stats.sent(captured)
    stats.sent(captured)
    stats.repeated()
    stats.set_drops("engine busy", 3)
    stats.set_drops("compose busy", 0)
    with stats.stage("infer"):
        pass
    now = stats.snapshot()
    assert (now.frames, now.repeated, now.drops) == (2, 1, {"engine busy": 3})
    assert now.latency.p50_ms >= 20
    assert set(now.stages) == {"infer"}
    assert now.fps > 0
    assert stats.busy_s() >= 0.02


def test_a_stage_that_raises_is_not_timed() -> None:
    stats = Stats()
    with pytest.raises(ValueError, match="x"), stats.stage("infer"):
        raise ValueError("x")
    assert stats.snapshot().stages == {}
