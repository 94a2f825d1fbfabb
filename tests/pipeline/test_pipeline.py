"""Threads, hand-overs, failures and ends of the pipeline, with the package's own fakes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.helpers import SIZE, frame_of, pipeline_of, room_is_hidden
from vcam.backends.fake import FakeBackend
from vcam.errors import EngineError, SinkError, SinkLost, SourceLost, StageError, UsageError
from vcam.frame import Frame, Matrix
from vcam.pipeline.card import make_card
from vcam.pipeline.pipeline import PipelineConfig
from vcam.sinks.recording import RecordingSink
from vcam.sources.memory import MemorySource


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        left = [thread.name for thread in threading.enumerate() if thread.name.startswith("vcam-")]
        if not left:
            return
        threading.Event().wait(0.02)
    pytest.fail(f"threads left: {left}")


class BrokenSource(MemorySource):
    """Breaks off after `good` frames; with `error` None it blocks there until it is interrupted."""

    def __init__(self, good: int, error: Exception | None, live: bool = False) -> None:
        super().__init__([frame_of()], fps=100, live=live)
        self._good, self._error = good, error

    def read(self) -> Frame | None:
        if self._next < self._good:
            return super().read()
        if self._error is not None:
            raise self._error
        self._interrupted.wait(60)
        return None


def _is_card(frame: Frame) -> bool:
    card = make_card(SIZE, Matrix.BT601, "")
    return bool(
        (frame.u == 128).all()
        and (frame.v == 128).all()
        and np.median(frame.y) == np.median(card.y)
    )


def test_a_file_loses_no_frame_and_keeps_their_order() -> None:
    sink = RecordingSink()
    frames = [frame_of(person=(level, level, level)) for level in range(20, 220, 10)]
    final = pipeline_of(MemorySource(frames), sink, config=PipelineConfig(max_frames=20)).run()
    assert final.frames == 20
    assert final.drops == {}
    assert [f.index for f in sink.frames] == list(range(20))
    lumas = [int(f.y[SIZE[1] // 2, SIZE[0] // 2]) for f in sink.frames]
    assert lumas == sorted(lumas)
    assert len(set(lumas)) == 20
    assert set(final.stages) == {"capture", "infer", "refine", "effects", "send"}


def test_each_frame_is_composed_with_its_own_matte() -> None:
    """The engine calls bright pixels person; a matte of another frame would let the sentinel room
    through.
    """
    width, height = SIZE
    frames = []
    for step in range(30):
        picture = np.full((height, width, 3), (200, 0, 200), np.uint8)
        left = step * 4
        picture[:, left : left + 32] = 255
        frames.append(picture)

    def bright(image: np.ndarray) -> np.ndarray:
        return np.where(image.min(axis=2) > 128, 255, 0).astype(np.uint8)

    from vcam.colour import from_rgb

    sink = RecordingSink()
    source = MemorySource([from_rgb(picture, Matrix.BT601) for picture in frames])
    backend = FakeBackend(bright, size=(96, 160))
    pipeline_of(source, sink, ("color:#000000",), backend, PipelineConfig(max_frames=30)).run()
    for step, frame in enumerate(sink.frames):
        left = step * 4
        assert frame.y[height // 2, left + 16] > 200
        room = np.delete(frame.y, np.s_[max(0, left - 10) : left + 42], axis=1)
        assert room.max() < 40


def test_live_drops_by_newest_wins_and_counts() -> None:
    def slow(image: np.ndarray) -> np.ndarray:
        threading.Event().wait(0.03)
        return np.zeros(image.shape[:2], np.uint8)

    sink = RecordingSink()
    source = MemorySource([frame_of()], fps=200, live=True)
    config = PipelineConfig(max_frames=60)
    final = pipeline_of(source, sink, backend=FakeBackend(slow), config=config).run()
    assert 0 < final.frames < 40
    assert final.drops["engine busy"] + final.frames == 60
    indices = [f.index for f in sink.frames]
    assert indices == sorted(indices)
    assert indices[-1] == 59


def test_a_still_engine_means_the_last_picture_and_then_a_card_but_never_the_room() -> None:
    backend = FakeBackend(stall_at=6)  # run 0 is the warm-up
    sink = RecordingSink(live=True, size=SIZE, matrix=Matrix.BT601)
    source = MemorySource([frame_of()], fps=100, live=True)
    pipeline = pipeline_of(source, sink, backend=backend, config=PipelineConfig(card_after_s=0.3))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pipeline.run)
        assert sink.wait_for(60, 10)
        pipeline.stop()
        backend.release.set()
        running.result(10)
    assert all(room_is_hidden(frame) for frame in sink.frames)
    kinds = [_is_card(frame) for frame in sink.frames]
    first_picture = kinds.index(False)
    assert kinds[first_picture : first_picture + 5] == [False] * 5
    assert kinds[-1]
    assert True in kinds[first_picture:-2]


def test_a_live_sink_has_a_card_before_the_first_matte() -> None:
    backend = FakeBackend(stall_at=0)
    sink = RecordingSink(live=True, size=SIZE, matrix=Matrix.BT601)
    pipeline = pipeline_of(MemorySource([frame_of()], fps=50, live=True), sink, backend=backend)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pipeline.run)
        assert sink.wait_for(3, 10)
        assert all(_is_card(frame) for frame in sink.frames)
        backend.release.set()
        assert sink.wait_for(30, 10)
        pipeline.stop()
        running.result(10)
    assert not all(_is_card(frame) for frame in sink.frames)
    assert _is_card(sink.frames[-1])


@pytest.mark.parametrize(
    ("stage", "live"), [("capture", False), ("infer", False), ("compose", False), ("capture", True)]
)
def test_the_first_failure_is_raised_with_its_stage_and_cause_and_no_room_is_sent(
    stage: str, live: bool
) -> None:
    source = (
        BrokenSource(5, SourceLost("cam: unplugged; plug it in")) if stage == "capture" else None
    )
    backend = FakeBackend(fail_at=5 if stage == "infer" else None)
    sink = RecordingSink(
        live=live, size=SIZE, matrix=Matrix.BT601, fail_at=5 if stage == "compose" else None
    )
    expected = {"capture": SourceLost, "infer": EngineError, "compose": SinkLost}[stage]
    with pytest.raises(StageError) as caught:
        pipeline_of(source or MemorySource([frame_of()]), sink, backend=backend).run()
    assert caught.value.stage == stage
    assert isinstance(caught.value.__cause__, expected)
    assert str(caught.value.__cause__) in str(caught.value)
    assert sink.error is caught.value
    assert sink.closed == 1
    assert not backend.open
    assert all(room_is_hidden(frame) for frame in sink.frames)


def test_a_failure_that_is_no_vcam_error_is_raised_too() -> None:
    with pytest.raises(StageError, match=r"capture: .*division") as caught:
        pipeline_of(BrokenSource(2, ZeroDivisionError("division")), RecordingSink()).run()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_sink_that_does_not_open_starts_nothing() -> None:
    backend = FakeBackend()
    source = MemorySource([frame_of()])
    with pytest.raises(SinkError, match="told not to open"):
        pipeline_of(source, RecordingSink(fail_on_open=True), backend=backend).run()
    assert backend.runs == 0
    assert source._next == 0


def test_the_source_opens_after_the_engine() -> None:
    order: list[str] = []

    class Source(MemorySource):
        def __enter__(self) -> Source:
            order.append("source")
            super().__enter__()
            return self

    class Engine(FakeBackend):
        def __enter__(self) -> Engine:
            time.sleep(0.1)
            super().__enter__()
            order.append("engine")
            return self

    class Sink(RecordingSink):
        def __enter__(self) -> Sink:
            order.append("sink")
            super().__enter__()
            return self

    pipeline_of(
        Source([frame_of()]), Sink(), backend=Engine(), config=PipelineConfig(max_frames=2)
    ).run()
    assert order == ["sink", "engine", "source"]


def test_an_engine_runs_in_one_thread_only_and_not_in_the_main_one() -> None:
    backend = FakeBackend()
    pipeline_of(
        MemorySource([frame_of()]),
        RecordingSink(),
        backend=backend,
        config=PipelineConfig(max_frames=9),
    ).run()
    assert len(backend.threads) == 1
    assert threading.get_ident() not in backend.threads


def test_no_engine_runs_when_no_effect_looks_at_a_matte() -> None:
    backend = FakeBackend()
    sink = RecordingSink()
    pipeline_of(
        MemorySource([frame_of()]), sink, ("none",), backend, PipelineConfig(max_frames=3)
    ).run()
    assert backend.runs == 0
    assert (sink.frames[0].data == frame_of().data).all()


def test_stop_finishes_what_was_captured() -> None:
    sink = RecordingSink()
    pipeline = pipeline_of(BrokenSource(7, None), sink)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pipeline.run)
        assert sink.wait_for(7, 10)
        pipeline.stop()
        assert running.result(5).frames == 7
    assert sink.error is None


@pytest.mark.parametrize("what", ["source", "engine", "sink"])
def test_stop_is_bounded_whatever_hangs(what: str) -> None:
    backend = FakeBackend(stall_at=4 if what == "engine" else None)
    sink = RecordingSink(
        live=True, size=SIZE, matrix=Matrix.BT601, block_at=4 if what == "sink" else None
    )
    source = (
        BrokenSource(4, None, live=True)
        if what == "source"
        else MemorySource([frame_of()], live=True)
    )
    pipeline = pipeline_of(source, sink, backend=backend, config=PipelineConfig(stop_s=0.5))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pipeline.run)
        assert sink.wait_for(3, 10)
        pipeline.stop()
        running.result(30)  # what hangs goes on for longer
    backend.release.set()
    assert sink.closed == 1


def test_a_file_is_shown_in_real_time_to_a_live_sink() -> None:
    sink = RecordingSink(live=True, size=SIZE, matrix=Matrix.BT601)
    source = MemorySource([frame_of()], fps=50)
    start = time.monotonic()
    final = pipeline_of(source, sink, config=PipelineConfig(max_frames=26)).run()
    assert time.monotonic() - start >= 0.5
    assert final.latency.p50_ms < 400


def test_a_pipeline_runs_beside_its_caller_and_is_stopped_at_the_end_of_its_block() -> None:
    sink = RecordingSink()
    with pipeline_of(BrokenSource(7, None), sink) as pipeline:
        assert pipeline.wait(0.01) is None
        assert sink.wait_for(7, 10)
        assert pipeline.snapshot.frames >= 6
    assert sink.closed == 1
    final = pipeline.wait()
    assert final is not None
    assert final.frames == 7


def test_waiting_raises_what_failed_and_a_pipeline_runs_once() -> None:
    pipeline = pipeline_of(BrokenSource(2, SourceLost("cam: gone")), RecordingSink())
    with pytest.raises(UsageError, match="not started"):
        pipeline.wait()
    pipeline.start()
    for _ in range(2):
        with pytest.raises(StageError, match="cam: gone"):
            pipeline.wait(10)
    with pytest.raises(UsageError, match="runs once"):
        pipeline.start()


def test_an_error_in_the_block_is_not_hidden_by_one_of_the_run() -> None:
    def block() -> None:
        sink = RecordingSink(fail_at=1)
        with pipeline_of(MemorySource([frame_of()]), sink):
            assert sink.wait_for(1, 10)
            raise KeyError

    with pytest.raises(KeyError):
        block()


NO_MATTE = """
import sys
from tests.helpers import frame_of
from vcam.effects import make_effect
from vcam.effects.composer import Composer
from vcam.errors import MatteMissing, VcamError
from vcam.frame import Matte
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig
from vcam.monitor import Stats
from vcam.pipeline.stages import Inferred

frame = frame_of()
effects = [make_effect("color:#203040")]
refused = 0
with Composer(effects, RefineConfig(), Stats(), transparent=False, live=True) as composer:
    for pyramid in (None, Pyramid.of(frame)):
        for give in (
            lambda: composer.compose(frame, pyramid, None),
            lambda: Inferred(frame, 1, composer, pyramid, None),
        ):
            try:
                give()
            except MatteMissing as error:
                refused += not isinstance(error, VcamError)
print(refused)
"""


@pytest.mark.parametrize("flags", [[], ["-O"], ["-OO"]])
def test_a_frame_without_its_matte_is_refused_in_optimised_programs_too(flags: list[str]) -> None:
    command = [sys.executable, *flags, "-c", NO_MATTE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "4\n"
