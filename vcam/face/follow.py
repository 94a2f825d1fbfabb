"""Tracking: fit a mesh from frame to frame, stabilised by the motion of the picture under it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vcam.effects.outlines import Points, face_height, moved
from vcam.face.motion import face_motion, scaled
from vcam.face.networks import Mesh, mesh_square
from vcam.face.parser import Crop
from vcam.frame import Frame, Plane, Size
from vcam.matting.pyramid import Pyramid

_KEEP = 0.3
"""Minimum presence of a tracked face: strong profiles have 0.2 to 0.5."""
_PATIENCE = 3
"""Frames below the minimum before the face is dropped."""
_LEASH_SHIFT, _LEASH_SIDE, _LEASH_DEGREES = 0.04, 0.06, 3.0
"""Dead band of the square: share of its side, of its size, degrees. If the square were recomputed
from the last points in every frame, the points of a still face would jitter three times as much.
"""
_FRESH = 0.45
"""Weight of a new point that agrees with the last one, moved with the picture."""
_AWAY = 0.042
"""Distance at which the weight is 1, as a share of the face's height: 12 pixels of a 284-pixel
face.
"""


@dataclass(slots=True)
class MeshTrack:
    """A face tracked by its mesh.

    points: stabilised. square: the crop for the next fit. misses: number of frames without a face.
    """

    number: int
    points: Points
    presence: float
    square: Crop
    misses: int = 0

    @classmethod
    def at(cls, number: int, points: Points, presence: float) -> MeshTrack:
        """Start a track for a newly admitted face."""
        return cls(number, points, presence, mesh_square(points))

    @property
    def is_lost(self) -> bool:
        """Whether the face should be dropped."""
        return self.misses >= _PATIENCE

    @property
    def height(self) -> float:
        """From the mesh's top to the chin, in frame pixels."""
        return face_height(self.points)

    def update(self, mesh: Mesh, frame: Frame, pyramid: Pyramid, before: Plane | None) -> None:
        """Fit the mesh in the next frame. before: uint8 [h, w], the small luma of the last one.

        Raises:
            EngineError: the mesh failed.
        """
        fit = mesh.fit(frame, pyramid, self.square)
        carried = self._carried(before, pyramid.low.y, frame.size)
        if fit.presence < _KEEP:
            self.misses += 1
            if carried is not None:
                self.points, self.square = carried, mesh_square(carried)
            return
        self.misses, self.presence = 0, fit.presence
        self.points = fit.points if carried is None else _blended(carried, fit.points)
        self.square = led(self.square, mesh_square(fit.points))

    def carry(self, pyramid: Pyramid, size: Size, before: Plane | None) -> None:
        """Move the mesh with the picture, in a frame that fits another face's mesh."""
        carried = self._carried(before, pyramid.low.y, size)
        if carried is not None:
            self.points, self.square = carried, led(self.square, mesh_square(carried))

    def _carried(self, before: Plane | None, after: Plane, size: Size) -> Points | None:
        if before is None or before.shape != after.shape:
            return None
        grow = np.array([size[0] / before.shape[1], size[1] / before.shape[0]])
        low, high = (f(self.points[:, :2], axis=0) / grow for f in (np.min, np.max))
        motion = face_motion(before, after, (low[0], low[1], high[0], high[1]))
        return None if motion is None else moved(self.points, scaled(motion, *grow))


def _blended(carried: Points, fresh: Points) -> Points:
    """Blend per point: where the moved mesh and the new fit agree, the new one has less than half
    of the weight.
    """
    off = np.linalg.norm(fresh[:, :2] - carried[:, :2], axis=1)
    away = max(_AWAY * face_height(fresh), 1e-3)
    weight = (_FRESH + (1 - _FRESH) * np.minimum(off / away, 1))[:, None]
    return np.asarray(carried + weight * (fresh - carried), np.float32)


def led(square: Crop, wanted: Crop) -> Crop:
    """Move the square towards the wanted one, as far as the difference exceeds the dead band."""
    across, down = wanted.x - square.x, wanted.y - square.y
    distance = float(np.hypot(across, down))
    pull = max(0.0, 1 - _LEASH_SHIFT * square.side / distance) if distance else 0.0
    growth = wanted.side / square.side - 1
    turn = (wanted.angle - square.angle + np.pi) % (2 * np.pi) - np.pi
    return Crop(
        square.x + pull * across,
        square.y + pull * down,
        square.side * (1 + _beyond(growth, _LEASH_SIDE)),
        square.angle + _beyond(turn, np.radians(_LEASH_DEGREES)),
    )


def _beyond(value: float, slack: float) -> float:
    """The part of a value beyond `slack` on either side of zero."""
    return float(np.sign(value) * max(0.0, abs(value) - slack))
