"""The motion of a face between two frames: shift, rotation in the picture plane and
scale.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.effects.outlines import moved
from vcam.frame import FaceClass, FaceRegions, Plane, Size

Affine = NDArray[np.float64]
"""float64 [2, 3], applied to (x, y, 1)."""

_POINTS = 32
_LEAST_POINTS = 6
_WINDOW_PX = 11
_REACH = 0.35
"""Search radius around a face, as a share of its size."""
_STILL_PX = 0.12
"""Median motion below this counts as none; noise moves points by a few hundredths of a
pixel.
"""
_LARGEST_ZOOM = 1.3


def moved_since(face: FaceRegions, before: Plane, after: Plane, size: Size) -> FaceRegions | None:
    """Find a face again in a later frame.

    Args:
        face: as parsed in the earlier frame.
        before: uint8 [h, w], the earlier frame's luma, shrunk.
        after: uint8 [h, w], the later frame's.
        size: of both frames.

    Returns:
        The face with a new `to_frame`; None if it cannot be found again.
    """
    if before.shape != after.shape:
        return None
    corners = _corners(face)
    if corners is None:
        return None
    grow_x, grow_y = size[0] / before.shape[1], size[1] / before.shape[0]
    x, y = corners
    box = (x.min() / grow_x, y.min() / grow_y, x.max() / grow_x, y.max() / grow_y)
    motion = face_motion(before, after, box)
    if motion is None:
        return None
    motion = scaled(motion, grow_x, grow_y)
    points = None if face.points is None else moved(face.points, motion)
    return replace(face, to_frame=chain(motion, face.to_frame), points=points)


def _corners(face: FaceRegions) -> NDArray[np.float64] | None:
    """float64 [2, N]: corners of the face in frame coordinates."""
    if face.points is not None:
        return face.points[:, :2].T.astype(np.float64)
    skin = cv2.threshold(face.probs[FaceClass.SKIN], 127, 255, cv2.THRESH_BINARY)[1]
    left, top, width, height = cv2.boundingRect(skin)
    if not width:
        return None
    x, y = [left, left + width, left, left + width], [top, top, top + height, top + height]
    return np.asarray(face.to_frame @ np.array([x, y, [1] * 4]), np.float64)


def face_motion(
    before: Plane, after: Plane, box: tuple[float, float, float, float]
) -> Affine | None:
    """Estimate the motion inside a box: corners are tracked (Lucas-Kanade in OpenCV), and a
    similarity is fitted by RANSAC.

    Args:
        before: uint8 [h, w], the luma of a small frame.
        after: uint8 [h, w], the luma of a later one.
        box: (left, top, right, bottom) in their pixels, of the face in `before`.

    Returns:
        Maps coordinates in `before` to `after`, pixel centres at +0.5; the identity if nothing
        moves or there is no texture; None if the content is gone.
    """
    height, width = before.shape
    reach = _REACH * max(box[2] - box[0], box[3] - box[1])
    left, top = max(0, int(box[0] - reach)), max(0, int(box[1] - reach))
    cut = np.s_[
        top : max(top + 1, min(height, int(box[3] + reach))), left : min(width, int(box[2] + reach))
    ]
    old, new = np.ascontiguousarray(before[cut]), np.ascontiguousarray(after[cut])
    inside = np.zeros_like(old)
    inside[
        max(0, int(box[1]) - top) : max(0, int(box[3]) - top),
        max(0, int(box[0]) - left) : max(0, int(box[2]) - left),
    ] = 255
    apart = max(2.0, (box[3] - box[1]) / 12)
    points = (
        cv2.goodFeaturesToTrack(old, _POINTS, 0.02, apart, mask=inside) if inside.any() else None
    )
    if points is None or len(points) < _LEAST_POINTS:
        return np.eye(2, 3)
    window = (_WINDOW_PX, _WINDOW_PX)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        old, new, points, points.copy(), winSize=window, maxLevel=2
    )
    good = found.ravel() > 0
    if good.sum() < max(_LEAST_POINTS, len(points) // 2):
        return None
    shift = np.linalg.norm((moved - points).reshape(-1, 2)[good], axis=1)
    if np.median(shift) < _STILL_PX:
        return np.eye(2, 3)
    start, end = (np.asarray(p, np.float32).reshape(-1, 2)[good] for p in (points, moved))
    return _similarity(start, end, (left, top))


def _similarity(
    old: NDArray[np.float32], new: NDArray[np.float32], corner: tuple[int, int]
) -> Affine | None:
    """The motion that most points agree on, for coordinates that start `corner` pixels further up
    and left.
    """
    matrix, agreeing = cv2.estimateAffinePartial2D(
        old, new, method=cv2.RANSAC, ransacReprojThreshold=1.0
    )
    if matrix is None or agreeing.sum() < _LEAST_POINTS:
        return None
    motion, origin = np.asarray(matrix, np.float64), np.array(corner) + 0.5
    motion[:, 2] += origin - motion[:, :2] @ origin
    zoom = float(np.hypot(motion[0, 0], motion[1, 0]))
    return motion if 1 / _LARGEST_ZOOM < zoom < _LARGEST_ZOOM else None


def chain(second: Affine, first: Affine) -> Affine:
    """Compose affines: `first`, then `second`."""
    return np.column_stack(
        [second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]]
    )


def scaled(motion: Affine, x: float, y: float) -> Affine:
    """Convert the motion to pixels that are x times and y times smaller."""
    grow = np.diag([x, y])
    return np.column_stack([grow @ motion[:, :2] @ np.linalg.inv(grow), grow @ motion[:, 2]])
