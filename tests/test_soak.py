"""A short soak: nothing is left behind. The long one is `python -m benchmarks.soak`."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.soak import Soak
from vcam.backends.fake import FakeBackend
from vcam.matting.matter import Matter

pytestmark = pytest.mark.slow


@pytest.fixture
def soak() -> Soak:
    return Soak(lambda: Matter(FakeBackend()), (160, 96), "color:#203040", lambda _: None)


def assert_nothing_is_left(report: dict[str, Any], growth_mb: float) -> None:
    before, after = report["resident_mb_before_after"]
    assert after - before < growth_mb
    for what in ("threads", "descriptors"):
        assert report[f"{what}_before_after"][0] == report[f"{what}_before_after"][1], what


def test_starting_and_stopping(soak: Soak) -> None:
    assert_nothing_is_left(soak.start_and_stop(10), 20)


def test_a_camera_that_comes_and_goes(soak: Soak) -> None:
    report = soak.replug(20)
    assert report["cycles"] >= 20
    assert report["frames"] >= 20
    assert_nothing_is_left(report, 20)


def test_frames(soak: Soak) -> None:
    report = soak.frames(500)
    assert report["frames"] == 500
    assert_nothing_is_left(report, 40)


def test_the_counters_of_many_frames(soak: Soak) -> None:
    assert_nothing_is_left(soak.bookkeeping(20_000), 5)
