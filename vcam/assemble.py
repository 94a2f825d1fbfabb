"""Build the pipeline of a run from the user's options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from vcam.backends import AUTO, OPENVINO, best_precision, make_backend, why_not
from vcam.catalogue import (
    AUTO_ENGINE,
    DEFAULT_FACE_ENGINE,
    DEFAULT_FACE_MESH,
    NO_MESH,
    engine_folders,
    find_engine,
    find_face_engine,
    person_engines,
)
from vcam.effects import make_effects
from vcam.effects.base import Effect
from vcam.errors import UsageError
from vcam.face.finder import open_finder
from vcam.face.mesh_tracker import FaceNetworks, MeshTracker
from vcam.face.parser import FaceParser
from vcam.face.stage import FaceStage, Tracker
from vcam.face.tracker import FaceTracker
from vcam.frame import Size
from vcam.linux.viewers import LoopbackReaders
from vcam.matting.auto import AutoMatter, Candidate, quality_of
from vcam.matting.matter import MatteEngine, Matter
from vcam.matting.refine import RefineConfig
from vcam.matting.sparing import SparingMatter
from vcam.monitor import Stats
from vcam.pipeline.output import Shown
from vcam.pipeline.pipeline import Parts, Pipeline, PipelineConfig
from vcam.process import usable_cores
from vcam.sinks import Sink, SinkRequest, make_sink
from vcam.sinks.base import Replacing
from vcam.sinks.v4l2 import V4l2Sink
from vcam.sources import file_of, is_endless, make_source
from vcam.sources.base import Source, SourceRequest
from vcam.sources.loop import LoopSource

USUAL_SIZE = (1280, 720)
"""Default frame rate."""
_GENERATED_S = 10.0
"""Default length of a file that is made from an endless source."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One run, as the command line describes it; sizes and strokes in pixels, times in seconds."""

    source: str
    sink: str
    effects: tuple[str, ...]
    engine: str = AUTO_ENGINE
    face_engine: str = DEFAULT_FACE_ENGINE
    face_mesh: str = DEFAULT_FACE_MESH
    faces: int = 2
    engines: tuple[Path, ...] = ()
    backend: str = "auto"
    threads: int = 1
    size: Size | None = None
    fps: float = 30.0
    mirror: bool = False
    grow_px: float = 0.0
    feather_px: float = 0.0
    duration_s: float | None = None
    overwrite: bool = False
    always_on: bool = False
    save_power: bool = False
    name: str = ""
    strip: bool = False
    loop: bool = False
    sound: bool = True


def open_matter(
    engine: str,
    engines: tuple[Path, ...],
    backend: str,
    threads: int,
    patient: bool = True,
    size: Size = USUAL_SIZE,
    fps: float | None = None,
) -> MatteEngine:
    """Make the person engine of this name; its file is verified, and it is not opened yet.

    Args:
        engine: its name, or "auto": the best that this machine can run fast enough.
        engines: folders to search before the shipped one.
        backend: its name.
        threads: CPU threads per image; 0: as many as the rate needs, and OpenVINO if that helps.
        patient: wait if a plan must be built first; else another backend runs meanwhile.
        size: (width, height) of the frames, for "auto".
        fps: the rate that "auto" has to keep; None: no rate.

    Raises:
        UsageError: the engine or backend is unknown, or cannot run here.
        EngineError: the file is damaged.
    """
    if engine == AUTO_ENGINE:
        specs = person_engines(engine_folders(engines), best_precision(backend))
    else:
        specs = [find_engine(engine, engine_folders(engines), "person")]
    ways = _ways(backend, threads, fps)
    if engine != AUTO_ENGINE:
        made = make_backend(backend, specs[0], ways[0].threads, patient=patient)
        if len(ways) == 1:
            return Matter(made)
    quality = quality_of(specs)
    candidates = [
        Candidate(
            spec.name + way.suffix,
            quality[spec.name],
            partial(make_backend, way.backend, spec, way.threads, patient=patient),
        )
        for spec in specs
        for way in ways
        if way.backend == backend or not why_not(way.backend, spec)
    ]
    title = "auto" if engine == AUTO_ENGINE else "as named"
    return AutoMatter(candidates, size, fps, title=title)


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to run an engine. suffix: appended to the engine's name in reports."""

    backend: str
    threads: int
    suffix: str = ""


def _ways(backend: str, threads: int, fps: float | None) -> list[_Way]:
    """List the ways to try, least demanding first, until the engine keeps the rate.

    threads: 0: any number. fps: None: no rate to keep.
    """
    if threads or fps is None or usable_cores() < 2:
        return [_Way(backend, threads or 1)]
    faster = [OPENVINO] if backend == AUTO and find_spec(OPENVINO) else []
    names = [(backend, ""), *((name, f" on {name}") for name in faster)]
    return [
        _Way(name, count, suffix + (f", {count} threads" if count > 1 else ""))
        for count in (1, 2)
        for name, suffix in names
    ]


def open_parser(
    engine: str, engines: tuple[Path, ...], backend: str, threads: int, patient: bool = True
) -> FaceParser:
    """Make the face engine of this name, verified but not opened; see `open_matter`.

    Raises:
        UsageError: the engine or backend is unknown or cannot run here, or it is a person engine.
        EngineError: the file is damaged.
    """
    spec = find_face_engine(engine, engine_folders(engines))
    return FaceParser(make_backend(backend, spec, threads, patient=patient))


