"""Admission: decide whether a detection is a face, and fit its first mesh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import pi

import cv2
import numpy as np

from vcam.effects.outlines import EYES, IRISES, Points, eye_width, outline
from vcam.face.networks import Detection, Fit, Mesh, mesh_square
from vcam.face.parser import Crop
from vcam.frame import Frame
from vcam.matting.pyramid import Pyramid

_SURE, _ENOUGH = 0.9, 0.5
"""Presence that ends the search at once, and the minimum after all attempts. Of 60 faces, 30 of
them upside down, correctly fitted meshes had 0.92 or more, others 0.80 or less.
"""
_SMALL, _SURE_OF_SMALL = 0.12, 0.8
"""Boxes smaller than this share of the frame's height need a higher score: window patterns reach
0.75.
"""
_SCALES = (1.0, 1.25)
"""Alternative sizes of the first square, as shares of the box: near other faces it may be too
large.
"""
_PASSES = 3
"""The mesh is fitted again in the square that the last mesh implies."""
_BESIDE = 0.5
"""Maximum distance of an iris outside its lids, in eye widths, for a sideways glance; beyond it the
mesh is wrong."""


class Admission:
    """Fits a mesh in a box and judges it. Used by one thread, like its mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh

    def fit(self, frame: Frame, pyramid: Pyramid, detection: Detection) -> Fit | None:
        """Fit the mesh of the face in a box; None if there is no face.

        Detectors report faces rotated by more than 120 degrees upside down; a mesh fitted that way
        has a presence of at most 0.8, so the opposite orientation is tried too.

        Raises:
            EngineError: the mesh failed.
        """
        best = self._settled(frame, pyramid, detection.square())
        if best is None or best.presence < _SURE:
            for tried in self._other_tries(detection):
                best = _better(best, self._settled(frame, pyramid, tried))
        is_small = max(detection.width, detection.height) < _SMALL * frame.size[1]
        least = _SURE_OF_SMALL if is_small else _ENOUGH
        return best if best is not None and best.presence >= least else None

    @staticmethod
    def _other_tries(detection: Detection) -> Iterator[Crop]:
        for scale in _SCALES:
            yield detection.square(scale)
        first = detection.square()
        for turn in (pi, pi / 2, -pi / 2):
            yield replace(first, angle=first.angle + turn)

    def _settled(self, frame: Frame, pyramid: Pyramid, square: Crop) -> Fit | None:
        fit = self._mesh.fit(frame, pyramid, square)
        for _ in range(_PASSES - 1):
            if fit.presence < 0.02:
                return None
            fit = self._mesh.fit(frame, pyramid, mesh_square(fit.points))
        return fit if irises_fit(fit.points) else None


def _better(one: Fit | None, other: Fit | None) -> Fit | None:
    if one is None or other is None:
        return one or other
    return other if other.presence > one.presence else one


def irises_fit(points: Points) -> bool:
    """Whether both irises are between or near their lids; in a mesh that spans two heads they are
    not.
    """
    for side, (eye, iris) in enumerate(zip(EYES, IRISES, strict=True)):
        x, y = (float(v) for v in points[iris[0], :2])
        inside = cv2.pointPolygonTest(np.ascontiguousarray(outline(points, eye)), (x, y), True)
        if inside < -_BESIDE * eye_width(points, side):
            return False
    return True
