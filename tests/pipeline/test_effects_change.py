"""Effects change while a run goes on: between two frames, and never by way of the raw room."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tests.helpers import SIZE, frame_of, pipeline_of, room_is_hidden
from tests.pipeline.test_never_dies import QUICK, camera, live_sink, on_demand, running, until
from vcam.backends.fake import FakeBackend
from vcam.colour import ycbcr_of
from vcam.effects import make_effect
from vcam.effects.base import Scene, Stateless
from vcam.errors import SourceError, SourceLost
from vcam.frame import Frame, Matrix
from vcam.linux.viewers import FakeReaders
from vcam.pipeline.pipeline import PipelineConfig
from vcam.sinks.recording import RecordingSink
from vcam.sources.fake import FakeSource
from vcam.sources.memory import MemorySource

GREEN, BLUE = (0, 200, 0), (0, 0, 200)


class Room(Stateless):
    """One colour instead of the whole picture. open: how often it is."""

    about_room = True

    def __init__(self, rgb: tuple[int, int, int], fails: bool = False) -> None:
        self._effect, self._fails, self.open = make_effect(f"color:#{bytes(rgb).hex()}"), fails, 0

    def __enter__(self) -> Room:
        if self._fails:
            raise SourceError("beach.png: no such file")
        self.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.open -= 1

    def apply(self, scene: Scene) -> Frame:
        return self._effect.apply(scene)


def room_colour(frame: Frame) -> tuple[int, int, int]:
    """(Y, Cb, Cr) of a frame's corner, where it is the same in all four corners."""
    corners = {
        (int(frame.y[y, x]), int(frame.u[y // 2, x // 2]), int(frame.v[y // 2, x // 2]))
        for y in (0, SIZE[1] - 2)
        for x in (0, SIZE[0] - 2)
    }
    assert len(corners) == 1
    return corners.pop()


def shows(sink: RecordingSink, rgb: tuple[int, int, int]) -> bool:
    """Whether the last picture has a room of this colour."""
    return bool(sink.frames) and room_colour(sink.frames[-1]) == ycbcr_of(rgb, Matrix.BT601)


def test_in_a_file_no_frame_is_lost_and_each_has_the_old_effects_or_the_new_ones() -> None:
    old, new = Room(GREEN), Room(BLUE)

    class Source(MemorySource):
        def read(self) -> Frame | None:
            if self._next == 15:
                pipeline.set_effects([new])
                assert (old.open, new.open) == (1, 1)
            return super().read()

    sink = RecordingSink()
    source = Source([frame_of()])
    pipeline = pipeline_of(source, sink, [old], config=PipelineConfig(max_frames=40))
    assert pipeline.run().frames == 40
    wanted = [ycbcr_of(rgb, Matrix.BT601) for rgb in (GREEN, BLUE)]
    seen = [wanted.index(room_colour(frame)) for frame in sink.frames]
    assert seen == sorted(seen)
    assert 13 <= seen.count(0) <= 16  # those on their way when the effects changed keep the old
    assert (old.open, new.open) == (0, 0)


def test_what_cannot_be_opened_is_an_error_and_the_old_effects_go_on() -> None:
    old, sink = Room(GREEN), live_sink()
    source = MemorySource([frame_of()], fps=100, live=True)
    pipeline = pipeline_of(source, sink, [old], config=QUICK)
    with running(pipeline):
        assert sink.wait_for(5, 10)
        with pytest.raises(SourceError, match=r"beach\.png"):
            pipeline.set_effects([Room(BLUE, fails=True)])
        before = len(sink.frames)
        assert sink.wait_for(before + 5, 10)
    green = ycbcr_of(GREEN, Matrix.BT601)
    assert room_colour(sink.frames[before + 3]) == green
    assert old.open == 0


def test_effects_that_were_never_used_are_closed_too() -> None:
    rooms = [Room((0, level, 0)) for level in range(40, 200, 4)]
    sink = live_sink()
    source = MemorySource([frame_of()], fps=60, live=True)
    pipeline = pipeline_of(source, sink, rooms[:1], config=QUICK)
    with running(pipeline):
        assert sink.wait_for(5, 10)
        for room in rooms[1:]:
            pipeline.set_effects([room])
        assert until(lambda: shows(sink, (0, 196, 0)))
        assert [room.open for room in rooms] == [0] * (len(rooms) - 1) + [1]
    assert rooms[-1].open == 0


def test_an_engine_opens_when_an_effect_first_needs_it_and_no_raw_room_comes_after() -> None:
    backend, sink = FakeBackend(), live_sink()
    source = MemorySource([frame_of()], fps=100, live=True)
    pipeline = pipeline_of(source, sink, ("none",), backend, QUICK)
    with running(pipeline):
        assert until(lambda: sink.frames and not room_is_hidden(sink.frames[-1]))
        assert backend.openings == 0
        pipeline.set_effects([Room(BLUE)])
        assert until(lambda: shows(sink, BLUE))
        assert backend.openings == 1
    blue = ycbcr_of(BLUE, Matrix.BT601)
    rooms = [room_is_hidden(frame) for frame in sink.frames]
    first = next(i for i, f in enumerate(sink.frames) if room_colour(f) == blue)
    assert all(rooms[first:])


def test_an_engine_that_does_not_open_then_is_no_end_of_the_run() -> None:
    backend, sink = FakeBackend(refuse=(0, 1)), live_sink()
    source = MemorySource([frame_of()], fps=100, live=True)
    pipeline = pipeline_of(source, sink, ("none",), backend, QUICK)
    with running(pipeline):
        assert sink.wait_for(5, 10)
        pipeline.set_effects([Room(BLUE)])
        assert until(lambda: pipeline.state.name == "no engine")
        assert until(lambda: shows(sink, BLUE))
    assert backend.openings == 3


def test_effects_that_change_while_the_camera_is_off_hold_for_its_first_picture() -> None:
    readers, sink = FakeReaders(), live_sink()
    pipeline = on_demand(FakeSource(camera(5000), live=True), sink, readers, effects=("none",))
    with running(pipeline):
        assert until(lambda: pipeline.state.name == "idle")
        pipeline.set_effects([Room(BLUE)])
        readers.set(True)
        assert until(lambda: shows(sink, BLUE))
    assert all(room_is_hidden(frame) for frame in sink.frames)


def test_effects_that_change_while_the_sink_is_away_hold_when_it_is_back() -> None:
    old, new = Room(GREEN), Room(BLUE)
    sink = live_sink(lose_at=(8,), refuse=range(1, 4))
    pipeline = pipeline_of(
        lambda _: MemorySource([frame_of()], fps=100, live=True), sink, [old], config=QUICK
    )
    with running(pipeline):
        assert until(lambda: pipeline.state.name == "no sink")
        pipeline.set_effects([new])
        assert until(lambda: shows(sink, BLUE))
        assert (old.open, new.open) == (0, 1)


class Levels(Stateless):
    """Notes the mean of each matte."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def apply(self, scene: Scene) -> Frame:
        self.seen.append(float(scene.mask.low.mean()))
        return Frame.empty(scene.frame.size, scene.frame.matrix)


@pytest.mark.parametrize("why", ["unplugged", "idle"])
def test_the_first_matte_after_the_source_was_opened_again_is_not_mixed_with_old_ones(
    why: str,
) -> None:
    """The engine says 128 and after the gap 160, a step that is smoothed between two pictures."""
    again = threading.Event()

    def rule(image: np.ndarray) -> np.ndarray:
        return np.full(image.shape[:2], 160 if again.is_set() else 128, np.uint8)

    levels, readers = Levels(), FakeReaders()
    readers.set(True)

    class Camera(FakeSource):
        def _open(self) -> None:
            super()._open()
            if self.opened > 1:
                again.set()

    lost = [SourceLost("cam: unplugged")] if why == "unplugged" else []
    source = Camera([*camera(5), *lost, *camera(5000)], live=True)
    pipeline = on_demand(source, live_sink(), readers, effects=[levels], backend=FakeBackend(rule))
    with running(pipeline):
        if why == "idle":
            assert until(lambda: len(levels.seen) > 4)
            readers.set(False)
            assert until(lambda: pipeline.state.name == "idle")
            readers.set(True)
        assert until(lambda: 160 in levels.seen)
    assert set(levels.seen) == {128, 160}
