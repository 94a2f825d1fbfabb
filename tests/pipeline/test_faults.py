"""Every stage raises at every frame: nothing raw leaves, live runs go on, and every run ends.

`VCAM_THOROUGH=1` tries every kind of exception at 50 frames instead of a few.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.helpers import SIZE, frame_of, room_is_hidden
from vcam.backends.fake import FakeBackend
from vcam.effects.room import Color
from vcam.errors import EngineError, SinkLost, SourceLost, StageError, VcamError
from vcam.frame import Frame, Matrix
from vcam.matting.matter import Matter
from vcam.pipeline.pipeline import Parts, Pipeline, PipelineConfig
from vcam.sinks.recording import RecordingSink
from vcam.sources.base import SourceRequest
from vcam.sources.memory import MemorySource

pytestmark = pytest.mark.slow
THOROUGH = bool(os.environ.get("VCAM_THOROUGH"))
QUICK = PipelineConfig(card_after_s=0.05, retry_s=0.01, longest_retry_s=0.02, stop_s=1.0)
STAGES = ("source", "engine", "effect", "sink")
OWN = {"source": SourceLost, "engine": EngineError, "effect": SourceLost, "sink": SinkLost}


class Odd(BaseException):
    """An exception of a kind that nobody expects."""


KINDS: dict[str, Callable[[], BaseException]] = {
    "no files": lambda: OSError(errno.EMFILE, "Too many open files"),
    "no memory": MemoryError,
    "bug": lambda: IndexError("tuple index out of range"),
    "empty": RuntimeError,
    "exit": lambda: SystemExit(0),
    "interrupt": KeyboardInterrupt,
    "generator": GeneratorExit,
    "recursion": RecursionError,
    "odd": Odd,
}
PASSING = ("own", "no files", "no memory")
"""What a live run outlives, wherever it happens except in the sink."""


@dataclass
class Fault:
    """Raises once, at the count-th call; or at every call from then on."""

    make: Callable[[], BaseException]
    at: int
    calls: int = 0
    raised: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> None:
        with self.lock:
            self.calls += 1
            if self.calls != self.at:
                return
            self.raised += 1
        raise self.make()


class FaultySource(MemorySource):
    def __init__(self, fault: Fault, live: bool) -> None:
        super().__init__([frame_of()], fps=200, live=live)
        self._fault = fault

    def read(self) -> Frame | None:
        self._fault()
        return super().read()


class FaultyBackend(FakeBackend):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self._fault = fault

    def run(self, inputs: Any) -> Any:
        self._fault()
        return super().run(inputs)


class FaultyEffect(Color):
    def __init__(self, fault: Fault) -> None:
        super().__init__((0, 0, 0))
        self._fault = fault

    def apply(self, scene: Any) -> Frame:
        self._fault()
        return super().apply(scene)


class FaultySink(RecordingSink):
    def __init__(self, fault: Fault, live: bool) -> None:
        super().__init__(live=live, size=SIZE, matrix=Matrix.BT601)
        self._fault = fault

    def send(self, frame: Frame) -> None:
        self._fault()
        super().send(frame)


def _nothing() -> Fault:
    return Fault(RuntimeError, -1)


def run_with(stage: str, fault: Fault, live: bool, frames: int) -> tuple[str, RecordingSink]:
    """How a run with that fault in that stage ends: "outlived", "ended" or an error's name."""
    faults = {name: fault if name == stage else _nothing() for name in STAGES}
    sink = FaultySink(faults["sink"], live)
    pipeline = Pipeline(
        Parts(
            make_source=lambda _: FaultySource(faults["source"], live),
            request=SourceRequest(),
            matter=Matter(FaultyBackend(faults["engine"])),
            effects=[FaultyEffect(faults["effect"])],
            sink=sink,
        ),
        QUICK,
    )

    def stop_in_time(_: object, now: Any) -> None:
        if now.frames >= frames:
            pipeline.stop()

    deadline = threading.Timer(60, pipeline.stop)
    deadline.start()
    try:
        pipeline.run(stop_in_time)
    except StageError as error:
        if not (str(error).isprintable() and str(error).partition(": ")[2]):
            return f"no clear line: {error!r}", sink
        return type(error.__cause__).__name__, sink
    except VcamError as error:
        return type(error).__name__, sink
    finally:
        assert deadline.is_alive(), "the run did not end"
        deadline.cancel()
    return "outlived" if fault.raised else "ended", sink


@pytest.fixture(scope="module")
def tried() -> Iterator[Counter[str]]:
    """What was tried, printed at the end (pytest -s)."""
    counts: Counter[str] = Counter()
    yield counts
    sys.stdout.write(f"\nfault injection: {dict(counts)}\n")


@pytest.mark.parametrize("live", [True, False], ids=["live", "file"])
@pytest.mark.parametrize("kind", ["own", *KINDS])
@pytest.mark.parametrize("stage", STAGES)
def test_nothing_raw_leaves_whatever_fails_and_wherever(
    stage: str, kind: str, live: bool, tried: Counter[str]
) -> None:
    make = KINDS.get(kind, lambda: OWN[stage](f"{stage}: fails as asked"))
    for at in range(1, 51) if THOROUGH else (1, 4):
        fault = Fault(make, at)
        how, sink = run_with(stage, fault, live, frames=at + 3 if live else 0)
        tried["runs"] += 1
        tried["frames looked at"] += len(sink.frames)
        assert all(room_is_hidden(frame) for frame in sink.frames), (at, how)
        assert fault.raised == 1, (at, how)
        assert "no clear line" not in how
        opens = stage == "engine" and at == 1  # it runs once while it is opened
        if live and not opens and (kind in PASSING if stage != "sink" else kind == "own"):
            assert how == "outlived", (at, how)
            tried["outlived"] += 1
        elif not (live and stage == "sink"):
            assert how != "outlived", (at, how)
            tried["ended with the reason"] += 1
