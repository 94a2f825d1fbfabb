"""Indices of the face mesh's points that outline each part of the face, and measures derived from
their positions.

The numbering is that of MediaPipe's canonical face mesh (google-ai-edge/mediapipe,
canonical_face_model and face_mesh_connections, Apache-2.0), with the irises after the 468 points of
the surface. `LEFT` is the left of the picture.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
"""float32 [478, 3]: x, y in frame pixels, pixel centres at +0.5; z in the same unit, smaller
towards the camera.
"""
Outline = NDArray[np.float32]
"""float32 [N, 2]: x, y of the corners of a closed polygon, in frame pixels."""

LIPS_OUTER = (
    61,
    185,
    40,
    39,
    37,
    0,
    267,
    269,
    270,
    409,
    291,
    375,
    321,
    405,
    314,
    17,
    84,
    181,
    91,
    146,
)
LIPS_INNER = (
    78,
    191,
    80,
    81,
    82,
    13,
    312,
    311,
    310,
    415,
    308,
    324,
    318,
    402,
    317,
    14,
    87,
    178,
    88,
    95,
)
LEFT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
RIGHT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
LEFT_IRIS, RIGHT_IRIS = (468, 469, 470, 471, 472), (473, 474, 475, 476, 477)
LEFT_BROW, RIGHT_BROW = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
EYES = (LEFT_EYE, RIGHT_EYE)
IRISES = (LEFT_IRIS, RIGHT_IRIS)
BROWS = (LEFT_BROW, RIGHT_BROW)
FOREHEAD, CHIN = 10, 152
EYE_CORNERS = (33, 263)
MOUTH_CORNERS = (61, 291)
CHEEKS = (234, 454)
_UPPER_HALF = 9
"""The first points of an eye's outline run along its upper lid, from the outer to the inner
corner.
"""
_RAISED = 0.14
"""The oval ends below the hairline, so the forehead is raised by this share of the face's height,
less at the sides. Measured on 168 portraits with labelled skin."""
_OPEN = (0.11, 0.17)
"""Area between the lids divided by the squared width: shut up to the first value, open from the
second on. Measured on 174 rendered faces: medians are 0.073 for shut and 0.241 for open eyes."""
_FORESHORTENED = (1.5, 2.2)
"""Apparent width of the near eye relative to the far one: from the second value on, the far
eye's outline is a guess.
"""
_TURNED_DEGREES = (30.0, 45.0)


def outline(points: Points, numbers: tuple[int, ...]) -> Outline:
    """The points of a part."""
    return np.asarray(points[list(numbers), :2], np.float32)


def area(corners: Outline) -> float:
    """Area of a polygon in square pixels."""
    x, y = corners[:, 0], corners[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def apart(points: Points, pair: tuple[int, int]) -> float:
    """Distance of two points in the picture, in pixels."""
    return float(np.hypot(*(points[pair[0], :2] - points[pair[1], :2])))


def face_height(points: Points) -> float:
    """Height from the mesh's top to the chin, in pixels; the hairline is about a fifth higher."""
    return apart(points, (FOREHEAD, CHIN))


def eye_width(points: Points, side: int) -> float:
    """Width from corner to corner, in pixels; side: 0 left, 1 right."""
    return apart(points, (EYES[side][0], EYES[side][_UPPER_HALF - 1]))


def upper_lid(points: Points, side: int) -> Outline:
    """The upper lid from the outer corner to the inner one; side: 0 left, 1 right."""
    return outline(points, EYES[side][:_UPPER_HALF])


def lower_lid(points: Points, side: int) -> Outline:
    """The lower lid from the outer corner to the inner one."""
    return outline(points, (*EYES[side][:1], *EYES[side][: _UPPER_HALF - 2 : -1]))


def yaw_degrees(points: Points) -> float:
    """Rotation of the head to a side; 0 is frontal."""
    across = points[CHEEKS[1]] - points[CHEEKS[0]]
    return float(np.degrees(np.arctan2(across[2], np.hypot(across[0], across[1]))))


def openness(points: Points, side: int) -> float:
    """Openness of an eye: 0 shut .. 1 open."""
    width = max(eye_width(points, side), 1e-3)
    low, high = _OPEN
    return float(np.clip((area(outline(points, EYES[side])) / width**2 - low) / (high - low), 0, 1))


def visibility(points: Points, side: int) -> float:
    """Visibility of an eye, 0..1: fades for the far eye of a turned head, whose outline is only a
    guess of the mesh.
    """
    ratio = eye_width(points, 1 - side) / max(eye_width(points, side), 1e-3)
    yaw = abs(yaw_degrees(points))
    low, high = _FORESHORTENED
    by_width = float(np.clip((high - ratio) / (high - low), 0, 1))
    if ratio <= 1:
        return 1.0
    low, high = _TURNED_DEGREES
    return min(by_width, float(np.clip((high - yaw) / (high - low), 0, 1)))


def raised_oval(points: Points) -> Outline:
    """The outline of the face up to the hairline."""
    corners = outline(points, OVAL)
    up = points[FOREHEAD, :2] - points[CHIN, :2]
    height = max(float(np.hypot(*up)), 1e-3)
    eyes = points[list(EYE_CORNERS), :2].mean(axis=0)
    top = max(float((points[FOREHEAD, :2] - eyes) @ up) / height, 1e-3)
    share = np.clip((corners - eyes) @ up / height / top, 0, 1)
    return np.asarray(corners + _RAISED * share[:, None] * up, np.float32)


def smooth_outline(corners: Outline, steps: int = 4) -> Outline:
    """Closed Catmull-Rom spline through a polygon's corners, with `steps` points per corner."""
    return np.asarray(_spline(len(corners), steps) @ corners, np.float32)


@lru_cache(maxsize=32)
def _spline(count: int, steps: int) -> NDArray[np.float32]:
    """float32 [count * steps, count]: the weight of each corner in each point of the spline."""
    corners = np.eye(count, dtype=np.float32)
    p0, p1, p2, p3 = (np.roll(corners, shift, 0)[:, None] for shift in (1, 0, -1, -2))
    t = (np.arange(steps, dtype=np.float32) / steps)[None, :, None]
    inner = 2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)
    curve = p1 + 0.5 * t * (p2 - p0 + t * inner)
    return np.asarray(curve.reshape(-1, count), np.float32)


def similarity(old: NDArray[np.float32], new: NDArray[np.float32]) -> NDArray[np.float64]:
    """Least-squares similarity (shift, rotation, scale) that maps points to points.

    Args:
        old: float32 [N, 2 or more], before; only x and y are used.
        new: the same points after.

    Returns:
        float64 [2, 3], applied to (x, y, 1).
    """
    start, end = (p[:, :2].astype(np.float64) for p in (old, new))
    a, b = start.mean(axis=0), end.mean(axis=0)
    start, end = start - a, end - b
    power = max(float((start**2).sum()), 1e-9)
    along = float((start * end).sum()) / power
    across = float((start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0]).sum()) / power
    turn = np.array([[along, -across], [across, along]])
    return np.column_stack([turn, b - turn @ a])


def moved(points: Points, motion: NDArray[np.float64]) -> Points:
    """Apply a similarity to points; depth stays unchanged."""
    place = points[:, :2] @ motion[:, :2].T + motion[:, 2]
    return np.column_stack([place, points[:, 2:]]).astype(np.float32)
