"""The face detectors and the face mesh for the tracker: they take squares of frames and return
positions in the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Backend
from vcam.backends.contract import checked, fixed
from vcam.backends.runner import EngineRunner
from vcam.effects.outlines import Points
from vcam.errors import EngineError
from vcam.face.motion import Affine
from vcam.face.parser import Crop, cut_rgb
from vcam.frame import Frame
from vcam.matting.pyramid import Pyramid

_BOX_SCALE = 1.5
"""Side of a mesh's square as a multiple of the longer side of the face's bounds, as in the
published graph.
"""
_SUPPRESS = 0.3
"""Boxes with a larger intersection over union show the same face."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A box that may contain a face.

    score: 0..1. x, y: centre, width, height: in frame pixels, of the box as the detector saw it,
        which may be rotated.
    eyes: float64 [2, 2], x and y of the eyes; the one on the left of an upright face comes first.
    """

    score: float
    x: float
    y: float
    width: float
    height: float
    eyes: NDArray[np.float64]

    def square(self, scale: float = _BOX_SCALE) -> Crop:
        """The square for fitting a mesh, rotated so that the eyes are level."""
        across = self.eyes[1] - self.eyes[0]
        return Crop(
            self.x,
            self.y,
            scale * max(self.width, self.height),
            float(np.arctan2(across[1], across[0])),
        )

    def overlap(self, other: Detection) -> float:
        """Intersection over union of the two boxes, ignoring their rotation."""
        wide = min(self.x + self.width / 2, other.x + other.width / 2) - max(
            self.x - self.width / 2, other.x - other.width / 2
        )
        high = min(self.y + self.height / 2, other.y + other.height / 2) - max(
            self.y - self.height / 2, other.y - other.height / 2
        )
        both = max(wide, 0.0) * max(high, 0.0)
        return both / max(self.width * self.height + other.width * other.height - both, 1e-9)


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted mesh. presence: 0..1, confidence that a face is there; it does not measure the
    quality of the fit.
    """

    points: Points
    presence: float


class Detector(Protocol):
    """Finds boxes with faces in squares of frames; opened, used and closed by one thread."""

    def __enter__(self) -> Self:
        """Load what is needed.

        Raises:
            EngineError: it does not load.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release everything; may be called twice."""

    def detect(self, frame: Frame, pyramid: Pyramid, window: Crop) -> list[Detection]:
        """Detect faces in a square; one face may be reported several times.

        Raises:
            EngineError: the engine failed.
        """


class Mesh(Protocol):
    """Lays a mesh on the face in a square; opened, used and closed by one thread."""

    def __enter__(self) -> Self:
        """Load what is needed.

        Raises:
            EngineError: it does not load.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release everything; may be called twice."""

    def fit(self, frame: Frame, pyramid: Pyramid, square: Crop) -> Fit:
        """Fit the mesh of the face in a square; it should be upright and fill two thirds of it.

        Raises:
            EngineError: the engine failed.
        """


class _Network(EngineRunner):
    """An engine that takes a square of pixels."""

    task = ""
    outputs: tuple[str, ...] = ()

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._side = 0
        self._shapes: dict[str, tuple[int, ...]] = {}

    def _start(self) -> None:
        shape = self._backend.inputs.get("image", ())
        if len(shape) != 4 or not set(self.outputs) <= set(self._backend.outputs):
            found = ", ".join([*self._backend.inputs, *self._backend.outputs])
            raise EngineError(
                f"no engine for {self.task} (it has {found}); see `vcam engines` for those that are"
            )
        self._side = shape[1]
        self._shapes = {name: fixed(name, self._backend.outputs[name]) for name in self.outputs}
        self.answer(np.zeros((self._side, self._side, 3), np.uint8))

    def answer(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Run on uint8 [h, w, 3] RGB of the engine's size; return its outputs."""
        answer = self._backend.run({"image": image[None]})
        return [checked(answer, name, np.float32, shape) for name, shape in self._shapes.items()]

    def _look(self, frame: Frame, pyramid: Pyramid, square: Crop) -> list[NDArray[np.float32]]:
        return self.answer(cut_rgb(frame, pyramid, square, (self._side, self._side)))


class FaceDetector(_Network):
    """Runs a detector of the engine contract: uint8 RGB `image` to `faces`.

    threshold: the minimum score of a box.
    """

    task = "detect"
    outputs = ("faces",)

    def __init__(self, backend: Backend, threshold: float = 0.5) -> None:
        super().__init__(backend)
        self._threshold = threshold

    def detect(self, frame: Frame, pyramid: Pyramid, window: Crop) -> list[Detection]:
        (faces,) = self._look(frame, pyramid, window)
        rows = faces[0][faces[0, :, 0] >= self._threshold].astype(np.float64)
        to_frame = window.to_frame(1)
        return [_detection(row, window, to_frame) for row in rows if np.isfinite(row).all()]


def _detection(row: Affine, window: Crop, to_frame: Affine) -> Detection:
    """Convert one row of a detector's output from shares of the window to frame coordinates."""
    x, y = to_frame @ (row[1], row[2], 1)
    width, height = window.side * row[3:5]
    eyes = np.column_stack([row[5:9].reshape(2, 2), np.ones(2)]) @ to_frame.T
    return Detection(float(row[0]), float(x), float(y), float(width), float(height), eyes)


class FaceMesh(_Network):
    """Runs a mesh of the engine contract: uint8 RGB `image` to `points` and `presence`."""

    task = "landmarks"
    outputs = ("points", "presence")

    def fit(self, frame: Frame, pyramid: Pyramid, square: Crop) -> Fit:
        points, presence = self._look(frame, pyramid, square)
        to_frame = square.to_frame(1)
        place = points[0, :, :2] @ to_frame[:, :2].T + to_frame[:, 2]
        placed = np.column_stack([place, points[0, :, 2] * square.side]).astype(np.float32)
        return Fit(placed, float(presence[0]) if np.isfinite(placed).all() else 0.0)


def merged(detections: Sequence[Detection]) -> list[Detection]:
    """Merge overlapping detections into one per face, best first: their mean, weighted by
    score.
    """
    left = sorted(detections, key=lambda d: -d.score)
    result = []
    while left:
        first = left[0]
        same = [d for d in left if d is first or d.overlap(first) > _SUPPRESS]
        left = [d for d in left if not any(d is s for s in same)]
        weights = np.array([d.score for d in same]) / sum(d.score for d in same)
        rows = np.array([[d.x, d.y, d.width, d.height, *d.eyes.ravel()] for d in same])
        x, y, width, height, *eyes = weights @ rows
        result.append(Detection(first.score, x, y, width, height, np.reshape(eyes, (2, 2))))
    return result


def mesh_square(points: Points, numbers: tuple[int, int] = (33, 263)) -> Crop:
    """The square for the next fit: around all points, level with the outer corners of the
    eyes.
    """
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    x, y = (low + high) / 2
    across = points[numbers[1], :2] - points[numbers[0], :2]
    angle = float(np.arctan2(across[1], across[0]))
    return Crop(float(x), float(y), _BOX_SCALE * float((high - low).max()), angle)
