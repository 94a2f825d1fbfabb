"""A live sink outlives failures at every boundary, shows nothing raw meanwhile, and gets pictures
again.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.helpers import PERSON, SIZE, frame_of, pipeline_of, room_is_hidden
from vcam.backends.fake import FakeBackend
from vcam.colour import ycbcr_of
from vcam.effects.base import Scene, Stateless
from vcam.errors import EngineError, SinkError, SourceError, SourceLost, StageError
from vcam.frame import Frame, Matrix
from vcam.linux.viewers import FakeReaders
from vcam.matting.matter import Matter
from vcam.monitor import Snapshot, State
from vcam.pipeline.card import make_card
from vcam.pipeline.pipeline import Parts, Pipeline, PipelineConfig
from vcam.sinks.recording import RecordingSink
from vcam.sources.base import SourceRequest
from vcam.sources.fake import Block, Deaf, FakeSource, Step, Wait
from vcam.sources.memory import MemorySource

pytestmark = pytest.mark.slow

PATIENCE_S = 20.0
BUSY_S = 3.0
"""Two seconds are promised; a machine that does much else meanwhile gets one more."""
UNPLUGGED = SourceLost("cam: the camera is gone (No such device); plug it in again")
QUICK = PipelineConfig(card_after_s=0.1, linger_s=0.3, retry_s=0.1, longest_retry_s=0.3)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert until(lambda: not [t for t in threading.enumerate() if t.name.startswith("vcam-")])


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True


def camera(frames: int) -> list[Step]:
    return [frame_of(), Wait(0.01)] * frames


def live_sink(**failures: object) -> RecordingSink:
    return RecordingSink(live=True, size=SIZE, matrix=Matrix.BT601, **failures)  # type: ignore[arg-type]


def shows_person(frame: Frame) -> bool:
    width, height = SIZE
    wanted = ycbcr_of(PERSON, Matrix.BT601)
    seen = (
        frame.y[height // 2, width // 2],
        frame.u[height // 4, width // 4],
        frame.v[height // 4, width // 4],
    )
    return all(abs(int(a) - b) < 8 for a, b in zip(seen, wanted, strict=True))


@contextmanager
def running(pipeline: Pipeline, states: list[State] | None = None) -> Iterator[Future[Snapshot]]:
    """The pipeline runs while the block does, and ends soon after it."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(
            pipeline.run, lambda _, now: states.append(now.state) if states is not None else None
        )
        try:
            yield future
        finally:
            stopped = time.monotonic()
            pipeline.stop()
            future.exception(10)
            assert time.monotonic() - stopped < BUSY_S


def pictures_follow(sink: RecordingSink, count: int = 5) -> bool:
    """Whether more pictures of the person arrive from now on."""
    start = len(sink.frames)
    return until(lambda: sum(map(shows_person, sink.frames[start:])) >= count)


def assert_nothing_raw(sink: RecordingSink) -> None:
    assert all(room_is_hidden(frame) for frame in sink.frames)


@pytest.mark.parametrize("what", ["unplugged", "busy", "ended", "close"])
def test_a_camera_that_fails_is_opened_again(what: str) -> None:
    busy = SourceError(
        "cam: Device or resource busy; it is held by zoom (7): stop that program first"
    )
    source = FakeSource(
        [*camera(10), *([UNPLUGGED] if what != "ended" else []), *camera(2000)],
        refusals=[busy, busy] if what == "busy" else [],
        close_error=SourceError("cam: does not close") if what == "close" else None,
        live=True,
    )
    if what == "ended":
        source._steps.insert(20, Wait(0))
    sink = live_sink()
    pipeline = pipeline_of(source, sink, config=QUICK)
    with running(pipeline):
        assert until(
            lambda: source.opened >= (4 if what == "busy" else 1 if what == "ended" else 2)
        )
        assert pictures_follow(sink)
        assert until(lambda: pipeline.state == State("running"))
    assert_nothing_raw(sink)


def test_while_the_camera_is_away_the_last_picture_stays_and_then_a_card_tells_the_reason() -> None:
    source = FakeSource([*camera(5), UNPLUGGED, *camera(2000)], live=True, fps=100)
    away = SourceError("cam: no such device; `vcam devices` lists those there are")
    sink = live_sink()
    pipeline = pipeline_of(source, sink, config=PipelineConfig(card_after_s=0.4))
    with running(pipeline):
        assert until(lambda: source.opened == 1)
        source._refusals = [away] * 4
        assert until(lambda: pipeline.state == State("no camera", str(away)))
        assert until(lambda: not source._refusals)
        assert pictures_follow(sink)
    kinds = [shows_person(frame) for frame in sink.frames]
    first = kinds.index(True)
    gap = kinds.index(False, first)
    assert kinds[first:gap] == [True] * (gap - first)
    assert sink.frames[gap - 1].index == sink.frames[gap - 5].index, "the last picture is repeated"
    assert True in kinds[gap:], "pictures go on"
    assert all(
        (frame.u == 128).all()
        for frame, person in zip(sink.frames, kinds, strict=True)
        if not person
    )
    assert_nothing_raw(sink)


