"""States, counters and percentiles."""

from __future__ import annotations

import time

import pytest

from vcam.monitor import Percentiles, State, StateBoard, Stats


def test_percentiles_of_known_durations() -> None:
    times = Percentiles.of_ns([n * 1_000_000 for n in range(1, 101)])
    assert times.p50_ms == pytest.approx(50.5)
    assert times.p95_ms == pytest.approx(95.05)
    assert times.p99_ms == pytest.approx(99.01)
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


def test_a_run_is_starting_until_all_its_stages_run() -> None:
    board = StateBoard()
    assert board.now == State("starting")
    for stage in ("capture", "infer", "compose"):
        board.say(stage, "starting")
    for stage in ("compose", "capture"):
        board.say(stage, "running")
        assert board.now.name == "starting"
    board.say("infer", "running")
    assert board.now == State("running")


@pytest.mark.parametrize(
    "name", ["idle", "waiting", "effect failed", "no camera", "no engine", "no sink"]
)
def test_what_is_wrong_is_told_with_its_reason_until_it_is_over(name: str) -> None:
    stats = Stats()
    stats.board.say("infer", "running")
    stats.board.say("capture", name, "because")
    assert stats.snapshot().state == State(name, "because")
    assert stats.snapshot().to_dict()["state"] == {"name": name, "reason": "because"}
    assert str(stats.board.now) == f"{name}: because"
    stats.board.say("capture", "running")
    assert stats.board.now == State("running")


def test_the_more_serious_trouble_is_told() -> None:
    board = StateBoard()
    board.say("compose", "no sink", "removed")
    board.say("capture", "no camera", "unplugged")
    assert board.now == State("no sink", "removed")
    assert not board.now.healthy
    assert State("idle").healthy
