"""From what the user asked for to a pipeline that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.backends import BACKENDS, make_backend, runs_as, why_not
from vcam.backends.tensorrt import TensorRtBackend
from vcam.bench.measure import Report, bench_engine, bench_pipeline, read_frames
from vcam.bench.table import Cell, bench_table
from vcam.catalogue import (
    DEFAULT_FACE_ENGINE,
    EngineSpec,
    find_engine,
    find_face_engine,
    read_catalogue,
    shipped_engines,
)
from vcam.effects import make_effects
from vcam.effects.base import Effect
from vcam.effects.composer import Composer
from vcam.errors import UsageError
from vcam.face.networks import FaceDetector, FaceMesh
from vcam.face.parser import FaceParser
from vcam.face.stage import FaceStage
from vcam.face.tracker import FaceTracker
from vcam.frame import Size
from vcam.linux.viewers import LoopbackReaders
from vcam.masks import CLASS_NAMES, face_mask, picture_mask
from vcam.matting.matter import Matter, small_rgb
from vcam.matting.refine import RefineConfig
from vcam.monitor import Stats
from vcam.pipeline.pipeline import Pipeline, PipelineConfig
from vcam.sinks import Sink, SinkRequest, make_sink
from vcam.sinks.v4l2 import V4l2Sink
from vcam.sources import is_endless, is_webcam, make_source
from vcam.sources.base import SourceRequest

_GENERATED_S = 10.0
"""Length of a file that is made of a source without an end, where the user names none."""
_BENCH_FRAMES = 60
"""Frames of a source that a benchmark keeps in memory."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One `vcam run`, as the command line describes it; sizes and strokes in pixels, times in
    seconds.
    """

    source: str
    sink: str
    effects: tuple[str, ...]
    engine: str
    face_engine: str
    faces: int
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
    always_on: bool = False
    name: str = ""


def engine_folders(extra: tuple[Path, ...]) -> list[Path]:
    """The catalogues to look in, the user's own first."""
    return [*extra, shipped_engines()]


def all_engines(extra: tuple[Path, ...]) -> list[EngineSpec]:
    """Every engine of those catalogues.

    Raises:
        EngineError: a folder is no catalogue.
    """
    return [spec for folder in engine_folders(extra) for spec in read_catalogue(folder)]


def open_matter(
    engine: str, engines: tuple[Path, ...], backend: str, threads: int, patient: bool = True
) -> Matter:
    """The person engine of that name, its file verified, not opened yet.

    Args:
        engine: its name.
        engines: folders to look in before the shipped one.
        backend: its name.
        threads: that one image is computed with, on a CPU.
        patient: wait where a plan must be built first; else another backend serves meanwhile.

    Raises:
        UsageError: unknown engine or backend, or one that cannot run here.
        EngineError: a damaged file.
    """
    spec = find_engine(engine, engine_folders(engines), "person")
    return Matter(make_backend(backend, spec, threads, patient=patient))


def open_parser(
    engine: str, engines: tuple[Path, ...], backend: str, threads: int, patient: bool = True
) -> FaceParser:
    """The face engine of that name, its file verified, not opened yet; see `open_matter`.

    Raises:
        UsageError: unknown engine or backend, a person engine, or one that cannot run here.
        EngineError: a damaged file.
    """
    spec = find_face_engine(engine, engine_folders(engines))
    return FaceParser(make_backend(backend, spec, threads, patient=patient))