def open_networks(
    face_engine: str, face_mesh: str, engines: tuple[Path, ...], backend: str, threads: int
) -> FaceNetworks:
    """Make the engines that detect, track and parse faces, verified but not opened; see
    `open_matter`.

    Raises:
        UsageError: an engine or backend is unknown or cannot run here, or an engine has another
            task.
        EngineError: a file is damaged.
    """
    finder = open_finder(face_mesh, engines, backend, threads)
    parser = open_parser(face_engine, engines, backend, threads, patient=False)
    return FaceNetworks(finder.near, finder.far, finder.mesh, parser)


def open_faces(
    effects: Sequence[Effect],
    count: int,
    engine: str,
    mesh: str,
    engines: tuple[Path, ...],
    backend: str,
    threads: int,
) -> Callable[[Stats, bool], FaceStage]:
    """Return the function that makes a run's face stage; it is called with (stats, live).

    The face engines are looked up at once if an effect uses faces, else when a stage is made.

    Args:
        effects: the effects of the run.
        count: at most this many faces, largest first.
        engine: the parser; see `open_matter` for this and the rest.
        mesh: the mesh engine; "none": the parser detects and tracks faces by itself.
        engines: folders.
        backend: its name.
        threads: on a CPU.

    Raises:
        VcamError: a face engine does not exist or cannot run here.
    """

    @cache
    def new_tracker() -> Callable[[bool], Tracker]:
        if mesh == NO_MESH:
            parser = open_parser(engine, engines, backend, threads, patient=False)
            return lambda live: FaceTracker(parser, count, live)
        networks = open_networks(engine, mesh, engines, backend, threads)
        return lambda live: MeshTracker(networks, count, live)

    if any(effect.needs_face for effect in effects):
        new_tracker()
    return lambda stats, live: FaceStage(new_tracker()(live), live, stats)


def build_run(
    request: RunRequest,
    own_source: Source | None = None,
    own_sink: Sink | None = None,
    own_effects: Sequence[str | Effect] | None = None,
    on_sent: Shown | None = None,
) -> tuple[Pipeline, int | None]:
    """Build a pipeline; also return the number of frames it will make, or None if unknown.

    Args:
        request: the options of the run.
        own_source: replaces the request's.
        own_sink: replaces the request's.
        own_effects: replace the request's.
        on_sent: see Parts.

    Raises:
        UsageError: something does not exist, or two options contradict each other.
        EngineError: the engine's file is damaged.
        SourceError: the source cannot be used, for instance because its file is missing.
    """
    effects = make_effects(request.effects if own_effects is None else own_effects)
    make_faces = open_faces(
        effects,
        request.faces,
        request.face_engine,
        request.face_mesh,
        request.engines,
        request.backend,
        request.threads or 1,
    )
    source_file = file_of(request.source) if own_source is None else None
    sink = own_sink or make_sink(
        request.sink,
        SinkRequest(
            request.size,
            request.fps,
            request.overwrite,
            variable_rate=True,
            strip=request.strip,
            name=request.name,
            sound_of=source_file if request.sound and not request.loop else None,
        ),
    )
    _keep_inputs(sink, [source_file, *(getattr(effect, "path", None) for effect in effects)])
    matter = open_matter(
        request.engine,
        request.engines,
        request.backend,
        request.threads,
        patient=False,
        size=request.size or USUAL_SIZE,
        fps=request.fps if sink.live else None,
    )
    if request.save_power and sink.live:
        matter = SparingMatter(matter)
    repeat = sink.live or request.loop
    wanted = SourceRequest(request.size, request.fps, request.mirror, repeat=repeat)
    if own_source is None:
        make_source(request.source, wanted)  # a mistake in it is found before anything opens
    if request.loop:
        _check_loop(request, source_file, sink)
    endless = own_source is None and is_endless(request.source)
    duration_s = request.duration_s or (_GENERATED_S if endless and not sink.live else None)
    pipeline = Pipeline(
        Parts(
            make_source=partial(_open_source, request, own_source),
            request=wanted,
            matter=matter,
            effects=effects,
            refine=RefineConfig(request.grow_px, request.feather_px),
            sink=sink,
            watch=LoopbackReaders if isinstance(sink, V4l2Sink) and not request.always_on else None,
            make_faces=make_faces,
            on_sent=on_sent,
        ),
        PipelineConfig(duration_s=duration_s),
    )
    return pipeline, round(duration_s * request.fps) if endless and duration_s else None


def _open_source(request: RunRequest, own: Source | None, final: SourceRequest) -> Source:
    if own is not None:
        return own
    if request.loop:
        return LoopSource(lambda: make_source(request.source, final))
    return make_source(request.source, final)


def _check_loop(request: RunRequest, source_file: Path | None, sink: Sink) -> None:
    """Refuse a run that would never end, or that loops a source without an end.

    Raises:
        UsageError: the run is one of these.
    """
    if source_file is None:
        raise UsageError(f"--loop repeats a file; {request.source} is not a file")
    if not sink.live and request.duration_s is None:
        raise UsageError(f"--loop never ends and {sink.name} is a file; say how long: --duration")


def _keep_inputs(sink: Sink, inputs: Sequence[Path | None]) -> None:
    """Refuse a sink that would replace one of the run's inputs, even with --overwrite.

    Raises:
        UsageError: it would.
    """
    for path in inputs:
        if path is not None and isinstance(sink, Replacing) and sink.replaces(path):
            raise UsageError(
                f"--sink {sink.name}: {path} is read by this run and would be replaced; "
                "choose another name"
            )
