"""Run the measurements of `vcam bench`: one engine, a pipeline, or every engine on every
backend.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcam.assemble import open_faces, open_matter
from vcam.backends import BACKENDS, make_backend, runs_as, why_not
from vcam.bench.measure import Report, bench_engine, bench_pipeline, read_frames
from vcam.bench.table import Cell, bench_table
from vcam.catalogue import (
    DEFAULT_FACE_ENGINE,
    DEFAULT_FACE_MESH,
    EngineSpec,
    all_engines,
    engine_folders,
    find_engine,
)
from vcam.effects import make_effects
from vcam.face.networks import FaceDetector, FaceMesh
from vcam.face.parser import FaceParser
from vcam.frame import Size
from vcam.matting.matter import Matter, small_rgb
from vcam.sinks import SinkRequest, make_sink
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

_BENCH_FRAMES = 60
"""Number of frames of a source that a benchmark keeps in memory."""


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """The options of `vcam bench`. runs: images, or frames of the pipeline; live_fps: None: as fast
    as possible.
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
    face_mesh: str = DEFAULT_FACE_MESH
    faces: int = 2


def run_engine_bench(request: BenchRequest) -> Report:
    """Time one engine on the demo portrait.

    Raises:
        VcamError: the engine or backend does not exist, or fails.
    """
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
        request: the options.
        on_step: called with the number of frames done since its last call.

    Raises:
        VcamError: a part does not exist, or the run failed.
    """
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
        effects,
        make_sink("null", SinkRequest()),
        request.runs,
        request.live_fps,
        tick,
        open_faces(
            effects,
            request.faces,
            request.face_engine,
            request.face_mesh,
            request.engines,
            request.backend,
            request.threads,
        ),
    )
    head: Report = {"effects": list(request.effects), **matter.about(), "decode_ms": decode_ms}
    return head | report


def run_table_bench(request: BenchRequest, on_round: Callable[[int], None]) -> Report:
    """Time every engine on every backend, on the demo portrait.

    Args:
        request: `engine` and `backend` are ignored.
        on_round: see `bench_table`.

    Raises:
        VcamError: a folder is not a catalogue, or a file in it is damaged.
    """
    return bench_table(table_cells(request.engines, request.threads), request.runs, on_round)


def table_cells(engines: tuple[Path, ...], threads: int) -> list[Cell]:
    """List the cells for `bench_table`: each engine on each backend.

    Raises:
        VcamError: a folder is not a catalogue, or a file in it is damaged.
    """
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
