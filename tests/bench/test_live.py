"""The camera and the device of the live measurements, and what is counted of a run."""

from __future__ import annotations

import os
import time

import numpy as np

from vcam.backends.fake import FakeBackend
from vcam.bench.live import DeviceSink, RecordedCamera, camera_of, record
from vcam.bench.measure import bench_pipeline
from vcam.bench.usage import UsageMeter
from vcam.effects import make_effects
from vcam.frame import Frame, Matrix
from vcam.matting.matter import Matter
from vcam.sinks.base import SinkRequest
from vcam.sinks.null import NullSink
from vcam.sources.base import SourceRequest
from vcam.sources.webcam import WebcamSource

SIZE = (320, 180)


def _frames() -> list[Frame]:
    frames = []
    for luma in (60, 180):
        frame = Frame.empty(SIZE, Matrix.BT601)
        frame.y[:], frame.u[:], frame.v[:] = luma, 100, 150
        frames.append(frame)
    return frames


def test_a_recorded_camera_sends_what_was_recorded_in_turn() -> None:
    source = WebcamSource(
        "", SourceRequest(SIZE), camera_of(_frames(), 200), remember=lambda path: lambda: path
    )
    with source:
        seen = [source.read() for _ in range(20)]
    lumas = set()
    for frame in seen:
        assert frame is not None
        y, u, v = (float(plane.mean()) for plane in frame.planes)
        assert abs(u - 100) <= 2
        assert abs(v - 150) <= 2
        lumas.add(round(y / 10) * 10)
    assert lumas == {60, 180}


class CountingCamera(RecordedCamera):
    polls = 0

    def poll(self):  # type: ignore[no-untyped-def]
        self.polls += 1
        return super().poll()


def test_a_camera_is_not_asked_long_before_its_next_picture() -> None:
    camera = CountingCamera(record(_frames()), SIZE, 20)
    source = WebcamSource(
        "", SourceRequest(SIZE), lambda *_: camera, remember=lambda path: lambda: path
    )
    with source:
        source.read()
        before = camera.polls
        for _ in range(5):
            source.read()
    assert camera.polls - before <= 5 * 6  # a poll every 2 ms would be 25 a picture


def test_a_device_holds_the_last_frame_that_was_sent() -> None:
    sink = DeviceSink(SIZE)
    with sink:
        for frame in _frames():
            sink.send(frame)
        held = os.pread(sink.descriptor, 2 * frame.data.size, 0)
    assert held == frame.data.tobytes()
    assert sink.frames == 2


def test_usage_is_counted_between_the_first_tick_and_the_last() -> None:
    meter = UsageMeter()
    meter.tick(0)
    meter.tick(3)
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass
    meter.tick(13)
    report = meter.report()
    assert report["frames"] == 10
    assert 2 <= report["cpu_ms_per_frame"] < 20


def test_a_live_benchmark_reports_latency_and_processor_time() -> None:
    frames = [Frame(np.full_like(x.data, 128), x.matrix) for x in _frames()]
    report = bench_pipeline(
        frames,
        Matter(FakeBackend()),
        make_effects(["blur"]),
        NullSink("", SinkRequest()),
        60,
        live_fps=120,
    )
    assert report["live_fps"] == 120
    assert report["latency"]["p50_ms"] > 0  # type: ignore[index]
    assert report["cpu"]["cpu_ms_per_frame"] > 0  # type: ignore[index]
