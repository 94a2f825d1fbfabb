"""The face thread in the pipeline: in step in files, never waited for live, and nothing leaks when
it fails.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.face.drawing import Face, checked, draw
from vcam.backends.fake import FakeBackend
from vcam.colour import from_rgb
from vcam.effects import make_effects
from vcam.errors import EngineError, StageError
from vcam.face.fake import KnownFaces
from vcam.face.parser import FaceParser, Parser
from vcam.face.stage import FaceStage
from vcam.face.tracker import FaceTracker
from vcam.frame import FaceClass, Frame, Matrix
from vcam.matting.matter import Matter
from vcam.monitor import Stats
from vcam.pipeline.pipeline import Parts, Pipeline, PipelineConfig
from vcam.sinks.recording import RecordingSink
from vcam.sources.memory import MemorySource

SIZE = (320, 180)
FACES = [Face(120 + 6 * i, 90, 110) for i in range(10)]


FILM = [draw(face, size=SIZE) for face in FACES]


def _frames() -> list[Frame]:
    return [from_rgb(picture, Matrix.BT601) for picture, _ in FILM]


def _parser(fail_at: int | None = None, stall_at: int | None = None) -> KnownFaces:
    return KnownFaces(lambda index: FILM[index % len(FILM)][1], fail_at, stall_at)


def _pipeline(
    parser: Parser,
    source: MemorySource,
    sink: RecordingSink,
    *effects: str,
    config: PipelineConfig | None = None,
) -> tuple[Pipeline, FakeBackend]:
    backend = FakeBackend()

    def make_faces(stats: Stats, live: bool) -> FaceStage:
        return FaceStage(FaceTracker(parser, 1, live), live, stats)

    parts = Parts(
        make_source=lambda _: source,
        matter=Matter(backend),
        effects=make_effects(effects),
        sink=sink,
        make_faces=make_faces,
    )
    return Pipeline(parts, config or PipelineConfig(max_frames=10)), backend


def _whitened(before: Frame, after: Frame, labels: np.ndarray) -> float:
    teeth = checked(labels, (FaceClass.TEETH,), inner=1)
    return float((after.y.astype(int) - before.y)[teeth].mean())


@pytest.mark.parametrize("room", ["none", "blur"])
def test_in_a_file_every_frame_gets_its_own_parse(room: str) -> None:
    sink, parser = RecordingSink(), _parser()
    frames = _frames()
    pipeline, backend = _pipeline(parser, MemorySource(frames), sink, room, "teeth:1")
    final = pipeline.run()
    assert [frame.index for frame in sink.frames] == list(range(10))
    for (_, labels), before, after in zip(FILM, frames, sink.frames, strict=True):
        teeth = checked(labels, (FaceClass.TEETH,), inner=1)
        assert after.y[teeth].mean() - before.y[teeth].mean() > 8
        if room == "none":
            assert not (after.y.astype(int) - before.y)[
                ~checked(labels, (FaceClass.TEETH,), outer=4)
            ].any()
    assert (backend.runs > 0) is (room == "blur")
    assert {index for index, _ in parser.parses} == set(range(10))
    assert len(parser.threads) == 1
    assert not parser.open
    assert {"parse", "follow"} <= set(final.stages)


def test_a_single_picture_gets_the_whole_effect() -> None:
    sink = RecordingSink()
    frames = _frames()[:1]
    _pipeline(
        _parser(),
        MemorySource(frames),
        sink,
        "none",
        "teeth:1",
        config=PipelineConfig(max_frames=1),
    )[0].run()
    assert _whitened(frames[0], sink.frames[0], FILM[0][1]) > 8


def test_without_a_face_effect_no_parser_opens() -> None:
    sink = RecordingSink()
    pipeline, _ = _pipeline(_parser(), MemorySource(_frames()), sink, "blur")
    assert "parse" not in pipeline.run().stages


def test_live_nobody_waits_for_a_slow_face_engine() -> None:
    """It hangs in its fourth parse: pictures go on, and the effect fades out."""
    sink = RecordingSink(live=True, size=SIZE, matrix=Matrix.BT601)
    parser = KnownFaces(lambda _: FILM[0][1], stall_at=4)
    frames = _frames()[:1]
    pipeline, _ = _pipeline(
        parser,
        MemorySource(frames, fps=60, live=True),
        sink,
        "none",
        "teeth:1",
        config=PipelineConfig(),
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pipeline.run)
        assert sink.wait_for(150, 30)
        pipeline.stop()
        parser.release.set()
        final = running.result(20)
    assert final.latency.p50_ms < 300
    gains = [
        _whitened(frames[0], frame, FILM[0][1]) for frame in sink.frames[:150] if frame.index > 0
    ]
    assert max(gains) > 5
    assert gains[-5:] == [0.0] * 5
    assert np.abs(np.diff(gains)).max() < max(gains)


def test_a_failing_face_engine_ends_the_run_with_its_reason_and_no_raw_room() -> None:
    sink = RecordingSink(size=SIZE, matrix=Matrix.BT601)
    parser = _parser(fail_at=3)
    pipeline, backend = _pipeline(
        parser,
        MemorySource(_frames(), fps=100),
        sink,
        "color:#203040",
        "teeth",
        config=PipelineConfig(),
    )
    with pytest.raises(StageError, match="face: known faces: parse 3 fails") as caught:
        pipeline.run()
    assert caught.value.stage == "face"
    assert isinstance(caught.value.__cause__, EngineError)
    assert not backend.open
    assert not parser.open
    corner = [(int(f.u[2, 2]), int(f.v[2, 2])) for f in sink.frames]
    room = _frames()[0]
    assert (int(room.u[2, 2]), int(room.v[2, 2])) not in corner


def test_a_failing_face_engine_is_opened_again_live() -> None:
    sink = RecordingSink(live=True, size=SIZE, matrix=Matrix.BT601)
    parser = KnownFaces(lambda _: FILM[0][1], fail_at=3)
    pipeline, _ = _pipeline(
        parser,
        MemorySource(_frames()[:1], fps=30, live=True),
        sink,
        "none",
        "teeth:1",
        config=PipelineConfig(retry_s=0.05),
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(pipeline.run)
        assert sink.wait_for(90, 30)
        pipeline.stop()
        running.result(20)
    assert len(parser.parses) > 4
    assert not parser.open
    assert max(_whitened(_frames()[0], frame, FILM[0][1]) for frame in sink.frames[60:]) > 5


def test_stopping_is_bounded_while_the_face_engine_hangs() -> None:
    for live in (False, True):
        sink = RecordingSink(live=live, size=SIZE, matrix=Matrix.BT601)
        parser = _parser(stall_at=2)
        config = PipelineConfig(stop_s=0.5)
        pipeline, _ = _pipeline(
            parser, MemorySource(_frames(), fps=50, live=live), sink, "none", "skin", config=config
        )
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(pipeline.run)
            deadline = time.monotonic() + 20
            while len(parser.parses) < 3 and time.monotonic() < deadline:
                threading.Event().wait(0.01)
            pipeline.stop()
            running.result(60)  # the parser stalls for good
            parser.release.set()


class FaceBackend(FakeBackend):
    """A fake whose outputs are what the test says."""

    def __init__(self, outputs: dict[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.outputs = outputs


@pytest.mark.parametrize("outputs", [{"alpha": (1, 64, 64)}, {"probs": (1, 5, 64, 64)}])
def test_what_is_no_face_engine_is_refused(outputs: dict[str, tuple[int, ...]]) -> None:
    backend = FaceBackend(outputs)
    with pytest.raises(EngineError, match="not a face engine with 9 classes"):
        FaceParser(backend).__enter__()
    assert not backend.open
