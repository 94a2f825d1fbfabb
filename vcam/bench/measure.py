"""Repeatable measurements: of one engine, or of the whole pipeline without
decoding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vcam.bench.live import DeviceSink, camera_of
from vcam.bench.machine import describe_machine, resident_bytes
from vcam.bench.usage import UsageMeter
from vcam.effects.base import Effect
from vcam.errors import SourceError
from vcam.face.networks import FaceDetector, FaceMesh
from vcam.face.parser import FaceParser
from vcam.face.stage import FaceStage
from vcam.frame import Frame
from vcam.matting.matter import MatteEngine, Matter
from vcam.monitor import Percentiles, Snapshot, Stats
from vcam.pipeline.pipeline import Parts, Pipeline, PipelineConfig
from vcam.sinks.base import Sink
from vcam.sources.base import Source, SourceRequest
from vcam.sources.memory import MemorySource
from vcam.sources.webcam import WebcamSource

_WARM_UP_RUNS = 10
Report = dict[str, object]
"""A report, as JSON values."""


def bench_engine(
    reader: Matter | FaceParser | FaceDetector | FaceMesh, picture: NDArray[np.uint8], runs: int
) -> Report:
    """Time `runs` single images on one engine.

    Args:
        reader: of the engine, not opened yet.
        picture: uint8 [h, w, 3] RGB, resized by the caller to the engine's input.
        runs: number of timed runs, after an untimed warm-up.

    Raises:
        EngineError: the engine does not load or run.
    """
    before = resident_bytes()
    start_ns = time.monotonic_ns()
    with reader:
        load_ms = (time.monotonic_ns() - start_ns) / 1e6
        infer = _infer_of(reader)
        for _ in range(_WARM_UP_RUNS):
            infer(picture)
        durations = [_timed_ns(infer, picture) for _ in range(runs)]
        resident = resident_bytes()
    return {
        **reader.about(),
        "runs": runs,
        "latency": asdict(Percentiles.of_ns(durations)),
        "images_per_s": runs * 1e9 / sum(durations),
        "load_ms": load_ms,
        "resident_mb": resident / 2**20,
        "engine_mb": (resident - before) / 2**20,
        "machine": describe_machine(),
    }


def _infer_of(
    reader: Matter | FaceParser | FaceDetector | FaceMesh,
) -> Callable[[NDArray[np.uint8]], object]:
    """A function that runs the engine once on a picture of the engine's size."""
    if isinstance(reader, Matter):
        return reader.alpha
    return reader.probs if isinstance(reader, FaceParser) else reader.answer


def _timed_ns(infer: Callable[[NDArray[np.uint8]], object], picture: NDArray[np.uint8]) -> int:
    start_ns = time.monotonic_ns()
    infer(picture)
    return time.monotonic_ns() - start_ns


def read_frames(source: Source, limit: int) -> tuple[list[Frame], float]:
    """Read up to `limit` frames of a source; also return the mean milliseconds per frame.

    Raises:
        SourceError: it cannot be read, or has no frame.
    """
    start_ns = time.monotonic_ns()
    frames: list[Frame] = []
    with source:
        while len(frames) < limit and (frame := source.read()) is not None:
            frames.append(frame)
    if not frames:
        raise SourceError(f"{source.name}: no frame in it; name another --source")
    return frames, (time.monotonic_ns() - start_ns) / 1e6 / len(frames)


def bench_pipeline(
    frames: list[Frame],
    matter: MatteEngine,
    effects: Sequence[Effect],
    sink: Sink,
    count: int,
    live_fps: float | None = None,
    on_tick: Callable[[int], None] | None = None,
    make_faces: Callable[[Stats, bool], FaceStage] | None = None,
) -> Report:
    """Run `count` frames from memory through the pipeline.

    Args:
        frames: used in a loop.
        matter: not opened yet.
        effects: in order.
        sink: usually `null`.
        count: number of frames to capture.
        live_fps: frames arrive at this rate as a webcam's MJPEG, are decoded, and are written to a
            device in memory instead of the sink; measures latency and processor time. None: frames
            arrive as fast as they are taken; measures the rate.
        on_tick: called with the number of frames sent, from time to time.
        make_faces: called with (stats, live); None if no effect uses faces.

    Raises:
        VcamError: the run failed.
    """
    make_source: Callable[[SourceRequest], Source]
    if live_fps is None:
        memory = MemorySource(frames)
        make_source = lambda _: memory  # noqa: E731
    else:
        camera, sink = camera_of(frames, live_fps), DeviceSink(frames[0].size)
        make_source = partial(
            WebcamSource, "", open_camera=camera, remember=lambda path: lambda: path
        )
    stats, meter = Stats(), UsageMeter()
    pipeline = Pipeline(
        Parts(
            make_source=make_source,
            matter=matter,
            effects=effects,
            sink=sink,
            make_faces=make_faces,
        ),
        PipelineConfig(max_frames=count),
        stats,
    )

    def tick(_: Source, now: Snapshot) -> None:
        meter.tick(now.frames)
        if on_tick is not None:
            on_tick(now.frames)

    final = pipeline.run(tick)
    report: Report = {
        "size": list(frames[0].size),
        "frames": final.frames,
        "fps": final.frames / stats.busy_s(),
        "stages": {name: asdict(times) for name, times in final.stages.items()},
        "drops": final.drops,
        "cpu": meter.report(),
        "resident_mb": resident_bytes() / 2**20,
        "machine": describe_machine(),
    }
    if live_fps is not None:
        report |= {"live_fps": live_fps, "latency": asdict(final.latency)}
    return report