@contextmanager
def open_masks(
    engine: str,
    engines: tuple[Path, ...],
    backend: str,
    threads: int,
    kind: str | None,
    threshold: float | None,
) -> Iterator[Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]:
    """What makes the mask of a picture uint8 [H, W, 3] RGB, by a person engine or a face engine;
    see `open_matter`.

    kind: "labels" or "palette", the name of a class, or None: person or not, or the labels.
    threshold: from which share on it is a person; None: 0.5.

    Raises:
        UsageError: unknown engine or backend, or the engine has no such mask.
        EngineError: a damaged file.
    """
    spec = find_engine(engine, engine_folders(engines))
    if spec.task not in ("person", "face"):
        raise UsageError(
            f"{spec.name} is a {spec.task} engine and makes no masks; "
            f"choose a person or face engine, such as --engine {DEFAULT_FACE_ENGINE}"
        )
    is_face = spec.task == "face"
    known = (*CLASS_NAMES, "labels", "palette") if is_face else ("person",)
    if kind is not None and kind not in known:
        other = (
            "" if is_face else f"; more have face engines, such as --engine {DEFAULT_FACE_ENGINE}"
        )
        raise UsageError(f"{spec.name} has no mask {kind!r}; it has {', '.join(known)}{other}")
    if is_face and threshold is not None:
        raise UsageError(
            f"--threshold cuts the masks of person engines, and {spec.name} is a face engine"
        )
    made = make_backend(backend, spec, threads, patient=False)
    if is_face:
        with FaceParser(made) as parser:
            yield lambda image: face_mask(parser, image, kind or "labels")
    else:
        with Matter(made) as matter:
            yield lambda image: picture_mask(
                matter, image, None if kind else 0.5 if threshold is None else threshold
            )


def open_faces(
    effects: Sequence[Effect], request: RunRequest | BenchRequest
) -> Callable[[Stats, bool], FaceStage] | None:
    """What makes a run's face stage, called with (stats, live); None where no effect looks at
    faces.

    Raises:
        VcamError: there is no such face engine, or it cannot run here.
    """
    if not any(effect.needs_face for effect in effects):
        return None
    parser = open_parser(
        request.face_engine, request.engines, request.backend, request.threads, patient=False
    )
    return lambda stats, live: FaceStage(FaceTracker(parser, request.faces, live), live, stats)


def build_run(request: RunRequest) -> tuple[Pipeline, int | None]:
    """A pipeline ready to run, and how many frames it will make, where that is known.

    Raises:
        UsageError: something that was asked for does not exist or does not fit together.
        EngineError: the engine's file is damaged.
        SourceError: the source cannot be a source (a missing file).
    """
    cv2.setNumThreads(1)  # the three pipeline threads are the parallelism
    effects = make_effects(request.effects)
    matter = open_matter(
        request.engine, request.engines, request.backend, request.threads, patient=False
    )
    make_faces = open_faces(effects, request)
    sink = make_sink(
        request.sink,
        SinkRequest(
            request.size, request.fps, request.overwrite, variable_rate=True, name=request.name
        ),
    )
    wanted = SourceRequest(request.size, request.fps, request.mirror, repeat=sink.live)
    make_source(request.source, wanted)  # a mistake in it is told before anything opens
    endless = is_endless(request.source)
    duration_s = request.duration_s or (_GENERATED_S if endless and not sink.live else None)
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
        PipelineConfig(duration_s=duration_s),
        watch=LoopbackReaders if _is_on_demand(request, sink) else None,
        make_faces=partial(make_faces, stats) if make_faces else None,
    )
    return pipeline, round(duration_s * request.fps) if endless and duration_s else None


def _is_on_demand(request: RunRequest, sink: Sink) -> bool:
    """Whether the source is to be open only while somebody reads the sink: a webcam, into a
    loopback camera.
    """
    return not request.always_on and isinstance(sink, V4l2Sink) and is_webcam(request.source)


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """One `vcam bench`. runs: images, or frames of the pipeline; live_fps: None for as fast as
    possible.
    """

    engine: str
    engines: tuple[Path, ...]
    backend: str
    threads: int
    runs: int
    effects: tuple[str, ...] = ("blur",)
    source: str = "demo"
    size: Size | None = None
    live_fps: float | None = None
    face_engine: str = DEFAULT_FACE_ENGINE
    faces: int = 2