def test_a_camera_that_is_not_there_at_the_start_is_waited_for() -> None:
    missing = SourceError("no camera was found; plug one in")
    source = FakeSource(camera(2000), refusals=[missing] * 3, live=True)
    sink = live_sink()
    pipeline = pipeline_of(source, sink, config=QUICK)
    with running(pipeline):
        assert until(lambda: pipeline.state == State("no camera", str(missing)))
        assert pictures_follow(sink)


def test_a_file_that_breaks_off_stays_an_error_and_so_does_a_camera_that_is_recorded() -> None:
    for source, sink in (
        (FakeSource([frame_of(), UNPLUGGED]), live_sink()),
        (FakeSource([frame_of(), UNPLUGGED], live=True), RecordingSink()),
    ):
        with pytest.raises(StageError, match="capture: cam"):
            pipeline_of(source, sink).run()
        assert_nothing_raw(sink)


def test_a_mistake_in_the_program_ends_a_live_run_too() -> None:
    source = FakeSource([*camera(3), ZeroDivisionError("a mistake")], live=True)
    sink = live_sink()
    with pytest.raises(
        StageError, match=r"capture: a mistake in vcam .ZeroDivisionError: a mistake"
    ):
        pipeline_of(source, sink).run()
    assert_nothing_raw(sink)


def test_a_live_run_ends_when_its_time_is_up_though_no_picture_comes() -> None:
    source = FakeSource([], refusals=[UNPLUGGED] * 100, live=True)
    sink = live_sink()
    start = time.monotonic()
    pipeline_of(source, sink, config=PipelineConfig(duration_s=0.5)).run()
    assert time.monotonic() - start >= 0.5
    assert sink.frames


@pytest.mark.parametrize("refuse", [(), (1, 2)])
def test_an_engine_that_fails_is_opened_again(refuse: tuple[int, ...]) -> None:
    backend = FakeBackend(fail_at=5, refuse=refuse)
    sink = live_sink()
    pipeline = pipeline_of(
        MemorySource([frame_of()], fps=100, live=True), sink, backend=backend, config=QUICK
    )
    with running(pipeline):
        assert until(lambda: pipeline.state.name == "no engine")
        assert "fake engine: " in pipeline.state.reason
        assert until(lambda: backend.openings == 2 + len(refuse))
        assert pictures_follow(sink)
        assert until(lambda: pipeline.state == State("running"))
    assert not backend.open
    assert_nothing_raw(sink)


def test_an_engine_that_never_opened_ends_the_run() -> None:
    with pytest.raises(StageError, match="infer: fake engine: opening 0") as caught:
        pipeline_of(
            MemorySource([frame_of()], live=True), live_sink(), backend=FakeBackend(refuse=(0,))
        ).run()
    assert isinstance(caught.value.__cause__, EngineError)


def test_an_engine_that_hangs_is_told() -> None:
    backend = FakeBackend(stall_at=5)
    sink = live_sink()
    pipeline = pipeline_of(
        MemorySource([frame_of()], fps=100, live=True), sink, backend=backend, config=QUICK
    )
    with running(pipeline):
        assert until(lambda: pipeline.state.name == "waiting")
        backend.release.set()
        assert pictures_follow(sink)
        assert pipeline.state == State("running")
    assert_nothing_raw(sink)


@pytest.mark.parametrize("refuse", [(), (1, 2)])
def test_a_sink_that_is_lost_is_opened_again(refuse: tuple[int, ...]) -> None:
    backend = FakeBackend()
    sources = []

    def make_source(_: SourceRequest) -> FakeSource:
        sources.append(FakeSource(camera(2000), live=True))
        return sources[-1]

    sink = live_sink(lose_at=(8,), refuse=refuse)
    pipeline = pipeline_of(make_source, sink, backend=backend, config=QUICK)
    states: list[State] = []
    with running(pipeline, states):
        assert until(lambda: sink.opened == 2)
        assert pictures_follow(sink)
        assert until(lambda: pipeline.state == State("running"))
    assert any(state.name == "no sink" and "recording: " in state.reason for state in states)
    assert [source.closed for source in sources] == [1, 1]
    assert_nothing_raw(sink)


