"""What programs use of vcam, re-exported by `import vcam`.

Pictures are NumPy arrays uint8 [H, W, 3], RGB, sRGB, full range, upright, C order. What is given is
only read; what is returned belongs to the caller. Errors are `VcamError`s of one line. Nothing here
changes settings of the whole process, such as OpenCV's threads.
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
    """A person engine that is open, from `open_engine`. Use it in one thread, as a context."""

    def __init__(self, matter: Matter) -> None:
        self._matter = matter
        self._is_open = False

    def __enter__(self) -> Self:
        """Load the engine and run it once.

        Raises:
            EngineError: it does not load or run.
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
        """What runs the engine: "engine", "backend" and more, as JSON takes it."""
        return self._matter.about()

    def alpha(self, image: Array) -> Plane:
        """The person in one picture, unrelated to earlier ones.

        Args:
            image: uint8 [H, W, 3] RGB of any size.

        Returns:
            uint8 [H, W], 0 room .. 255 person; it follows the picture's own edges.

        Raises:
            UsageError: the array is no such picture, or the engine is not open.
            EngineError: the engine failed.
        """
        self._check_open()
        return picture_alpha(self._matter, _checked(image))

    def alphas(self, images: Iterable[Array]) -> Iterator[Plane]:
        """The person in each picture of a video, smoothed in time; see `alpha`.

        Args:
            images: in order, of any size each; they are read one at a time.
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
    """A person engine by its name, as `vcam engines` lists them; its file is verified.

    Args:
        name: `<model>_<precision>`, or `<model>`.
        engines: folders to look in before the shipped one.
        backend: what runs it: "auto", "onnxruntime", "openvino", "tensorrt" ...
        threads: per picture, on a CPU.

    Raises:
        UsageError: unknown engine or backend, or one that cannot run here.
        EngineError: a damaged file.
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
    """A run from a source to a sink, as `vcam run` makes it, not started yet.

    Args:
        source: what `--source` takes, or an object.
        sink: what `--sink` takes, or an object.
        effects: what `--effect` takes, or new objects. If none decides what is seen of the room, it
            is blurred; `"none"` shows it.
        engine: of the person; "auto": the best that keeps the frame rate here.
        face_engine: parses faces.
        face_mesh: follows faces; "none": `face_engine` does.
        faces: at most so many, the largest first.
        engines: folders to look in before the shipped one.
        backend: what runs the engines.
        threads: per picture, on a CPU; 0: as many as the frame rate needs.
        size: (width, height) of the frames, both even; None: the source's own.
        fps: wanted from a camera or a generated source.
        mirror: flip left and right.
        grow_px: widen the person; negative: narrow.
        feather_px: soften the edge.
        duration_s: end after so long; None: with the source.
        overwrite: files that exist may be replaced.
        always_on: keep a webcam open if nobody looks at the virtual camera, too.
        save_power: compute every second picture only while nothing moves.
        name: of the virtual camera.

    Raises:
        UsageError: something does not exist or does not fit together.
        EngineError: an engine's file is damaged.
        SourceError: a file is missing or no video or picture.
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
    """Effects on one picture. Pixels that no effect touches stay exactly what they were.

    Args:
        image: uint8 [H, W, 3] RGB of any size.
        effects: see `open_pipeline`.
        options: of `open_pipeline`, from `engine` to `feather_px`, but `size` and `fps`.

    Returns:
        uint8 [H, W, 3] RGB; with the effect "remove" [H, W, 4], RGBA.

    Raises:
        UsageError: the array is no such picture, or see `open_pipeline`.
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
    """Effects on a video: on pictures that follow each other, all of one size; see `apply`.

    Args:
        images: are read one at a time, in a thread of the pipeline.
        effects: see `open_pipeline`.
        fps: how many pictures make up a second.
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
    """A source of arrays.

    Args:
        images: uint8 [H, W, 3] RGB, all of one size; read one at a time, in another thread.
        fps: frames per second.
        live: they come in their own time, as from a camera: the newest one wins.
    """

    def __init__(self, images: Iterable[Array], fps: float = 30.0, live: bool = False) -> None:
        super().__init__("arrays", SourceRequest(fps=fps), live)
        self._images = iter(images)
        self._shape: tuple[int, ...] | None = None

    def read(self) -> Frame | None:
        """The next array as a frame.

        Raises:
            SourceError: it is no such array, or has another size than the first one.
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
            array is the function's own.
        live: somebody watches: when no new picture comes in time, the last one or a card comes.
        size: (width, height) that `live` needs for its card.
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
    """The array, if it is a picture.

    Raises:
        UsageError: it is none.
    """
    is_array = isinstance(image, np.ndarray)
    if not is_array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {list(image.shape)}" if is_array else type(image).__name__
        raise UsageError(f"a picture is uint8 [H, W, 3], not {found}")
    if 0 in image.shape:
        raise UsageError(f"a picture has pixels; this one is {image.shape[1]}x{image.shape[0]}")
    return image
