"""Find the faces in single pictures, at all sizes and rotations, as meshes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.backends import make_backend
from vcam.backends.base import Backend
from vcam.catalogue import DETECTORS, EngineSpec, engine_folders, find_engine
from vcam.colour import from_rgb
from vcam.effects.outlines import (
    BROWS,
    EYES,
    IRISES,
    LIPS_INNER,
    LIPS_OUTER,
    OVAL,
    face_height,
    outline,
    smooth_outline,
)
from vcam.errors import EngineError
from vcam.face.admit import Admission
from vcam.face.mesh_tracker import SAME_FACE, box_of, boxes_overlap
from vcam.face.networks import Detector, FaceDetector, FaceMesh, Fit, Mesh
from vcam.face.seek import by_size, look_everywhere
from vcam.frame import Frame, Matrix
from vcam.matting.pyramid import Pyramid

_LINES = (
    (OVAL, (255, 255, 255)),
    *((brow, (255, 200, 0)) for brow in BROWS),
    *((eye, (0, 230, 80)) for eye in EYES),
    *((iris[1:], (40, 140, 255)) for iris in IRISES),
    (LIPS_OUTER, (255, 40, 80)),
    (LIPS_INNER, (255, 150, 180)),
)
"""The drawn outlines and their colours, R, G, B."""
_LINE_SHARE = 1 / 160
"""Thickness of a line as a share of the face's height; one pixel at least."""


class FaceFinder:
    """Finds faces in pictures; opened, used and closed by one thread, like its engines."""

    def __init__(self, near: Detector, far: Detector, mesh: Mesh) -> None:
        self.near, self.far, self.mesh = near, far, mesh
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        """Open the engines.

        Raises:
            EngineError: one does not load.
        """
        with ExitStack() as stack:
            for engine in (self.near, self.far, self.mesh):
                stack.enter_context(engine)
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def meshes(self, frame: Frame, pyramid: Pyramid) -> list[Fit]:
        """Find the faces in a picture, largest first.

        Raises:
            EngineError: an engine failed.
        """
        admission = Admission(self.mesh)
        found: list[Fit] = []
        for detection in by_size(look_everywhere(self.near, self.far, frame, pyramid)):
            fit = admission.fit(frame, pyramid, detection)
            if fit is None:
                continue
            box = box_of(fit.points)
            others = [f for f in found if boxes_overlap(box_of(f.points), box) > SAME_FACE]
            if all(fit.presence > other.presence for other in others):
                found = [f for f in found if f not in others] + [fit]
        return sorted(found, key=lambda fit: -face_height(fit.points))

    def meshes_of(self, image: NDArray[np.uint8]) -> list[Fit]:
        """The faces of uint8 [H, W, 3] RGB; see `meshes`."""
        frame = padded_frame(image)
        return self.meshes(frame, Pyramid.of(frame))


def open_finder(
    face_mesh: str, engines: tuple[Path, ...], backend: str, threads: int
) -> FaceFinder:
    """Make the detectors and the mesh of that name, verified but not opened.

    Args:
        face_mesh: the mesh's name.
        engines: folders to search before the shipped one.
        backend: its name.
        threads: CPU threads per image.

    Raises:
        UsageError: an engine or backend is unknown or cannot run here, or an engine has another
            task.
        EngineError: a file is damaged.
    """
    folders = engine_folders(engines)

    def backend_of(name: str, task: str) -> Backend:
        return make_backend(backend, find_engine(name, folders, task), threads, patient=False)

    near, far = (
        FaceDetector(backend_of(name, "detect"), _threshold(find_engine(name, folders, "detect")))
        for name in DETECTORS
    )
    return FaceFinder(near, far, FaceMesh(backend_of(face_mesh, "landmarks")))


def _threshold(spec: EngineSpec) -> float:
    """The minimum score of this detector's boxes, from its `engine.toml`."""
    try:
        return float(spec.about["detector"]["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(
            f"{spec.path.parent / 'engine.toml'}: no threshold of the detector; "
            "reinstall vcam or export the engine again"
        ) from error


def padded_frame(image: NDArray[np.uint8]) -> Frame:
    """Convert uint8 [H, W, 3] RGB to a frame, padded to even sides."""
    down, across = (side % 2 for side in image.shape[:2])
    padded = np.pad(image, ((0, down), (0, across), (0, 0)), mode="edge")
    return from_rgb(padded, Matrix.BT601)


def landmarks(image: NDArray[np.uint8], faces: list[Fit]) -> dict[str, Any]:
    """The output of `vcam mask --landmarks` for a picture uint8 [H, W, 3] RGB."""
    return {
        "width": image.shape[1],
        "height": image.shape[0],
        "faces": [
            {
                "presence": round(face.presence, 3),
                "points": np.round(face.points.astype(np.float64), 2).tolist(),
            }
            for face in faces
        ],
    }


def overlay(image: NDArray[np.uint8], faces: list[Fit]) -> NDArray[np.uint8]:
    """A picture uint8 [H, W, 3] RGB with the outlines of its faces drawn on it; a new array."""
    drawn = image.copy()
    for face in reversed(faces):
        thick = max(1, round(_LINE_SHARE * face_height(face.points)))
        for numbers, colour in _LINES:
            corners = smooth_outline(outline(face.points, numbers))
            fixed = np.rint((corners - 0.5) * 16).astype(np.int32)
            cv2.polylines(drawn, [fixed], True, colour, thick, cv2.LINE_AA, 4)
    return drawn