def test_an_engine_that_does_not_open_after_a_lost_sink_is_opened_again() -> None:
    backend, sink = FakeBackend(refuse=(1, 2)), live_sink(lose_at=(8,))
    pipeline = pipeline_of(
        lambda _: FakeSource(camera(2000), live=True), sink, backend=backend, config=QUICK
    )
    with running(pipeline):
        assert until(lambda: sink.opened == 2 and backend.openings == 4)
        assert pictures_follow(sink)
        assert until(lambda: pipeline.state == State("running"))
    assert_nothing_raw(sink)


def test_a_run_can_be_stopped_while_the_sink_is_away() -> None:
    sink = live_sink(lose_at=(8,), refuse=range(1, 100))
    pipeline = pipeline_of(MemorySource([frame_of()], fps=100, live=True), sink, config=QUICK)
    with running(pipeline) as future:
        assert until(lambda: pipeline.state.name == "no sink")
    assert future.exception() is None


def test_a_sink_that_never_opened_is_an_error() -> None:
    with pytest.raises(SinkError, match="told not to open"):
        pipeline_of(MemorySource([frame_of()], live=True), live_sink(refuse=(0,))).run()


class FragileEffect(Stateless):
    """Replaces the room, and fails at one application; then it refuses to open `refuse` times."""

    def __init__(self, error: Exception, refuse: int = 0) -> None:
        self._error, self._refuse = error, refuse
        self.applied = self.opened = 0

    def __enter__(self) -> FragileEffect:
        self.opened += 1
        if self.opened > 1 and self._refuse:
            self._refuse -= 1
            raise SourceError("beach.mp4: still not there")
        return self

    def apply(self, scene: Scene) -> Frame:
        self.applied += 1
        if self.applied == 5:
            raise self._error
        out = scene.new_frame()
        out.data[:] = 128
        for plane, target in zip(scene.frame.planes, out.planes, strict=True):
            rows, columns = plane.shape
            inner = (slice(rows // 4, rows * 3 // 4), slice(columns // 4, columns * 3 // 4))
            target[inner] = plane[inner]
        return out


def with_effect(effect: FragileEffect, sink: RecordingSink) -> Pipeline:
    return Pipeline(
        Parts(
            make_source=lambda _: MemorySource([frame_of()], fps=100, live=True),
            matter=Matter(FakeBackend()),
            effects=[effect],
            sink=sink,
        ),
        QUICK,
    )


@pytest.mark.parametrize("refuse", [0, 2])
def test_an_effect_that_fails_is_opened_again(refuse: int) -> None:
    effect, sink = FragileEffect(SourceLost("beach.mp4: read error"), refuse), live_sink()
    pipeline = with_effect(effect, sink)
    with running(pipeline):
        assert until(lambda: pipeline.state.name == "effect failed")
        assert until(lambda: effect.opened == 2 + refuse)
        assert pictures_follow(sink)
        assert until(lambda: pipeline.state == State("running"))
    assert_nothing_raw(sink)


def test_a_mistake_in_an_effect_ends_the_run() -> None:
    sink = live_sink()
    with pytest.raises(StageError, match=r"compose: a mistake in vcam .IndexError: index"):
        with_effect(FragileEffect(IndexError("index")), sink).run()
    assert_nothing_raw(sink)
    off = make_card(SIZE, Matrix.BT601, "vcam is off")
    assert (sink.frames[-1].data == off.data).all()


def test_everything_at_once_is_survived() -> None:
    source = FakeSource([*camera(20), UNPLUGGED, *camera(20), UNPLUGGED, *camera(3000)], live=True)
    backend = FakeBackend(fail_at=(5, 12, 25))
    sink = live_sink()
    pipeline = pipeline_of(source, sink, backend=backend, config=QUICK)
    with running(pipeline):
        assert until(lambda: backend.openings == 4 and source.opened == 3)
        assert pictures_follow(sink)
        assert until(lambda: pipeline.state == State("running"))
    assert_nothing_raw(sink)


@pytest.mark.parametrize("step", [Deaf(4.0), Block()], ids=["deaf", "blocked"])
def test_stop_is_quick_though_the_camera_hangs(step: Step) -> None:
    sink = live_sink()
    pipeline = pipeline_of(
        FakeSource([*camera(3), step, *camera(10)], live=True), sink, config=QUICK
    )
    with running(pipeline):  # asserts that it ends within two seconds
        assert pictures_follow(sink, 1)


def test_stop_is_quick_though_the_opening_of_the_camera_hangs() -> None:
    class Hanging(FakeSource):
        def _open(self) -> None:
            self.opened += 1
            threading.Event().wait(4)

    sink = live_sink()
    source = Hanging([], live=True)
    with running(pipeline_of(source, sink, config=QUICK)):
        assert until(lambda: source.opened)
        assert sink.wait_for(3, PATIENCE_S)


HANGING = """
import threading
from tests.helpers import SIZE, pipeline_of
from vcam.cli import signals
from vcam.errors import SourceError
from vcam.frame import Matrix
from vcam.sinks.recording import RecordingSink
from vcam.sources.fake import FakeSource

class Hanging(FakeSource):
    def _open(self):
        print("opening", flush=True)
        threading.Event().wait(60) if {hangs} else None
        raise SourceError("no camera")

sink = RecordingSink(
    live=True, size=SIZE, matrix=Matrix.BT601, lose_at={lose_at}, refuse=range(1, 1000)
)
pipeline = pipeline_of(Hanging([], live=True), sink)
signals.install()
with signals.stopped_by(pipeline.stop):
    pipeline.run()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
@pytest.mark.parametrize(
    ("hangs", "lose_at"), [(True, ()), (False, ()), (False, (1,))], ids=["hang", "none", "sink"]
)
def test_sigterm_ends_the_program_within_two_seconds(hangs: bool, lose_at: tuple[int, ...]) -> None:
    program = HANGING.format(hangs=hangs, lose_at=lose_at)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"opening\n"
        threading.Event().wait(1)
        start = time.monotonic()
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert time.monotonic() - start < BUSY_S


def on_demand(
    source: FakeSource,
    sink: RecordingSink,
    readers: FakeReaders,
    config: PipelineConfig = QUICK,
    **more: Any,
) -> Pipeline:
    return pipeline_of(source, sink, config=config, watch=lambda _: readers, **more)


def test_the_camera_is_open_only_while_somebody_reads() -> None:
    source, sink, readers = FakeSource(camera(5000), live=True), live_sink(), FakeReaders()
    pipeline = on_demand(source, sink, readers)
    with running(pipeline):
        for round_ in range(1, 4):
            assert until(lambda: pipeline.state == State("idle"))
            assert source.closed == source.opened == round_ - 1
            readers.set(True)
            assert pictures_follow(sink)
            assert source.opened == round_
            assert pipeline.state == State("running")
            readers.set(False)
    assert source.closed == source.opened
    assert_nothing_raw(sink)


def test_a_reader_who_comes_back_soon_finds_the_camera_still_open() -> None:
    source, sink, readers = FakeSource(camera(5000), live=True), live_sink(), FakeReaders()
    with running(on_demand(source, sink, readers)):
        for _ in range(4):
            readers.set(True)
            assert pictures_follow(sink, 2)
            readers.set(False)
            threading.Event().wait(0.1)
        assert source.opened == 1


def test_the_first_picture_comes_soon_after_the_reader_and_no_old_one_stays() -> None:
    source, sink, readers = FakeSource(camera(5000), live=True), live_sink(), FakeReaders()
    backend, config = FakeBackend(), PipelineConfig(card_after_s=60, linger_s=0.3)
    pipeline = on_demand(source, sink, readers, config, backend=backend)
    with running(pipeline):
        for _ in range(2):
            assert until(
                lambda: (
                    pipeline.state == State("idle")
                    and sink.frames
                    and not shows_person(sink.frames[-1])
                )
            )
            readers.set(True)
            assert pictures_follow(sink, 1)
            readers.set(False)
    assert backend.openings == 1  # the first picture waits for the camera alone


def test_an_idle_run_sends_a_card_now_and_then_and_computes_nothing() -> None:
    source, sink, backend = FakeSource(camera(10), live=True), live_sink(), FakeBackend()
    pipeline = pipeline_of(
        source, sink, backend=backend, config=QUICK, watch=lambda _: FakeReaders()
    )
    with running(pipeline):
        assert until(lambda: pipeline.state == State("idle") and len(sink.frames) >= 2)
        before, cpu = len(sink.frames), time.process_time()
        threading.Event().wait(2)
        assert 1 <= len(sink.frames) - before <= 4
        assert time.process_time() - cpu < 0.2
    assert (source.opened, backend.runs) == (0, 1)  # the warm-up


def test_readers_that_cannot_be_watched_count_as_none_and_are_asked_again() -> None:
    class Gone(FakeReaders):
        failures = 3

        def wait(self, timeout_s: float) -> bool:
            if self.failures:
                self.failures -= 1
                raise FileNotFoundError("/dev/video10")
            return super().wait(timeout_s)

    readers = Gone()
    readers.set(True)
    sink = live_sink()
    with running(on_demand(FakeSource(camera(5000), live=True), sink, readers)):
        assert pictures_follow(sink)
