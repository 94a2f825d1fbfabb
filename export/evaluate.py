"""How well an engine separates people: the intersection over union of the person on test pictures.

Alpha of at least 128 is person, in the answer and in the label. The answer is enlarged bilinearly to the picture's own
resolution before it is compared; pixels that the label ignores are left out. The score of a set is the mean (and
median) over its pictures.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from export.data.augment import Image
from export.data.person import Labelled
from export.data.scenes import composited, fit, test_rooms, test_set
from export.errors import ExportError

_PERSON = 128


class Matting(Protocol):
    """Anything that finds people in a picture."""

    def alpha(self, image: Image) -> Image:
        """uint8 [H, W, 3] RGB of any size to uint8 [H, W] of the same size, 0 room .. 255 person; the caller's."""


@dataclass(frozen=True, slots=True)
class Score:
    """`metric` is "iou", or "person_share": the share of the frame called person where nobody is."""

    set: str
    metric: str
    images: int
    mean: float
    median: float


class OnnxMatting:
    """An ONNX file in the engine contract, in ONNX Runtime on one CPU thread. A state is that of a first frame."""

    def __init__(self, path: Path) -> None:
        self._session = load_session(path)
        image, *states = self._session.get_inputs()
        answer, *_ = self._session.get_outputs()
        if [(x.name, x.type) for x in (image, answer)] != [("image", "tensor(uint8)"), ("alpha", "tensor(uint8)")]:
            raise ExportError(f"{path}: not a person engine (uint8 `image` in, uint8 `alpha` out)")
        self.size = (int(image.shape[1]), int(image.shape[2]))
        self._batch = int(image.shape[0])
        self._states = {x.name: np.zeros(x.shape, np.float32) for x in states}

    def alpha(self, image: Image) -> Image:
        small = np.repeat(fit(image, self.size)[None], self._batch, axis=0)
        matte: Image = self._session.run(["alpha"], {"image": small} | self._states)[0][0]
        return np.asarray(cv2.resize(matte, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def load_session(path: Path) -> Any:
    """An ONNX Runtime session on one CPU thread.

    Raises:
        ExportError: the file cannot be read or loaded.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    from export.parity import cpu_session

    try:
        return cpu_session(path.read_bytes())
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from error
    except (errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf) as error:
        reason = str(error).splitlines()[0]
        raise ExportError(f"{path}: ONNX Runtime cannot load it ({reason})") from error


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
        matte = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
        return np.asarray(cv2.resize(matte, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def open_matting(path: Path) -> Matting:
    """An engine folder (its first file), an ONNX file or a MediaPipe .tflite file.

    Raises:
        ExportError: it is none of these, or cannot be loaded.
    """
    if path.is_dir():
        try:
            path = path / tomllib.loads((path / "engine.toml").read_text())["file"][0]["name"]
        except (OSError, tomllib.TOMLDecodeError, LookupError) as error:
            raise ExportError(f"{path}: no engine.toml that names a file") from error
    return TfliteMatting(path) if path.suffix == ".tflite" else OnnxMatting(path)


def iou(alpha: Image, item: Labelled) -> float:
    """Intersection over union of the person. alpha: uint8 [H, W] of the label's size; 1.0 where neither has one."""
    found, wanted, counts = alpha >= _PERSON, item.alpha >= _PERSON, item.valid > 0
    union = int(np.count_nonzero((found | wanted) & counts))
    return int(np.count_nonzero(found & wanted & counts)) / union if union else 1.0


def _share(alpha: Image, item: Labelled) -> float:
    counts = item.valid > 0
    return int(np.count_nonzero((alpha >= _PERSON) & counts)) / max(1, int(np.count_nonzero(counts)))


def evaluate(matting: Matting, data: Path) -> list[Score]:
    """Score an engine on the test splits of a data folder.

    Raises:
        ExportError: a set is missing, damaged or has no test pictures.
    """
    wild = test_set(data, "person/wild")
    people = [item for item in wild if item.alpha.any()]
    nobody = [item for item in wild if not item.alpha.any()]
    return [
        _score("person/ccp", matting, test_set(data, "person/ccp")),
        _score("person/cutouts composited", matting, composited(data)),
        _score("person/wild", matting, people),
        _score("person/wild without people", matting, nobody, empty=True),
        _score("rooms without people", matting, test_rooms(data), empty=True),
    ]


def _score(name: str, matting: Matting, items: Iterable[Labelled], empty: bool = False) -> Score:
    measure = _share if empty else iou
    values = [measure(matting.alpha(item.image), item) for item in items]
    if not values:
        raise ExportError(f"{name}: no test pictures")
    return Score(name, "person_share" if empty else "iou", len(values), *_summary(values))


def _summary(values: list[float]) -> tuple[float, float]:
    return round(float(np.mean(values)), 4), round(float(np.median(values)), 4)