def run_engine_bench(request: BenchRequest) -> Report:
    """Time one engine on the demo portrait.

    Raises:
        VcamError: no such engine or backend, or it fails.
    """
    cv2.setNumThreads(1)
    spec = find_engine(request.engine, engine_folders(request.engines))
    frames, _ = read_frames(make_source("demo", SourceRequest()), 1)
    picture = small_rgb(frames[0].planes, frames[0].matrix, spec.size)
    backend = make_backend(request.backend, spec, request.threads)
    head: Report = {"asked_for": spec.name}
    readers = {"face": FaceParser, "detect": FaceDetector, "landmarks": FaceMesh}
    reader = readers.get(spec.task, Matter)(backend)
    return head | bench_engine(reader, picture, request.runs)


def run_pipeline_bench(request: BenchRequest, on_step: Callable[[int], None]) -> Report:
    """Run the pipeline on frames in memory, into a `null` sink.

    Args:
        request: what to measure.
        on_step: called with the number of frames done since its last call.

    Raises:
        VcamError: something that was asked for does not exist, or the run failed.
    """
    cv2.setNumThreads(1)
    effects = make_effects(request.effects)
    matter = open_matter(request.engine, request.engines, request.backend, request.threads)
    frames, decode_ms = read_frames(
        make_source(request.source, SourceRequest(request.size)), _BENCH_FRAMES
    )
    done = 0

    def tick(frames_sent: int) -> None:
        nonlocal done
        on_step(frames_sent - done)
        done = frames_sent

    report = bench_pipeline(
        frames,
        matter,
        lambda stats, transparent, live: Composer(
            effects, RefineConfig(), stats, transparent=transparent, live=live
        ),
        make_sink("null", SinkRequest()),
        request.runs,
        request.live_fps,
        tick,
        open_faces(effects, request),
    )
    head: Report = {"effects": list(request.effects), **matter.about(), "decode_ms": decode_ms}
    return head | report


def run_table_bench(request: BenchRequest, on_round: Callable[[int], None]) -> Report:
    """Time every engine on every backend, on the demo portrait.

    Args:
        request: its engine and backend are of no consequence.
        on_round: see `bench_table`.

    Raises:
        VcamError: a folder is no catalogue, or a file in it is damaged.
    """
    return bench_table(table_cells(request.engines, request.threads), request.runs, on_round)


def table_cells(engines: tuple[Path, ...], threads: int) -> list[Cell]:
    """What `bench_table` measures: each engine on each backend.

    Raises:
        VcamError: a folder is no catalogue, or a file in it is damaged.
    """
    cv2.setNumThreads(1)
    frames, _ = read_frames(make_source("demo", SourceRequest()), 1)
    return [
        _cell(spec, name, small_rgb(frames[0].planes, frames[0].matrix, spec.size), threads)
        for spec in all_engines(engines)
        for name in BACKENDS
    ]


def _cell(spec: EngineSpec, name: str, picture: NDArray[np.uint8], threads: int) -> Cell:
    cell = Cell(spec.name, name, picture, reason=why_not(name, spec), threads=threads)
    if not cell.reason and (other := runs_as(name, spec)) != spec:
        cell.reason = f"runs {other.name} in its place"
    if not cell.reason:
        cell.backend = make_backend(name, spec, threads)
    return cell


def build_plan_ahead(spec: EngineSpec, on_percent: Callable[[int], None]) -> dict[str, object]:
    """Build the TensorRT plan of an engine, where there is none that loads; return what the backend
    says of it.

    Args:
        spec: the engine.
        on_percent: called with the percent done since its last call.

    Raises:
        EngineError: no GPU, no TensorRT, or they refuse it.
    """
    done = 0

    def tick(share: float) -> None:
        nonlocal done
        on_percent(round(share * 100) - done)
        done = round(share * 100)

    with TensorRtBackend(spec, on_progress=tick) as backend:
        return backend.about()
