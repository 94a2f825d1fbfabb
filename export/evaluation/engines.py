"""Engines opened for measuring: what they answer to pictures of any size, at the size of the picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from export.data.image import Image, u8
from export.errors import ExportError
from export.evaluation.scenes import Box, fit, placed
from export.models import V1_CLASSES, V2_CLASSES
from vcam.engine_toml import read_engine_toml
from vcam.errors import EngineError


class Matting(Protocol):
    """Anything that finds people in a picture."""

    def alpha(self, image: Image) -> Image:
        """uint8 [H, W, 3] RGB of any size to uint8 [H, W] of the same size, 0 room .. 255 person; the caller's.

        The picture is the first one that the engine sees.
        """


@runtime_checkable
class Parsing(Protocol):
    """Anything that names the parts of a face in a picture."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the words of EasyPortrait."""

    def labels(self, image: Image) -> Image:
        """uint8 [H, W, 3] RGB of any size to uint8 [H, W] of the same size, numbers into `classes`; the caller's."""


class OnnxMatting:
    """A person engine in ONNX Runtime on one CPU thread. fit: of pictures, see `placed`."""

    def __init__(self, session: Any, fit: str = "stretch") -> None:
        self._session, self._fit = session, fit
        image, *states = session.get_inputs()
        self.size = (int(image.shape[1]), int(image.shape[2]))
        self._batch = int(image.shape[0])
        self._start = {x.name: np.zeros(x.shape, np.float32) for x in states}

    def alpha(self, image: Image) -> Image:
        return next(self.alphas([image]))

    def alphas(self, frames: Iterable[Image]) -> Iterator[Image]:
        """Answers to consecutive frames, with the state that each leaves to the next; else as `alpha`."""
        states = self._start
        names = ["alpha", *(name.replace("state_in", "state_out") for name in states)]
        for frame in frames:
            whole, box = placed(frame, self.size, self._fit)
            small = np.repeat(whole[None], self._batch, axis=0)
            matte, *after = self._session.run(names, {"image": small} | states)
            states = dict(zip(states, after, strict=True))
            yield _enlarge(_inside(matte[0], box), frame)


class OnnxParsing:
    """A face engine in ONNX Runtime on one CPU thread. classes: of its planes, in order; fit: of
    pictures, see `placed`.
    """

    def __init__(self, session: Any, classes: tuple[str, ...], fit: str = "stretch") -> None:
        self._session, self._fit = session, fit
        shape = session.get_inputs()[0].shape
        self._batch, self.size = int(shape[0]), (int(shape[1]), int(shape[2]))
        self.classes = classes

    def labels(self, image: Image) -> Image:
        whole, box = placed(image, self.size, self._fit)
        small = np.repeat(whole[None], self._batch, axis=0)
        planes = self._session.run(["probs"], {"image": small})[0][0]
        large = [_enlarge(_inside(plane, box), image) for plane in planes]
        return u8(np.argmax(np.stack(large), axis=0))


def load_session(path: Path) -> Any:
    """An ONNX Runtime session on one CPU thread.

    Raises:
        ExportError: the file cannot be read or loaded.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    from export.onnx.parity import cpu_session

    try:
        return cpu_session(path.read_bytes())
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from error
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
    ) as error:
        reason = str(error).splitlines()[0]
        raise ExportError(f"{path}: ONNX Runtime cannot load it ({reason})") from error


def open_onnx(
    path: Path, classes: tuple[str, ...] = (), fit: str = "stretch"
) -> OnnxMatting | OnnxParsing:
    """An ONNX file in the engine contract. classes: of a face engine; without, EasyPortrait's 9 or 8 by number. fit: of
    pictures, see `placed`.

    Raises:
        ExportError: it cannot be loaded, is no such file, or its classes have no names.
    """
    session = load_session(path)
    image, answer = session.get_inputs()[0], session.get_outputs()[0]
    open_sides = [str(x) for x in image.shape if not isinstance(x, int)]
    if open_sides:
        raise ExportError(
            f"{path}: {', '.join(open_sides)} of `image` is not a number; export it for one fixed size"
        )
    kinds = [(x.name, x.type) for x in (image, answer)]
    if kinds == [("image", "tensor(uint8)"), ("alpha", "tensor(uint8)")]:
        return OnnxMatting(session, fit)
    if kinds != [("image", "tensor(uint8)"), ("probs", "tensor(uint8)")]:
        raise ExportError(f"{path}: not an engine (uint8 `image` in, uint8 `alpha` or `probs` out)")
    count = int(answer.shape[1])
    names = classes or {len(x): x for x in (V1_CLASSES, V2_CLASSES)}.get(count, ())
    if len(names) != count:
        raise ExportError(
            f"{path}: {count} classes, but {len(names)} names; give its engine folder"
        )
    return OnnxParsing(session, names, fit)


class TfliteMatting:
    """A MediaPipe selfie segmentation model: float32 [1, H, W, 3] RGB 0..1 in, float32 [1, H, W, 1] 0..1 out."""

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ExportError(f"{path}: reading it needs the package ai-edge-litert") from error
        self._interpreter: Any = Interpreter(model_path=str(path))
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def alpha(self, image: Image) -> Image:
        size = tuple(int(x) for x in self._input["shape"][1:3])
        pixels = fit(image, (size[0], size[1])).astype(np.float32) / 255
        self._interpreter.set_tensor(self._input["index"], pixels[None])
        self._interpreter.invoke()
        share = self._interpreter.get_tensor(self._output)[0, ..., 0]
        return _enlarge(u8(np.rint(np.clip(share, 0, 1) * 255)), image)


def open_engine(path: Path, how: str | None = None) -> Matting | Parsing:
    """An engine folder (its first file), an ONNX file or a MediaPipe .tflite file.

    how: pictures are put into the input, see `placed`; None: as the folder says, else "stretch".

    Raises:
        ExportError: it is none of these, or cannot be loaded.
    """
    classes: tuple[str, ...] = ()
    if path.is_dir():
        try:
            manifest = read_engine_toml(path / "engine.toml")
        except EngineError as error:
            raise ExportError(str(error)) from error
        path, classes = path / manifest.files[0].name, manifest.classes
        how = how or manifest.fit
    if path.suffix == ".tflite":
        return TfliteMatting(path)
    return open_onnx(path, classes, how or "stretch")


def answers(matting: Matting, frames: Iterable[Image]) -> Iterator[Image]:
    """Mattes of consecutive frames; an engine without a memory sees each for itself."""
    return (
        matting.alphas(frames) if isinstance(matting, OnnxMatting) else map(matting.alpha, frames)
    )


def _inside(plane: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """What an answer says of the picture, without what lay beside it."""
    return np.ascontiguousarray(plane[box])


def _enlarge(plane: NDArray[np.uint8], like: Image) -> Image:
    return u8(cv2.resize(plane, like.shape[1::-1], interpolation=cv2.INTER_LINEAR))
