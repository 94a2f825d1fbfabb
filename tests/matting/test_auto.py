"""The engine that chooses itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.catalogues import spec_of
from vcam.backends.fake import FakeBackend
from vcam.catalogue import EngineSpec
from vcam.errors import EngineError
from vcam.frame import Frame, Matrix
from vcam.matting.auto import AutoMatter, Candidate, quality_of
from vcam.matting.pyramid import Pyramid


class _Machine:
    """Engines that take the time they are given, on a clock that only they move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[tuple[str, FakeBackend]] = []
        self.slower = 1.0

    def candidate(
        self, name: str, quality: float, taken_s: float, broken: bool = False
    ) -> Candidate:
        def rule(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
            self.now += taken_s * self.slower
            return np.zeros(image.shape[:2], np.uint8)

        def make() -> FakeBackend:
            self.made.append((name, FakeBackend(rule, refuse=range(9) if broken else ())))
            return self.made[-1][1]

        return Candidate(name, quality, make)

    @property
    def open(self) -> list[str]:
        return [name for name, backend in self.made if backend.open]


@pytest.fixture
def machine() -> _Machine:
    return _Machine()


def _auto(machine: _Machine, fps: float | None = 30, **taken_ms: float) -> AutoMatter:
    """Engines by name, the best first."""
    candidates = [
        machine.candidate(name, 1 - place / 10, taken / 1e3)
        for place, (name, taken) in enumerate(taken_ms.items())
    ]
    return AutoMatter(candidates[::-1], (64, 64), fps, lambda: machine.now)


def test_more_threads_are_tried_before_an_engine_of_lower_quality(machine: _Machine) -> None:
    candidates = [
        machine.candidate("good", 0.9, 0.030),
        machine.candidate("good, 2 threads", 0.9, 0.018),
        machine.candidate("small", 0.8, 0.005),
    ]
    with AutoMatter(candidates, (64, 64), 30, lambda: machine.now) as auto:
        assert machine.open == ["good, 2 threads"]
        assert "good, 2 threads" in str(auto.about()["choice"])


def _frame() -> tuple[Frame, Pyramid]:
    frame = Frame.empty((64, 64), Matrix.BT709)
    frame.data[:] = 128
    return frame, Pyramid.of(frame)


@pytest.mark.parametrize(
    ("fps", "taken_ms", "chosen"),
    [
        (30, {"large": 22, "middle": 20, "small": 2}, "large"),  # two thirds of 33 ms are 22.2
        (30, {"large": 23, "middle": 20, "small": 2}, "middle"),
        (60, {"large": 23, "middle": 20, "small": 2}, "small"),
        (30, {"large": 90, "middle": 40, "small": 60}, "middle"),  # none fits: the fastest
        (None, {"large": 90, "middle": 40, "small": 2}, "large"),  # a file may take its time
    ],
)
def test_the_best_that_leaves_a_third_in_reserve(
    machine: _Machine, fps: float | None, taken_ms: dict[str, float], chosen: str
) -> None:
    with _auto(machine, fps, **taken_ms) as matter:
        assert machine.open == [chosen]
        assert str(matter.about()["choice"]).startswith(f"auto: {chosen}, ")
        assert matter.matte(*_frame()).alpha.shape == (64, 64)
        assert machine.now < 2
    assert machine.open == []


def test_an_engine_that_does_not_open_is_passed_over(machine: _Machine) -> None:
    broken = machine.candidate("broken", 0.9, 0.001, broken=True)
    sound = machine.candidate("sound", 0.8, 0.001)
    with AutoMatter([broken, sound], (64, 64), 30, lambda: machine.now):
        assert machine.open == ["sound"]
    with pytest.raises(EngineError, match="fake engine"), AutoMatter([broken], (64, 64), 30):
        pass


def test_it_steps_down_after_five_seconds_of_drops_and_never_up(machine: _Machine) -> None:
    dropped = 0

    def drop(matter: AutoMatter, seconds: float, per_second: int = 4) -> None:
        nonlocal dropped
        for _ in range(round(seconds * per_second)):
            machine.now += 1 / per_second
            dropped += 1
            matter.notice_drops(dropped)

    with _auto(machine, large=15, middle=10, small=2) as matter:
        drop(matter, 4.5)
        machine.now += 2  # calm
        drop(matter, 4.5)
        assert machine.open == ["large"]
        drop(matter, 1)
        assert machine.open == ["middle"]
        drop(matter, 4)
        assert machine.open == ["middle"]
        drop(matter, 2)
        assert machine.open == ["small"]
        drop(matter, 20)
        machine.now += 1000
        matter.notice_drops(dropped)
        assert machine.open == ["small"]
        assert "frames were dropped" in str(matter.about()["choice"])
    with matter:  # opened again after a failure of the engine
        assert machine.open == ["small"]


def test_a_slower_engine_does_not_take_over(machine: _Machine) -> None:
    with _auto(machine, large=15, worse=18) as matter:
        for second in range(20):
            machine.now += 0.5
            matter.notice_drops(second)
        assert machine.open == ["large"]


def test_quality_is_compared_on_shared_sets(spec: Callable[..., EngineSpec]) -> None:
    one = spec("one", {"person/ccp": 0.9, "person/wild": 0.6})
    two = spec("two", {"person/ccp": 0.95})
    assert quality_of([one, two]) == {"one_fp32": 0.9, "two_fp32": 0.95}
    assert quality_of([one, two, spec("three", {})]) == dict.fromkeys(
        ("one_fp32", "two_fp32", "three_fp32"), 0.0
    )


@pytest.fixture
def spec(tmp_path: object) -> Callable[..., EngineSpec]:
    from dataclasses import replace
    from pathlib import Path

    def make(name: str, iou: dict[str, float]) -> EngineSpec:
        path = Path(str(tmp_path)) / f"{name}_fp32.onnx"
        path.write_bytes(b"")
        rows = [{"set": key, "metric": "iou", "mean": value} for key, value in iou.items()]
        return replace(spec_of(path), name=f"{name}_fp32", about={"quality": rows})

    return make
