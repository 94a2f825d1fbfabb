"""The public functions and classes of vcam, re-exported by `import vcam`.

Pictures are NumPy arrays uint8 [H, W, 3], RGB, sRGB, full range, upright, C order. Arguments are
never modified; results belong to the caller. Errors are `VcamError`s with a one-line message. No
function here changes settings of the whole process, such as OpenCV's threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vcam.assemble import RunRequest, build_run, open_matter
from vcam.catalogue import (
    AUTO_ENGINE,
    DEFAULT_ENGINE,
    DEFAULT_FACE_ENGINE,
    DEFAULT_FACE_MESH,
)
from vcam.colour import from_rgb
from vcam.effects.base import Effect
from vcam.errors import EngineError, SourceError, UsageError
from vcam.frame import Frame, Matrix, Picture, Plane, Size
from vcam.masks import picture_alpha
from vcam.matting.matter import Matter
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig, refine
from vcam.matting.smooth import MatteSmoother
from vcam.pictures import pad_to_even, picture_of
from vcam.pipeline.pipeline import Pipeline
from vcam.sinks.base import Sink
from vcam.sources.base import Source, SourceRequest
from vcam.sources.common import SourceBase

Array = NDArray[np.uint8]
"""uint8 [H, W, 3] RGB, or [H, W, 4] RGBA with 0 transparent .. 255 opaque."""

_WAIT_S = 0.1


class Engine:
    """An open person engine, made by `open_engine`. Use it in one thread, as a context manager."""

    def __init__(self, matter: Matter) -> None:
        self._matter = matter
        self._is_open = False

    def __enter__(self) -> Self:
        """Load the engine and run it once.

        Raises:
            EngineError: the engine does not load or run.
        """
        self._matter.__enter__()
        self._is_open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_open = False
        self._matter.__exit__(kind, error, trace)

    def about(self) -> dict[str, object]:
        """The backend in use: "engine", "backend" and more, as JSON values."""
        return self._matter.about()

    def alpha(self, image: Array) -> Plane:
        """Find the person in one picture, independent of earlier pictures.

        Args:
            image: uint8 [H, W, 3] RGB of any size.

        Returns:
            uint8 [H, W], 0 room .. 255 person; edges follow the edges of the picture.

        Raises:
            UsageError: the array has another shape or type, or the engine is not open.
            EngineError: the engine failed.
        """
        self._check_open()
        return picture_alpha(self._matter, _checked(image))

    def alphas(self, images: Iterable[Array]) -> Iterator[Plane]:
        """Find the person in each picture of a video, smoothed over time; see `alpha`.

        Args:
            images: in order; sizes may differ. They are read one at a time.
        """
        self._check_open()
        self._matter.reset()
        smoother = MatteSmoother()
        for image in images:
            height, width = _checked(image).shape[:2]
            frame = from_rgb(pad_to_even(image), Matrix.BT601)
            pyramid = Pyramid.of(frame)
            matte = smoother.smooth(self._matter.matte(frame, pyramid), pyramid.low.y)
            mask = refine(matte, frame.y, pyramid.low.y, RefineConfig())
            yield mask.full(frame.size)[:height, :width]

    def _check_open(self) -> None:
        if not self._is_open:
            raise UsageError("the engine is not open; write: with vcam.open_engine() as engine:")


def open_engine(
    name: str = DEFAULT_ENGINE,
    *,
    engines: Sequence[str | Path] = (),
    backend: str = "auto",
    threads: int = 1,
) -> Engine:
    """Make a person engine by its name, as `vcam engines` lists them; its file is verified.

    Args:
        name: `<model>_<precision>`, or `<model>`.
        engines: folders to search before the shipped one.
        backend: the runtime: "auto", "onnxruntime", "openvino", "tensorrt" ...
        threads: CPU threads per picture.

    Raises:
        UsageError: the engine or backend is unknown, or cannot run here.
        EngineError: the file is damaged.
    """
    if name == AUTO_ENGINE:
        raise UsageError('"auto" chooses an engine for a run; name one, such as "sinet"')
    matter = open_matter(name, tuple(Path(folder) for folder in engines), backend, threads)
    if not isinstance(matter, Matter):
        raise EngineError(f"{name}: cannot be used for single pictures")
    return Engine(matter)


def open_pipeline(
    source: str | Source = "webcam",
    sink: str | Sink = "virtual",
    effects: Sequence[str | Effect] = ("blur",),
    *,
    engine: str = AUTO_ENGINE,
    face_engine: str = DEFAULT_FACE_ENGINE,
    face_mesh: str = DEFAULT_FACE_MESH,
    faces: int = 2,
    engines: Sequence[str | Path] = (),
    backend: str = "auto",
    threads: int = 0,
    size: Size | None = None,
    fps: float = 30.0,
    mirror: bool = False,
    grow_px: float = 0.0,
    feather_px: float = 0.0,
    duration_s: float | None = None,
    overwrite: bool = False,
    always_on: bool = False,
    save_power: bool = False,
    name: str = "",
) -> Pipeline:
    """Make a run from a source to a sink, as `vcam run` does; it is not started yet.

    Args:
        source: a value of `--source`, or a Source.
        sink: a value of `--sink`, or a Sink.
        effects: values of `--effect`, or new Effects. If none of them handles the room, the room is
            blurred; `"none"` shows it.
        engine: the person engine; "auto": the best that keeps the frame rate here.
        face_engine: the engine that parses faces.
        face_mesh: the engine that tracks faces; "none": `face_engine` does it.
        faces: retouch at most this many faces, largest first.
        engines: folders to search before the shipped one.
        backend: the runtime of the engines.
        threads: CPU threads per picture; 0: as many as the frame rate needs.
        size: (width, height) of the frames, both even; None: the source's own.
        fps: frame rate to request from a camera or a generated source.
        mirror: flip left and right.
        grow_px: widen the person by this many pixels; negative: narrow.
        feather_px: soften the edge by this many pixels.
        duration_s: end after this many seconds; None: when the source ends.
        overwrite: replace existing files.
        always_on: keep a webcam open even if no program reads the virtual camera.
        save_power: compute only every second picture while nothing moves.
        name: of the virtual camera.

    Raises:
        UsageError: something does not exist, or two options contradict each other.
        EngineError: the file of an engine is damaged.
        SourceError: a file is missing, or is neither a video nor a picture.
    """
    request = RunRequest(
        source=source if isinstance(source, str) else source.name,
        sink=sink if isinstance(sink, str) else sink.name,
        effects=(),
        engine=engine,
        face_engine=face_engine,
        face_mesh=face_mesh,
        faces=faces,
        engines=tuple(Path(folder) for folder in engines),
        backend=backend,
        threads=threads,
        size=size,
        fps=fps,
        mirror=mirror,
        grow_px=grow_px,
        feather_px=feather_px,
        duration_s=duration_s,
        overwrite=overwrite,
        always_on=always_on,
        save_power=save_power,
        name=name,
    )
    own_source = None if isinstance(source, str) else source
    own_sink = None if isinstance(sink, str) else sink
    return build_run(request, own_source, own_sink, effects)[0]


def apply(image: Array, effects: Sequence[str | Effect] = ("blur",), **options: Any) -> Array:
    """Apply effects to one picture. Pixels that no effect changes keep their exact values.

    Args:
        image: uint8 [H, W, 3] RGB of any size.
        effects: see `open_pipeline`.
        options: those of `open_pipeline` from `engine` to `feather_px`, except `size` and `fps`.

    Returns:
        uint8 [H, W, 3] RGB; with the effect "remove" [H, W, 4] RGBA.

    Raises:
        UsageError: the array has another shape or type; see also `open_pipeline`.
        VcamError: see `Pipeline.run`.
    """
    (changed,) = apply_all([image], effects, **options)
    return changed


def apply_all(
    images: Iterable[Array],
    effects: Sequence[str | Effect] = ("blur",),
    fps: float = 30.0,
    **options: Any,
) -> Iterator[Array]:
    """Apply effects to a video: consecutive pictures of one size; see `apply`.

    Args:
        images: read one at a time, in a thread of the pipeline.
        effects: see `open_pipeline`.
        fps: pictures per second.
        options: see `apply`.
    """
    changed: Queue[Array] = Queue(1)
    ending = Event()

    def put(image: Array) -> None:
        while not ending.is_set():
            with suppress(Full):
                changed.put(image, timeout=_WAIT_S)
                return

    options.setdefault("engine", DEFAULT_ENGINE)
    source, sink = ArraySource(images, fps), CallbackSink(put)
    pipeline = open_pipeline(source, sink, effects, **options).start()
    try:
        while pipeline.wait(0) is None or not changed.empty():
            with suppress(Empty):
                image = changed.get(timeout=_WAIT_S)
                yield image
    finally:
        source.interrupt()
        ending.set()
        pipeline.stop()
        pipeline.wait()


class ArraySource(SourceBase):
    """A source that reads arrays.

    Args:
        images: uint8 [H, W, 3] RGB, all of one size; read one at a time, in another thread.
        fps: frames per second.
        live: the pictures arrive in real time, as from a camera; the newest one wins.
    """

    def __init__(self, images: Iterable[Array], fps: float = 30.0, live: bool = False) -> None:
        super().__init__("arrays", SourceRequest(fps=fps), live)
        self._images = iter(images)
        self._shape: tuple[int, ...] | None = None

    def read(self) -> Frame | None:
        """Return the next array as a frame.

        Raises:
            SourceError: it has another shape or type, or another size than the first one.
        """
        image = None if self._stop.is_set() else next(self._images, None)
        if image is None:
            return None
        try:
            shape = _checked(image).shape
        except UsageError as error:
            raise SourceError(str(error)) from error
        self._shape = self._shape or shape
        if shape != self._shape:
            raise SourceError(
                f"arrays: one is {shape[1]}x{shape[0]}, the first one was"
                f" {self._shape[1]}x{self._shape[0]}; give all of them one size"
            )
        index = self._next_index()
        frame = from_rgb(pad_to_even(image), Matrix.BT601, time.monotonic_ns(), index)
        self.size = frame.size
        return replace(frame, picture=Picture(image), pts_ns=self._period_ns(index))


class CallbackSink:
    """A sink that calls a function with each composed picture, in another thread.

    Args:
        function: called with uint8 [H, W, 3] RGB, or [H, W, 4] RGBA with the effect "remove"; the
            array belongs to the function.
        live: the sink has viewers: without a new picture in time, it gets the last one or a card.
        size: (width, height) of the card, required if `live`.
    """

    def __init__(
        self, function: Callable[[Array], object], live: bool = False, size: Size | None = None
    ) -> None:
        self._function = function
        self.name, self.live, self.size = "callback", live, size
        self.matrix: Matrix | None = None
        self.alpha = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, frame: Frame) -> None:
        """Call the function."""
        pixels = (frame.picture or picture_of(frame)).pixels
        self._function(np.array(pixels, np.uint8, order="C"))

    def close(self) -> None:
        """Nothing to release."""


def _checked(image: Array) -> Array:
    """Return the array if it is a picture.

    Raises:
        UsageError: it is not.
    """
    is_array = isinstance(image, np.ndarray)
    if not is_array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {list(image.shape)}" if is_array else type(image).__name__
        raise UsageError(f"a picture is uint8 [H, W, 3], not {found}")
    if 0 in image.shape:
        raise UsageError(f"a picture has pixels; this one is {image.shape[1]}x{image.shape[0]}")
    return image
