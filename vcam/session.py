"""From what the user asked for to a pipeline that does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2

from vcam.backends import make_backend
from vcam.bench import Report, bench_engine, bench_pipeline, read_frames
from vcam.catalogue import find_engine, shipped_engines
from vcam.effects import make_effect
from vcam.effects.composer import Composer
from vcam.effects.refine import RefineConfig
from vcam.frame import Size
from vcam.matting import Matter, small_rgb
from vcam.pipeline import Pipeline, PipelineConfig
from vcam.sinks import SinkRequest, make_sink
from vcam.sources import make_source
from vcam.sources.base import SourceRequest
from vcam.stats import Stats

_GENERATED_S = 10.0
"""Length of a file that is made of a source without an end, where the user names none."""
_BENCH_FRAMES = 60
"""Frames of a source that a benchmark keeps in memory."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One `vcam run`, as the command line describes it; sizes and strokes in pixels, times in seconds."""

    source: str
    sink: str
    effects: tuple[str, ...]
    engine: str
    engines: tuple[Path, ...]
    backend: str
    threads: int
    size: Size | None
    fps: float
    mirror: bool
    grow_px: float
    feather_px: float
    duration_s: float | None
    overwrite: bool


def engine_folders(extra: tuple[Path, ...]) -> list[Path]:
    """The catalogues to look in, the user's own first."""
    return [*extra, shipped_engines()]


def open_matter(engine: str, engines: tuple[Path, ...], backend: str, threads: int) -> Matter:
    """The person engine of that name, its file verified, not opened yet.

    Raises:
        UsageError: unknown engine or backend.
        EngineError: a damaged file.
    """
    spec = find_engine(engine, engine_folders(engines))
    return Matter(make_backend(backend, spec.verify(), threads))


def build_run(request: RunRequest) -> tuple[Pipeline, int | None]:
    """A pipeline ready to run, and how many frames it will make, where that is known.

    Raises:
        UsageError: something that was asked for does not exist or does not fit together.
        EngineError: the engine's file is damaged.
        SourceError: the source cannot be a source (a missing file).
    """
    cv2.setNumThreads(1)  # the three pipeline threads are the parallelism
    effects = [make_effect(text) for text in request.effects]
    matter = open_matter(request.engine, request.engines, request.backend, request.threads)
    sink = make_sink(request.sink, SinkRequest(request.size, request.fps, request.overwrite, variable_rate=True))
    wanted = SourceRequest(request.size, request.fps, request.mirror, repeat=sink.live)
    source = make_source(request.source, wanted)
    frames = round(request.duration_s * request.fps) if request.duration_s else None
    if frames is None and source.frames is None and not (source.live or sink.live):
        frames = round(_GENERATED_S * request.fps)
    stats = Stats()
    pipeline = Pipeline(
        lambda final: make_source(request.source, final),
        wanted,
        matter,
        lambda transparent, live: Composer(
            effects,
            RefineConfig(request.grow_px, request.feather_px),
            stats,
            transparent=transparent,
            live=live,
        ),
        sink,
        stats,
        PipelineConfig(max_frames=frames),
    )
    return pipeline, frames


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """One `vcam bench`. runs: images, or frames of the pipeline; live_fps: None for as fast as possible."""

    engine: str
    engines: tuple[Path, ...]
    backend: str
    threads: int
    runs: int
    effects: tuple[str, ...] = ("blur",)
    source: str = "demo"
    size: Size | None = None
    live_fps: float | None = None


def run_engine_bench(request: BenchRequest) -> Report:
    """Time one engine on the demo portrait.

    Raises:
        VcamError: no such engine or backend, or it fails.
    """
    cv2.setNumThreads(1)
    spec = find_engine(request.engine, engine_folders(request.engines))
    frames, _ = read_frames(make_source("demo", SourceRequest()), 1)
    picture = small_rgb(frames[0].planes, frames[0].matrix, spec.size)
    backend = make_backend(request.backend, spec.verify(), request.threads)
    head: Report = {"engine": spec.name, "threads": request.threads}
    return head | bench_engine(backend, picture, request.runs)


def run_pipeline_bench(request: BenchRequest, on_step: Callable[[int], None]) -> Report:
    """Run the pipeline on frames in memory, into a `null` sink.

    Args:
        request: what to measure.
        on_step: called with the number of frames done since its last call.

    Raises:
        VcamError: something that was asked for does not exist, or the run failed.
    """
    cv2.setNumThreads(1)
    effects = [make_effect(text) for text in request.effects]
    matter = open_matter(request.engine, request.engines, request.backend, request.threads)
    frames, decode_ms = read_frames(make_source(request.source, SourceRequest(request.size)), _BENCH_FRAMES)
    done = 0

    def tick(frames_sent: int) -> None:
        nonlocal done
        on_step(frames_sent - done)
        done = frames_sent

    report = bench_pipeline(
        frames,
        matter,
        lambda stats, transparent, live: Composer(effects, RefineConfig(), stats, transparent=transparent, live=live),
        make_sink("null", SinkRequest()),
        request.runs,
        request.live_fps,
        tick,
    )
    head: Report = {"effects": list(request.effects), "engine": request.engine, "decode_ms": decode_ms}
    return head | report
